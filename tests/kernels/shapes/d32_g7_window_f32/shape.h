/*
** shape.h - d32_g7_window_f32: floats, seven query heads, a window of more than a split.
*/
#ifndef SHAPE_H
#define SHAPE_H

#define HIDDEN 96
#define HEADS 7
#define KV_HEADS 1
#define HEAD_DIM 32
#define FFN 64
#define VOCAB 100
#define HI_F32 1
#define ATTN_WINDOW 300

#endif
