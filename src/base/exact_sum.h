/* SPDX-License-Identifier: MIT */
/*
 * Sums of doubles without any rounding on the way, held as a fixed-point number wide enough for all of them: the same
 * for every order of the terms and every division among threads or ranks.
 */
#ifndef EGG_BASE_EXACT_SUM_H
#define EGG_BASE_EXACT_SUM_H

#include <stdint.h>

enum { EGG_EXACT_LIMBS = 67 };

/*
 * The sum of limb[i] * 2^(32 i - 1074). Limbs may exceed 32 bits and have any sign, so that sums are added limb by limb,
 * up to 2^30 settled ones. All zero: 0.
 */
typedef struct egg_exact_sum {
    int64_t limb[EGG_EXACT_LIMBS];
    uint32_t unsettled;        /* terms since the limbs were last carried */
} egg_exact_sum;

/* x is finite. Up to 2^40 terms. */
void egg_exact_add(egg_exact_sum *sum, double x);

/* Carries: every limb but the last, which has the sign, comes to lie in [0, 2^32). */
void egg_exact_settle(egg_exact_sum *sum);

/* The sum, rounded once to the nearest double; infinite where it is beyond all doubles. Settles. */
double egg_exact_value(egg_exact_sum *sum);

#endif
