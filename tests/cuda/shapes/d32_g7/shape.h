/*
** shape.h - d32_g7: a group that divides no tile of rows.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 224
#define HEADS 7
#define KV_HEADS 1
#define HEAD_DIM 32
#define FFN 208
#define VOCAB 130
#define HI_F32 0

#endif
