/* SPDX-License-Identifier: MIT */
/* OpenBLAS's float32 product as a peer to measure against; absent unless the build found the library. */
#ifndef EGG_BENCH_OPENBLAS_H
#define EGG_BENCH_OPENBLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the build has it; if so, it is held to one thread from now on. */
bool egg_openblas_open(void);

/* Y (rows, out) = X (rows, in) W^T (out, in), all dense. */
void egg_openblas_linear(const float *X, const float *W, float *Y, uint32_t rows, uint32_t out, uint32_t in);

#endif
