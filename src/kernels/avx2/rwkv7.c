/* SPDX-License-Identifier: MIT */
#include "kernels/avx2/level.h"

#define LANES 8
#define CHAINS 4
#define FMA(x, y, z) ((floats)_mm256_fmadd_ps((__m256)(x), (__m256)(y), (__m256)(z)))
#include "kernels/rwkv7_simd.h"
