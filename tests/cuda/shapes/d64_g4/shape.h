/*
** shape.h - d64_g4: the usual small model.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 512
#define HEADS 8
#define KV_HEADS 2
#define HEAD_DIM 64
#define FFN 304
#define VOCAB 130
#define HI_F32 0

#endif
