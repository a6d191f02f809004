-- expect: memory: missing; must be a whole number of bytes from 0 to 1125899906842624
return {
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
    host = "good",
}
