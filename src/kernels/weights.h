/* SPDX-License-Identifier: MIT */
/*
 * float32 weights held in fewer bytes. bfloat16 is the upper half of a float32, rounded to nearest, ties to even. int8
 * has one scale for each output channel, a row of W: scale = max |w| / 127 and q = w / scale, rounded in the same way,
 * so that |w - scale * q| <= scale / 2, but for the last place. All levels make the same numbers of a weight.
 */
#ifndef EGG_KERNELS_WEIGHTS_H
#define EGG_KERNELS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

EGG_INLINE uint32_t egg_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

EGG_INLINE float egg_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

EGG_INLINE uint16_t egg_bf16_of(float value)
{
    const uint32_t bits = egg_float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 64);   /* no number stays none */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

EGG_INLINE float egg_bf16_value(uint16_t bf16)
{
    return egg_float_of_bits((uint32_t)bf16 << 16);
}

/* NaN where a weight is not finite, and with it all of the channel's outputs. */
EGG_INLINE float egg_q8_scale(const float *w, size_t n)
{
    uint32_t most = 0;   /* magnitudes are in the order of their bits */
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = egg_float_bits(w[i]) & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    return egg_float_of_bits(most < 0x7f800000 ? most : 0x7fc00000) / 127;
}

EGG_INLINE int8_t egg_q8_of(float w, float scale)
{
    const float nearest = 0x1.8p23f;   /* numbers of this size have no fraction */
    float q = scale > 0 ? w / scale : 0;
    q = q < -127 ? -127 : q > 127 ? 127 : q;   /* a scale too small for all its digits */
    return (int8_t)((q + nearest) - nearest);
}

#endif
