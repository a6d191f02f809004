-- The cpu target where nothing was measured: a small machine of two cores. 'hi-gen calibrate'
-- writes the file of the machine at hand.
return {
    memory = 0, -- as large as asked
    reserve = 0,
    matmul = 600e9,
    attend = 500e9,
    read = 38e9,
    attend_read = 33e9,
    h2d = 10e9,
    d2h = 10e9,
    both = 0.8,
    step_s = 2e-5,
    shared = true,
    host = {
        ram = 16 * 2^30,
        dram = 43e9,
        copy = 10e9,
        cores = 2,
        source = [[
measured on two virtual Zen 5 cores: reads 43 to 47e9 by both.
estimates: copy (a quarter of what one core reads, 40e9, as each byte is read and written); ram.]],
    },
    source = [[
measured on two virtual Zen 5 cores (AVX-512-BF16): products by a microkernel of our kind 770 to 807e9,
attention 850e9 from cache; one row of weights 38 to 45e9; decode attention 33 to 38e9 from memory;
waking a thread 20e-6 s.
conservative: products and attention take 75 and 60 % of that. An instruction set without bf16 is
three times slower, one with AMX faster.
estimates: a copy thread 10e9; both, as memory is shared.]],
}
