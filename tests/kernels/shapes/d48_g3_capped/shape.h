/*
** shape.h - d48_g3_capped: capped scores, a window of some keys, norms of heads and with an offset.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 144
#define HEADS 9
#define KV_HEADS 3
#define HEAD_DIM 48
#define FFN 80
#define VOCAB 130
#define HI_F32 0
#define QUERY_SCALAR 30
#define ATTN_SOFTCAP 5
#define ATTN_WINDOW 100
#define QK_NORM 1
#define NORM_OFFSET 1
#define EMBED_SCALE 12.0f

#endif
