/*
** tensor_map.h - describes keys or values to Hopper's copy engine.
**
** Only the driver knows the format. Its function is asked for through the runtime: nothing links to
** the driver's library.
*/
#ifndef TENSOR_MAP_H
#define TENSOR_MAP_H

#include "args.h"

/*
** Finds the driver's function; once, before the first tensor_map_heads.
** Returns 0, or -1 where the driver has none.
*/
int tensor_map_load(void);

/*
** A map of (heads, rows, head_dim) bf16, to be copied in tiles of tile_rows rows of one head: in
** shared memory (head_dim / 64, tile_rows, 64), 128-byte swizzle, zeros for rows past the last.
**
** base        on the device, multiple of 16
** head_pitch  bytes, multiple of 16; any where heads is 1
** rows        >= 1
** head_dim    multiple of 64
** Returns 0, or -1 where the driver does not take that.
*/
int tensor_map_heads(tensor_map *m, const void *base, i64 heads, i64 head_pitch, i64 rows,
                     int head_dim, int tile_rows);

#endif
