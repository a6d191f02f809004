/*
** measure.h - hi-gen's side of measuring a GPU: builds the program that does it, runs it, and reads
** what it prints. hi-gen itself knows nothing of CUDA.
*/
#ifndef MEASURE_H
#define MEASURE_H

#include "gen.h"
#include "../rates.h"

/* What the program measures, by the fields of a machine file. */
typedef enum {
#define F(name, what) GPU_##name,
#include "figures.def"
#undef F
    N_GPU_RATES
} gpu_rate;

typedef struct gpu_rates {
    rate of[N_GPU_RATES];
    char gpu[128];  /* "sm_90 NVIDIA H200" */
    int64_t memory; /* bytes that the GPU has */
    int64_t beside; /* bytes that context and libraries took */
    int rounds;
} gpu_rates;

/* By gpu_rate: the name of the field, and what its figure is. */
extern const char *const GPU_RATE_NAME[N_GPU_RATES], *const GPU_RATE_WHAT[N_GPU_RATES];

/*
** Builds the measuring program for the GPU at hand in 'home'/build/calibrate, unless it is up to
** date there.
**
** home  hi-gen's folder
** path  (n) gets the program's
** log   is told what is done, or NULL
** Returns 0, or -1: no driver, no GPU, no nvcc, or it does not compile.
*/
int measure_build(const char *home, FILE *log, char *path, size_t n, hi_error *e);

/* Runs it for about so many seconds. Returns 0, or -1 with its reason. */
int measure_run(const char *program, double seconds, gpu_rates *g, hi_error *e);

#endif
