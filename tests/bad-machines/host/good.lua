-- A host that several files names.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = 12e9,
    cores = 16,
    source = "estimate",
}
