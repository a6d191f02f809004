/*
** lt_load.h - cuBLASLt's functions, loaded when they are needed.
**
** Half a gigabyte of library that is linked costs every start of a program 0.1 s and 200 MB, also
** where there is no GPU.
*/
#ifndef LT_LOAD_H
#define LT_LOAD_H

#include <cublasLt.h>

#define LT_FUNCTIONS(F)                                                                            \
    F(cublasLtCreate)                                                                              \
    F(cublasLtDestroy)                                                                             \
    F(cublasLtMatmul)                                                                              \
    F(cublasLtMatmulDescCreate)                                                                    \
    F(cublasLtMatmulDescDestroy)                                                                   \
    F(cublasLtMatmulDescSetAttribute)                                                              \
    F(cublasLtMatrixLayoutCreate)                                                                  \
    F(cublasLtMatrixLayoutDestroy)                                                                 \
    F(cublasLtMatrixLayoutSetAttribute)                                                            \
    F(cublasLtMatmulPreferenceCreate)                                                              \
    F(cublasLtMatmulPreferenceDestroy)                                                             \
    F(cublasLtMatmulPreferenceSetAttribute)                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)                                                              \
    F(cublasLtMatmulAlgoCheck)                                                                     \
    F(cublasLtMatmulAlgoConfigGetAttribute)

typedef struct lt_api {
#define F(name) __typeof__(&name) name;
    LT_FUNCTIONS(F)
#undef F
} lt_api;

/* NULL with a message that says what is missing, and what to do. */
const lt_api *lt_load(char *err, size_t n);

#endif
