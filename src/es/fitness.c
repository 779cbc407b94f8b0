/* SPDX-License-Identifier: MIT */
#include "es/fitness.h"

#include <stddef.h>

uint64_t egg_isqrt(uint64_t x)
{
    uint64_t root = 0, rest = x;
    for (uint64_t bit = UINT64_C(1) << 62; bit; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

void egg_fitness_differences(const int32_t *loss, uint32_t pairs, int32_t *difference)
{
    for (uint32_t p = 0; p < pairs; p++) difference[p] = loss[2 * (size_t)p + 1] - loss[2 * (size_t)p];
}

/*
 * 16 times the root mean square of the differences; at least 1. Differences below 2^21 and 2^21 pairs keep to 64 bits.
 */
static int64_t spread(const int32_t *difference, uint32_t pairs)
{
    uint64_t sum = 0;
    for (uint32_t p = 0; p < pairs; p++) {
        int64_t d = difference[p];
        sum += (uint64_t)(d * d);
    }
    uint64_t root = egg_isqrt(256 * (sum / pairs) + 256 * (sum % pairs) / pairs);
    return root ? (int64_t)root : 1;
}

void egg_fitness_shape(egg_fitness *fitness, egg_rule rule, const int32_t *difference, uint32_t pairs)
{
    int64_t unit = rule == EGG_RULE_VOTE ? 1 : spread(difference, pairs);
    fitness->sum_squares = fitness->ties = 0;
    for (uint32_t p = 0; p < pairs; p++) {
        int64_t d = difference[p], f;
        if (rule == EGG_RULE_VOTE)
            f = 64 * ((d > 0) - (d < 0));
        else
            f = 640 * d / unit;
        f = f > 127 ? 127 : f < -127 ? -127 : f;
        fitness->F[p] = (int8_t)f;
        fitness->sum_squares += (uint64_t)(f * f);
        fitness->ties += d == 0;
    }
}
