-- H200 SXM, 141 GB.
return {
    memory = 139 * 2^30,
    reserve = 768 * 2^20,
    matmul = 700e12,
    attend = 380e12,
    read = 4300e9,
    attend_read = 4300e9,
    h2d = 55e9,
    d2h = 55e9,
    both = 0.85,
    step_s = 5e-6,
    host = "epyc_genoa",
    source = [[
nominal: 989e12 in bf16 with float32 sums; 4800 GB/s; PCIe 5.0 x16; a program sees about 139 GiB.
reported: products 790e12 and memory 4300e9 measured; cuDNN attention (wgmma) 688e12, causal, 32K
tokens, 64 query and 8 key heads of 128 elements (NVIDIA/cudnn-frontend).
attend assumes kernels of the mma.sync class (740 s for 1M tokens of an 8B model); of the wgmma class
it is 650e12.
estimates: products by cuBLASLt over a model's shapes 700e12; the usual rate of PCIe 5.0 x16; both,
step_s and reserve (context, cuBLASLt) are guesses until measured.]],
}
