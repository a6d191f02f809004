/*
** sample.h - which token comes next: one id chosen from one row of scores.
**
** A choice depends on the options, the scores, the tokens before it, the answer's number and how many
** choices of that answer came before; on no clock, thread or address.
*/
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct sample_bias {
    int32_t id;
    double add;                      /* to its score; -INFINITY: never */
} sample_bias;

/* In the order in which they work. */
typedef struct sample_options {
    const sample_bias *bias;         /* (n_bias) */
    int n_bias;
    int64_t last_n;                  /* tokens that the penalties look back on; -1: all; 0: none */
    double repeat;                   /* > 0; scores of those are divided by it, below 0 multiplied */
    double frequency, presence;      /* taken off once per occurrence; once */
    int64_t top_k;                   /* the best so many; 0: all */
    double top_p;                    /* of these the fewest that have this probability; 1: all */
    double min_p;                    /* of these those with so much of the best one's; 0: all */
    double temp;                     /* scores are divided by it; 0: the best token, always */
    uint64_t seed;
} sample_options;

enum { SAMPLE_DAMAGED = -1, SAMPLE_NONE = -2 };

typedef struct sampler sampler;

/*
** vocab   scores of a row
** tokens  ids below it are tokens; the rows of scores behind them have none and are never chosen
** NULL with a message: out of memory, or a bias for an id that is none. Options are copied.
*/
sampler *sampler_open(const sample_options *o, int vocab, int tokens, char *err, size_t n);
void sampler_close(sampler *s);

/* An answer begins: its choices depend on seed and number, not on answers before it. */
void sampler_begin(sampler *s, uint64_t number);

/*
** scores   (vocab)
** history  (n_history) tokens before it, the newest last
** Returns an id; SAMPLE_DAMAGED where a score is not finite; SAMPLE_NONE where biases leave none.
** With temp 0 and no bias or penalty it is hi_argmax of the first 'tokens' scores.
*/
int32_t sampler_pick(sampler *s, const float *scores, const int32_t *history, int64_t n_history);

#endif
