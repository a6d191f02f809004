/*
** scores.c - are two files of scores near each other?
**
**   scores A B VOCAB RMS MOST
**
** Rows of VOCAB floats. Differences are in units of a row's spread, the standard deviation of its
** scores in B: over all of them the root mean square is at most RMS, the largest at most MOST.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "scores: %s: %s\n", what, why);
    exit(1);
}

static FILE *open_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path, "cannot open");
    return f;
}

typedef struct totals {
    long rows, best;                 /* rows whose best score is the same one */
    double squares, most;
} totals;

static double spread(const float *x, int n)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    return sqrt(fmax(0, squares / n - sum / n * (sum / n)));
}

static int best(const float *x, int n)
{
    int b = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[b])
            b = i;
    return b;
}

static void add_row(totals *t, const float *a, const float *b, int n)
{
    double unit = spread(b, n), squares = 0;

    for (int i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]) / unit;
        if (!(d <= t->most))         /* also what is no number */
            t->most = d;
        squares += d * d;
    }
    t->squares += squares / n;
    t->best += best(a, n) == best(b, n);
    t->rows++;
}

int main(int argc, char **argv)
{
    totals t = { 0, 0, 0, 0 };

    if (argc != 6)
        die("usage", "scores A B VOCAB RMS MOST");
    FILE *fa = open_file(argv[1]), *fb = open_file(argv[2]);
    int n = atoi(argv[3]);
    size_t size = (size_t)(n > 0 ? n : 1);
    float *a = calloc(size, sizeof *a), *b = calloc(size, sizeof *b);
    if (n <= 0 || a == NULL || b == NULL)
        die(argv[3], "no memory for a row");
    size_t in_a = fread(a, sizeof *a, size, fa), in_b = fread(b, sizeof *b, size, fb);
    for (; in_a == size && in_b == size; add_row(&t, a, b, n),
           in_a = fread(a, sizeof *a, size, fa), in_b = fread(b, sizeof *b, size, fb))
        ;
    if (in_a != in_b || t.rows == 0)
        die(argv[1], "not as long as the other file, or empty");
    double rms = sqrt(t.squares / (double)t.rows);
    printf("%ld rows: root mean square %.5f of %s, largest %.4f of %s spreads; best score the same "
           "in %.2f %%\n",
           t.rows, rms, argv[4], t.most, argv[5], 100.0 * (double)t.best / (double)t.rows);
    free(a);
    free(b);
    fclose(fa);
    fclose(fb);
    return rms <= atof(argv[4]) && t.most <= atof(argv[5]) ? 0 : 1;
}
