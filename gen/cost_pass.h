/*
** cost_pass.h - inside of cost.c: what one pass through the layers of a panel takes.
*/
#ifndef COST_PASS_H
#define COST_PASS_H

#include "cost.h"

enum {
    STEPS_TOKEN = 10
}; /* between two tokens: scores to the host, sampling, the next id */

/* Parameters of the matrices of a layer. */
typedef struct matrices {
    double kv;   /* k and v */
    double qo;   /* q and output */
    double mlp;  /* gate, up, down */
    double head; /* scores: once in a model */
} matrices;

/* Work of the device; seconds. */
typedef struct products {
    double compute,
        hbm;       /* FLOPs at 'matmul' or 'attend', weights or keys at 'read' or 'attend_read' */
    double device; /* the longer, matrix by matrix */
    double bytes;  /* of hbm */
} products;

typedef struct model {
    const hi_spec *s;
    const hi_plan *p;
    const hi_machine *m;
    matrices params;
    double layer;   /* bytes of a layer's weights, as they cross the link */
    double weight, head_weight;      /* bytes of one weight of a layer's matrices, of the scores' */
    double row;     /* bytes of k and v of one token in one layer */
    double attend;  /* FLOPs of one query row over one key, all heads of a layer */
    double token;   /* bytes of one token's hidden state, or of its row of the embedding */
    double between; /* bytes that one row's way through a layer reads and writes between products */
    double both_lost; /* 1 / both - 1 */
    double copiers;   /* bytes/s of all cores copying where copies take cores; else 0 */
    int64_t passes;   /* chunks of the prompt */
    int64_t last;     /* rows of the last one */
    hi_phase phase;
    bool cut;      /* the last layer is for the last row alone */
    bool hidden;   /* hidden states cross the link between panels */
    products full; /* of a whole chunk */
} model;

/* Layers of a panel with so many resident rows. */
typedef struct kind {
    int64_t resident;
    int layers;
} kind;

typedef struct panel {
    int layers;       /* all of it but the cut one */
    int rolling;      /* of them, those that see a window alone */
    bool first, last; /* of the model */
    bool cut;         /* its last layer is the one that is cut */
    bool cut_rolls;   /* and sees a window alone */
    int64_t cut_resident;
    int streamed; /* layers whose weights come through the ring */
    double begin; /* bytes of them that cross during the panel's first pass */
    double again; /* and during every later one */
    double ahead; /* bytes of the next panel's that cross meanwhile */
    int n;
    kind *of; /* (n) */
} panel;

/* Seconds, and bytes over the link; of a pass, or summed. */
typedef struct times {
    double seconds, compute, hbm;
    double read; /* bytes of hbm */
    double in, out;
} times;

typedef struct pass {
    int64_t pos, rows;
    bool last;
    const products *layer; /* of so many rows */
    const hi_band *band;
    double grain;   /* 0: count this pass's tiles; else it stands for others, whose tiles
                       are filled by any multiple of so many rows */
    double weights; /* bytes of layers that cross meanwhile */
} pass;

matrices matrices_of(const hi_spec *s);
model model_of(const hi_spec *s, const hi_plan *p, hi_phase phase);

/* Keys that rows [pos, pos + rows) see in all, in a layer with the spec's window, or without. */
double keys_seen(const hi_spec *s, double pos, double rows, bool rolls);

/* A whole layer without attention, of so many rows. */
products layer_products(const model *k, int64_t rows);

times pass_times(const model *k, const panel *q, const pass *x);

/* Adds 'layers' layers' streamed rows and returns their steps. */
double stream_tiles(const model *k, const pass *x, int64_t resident, int layers, times *t);

/* What crosses besides tiles and weights. */
void add_rows(const model *k, const panel *q, const pass *x, times *t);

/* At least, for copies that need not run at the same time: one after the other. */
double least_link_seconds(const model *k, double in, double out);

/* Host memory: copies, and where the device is the host their other end and what it reads. */
double dram_seconds(const model *k, const times *t);

#endif
