/*
** kern_merge.h - a part of attention into the carry of its rows.
*/
#ifndef KERN_MERGE_H
#define KERN_MERGE_H

#include "kern_vec.h"

static void merge_rows(float *o, float *ml, const float *part_o, const float *part_ml, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++, o += HEAD_DIM, part_o += HEAD_DIM, ml += 2, part_ml += 2) {
        if (is_empty(part_ml))
            continue;
        if (is_empty(ml)) {
            memcpy(o, part_o, HEAD_DIM * sizeof *o);
            memcpy(ml, part_ml, 2 * sizeof *ml);
            continue;
        }
        float max = ml[0] > part_ml[0] ? ml[0] : part_ml[0];
        float old = exp2_v(splat(ml[0] - max))[0], new = exp2_v(splat(part_ml[0] - max))[0];
        for (int d = 0; d < HEAD_DIM; d++)
            o[d] = o[d] * old + part_o[d] * new;
        ml[0] = max;
        ml[1] = ml[1] * old + part_ml[1] * new;
    }
}

#endif
