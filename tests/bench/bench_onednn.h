/*
** bench_onednn.h - oneDNN's bf16 matrix product, the yardstick; where it was not found when this
*was
** built, there is none.
*/
#ifndef BENCH_ONEDNN_H
#define BENCH_ONEDNN_H

#include <stdint.h>

typedef struct onednn onednn;

/* "2.6.3", or NULL: built without it. */
const char *onednn_version(void);

/* Threads of the products from now on. */
void onednn_threads(int n);

/*
** y (m, n) = x (m, k) W^T in bf16, W's elements (n, k) packed as the library likes it best,
*'copies'
** times, so that one after the other can come from memory. x and y are borrowed.
** NULL: there is none, or it cannot.
*/
onednn *onednn_open(int m, int n, int k, int copies, const uint16_t *x, const uint16_t *w,
                    uint16_t *y);
void onednn_run(const onednn *o, int copy);
void onednn_close(onednn *o);

#endif
