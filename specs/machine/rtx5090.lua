-- GeForce RTX 5090, 32 GB. GeForce tensor cores accumulate in float32 at half rate.
return {
    memory = 32 * 2^30,
    reserve = 1152 * 2^20,
    matmul = 197e12,
    attend = 197e12,
    read = 1613e9,
    attend_read = 1613e9,
    h2d = 55e9,
    d2h = 55e9,
    both = 0.85,
    step_s = 5e-6,
    host = "desktop_ddr5",
    source = [[
nominal: 170 SM x 512 FLOP x 2.407 GHz = 209.5e12 in bf16 with float32 sums; 1792 GB/s; PCIe 5.0 x16.
reported: 197.7e12 (94 %) by a hand-written attention of mma.sync and cp.async alone, 203.6e12 by
cuDNN (learn-cuda, 07_attention).
estimates: products as attention; memory 90 % of nominal; the usual rate of PCIe 5.0 x16; both,
step_s and reserve (context, cuBLASLt, a display) are guesses until measured.]],
}
