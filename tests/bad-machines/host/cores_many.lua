-- A host that ../host_cores_many.lua names.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = 12e9,
    cores = 5000,
    source = "estimate",
}
