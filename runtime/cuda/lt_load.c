/*
** lt_load.c - opens libcublasLt.so: where the loader finds it, or in a CUDA toolkit. HI_TOOLKIT is
** the one that the program was built with.
*/
#include "lt_load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *open_in(const char *folder, const char *libraries)
{
    char path[4096];

    if (folder == NULL)
        return NULL;
    if (snprintf(path, sizeof path, "%s/%s/libcublasLt.so.13", folder, libraries) >= (int)sizeof path)
        return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *open_library(void)
{
    const char *const places[] = { getenv("CUDA_HOME"), getenv("CUDA_PATH"), HI_TOOLKIT,
                                   "/usr/local/cuda" };
    void *library = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; i < sizeof places / sizeof *places && library == NULL; i++) {
        library = open_in(places[i], "lib64");
        if (library == NULL)
            library = open_in(places[i], "lib");
    }
    return library;
}

const lt_api *lt_load(char *err, size_t n)
{
    static lt_api api;
    static const char *const NAMES[] = {
#define F(name) #name,
        LT_FUNCTIONS(F)
#undef F
    };
    void *library = open_library();

    if (library == NULL) {
        snprintf(err, n, "libcublasLt.so.13 cannot be loaded (%s): install the CUDA 13 run-time "
                         "libraries, or set CUDA_HOME to the toolkit",
                 dlerror());
        return NULL;
    }
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        void *f = dlsym(library, NAMES[i]);
        if (f == NULL) {
            snprintf(err, n, "libcublasLt.so.13 has no %s: its version does not fit", NAMES[i]);
            return NULL;
        }
        ((void **)&api)[i] = f;
    }
    return &api;
}
