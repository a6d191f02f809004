/*
** kernels.cu - every kernel of one shape: what shape.h says, and no more.
*/
#include "args.h"
#include "geometry.h"
#include "gpu.h"

#include "attend.cuh"
#include "decode.cuh"
#include "rows.cuh"
