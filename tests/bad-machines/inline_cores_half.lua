-- expect: host.cores = 2.0: must be a whole number from 1 to 4096, written without point or exponent
return {
    memory = 24 * 2^30,
    reserve = 2^30,
    matmul = 155e12,
    attend = 158e12,
    read = 907e9,
    attend_read = 907e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 0.85,
    step_s = 5e-6,
    source = "estimate",
    host = {
        ram = 64 * 2^30,
        dram = 70e9,
        copy = 12e9,
        cores = 2.0,
        source = "estimate",
    },
}
