/*
** nvrtc.h - kernels compiled where they are to run, or on a machine without a GPU: NVRTC, loaded
** when it is asked for and never linked. Needs no header of CUDA.
*/
#ifndef NVRTC_H
#define NVRTC_H

#include <stddef.h>

/* A source in memory; a header is found by the name that its #include gives. */
typedef struct nvrtc_source {
    const char *name, *text;
} nvrtc_source;

/* Everything borrowed. */
typedef struct nvrtc_program {
    nvrtc_source main;
    const nvrtc_source *headers;     /* (n_headers) */
    int n_headers;
    const char *const *defines;      /* (n_defines) "NAME=VALUE" */
    int n_defines;
} nvrtc_program;

typedef struct nvrtc_output {
    void *cubin;                     /* (bytes) malloc'd; NULL: it did not compile */
    size_t bytes;
    char *log;                       /* malloc'd: what compiler and assembler said; or NULL */
} nvrtc_output;

enum { NVRTC_OPTIONS = 3 };

/* What every program is compiled with, besides architecture and defines. */
extern const char *const NVRTC_OPTION[NVRTC_OPTIONS];

typedef struct nvrtc nvrtc;

/*
** Loads NVRTC: from the loader's path, then from the folders lib64 and lib of $CUDA_HOME,
** $CUDA_PATH, 'toolkit' (a toolkit's folder, or NULL) and /usr/local/cuda.
** Returns NULL with what is missing and how to get it.
*/
nvrtc *nvrtc_open(const char *toolkit, char *err, size_t n);
void nvrtc_close(nvrtc *rt);

/* "13.0" */
const char *nvrtc_version(const nvrtc *rt);

/* Whether NVRTC knows 'arch', say "sm_90a". Returns 0, or -1 with the list of those it knows. */
int nvrtc_check_arch(const nvrtc *rt, const char *arch, char *err, size_t n);

/*
** Compiles a program for one architecture. *out is the caller's to free in any case: if the
** program is wrong, its log tells why and the message only that it is.
** Returns 0, or -1 with a message.
*/
int nvrtc_compile(const nvrtc *rt, const nvrtc_program *p, const char *arch, nvrtc_output *out,
                  char *err, size_t n);
void nvrtc_output_free(nvrtc_output *out);

#endif
