/*
** kernels.cu - every kernel of one shape: what shape.h says, and no more.
*/
#include "args.h"
#include "geometry.h"
#include "gpu.h"

#include "attend.cuh"
#include "decode.cuh"
#include "product.cuh"
#include "rows.cuh"

/* Hopper's own instructions: for sm_90a, and for the emulation. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !(defined(__CUDACC__) || defined(__CUDACC_RTC__))
#include "attend_sm90.cuh"
#endif
