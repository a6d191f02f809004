-- expect: host.copy = 1e-300: must be 0 (copies cost no core) or at least 1e3 bytes/s
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
    host = { ram = 2^40, dram = 160e9, copy = 1e-300, cores = 64, source = "estimate" },
}
