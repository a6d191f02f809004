-- A host that ../host_no_copy.lua names.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = 0,
    cores = 16,
    source = "estimate",
}
