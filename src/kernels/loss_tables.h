/* SPDX-License-Identifier: MIT */
/* Exact base-2 tables of the integer loss, 128 bytes in place of tables of every argument. */
#ifndef EGG_KERNELS_LOSS_TABLES_H
#define EGG_KERNELS_LOSS_TABLES_H

#include <stdint.h>

/* trunc(2^31 * 2^(j/16)): EXP2(16q + j) = egg_exp2_mantissa[j] >> (27 - q), for q <= 15. */
extern const uint32_t egg_exp2_mantissa[16];

/* ceil(2^31 * 2^(j/16)): a v shifted up to bit 31 has a logarithm of at least j sixteenths from here on. */
extern const uint32_t egg_log2_threshold[16];

static inline int32_t egg_exp2_i32(uint32_t y)
{
    return (int32_t)(egg_exp2_mantissa[y % 16] >> (27 - y / 16));
}

/* trunc(16 * log2(v / 16)) for 16 <= v < 2^31 */
static inline int32_t egg_log2_i32(uint32_t v)
{
    uint32_t zeros = (uint32_t)__builtin_clz(v), mantissa = v << zeros;
    int32_t sixteenths = 0;
    for (uint32_t step = 8; step; step /= 2)
        if (mantissa >= egg_log2_threshold[(uint32_t)sixteenths + step]) sixteenths += (int32_t)step;
    return 16 * (int32_t)(31 - zeros) - 64 + sixteenths;
}

#endif
