/* SPDX-License-Identifier: MIT */
/*
 * Division by a number that only the launch knows: a GPU has no instruction for it, and which pair a row belongs to is
 * asked for every row. With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1, the quotient of any 32-bit n is
 * (n + floor(m n / 2^32)) >> s (Granlund and Montgomery, 1994); halving the sum first keeps it within 32 bits.
 */
#ifndef EGG_KERNELS_CUDA_DIVIDE_CUH
#define EGG_KERNELS_CUDA_DIVIDE_CUH

#include "kernels/cuda/cuda.h"

typedef struct egg_divisor {
    uint32_t multiplier, shift_first, shift_last;
} egg_divisor;

/* d >= 1 */
static inline egg_divisor egg_divisor_of(uint32_t d)
{
    uint32_t s = 0;
    while (s < 32 && (uint64_t)1 << s < d) s++;
    const uint64_t rest = ((uint64_t)1 << s) - d;
    egg_divisor divisor = {(uint32_t)((rest << 32) / d + 1), s ? 1u : 0u, s ? s - 1 : 0};
    return divisor;
}

static __host__ __device__ __forceinline__ uint32_t egg_divide(uint32_t n, egg_divisor divisor)
{
#ifdef __CUDA_ARCH__
    const uint32_t high = __umulhi(n, divisor.multiplier);
#else
    const uint32_t high = (uint32_t)((uint64_t)n * divisor.multiplier >> 32);
#endif
    return (high + ((n - high) >> divisor.shift_first)) >> divisor.shift_last;
}

#endif
