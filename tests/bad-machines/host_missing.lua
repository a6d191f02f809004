-- expect: host: missing; must be the name of a file in host/, of a-z, 0-9 and _ in quotes, or a table: { ram = .., dram = .., copy = .., cores = .., source = .. }
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
}
