/*
** bench_tokens.c - median milliseconds between the tokens that a program writes.
**
** Reads its output, a word per token; the first two are left out, as behind the first one the
** program turns from the prompt to decoding.
*/
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST = 4096,
    LEFT_OUT = 2
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Times of the words' ends but the last one's, which comes with the line's end; returns how many.
 */
static int read_words(double at[MOST])
{
    char text[256];
    ssize_t got;
    int n = 0;

    while ((got = read(STDIN_FILENO, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < got; i++)
            if (text[i] == ' ' && n < MOST)
                at[n++] = now();
    return n;
}

int main(void)
{
    static double at[MOST];
    int n = read_words(at) - LEFT_OUT;

    if (n < 1) {
        fprintf(stderr, "bench_tokens: fewer than four tokens\n");
        return 1;
    }
    for (int i = 0; i < n; i++)
        at[i] = at[i + LEFT_OUT] - at[i + LEFT_OUT - 1];
    qsort(at, (size_t)n, sizeof *at, by_size);
    printf("%.3f\n", (at[(n - 1) / 2] + at[n / 2]) / 2);
    return 0;
}
