-- expect: both = 1.1: must be a number from 0.01 to 1
return {
    memory = 24 * 2^30,
    reserve = 2^30,
    matmul = 155e12,
    attend = 158e12,
    read = 907e9,
    attend_read = 907e9,
    h2d = 25e9,
    d2h = 25e9,
    both = 1.1,
    step_s = 5e-6,
    source = "estimate",
    host = "good",
}
