/*
** shape.h - d48_g3: a head and a group that are multiples of nothing but themselves.
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

#endif
