-- A host that ../host_ram_giga.lua names.
return {
    ram = 64,
    dram = 70e9,
    copy = 12e9,
    cores = 16,
    source = "estimate",
}
