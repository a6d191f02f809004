-- GeForce RTX 4090, 24 GB, in a server of HeadInfer's class.
return {
    memory = 24 * 2^30,
    reserve = 1024 * 2^20,
    matmul = 155e12,
    attend = 158e12,
    read = 907e9,
    attend_read = 907e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 0.85,
    step_s = 5e-6,
    host = "epyc_rome",
    source = [[
nominal: 165.2e12 in bf16 with float32 sums; 1008 GB/s; PCIe 4.0 x16.
reported: FlashAttention-2 (mma.sync) 160 to 165e12 at head_dim 128; HeadInfer (arXiv 2502.12574)
measured 25.0e9 on the link.
estimates: products 94 %, attention 96 % of nominal, kernels of the mma.sync class; memory 90 % of
nominal; both, step_s and reserve (context, cuBLASLt, a display) are guesses until measured.]],
}
