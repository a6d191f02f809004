/*
** dump.c - runs an emitted plan over token ids and writes every score it gives.
**
**   dump WEIGHTS IDS OUT [rows=N] [decode=N] [threads=N] [gbps=X] [isa=NAME] [rewind=N]
**
** The prompt is all ids but the last 'decode', whole or cut into prompts of 'rows'; then these one
** by one. The file holds floats: (prompt, vocab) of the prefill, with --logits last one row a
** prompt; (decode, vocab) of the rest. rewind=N: before decoding, drop the newest N tokens and
** prefill them again; fewer where layers' windows do not let the run go back so far.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hi.h"

extern const hi_model hi_the_model;

typedef struct job {
    hi_options run;
    const char *ids_path, *out_path;
    int rows, decode, rewind;
    int32_t ids[1 << 17];
    int n;
    FILE *out;
} job;

static int die(const char *what, const char *why)
{
    fprintf(stderr, "dump: %s: %s\n", what, why);
    exit(1);
}

static void parse(job *j, int argc, char **argv)
{
    if (argc < 4)
        die("usage", "dump WEIGHTS IDS OUT [option=value ..]");
    j->run.weights = argv[1];
    j->ids_path = argv[2];
    j->out_path = argv[3];
    for (int i = 4; i < argc; i++)
        if (sscanf(argv[i], "rows=%d", &j->rows) != 1 && sscanf(argv[i], "decode=%d", &j->decode) != 1 &&
            sscanf(argv[i], "threads=%d", &j->run.threads) != 1 &&
            sscanf(argv[i], "gbps=%lf", &j->run.link_gbps) != 1 &&
            sscanf(argv[i], "rewind=%d", &j->rewind) != 1) {
            if (strncmp(argv[i], "isa=", 4) != 0)
                die(argv[i], "unknown option");
            j->run.isa = argv[i] + 4;
        }
}

static void read_ids(job *j)
{
    FILE *f = fopen(j->ids_path, "r");

    if (f == NULL)
        die(j->ids_path, "cannot open");
    while (j->n < (int)(sizeof j->ids / sizeof *j->ids) && fscanf(f, "%d", &j->ids[j->n]) == 1)
        j->n++;
    fclose(f);
}

static void write_scores(job *j, hi_run *r, int64_t rows)
{
    size_t n = (size_t)rows * (size_t)hi_the_model.vocab;
    if (fwrite(hi_logits(r), sizeof(float), n, j->out) != n)
        die(j->out_path, "cannot write");
}

static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    if (pass->scored)
        write_scores(arg, r, hi_the_model.logits_all ? pass->rows : 1);
}

/* Ids [from, to), in prompts of at most 'rows'. */
static void prefill(const job *j, hi_run *r, int from, int to)
{
    int most = j->rows > 0 ? j->rows : to - from;

    for (int at = from; at < to; at += most)
        if (hi_prefill(r, j->ids + at, to - at < most ? to - at : most) != 0)
            die("prefill", hi_error_text(r));
}

int main(int argc, char **argv)
{
    static job j;
    char err[4096];

    parse(&j, argc, argv);
    read_ids(&j);
    hi_run *r = hi_open(&hi_the_model, &j.run, NULL, err, sizeof err);
    if (r == NULL)
        die("open", err);
    j.out = fopen(j.out_path, "wb");
    if (j.out == NULL)
        die(j.out_path, "cannot open");
    int prompt = j.n - j.decode;
    hi_set_watch(r, on_pass, &j);
    prefill(&j, r, 0, prompt);
    hi_set_watch(r, NULL, NULL);
    if (j.rewind > 0) {
        int64_t least = hi_rewind_least(r);
        int to = prompt - j.rewind < least ? (int)least : prompt - j.rewind;
        if (to < prompt && hi_rewind(r, to) != 0)
            die("rewind", hi_error_text(r));
        if (to < prompt)
            prefill(&j, r, to, prompt);
    }
    for (int i = prompt; i < j.n; i++) {
        if (hi_decode(r, j.ids[i]) != 0)
            die("decode", hi_error_text(r));
        write_scores(&j, r, 1);
    }
    if (fclose(j.out) != 0)
        die(j.out_path, "cannot write");
    hi_close(r);
    return 0;
}
