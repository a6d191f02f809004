/*
** shape.h - d256_g4: the largest head.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 1024
#define HEADS 4
#define KV_HEADS 1
#define HEAD_DIM 256
#define FFN 208
#define VOCAB 130
#define HI_F32 0

#endif
