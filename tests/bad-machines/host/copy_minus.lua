-- A host that ../host_copy_minus.lua names.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = -1,
    cores = 16,
    source = "estimate",
}
