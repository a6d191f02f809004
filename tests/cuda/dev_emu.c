/*
** dev_emu.c - the device of kernel tests is the emulation of tests/emu.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE                  /* RTLD_DEFAULT */
#endif
#include "dev.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define UNDEFINED_IS_TRACKED
#endif
#endif

void *dev_new(size_t bytes)
{
    void *p;
    if (posix_memalign(&p, 256, bytes)) {
        fprintf(stderr, "dev_new: no memory for %zu bytes\n", bytes);
        exit(1);
    }
#ifndef UNDEFINED_IS_TRACKED
    memset(p, 0xff, bytes);
#endif
    return p;
}

void dev_free(void *p)
{
    free(p);
}

void dev_put(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
}

void dev_get(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
}

void dev_launch(const char *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned threads,
                size_t smem, const void *args, size_t args_bytes)
{
    union {
        void *symbol;
        void (*fn)(const void *);
    } k = { dlsym(RTLD_DEFAULT, kernel) };
    if (!k.symbol) {
        fprintf(stderr, "%s: no such kernel\n", kernel);
        exit(1);
    }
    /* a copy of exactly the struct's size: reading past it is then out of bounds; aligned as the
       most demanding struct, one with tensor maps */
    void *copy;
    if (posix_memalign(&copy, 128, args_bytes))
        abort();
    memcpy(copy, args, args_bytes);
    if (emu_launch((emu_dim3){ gx, gy, gz }, (emu_dim3){ threads, 1, 1 }, smem, k.fn, copy)) {
        fprintf(stderr, "%s: %s\n", kernel, emu_error());
        exit(1);
    }
    free(copy);
}

unsigned long long dev_conflicts(void)
{
    unsigned long long n = emu_stat.conflicts;
    emu_stat.conflicts = 0;
    return n;
}
