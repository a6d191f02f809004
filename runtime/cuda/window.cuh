/*
** window.cuh - which keys a row sees where a layer has a window: what all kernels of attention ask.
**
** Some layers of a model may have one and others none: ATTN_WINDOW says that some have, a call's
** 'window' how many keys its rows see.
*/
#ifndef WINDOW_CUH
#define WINDOW_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"

/* The first key that a row at 'pos' sees, both counted from a place at or before all keys of the
   call; 0 or less where the row sees all before it. */
GPU_FN i64 window_first(const attend_args &a, i64 pos)
{
    return ATTN_WINDOW && a.window ? pos - a.window + 1 : 0;
}

#endif
