/*
** shape.h - d128_g2_windowed: a window where Hopper has kernels of its own, normed heads with an offset.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 256
#define HEADS 4
#define KV_HEADS 2
#define HEAD_DIM 128
#define FFN 208
#define VOCAB 130
#define HI_F32 0

#define ATTN_SOFTCAP 20
#define ATTN_WINDOW 200
#define QK_NORM 1
#define NORM_OFFSET 1

#endif
