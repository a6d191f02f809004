/*
** tensor_map.c - describes keys or values to Hopper's copy engine.
**
** The tensor has four dimensions, innermost first: 64 elements, rows, head_dim / 64, heads. So one
** copy brings a tile whose 128-byte rows are what the swizzle and wgmma want, whatever head_dim.
*/
#include "tensor_map.h"

#include <stddef.h>
#include <cuda_runtime_api.h>

/* Of cuda.h, which is not needed for anything else. */
enum {
    DIMENSIONS = 4,
    TYPE_BFLOAT16 = 9,
    INTERLEAVE_NONE = 0,
    SWIZZLE_128B = 3,
    PROMOTION_256B = 3,
    FILL_ZEROS = 0,
    SINCE_VERSION = 12000            /* of the driver: when the function got this form */
};

typedef unsigned long long u64;

/* cuTensorMapEncodeTiled; sizes in elements, strides in bytes from dimension 1 on */
typedef int encode_function(void *map, int type, unsigned dimensions, void *base, const u64 *size,
                            const u64 *stride, const unsigned *box, const unsigned *step,
                            int interleave, int swizzle, int promotion, int fill);

static encode_function *encode;

int tensor_map_load(void)
{
    union {
        void *found;
        encode_function *call;
    } f = { NULL };
    enum cudaDriverEntryPointQueryResult result;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f.found, SINCE_VERSION,
                                         cudaEnableDefault, &result) != cudaSuccess ||
        result != cudaDriverEntryPointSuccess || !f.found)
        return -1;
    encode = f.call;
    return 0;
}

int tensor_map_heads(tensor_map *m, const void *base, i64 heads, i64 head_pitch, i64 rows,
                     int head_dim, int tile_rows)
{
    enum { ELEMENT = 2, ROW = 64 };
    u64 size[DIMENSIONS] = { ROW, (u64)rows, (u64)head_dim / ROW, (u64)heads };
    u64 row_bytes = (u64)head_dim * ELEMENT;
    u64 pitch = heads > 1 ? (u64)head_pitch : (u64)rows * row_bytes;
    u64 stride[DIMENSIONS - 1] = { row_bytes, ROW * ELEMENT, pitch };
    unsigned box[DIMENSIONS] = { ROW, (unsigned)tile_rows, (unsigned)head_dim / ROW, 1 };
    unsigned step[DIMENSIONS] = { 1, 1, 1, 1 };
    union {
        const void *in;
        void *out;
    } at = { base };                 /* the driver's function does not write there */
    return encode(m->opaque, TYPE_BFLOAT16, DIMENSIONS, at.out, size, stride, box, step,
                  INTERLEAVE_NONE, SWIZZLE_128B, PROMOTION_256B, FILL_ZEROS)
               ? -1
               : 0;
}
