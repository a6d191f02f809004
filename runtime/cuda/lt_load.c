/*
** lt_load.c - opens libcublasLt.so: where the loader finds it, or in a CUDA toolkit.
*/
#include "lt_load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *open_in(const char *folder)
{
    char path[4096];

    if (folder == NULL || snprintf(path, sizeof path, "%s/lib64/libcublasLt.so.13", folder) >=
                              (int)sizeof path)
        return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *open_library(void)
{
    void *library = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        library = open_in(getenv("CUDA_HOME"));
    if (library == NULL)
        library = open_in(getenv("CUDA_PATH"));
    return library != NULL ? library : open_in("/usr/local/cuda");
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
