-- A desktop with two channels of DDR5.
return {
    ram = 64 * 2^30,
    dram = 70e9,
    copy = 12e9,
    cores = 16,
    source = [[
nominal: DDR5-5600, two channels, 89.6 GB/s.
estimates: 78 % of it usable; copy; 16 cores and 64 GiB stand for the class.]],
}
