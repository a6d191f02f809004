-- One socket of EPYC 9004 (Genoa).
return {
    ram = 768 * 2^30,
    dram = 370e9,
    copy = 10e9,
    cores = 64,
    source = [[
nominal: DDR5-4800, twelve channels, 460.8 GB/s.
estimates: 80 % of it usable; copy; 64 cores and 768 GiB (twelve modules of 64) stand for the class.]],
}
