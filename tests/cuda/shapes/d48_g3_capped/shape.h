/*
** shape.h - d48_g3_capped: capped scores through a window, a head that is no power of two.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 144
#define HEADS 9
#define KV_HEADS 3
#define HEAD_DIM 48
#define FFN 160
#define VOCAB 130
#define HI_F32 0

#define ATTN_SOFTCAP 20
#define ATTN_WINDOW 100

#endif
