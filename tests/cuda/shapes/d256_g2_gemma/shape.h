/*
** shape.h - d256_g2_gemma: caps, a window, offset norms and scales together, none of them whole.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 288
#define HEADS 4
#define KV_HEADS 2
#define HEAD_DIM 256
#define FFN 208
#define VOCAB 130
#define HI_F32 0

#define QUERY_SCALAR 144.5
#define ATTN_SOFTCAP 12.5
#define FINAL_SOFTCAP 7.5
#define ATTN_WINDOW 300
#define NORM_OFFSET 1
#define EMBED_SCALE 16.96875

#endif
