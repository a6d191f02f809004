/*
** image.c - what stands for the image of the kernels: a program that refers to it gets the kernels,
** which the emulation finds by name.
*/
typedef void kernel(const void *args);

#define K(name) extern kernel k_##name;
#define H(name) /* found by name, where the shape has it */
#include "kernels.def"
#undef K

const char hi_kernels_archs[] = "80 90a";
const char *const hi_kernels_sources[] = { "kernels.cu", "extern \"C\" __global__ void k(void) { }", 0 };

kernel *const hi_kernels_image[] = {
#define K(name) k_##name,
#include "kernels.def"
#undef H
#undef K
};
