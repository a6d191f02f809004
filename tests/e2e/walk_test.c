/*
** walk_test.c - a random walk of prefill, decode and rewind, with a hash of the scores a line.
**
**   walk WEIGHTS SEED OUT [threads=N] [gbps=X] [isa=NAME]
**
** The operations depend on the seed, the model's vocabulary and its context alone: whatever the
** plan, the file must be the same. A line: number, operation, length after it, hash of the last
** row's scores. Prompts may be longer than a pass is, and what follows them is anything.
*/
#include <string.h>
#include "e2e.h"

enum { OPERATIONS = 300, MOST_ROWS = 400 };

typedef struct walk {
    hi_run *r;
    FILE *out;
    uint64_t noise;
    int32_t ids[MOST_ROWS];
    int n;                           /* tokens of the last prompt; 1: decoded */
} walk;

static int below(walk *w, int64_t n)
{
    w->noise = w->noise * 6364136223846793005u + 1442695040888963407u;
    return (int)((w->noise >> 33) % (uint64_t)n);
}

static uint64_t hash_scores(const walk *w)
{
    const hi_model *m = &hi_the_model;
    const unsigned char *p = (const unsigned char *)last_scores(w->r, w->n);
    uint64_t h = 0xcbf29ce484222325u;            /* FNV-1a */

    if (hi_argmax((const float *)p, m->vocab) < 0)
        die("scores that are not finite at token %lld", (long long)hi_length(w->r));
    for (size_t i = 0; i < (size_t)m->vocab * sizeof(float); i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void prefill(walk *w, int n)
{
    w->n = n;
    for (int i = 0; i < n; i++)
        w->ids[i] = below(w, hi_the_model.vocab);
    feed(w->r, w->ids, n);
}

static void decode(walk *w, int n)
{
    w->n = 1;
    for (int i = 0; i < n; i++)
        must(w->r, "decode", hi_decode(w->r, below(w, hi_the_model.vocab)));
}

/* Somewhere, near the end, or beside the border of a split or of a tile. */
static int64_t rewind_place(walk *w, int64_t length)
{
    int64_t to;

    switch (below(w, 4)) {
    case 0:
        to = below(w, length + 1);
        break;
    case 1:
        to = length / 256 * 256 - 1 + below(w, 3);
        break;
    case 2:
        to = below(w, length / 256 + 1) * 256 - 1 + below(w, 3);
        break;
    default:
        to = length - below(w, 40);
    }
    return to < 0 ? 0 : to > length ? length : to;
}

static void step(walk *w, int i)
{
    int64_t length = hi_length(w->r), left = hi_the_model.ctx - length;
    int kind = below(w, 10), some = 1 + below(w, below(w, 3) ? 40 : MOST_ROWS);

    if (left == 0 || kind < 3) {
        int64_t to = rewind_place(w, length);
        if (to < hi_rewind_least(w->r)) /* what a layer's window kept of it is gone */
            to = 0;
        must(w->r, "rewind", hi_rewind(w->r, to));
        fprintf(w->out, "%d rewind %lld\n", i, (long long)hi_length(w->r));
        return;
    }
    if (kind < 7)
        prefill(w, some < left ? some : (int)left);
    else
        decode(w, 1 + some % 4 < left ? 1 + some % 4 : (int)left);
    fprintf(w->out, "%d %s %lld %016llx\n", i, kind < 7 ? "prefill" : "decode",
            (long long)hi_length(w->r), (unsigned long long)hash_scores(w));
}

int main(int argc, char **argv)
{
    hi_options o = { 0 };
    walk w = { 0 };

    if (argc < 4)
        die("usage: walk WEIGHTS SEED OUT [option=value ..]");
    o.weights = argv[1];
    w.noise = strtoull(argv[2], NULL, 10);
    for (int i = 4; i < argc; i++)
        if (sscanf(argv[i], "threads=%d", &o.threads) != 1 &&
            sscanf(argv[i], "gbps=%lf", &o.link_gbps) != 1) {
            if (strncmp(argv[i], "isa=", 4) != 0)
                die("%s: unknown option", argv[i]);
            o.isa = argv[i] + 4;
        }
    w.r = open_run(&o);
    w.out = fopen(argv[3], "w");
    if (w.out == NULL)
        die("%s: cannot open", argv[3]);
    for (int i = 0; i < OPERATIONS; i++)
        step(&w, i);
    if (fclose(w.out) != 0)
        die("%s: cannot write", argv[3]);
    hi_close(w.r);
    return 0;
}
