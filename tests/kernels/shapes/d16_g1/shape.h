/*
** shape.h - d16_g1: the smallest head: half a step of a tile instruction.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 16
#define HEADS 1
#define KV_HEADS 1
#define HEAD_DIM 16
#define FFN 16
#define VOCAB 130
#define HI_F32 0

#endif
