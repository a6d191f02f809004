/*
** scene.h - attention's inputs on host and device, and its state against double precision.
*/
#ifndef SCENE_H
#define SCENE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "args.h"
#include "geometry.h"

enum {
    SPARE_KEYS = 5,                  /* NaN rows between K and V of a head */
    STRIDE = QKV_COLS + 8            /* of q, between tokens */
};

/* n KV heads' keys and the tokens that look at them. */
typedef struct scene {
    int n, tokens;
    i64 pos0, key0, n_keys;
} scene;

typedef struct data {
    scene s;
    i64 window;                      /* that the tokens look through; 0: none */
    i64 rows, v_offset, pitch;       /* rows of one KV head */
    size_t q_bytes, kv_bytes, o_bytes, ml_bytes;
    uint16_t *q;                     /* on the host: (tokens, STRIDE) */
    unsigned char *kv;
    void *d_q, *d_kv;
    float *d_o, *d_ml, *o, *ml;      /* the state, on the device and fetched */
} data;

/* A state, kept to compare others with. */
typedef struct state {
    float *o, *ml;
} state;

void *alloc(size_t bytes);
float uniform(void);                 /* [-1, 1), the same sequence in every run */
float of_bf16(uint16_t x);
uint16_t to_bf16(float f);

/* Everything ends with the last element used: reading on is out of bounds. */
data make_data(scene s, float q_scale);
void free_data(data *d);
void upload(const data *d);
uint16_t *key_of(const data *d, int head, i64 key);
uint16_t *value_of(const data *d, int head, i64 key);

/* All of d in one call, with a fresh state; the caller cuts it as it likes. */
attend_args call_of(const data *d);
void fetch(const data *d);

state keep(const data *d);
void drop(state *s);
void check_same(const data *d, const state *want);
void check_near(double got, double want, double tolerance);

/* The fetched state of every row against double precision. */
void check_rows(const data *d);

/* Windows that scenes are seen through; the first is none, and the only one where the shape has
   none. */
enum { N_WINDOWS = !ATTN_WINDOW ? 1 : HEAD_DIM > 128 ? 2 : 4 };    /* of long heads fewer: time */
extern const i64 WINDOWS[];
data make_windowed(scene s, i64 window, float q_scale);

/*
** What a row does not see through a window does not show, to the bit: where the call's keys begin,
** at any split at or before the window; NaN in whole splits before it, and whatever finite rows in
** what is left. A window that has moved past all keys leaves a state as it is, one over all of them
** is none. 'run' launches a call; the scene begins with key 0.
*/
void check_windows(scene s, void (*run)(attend_args *a));

#endif
