/*
** shape.h - what is measured: the layers of Llama-3-8B, the shape most models are near to.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 4096
#define HEADS 32
#define KV_HEADS 8
#define HEAD_DIM 128
#define FFN 14336
#define VOCAB 1024
#define HI_F32 0

#endif
