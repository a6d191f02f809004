-- A host that ../host_ram_missing.lua names.
return {
    dram = 70e9,
    copy = 12e9,
    cores = 16,
    source = "estimate",
}
