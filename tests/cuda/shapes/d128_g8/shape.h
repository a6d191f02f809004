/*
** shape.h - d128_g8: the usual large head, eight queries share a key.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 1024
#define HEADS 8
#define KV_HEADS 1
#define HEAD_DIM 128
#define FFN 400
#define VOCAB 130
#define HI_F32 0

#endif
