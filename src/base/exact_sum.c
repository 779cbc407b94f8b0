/* SPDX-License-Identifier: MIT */
#include "base/exact_sum.h"

#include <math.h>
#include <string.h>

enum {
    LIMB_BITS = 32,
    LEAST_EXPONENT = -1074,    /* of the last bit of the smallest double */
    MOST_UNSETTLED = 1 << 28   /* a term adds less than 2^34 to a limb */
};

static const uint64_t limb_mask = UINT64_C(0xffffffff);

/* A finite x as mantissa * 2^(exponent + LEAST_EXPONENT). */
static uint64_t take_apart(double x, uint32_t *exponent)
{
    uint64_t bits, mantissa;
    memcpy(&bits, &x, sizeof bits);
    mantissa = bits & ((UINT64_C(1) << 52) - 1);
    *exponent = (uint32_t)(bits >> 52) & 0x7ff;
    if (*exponent == 0) return mantissa;   /* subnormal */
    (*exponent)--;
    return mantissa | UINT64_C(1) << 52;
}

void egg_exact_add(egg_exact_sum *sum, double x)
{
    uint32_t exponent;
    const uint64_t mantissa = take_apart(x, &exponent);
    const uint32_t shift = exponent % LIMB_BITS;
    const uint64_t low = (mantissa & limb_mask) << shift, high = mantissa >> LIMB_BITS << shift;
    const int64_t sign = signbit(x) ? -1 : 1;
    int64_t *limb = sum->limb + exponent / LIMB_BITS;
    limb[0] += sign * (int64_t)(low & limb_mask);
    limb[1] += sign * (int64_t)((low >> LIMB_BITS) + (high & limb_mask));
    limb[2] += sign * (int64_t)(high >> LIMB_BITS);
    if (++sum->unsettled == MOST_UNSETTLED) egg_exact_settle(sum);
}

void egg_exact_settle(egg_exact_sum *sum)
{
    for (int i = 0; i + 1 < EGG_EXACT_LIMBS; i++) {
        int64_t rest = (int64_t)((uint64_t)sum->limb[i] & limb_mask);
        sum->limb[i + 1] += (sum->limb[i] - rest) / (INT64_C(1) << LIMB_BITS);
        sum->limb[i] = rest;
    }
    sum->unsettled = 0;
}

/* Makes a settled sum its absolute value; true where that changed the sign. */
static int take_sign(egg_exact_sum *sum)
{
    if (sum->limb[EGG_EXACT_LIMBS - 1] >= 0) return 0;
    for (int i = 0; i < EGG_EXACT_LIMBS; i++) sum->limb[i] = -sum->limb[i];
    egg_exact_settle(sum);
    return 1;
}

/*
 * Bits [first, first + 64) of a settled, positive sum. Bit 0 also stands for all below it, which is all that rounding
 * to fewer bits can ask of them.
 */
static uint64_t leading_bits(const egg_exact_sum *sum, int first)
{
    uint64_t bits = 0;
    int below = first;   /* bits that are not among the 64 */
    for (int i = 0; i < EGG_EXACT_LIMBS; i++) {
        uint64_t limb = (uint64_t)sum->limb[i];
        int at = LIMB_BITS * i - first;
        if (at >= 64) break;
        bits |= at >= 0 ? limb << at : at > -LIMB_BITS ? limb >> -at : 0;
        int hidden = below < LIMB_BITS ? below : LIMB_BITS;
        if (hidden > 0) bits |= (limb & ((UINT64_C(1) << hidden) - 1)) != 0;
        below -= LIMB_BITS;
    }
    return bits;
}

double egg_exact_value(egg_exact_sum *sum)
{
    egg_exact_settle(sum);
    egg_exact_sum positive = *sum;
    int negative = take_sign(&positive), top = EGG_EXACT_LIMBS - 1;
    while (top > 0 && positive.limb[top] == 0) top--;
    if (positive.limb[top] == 0) return 0;
    int length = LIMB_BITS * top + 64 - __builtin_clzll((uint64_t)positive.limb[top]);
    int first = length > 64 ? length - 64 : 0;
    double value = ldexp((double)leading_bits(&positive, first), first + LEAST_EXPONENT);
    return negative ? -value : value;
}
