-- One socket of EPYC 7V12 (Rome) with 1 TB: the class of host that HeadInfer names.
return {
    ram = 1024 * 2^30,
    dram = 160e9,
    copy = 8e9,
    cores = 64,
    source = [[
reported: EPYC 7V12, 1 TB (HeadInfer, arXiv 2502.12574); its link feeds one card.
nominal: DDR4-3200, eight channels, 204.8 GB/s.
estimates: 78 % of it usable by one socket; copy.]],
}
