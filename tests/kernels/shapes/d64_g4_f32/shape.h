/*
** shape.h - d64_g4_f32: float elements.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 128
#define HEADS 8
#define KV_HEADS 2
#define HEAD_DIM 64
#define FFN 352
#define VOCAB 130
#define HI_F32 1

#endif
