/*
** cubin_cache.h - compiled kernels, kept in the user's cache folder from one start to the next.
*/
#ifndef CUBIN_CACHE_H
#define CUBIN_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "nvrtc.h"

typedef struct cubin {
    void *data;                      /* (bytes) malloc'd */
    size_t bytes;
    bool cached;                     /* not compiled now */
    double seconds;                  /* that it took, either way */
} cubin;

/*
** The program as a cubin for 'arch': from the cache, or compiled and then kept there under a key
** made of all it depends on. What lies there is used only if it is whole and has that key. A
** cache that cannot be read or written is done without, and the log says so.
**
** folder  of the cache; NULL: $XDG_CACHE_HOME/hi-gen or ~/.cache/hi-gen
** log     gets one line on what was done, and NVRTC's log if the program is wrong; or NULL
** Returns 0 with *out the caller's to free, or -1 with a message.
*/
int cubin_build(const nvrtc *rt, const nvrtc_program *p, const char *arch, const char *folder,
                cubin *out, FILE *log, char *err, size_t n);
void cubin_free(cubin *c);

typedef struct cubin_key {
    uint8_t byte[16];
} cubin_key;

/* What a cubin depends on: options, architecture, NVRTC's version, names and texts of sources. */
cubin_key cubin_key_of(const nvrtc *rt, const nvrtc_program *p, const char *arch);

/* FNV-1a of 128 bits, most significant byte first. */
cubin_key cubin_hash(const void *data, size_t bytes);

#endif
