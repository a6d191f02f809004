-- GeForce RTX 4070 Ti SUPER, 16 GB. GeForce tensor cores accumulate in float32 at half rate.
return {
    memory = 16 * 2^30,
    reserve = 1024 * 2^20,
    matmul = 82.7e12,
    attend = 84e12,
    read = 605e9,
    attend_read = 605e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 0.85,
    step_s = 5e-6,
    host = "desktop_ddr5",
    source = [[
nominal: 66 SM x 512 FLOP x 2.61 GHz = 88.2e12 in bf16 with float32 sums; 672 GB/s; PCIe 4.0 x16.
estimates: products and attention reach the share that the RTX 4090 does (94 and 96 %);
memory 90 % of nominal; link as HeadInfer measured on PCIe 4.0 x16 (25.0e9); both, step_s and
reserve (context, cuBLASLt, a display) are guesses until measured.]],
}
