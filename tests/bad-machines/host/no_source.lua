-- A host that ../host_no_source.lua names.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = 12e9,
    cores = 16,
}
