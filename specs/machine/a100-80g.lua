-- A100 SXM, 80 GB.
return {
    memory = 79 * 2^30,
    reserve = 640 * 2^20,
    matmul = 260e12,
    attend = 200e12,
    read = 1835e9,
    attend_read = 1835e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 0.85,
    step_s = 5e-6,
    host = "epyc_rome",
    source = [[
nominal: 312e12 in bf16 with float32 sums; 2039 GB/s; PCIe 4.0 x16; a program sees about 79 GiB.
reported: FlashAttention-2 (arXiv 2307.08691) 50 to 73 % of nominal.
estimates: products 83 %, causal attention of the FlashAttention-2 class 64 % of nominal; memory 90 %
of nominal; link as on the RTX 4090; step_s and reserve (context, cuBLASLt) are guesses. both is
one too: a forum measurement on one A100 server shows 25e9 falling to 11e9 (0.44) while the other
direction runs, so measure it.]],
}
