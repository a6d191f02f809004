/*
** perplexity_test.c - the perplexity of windows of ids, computed token by token from its
** definition.
**
**   perplexity_test WEIGHTS IDS WINDOW BOS     BOS: first token of each window; -1: the text's own
**
** Prints what 'perplexity' must print. Scores come from decoded tokens, not from prompts'
** rows.
*/
#include <math.h>
#include "e2e.h"

enum {
    MOST = 4096
};

static double minus_log_p(const float *x, int32_t id)
{
    long double sum = 0;

    for (int i = 0; i < hi_the_model.vocab; i++)
        sum += expl((long double)x[i] - x[id]);
    return (double)logl(sum);
}

int main(int argc, char **argv)
{
    static int32_t ids[MOST];
    static double nll[MOST];
    int n = 0, n_nll = 0;
    FILE *f = argc == 5 ? fopen(argv[2], "r") : NULL;

    if (f == NULL)
        die("usage: perplexity_test WEIGHTS IDS WINDOW BOS");
    while (n < MOST && fscanf(f, "%d", &ids[n]) == 1)
        n++;
    fclose(f);
    int window = atoi(argv[3]), bos = atoi(argv[4]);
    hi_run *r = open_run(&(hi_options){ .weights = argv[1] });
    for (int at = 0; at + window <= n; at += window) {
        must(r, "rewind", hi_rewind(r, 0));
        if (bos >= 0)
            ids[at] = bos;
        feed(r, ids + at, 1);
        for (int i = 0; i + 1 < window; i++) {
            if (i > 0)
                must(r, "decode", hi_decode(r, ids[at + i]));
            if (i >= window / 2)
                nll[n_nll++] = minus_log_p(last_scores(r, 1), ids[at + i + 1]);
        }
    }
    hi_close(r);
    double sum = 0, spread = 0;
    for (int i = 0; i < n_nll; i++)
        sum += nll[i] / n_nll;
    for (int i = 0; i < n_nll; i++)
        spread += (nll[i] - sum) * (nll[i] - sum) / n_nll / (n_nll - 1);
    printf("PPL = %.4f +/- %.5f\n", exp(sum), exp(sum) * sqrt(spread));
    return 0;
}
