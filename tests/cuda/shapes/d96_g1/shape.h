/*
** shape.h - d96_g1: a head of three quarters through a window, with normed queries and keys.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 192
#define HEADS 2
#define KV_HEADS 2
#define HEAD_DIM 96
#define FFN 208
#define VOCAB 130
#define HI_F32 0

#define ATTN_WINDOW 150
#define QK_NORM 1

#endif
