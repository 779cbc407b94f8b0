/* SPDX-License-Identifier: MIT */
/* The product as implementations without batching write it: for every row and output one SIMD dot product. */
#ifndef EGG_BENCH_DOTS_H
#define EGG_BENCH_DOTS_H

#include "kernels/kernels.h"

/* Overwrites packing and product of 'kernels'; the rest stays as fast as it is. */
void egg_dots_kernels(egg_kernels *kernels);

#endif
