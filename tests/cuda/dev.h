/*
** dev.h - all that a kernel test asks of a device: memory, and launches by name.
**
** dev_emu.c is the emulation, dev_cuda.c a GPU; tests do not know which. No call returns an
** error: a failure is printed and ends the program, with status 77 where there is no GPU.
*/
#ifndef DEV_H
#define DEV_H

#include <stddef.h>

/* Memory of exactly that many bytes, aligned to 256, undefined (the emulation: NaN). */
void *dev_new(size_t bytes);
void dev_free(void *p);
void dev_put(void *dst, const void *src, size_t bytes);
void dev_get(void *dst, const void *src, size_t bytes);

/* Runs the exported kernel and waits for it. args: its one argument struct. */
void dev_launch(const char *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned threads,
                size_t smem, const void *args, size_t args_bytes);

/* Bank conflicts of ldmatrix since the last call; 0 where they cannot be counted. */
unsigned long long dev_conflicts(void);

#endif
