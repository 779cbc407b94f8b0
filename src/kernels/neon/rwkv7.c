/* SPDX-License-Identifier: MIT */
#include "kernels/neon/level.h"

/* By reasoning, as all of the level: eight sums side by side fill two pipes of latency 4. */
#define LANES 4
#define CHAINS 8
#define FMA(x, y, z) ((floats)vfmaq_f32((float32x4_t)(z), (float32x4_t)(x), (float32x4_t)(y)))
#include "kernels/rwkv7_simd.h"
