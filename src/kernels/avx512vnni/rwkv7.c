/* SPDX-License-Identifier: MIT */
#include "kernels/avx512vnni/level.h"

#define LANES 16
#define CHAINS 4
#define FMA(x, y, z) ((floats)_mm512_fmadd_ps((__m512)(x), (__m512)(y), (__m512)(z)))
#include "kernels/rwkv7_simd.h"
