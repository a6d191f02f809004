/*
** memory.c - does the host have the memory that a program needs?
*/
#include "memory.h"

#include <stdio.h>
#include <unistd.h>

/* Bytes that could be taken without swapping; 0: unknown. */
static int64_t available(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    long long kib = 0;
    char line[128];

    while (f != NULL && fgets(line, sizeof line, f) != NULL && kib == 0)
        if (sscanf(line, "MemAvailable: %lld", &kib) != 1)
            kib = 0;
    if (f != NULL)
        fclose(f);
    return kib > 0 ? kib * 1024 : (int64_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

bool memory_left(const char *name, int64_t bytes, char *err, size_t n)
{
    int64_t have = available();

    if (have <= 0 || bytes <= have)
        return true;
    snprintf(err, n, "%s needs %lld MiB of host memory; %lld MiB are available: generate it with a "
                     "smaller --ctx or --vram",
             name, (long long)(bytes >> 20), (long long)(have >> 20));
    return false;
}
