/*
** shape.h - d16_g1: the smallest head, and two KV heads without a group.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 32
#define HEADS 2
#define KV_HEADS 2
#define HEAD_DIM 16
#define FFN 48
#define VOCAB 130
#define HI_F32 0

#endif
