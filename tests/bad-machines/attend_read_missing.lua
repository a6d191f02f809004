-- expect: attend_read: missing; must be a number from 1000 to 1e+18
return {
    memory = 24 * 2^30,
    reserve = 2^30,
    matmul = 155e12,
    attend = 158e12,
    read = 907e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 0.85,
    step_s = 5e-6,
    source = "estimate",
    host = "good",
}
