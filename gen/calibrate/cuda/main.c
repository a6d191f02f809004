/*
** main.c - hi-calibrate-cuda SECONDS: measures the GPU at hand.
**
** Its standard output is for hi-gen (measure.c): a line for each fact, "error TEXT" where something
** fails. Standard error tells how far it is.
*/
#include <stdio.h>
#include <stdlib.h>
#include <cuda_runtime_api.h>
#include "beside.h"
#include "rounds.h"

static const char *const NAMES[N_FIGURES] = {
#define F(name, what) #name,
#include "figures.def"
#undef F
};

static int failed(const char *why)
{
    printf("error %s\n", why);
    (void)fflush(stdout);
    return 1;
}

static void print_facts(const pieces *p, const rounds *r, int64_t beside)
{
    size_t left = 0, all = 0;

    (void)cudaMemGetInfo(&left, &all);
    printf("gpu %s\nmemory %zu\nbeside %lld\nrounds %d\n", pieces_gpu(p), all, (long long)beside,
           r->n);
    for (int f = 0; f < N_FIGURES; f++)
        printf("%s %.9g %.9g %.9g\n", NAMES[f], r->of[f].median, r->of[f].least, r->of[f].most);
}

static int measure(double seconds)
{
    char why[512] = "";
    beside b = beside_open();
    pieces *p = pieces_open(why, sizeof why);
    rounds r;

    if (p == NULL) {
        beside_close(&b);
        return failed(why);
    }
    fprintf(stderr, "calibrate: %s, %lld MiB of its memory\n", pieces_gpu(p),
            (long long)(pieces_bytes(p) >> 20));
    int rc = rounds_measure(p, seconds, &r);
    int64_t taken = beside_bytes(&b, pieces_bytes(p)); /* all is loaded that ever will be */
    beside_close(&b);
    if (rc == 0)
        print_facts(p, &r, taken);
    else
        failed(pieces_error(p));
    pieces_close(p);
    return rc != 0 || fflush(stdout) == EOF;
}

int main(int argc, char **argv)
{
    char *end = "";
    double seconds = argc == 2 ? strtod(argv[1], &end) : 0;

    if (*end != '\0' || !(seconds > 0 && seconds < 1e4)) {
        fputs("usage: hi-calibrate-cuda SECONDS\n'hi-gen calibrate --target cuda' runs it.\n",
              stderr);
        return 2;
    }
    return measure(seconds);
}
