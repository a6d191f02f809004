/*
** answer.h - one answer: tokens chosen one after the other until something ends it.
*/
#ifndef ANSWER_H
#define ANSWER_H

#include "cli.h"
#include "sample.h"
#include "stop.h"
#include "tokenizer.h"

/* What all answers of a program are made with. */
typedef struct speaker {
    const hi_model *m;
    const hi_tokenizer *tok;         /* NULL: ids in, ids out */
    sample_options sample;
    int32_t *end;                    /* (n_ends) tokens that end an answer; n_ends 0: ignored */
    int n_ends;
    sampler *sampler;
    stop *stop;
    tok_stream *stream;
} speaker;

/*
** Flags of the command line where given, else the checkpoint's generation_config.json.
**
** tok  borrowed; NULL: none
** Returns 0, or -1 with a message and the exit code that fits. speaker_close in either case.
*/
int speaker_open(speaker *s, const hi_model *m, const cli *c, const hi_tokenizer *tok, int *code,
                 char *err, size_t n);
void speaker_close(speaker *s);

/* The next answer goes on in the text of these ids: it is not the beginning of one. Returns 0, or
   -1: out of memory. */
int speaker_follow(const speaker *s, const int32_t *ids, size_t n);

/* "greedy" or "temperature 0.7, top-k 20, ..., seed 1": how to get the same answer again. */
void speaker_describe(const speaker *s, char *text, size_t n);

typedef enum {
    ANSWER_ENDED,                    /* by an end token or a stop string */
    ANSWER_MOST,                     /* as long as was asked for */
    ANSWER_FULL,                     /* the context is */
    ANSWER_INTERRUPTED,
    ANSWER_FAILED
} answer_end;

/* Takes a piece of the answer, whole characters; returns 0, or -1 with errno set. */
typedef int answer_put(void *arg, const char *text, size_t n);

typedef struct answer {
    uint64_t number;                 /* of the session: other choices for each */
    int64_t most;                    /* tokens; -1: any number */
    answer_put *put;
    void *arg;
    int64_t n_new, passes;           /* tokens; tokens decoded, which the last is not always */
    double s;                        /* seconds */
    char error[512];
} answer;

/*
** Goes on behind a prompt.
**
** ids     (ctx + 1) the sequence, *n of them, all in the run; new ones are appended
** n_last  tokens of the prompt that ended them: the run has its scores
*/
answer_end answer_give(answer *a, const speaker *s, hi_run *r, int32_t *ids, int64_t *n,
                       int64_t n_last);

#endif
