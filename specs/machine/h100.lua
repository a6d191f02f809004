-- H100 SXM, 80 GB.
return {
    memory = 79 * 2^30,
    reserve = 768 * 2^20,
    matmul = 650e12,
    attend = 370e12,
    read = 3015e9,
    attend_read = 3015e9,
    h2d = 55e9,
    d2h = 55e9,
    both = 0.85,
    step_s = 5e-6,
    host = "epyc_genoa",
    source = [[
nominal: 989e12 in bf16 with float32 sums; 3350 GB/s; PCIe 5.0 x16; a program sees about 79 GiB.
reported: attention at head_dim 128 and 16K tokens 370e12 by FlashAttention-2 (mma.sync), 595e12 by
cuDNN, 648e12 by FlashAttention-3 (wgmma); decode reads keys and values at 90 % of nominal (vLLM).
attend assumes kernels of the mma.sync class: with wgmma it is 600e12 or more.
estimates: products by cuBLASLt 66 % of nominal, below the peak of single large products; weights
read as keys and values are; the usual rate of PCIe 5.0 x16; both, step_s and reserve (context,
cuBLASLt) are guesses until measured.]],
}
