/* SPDX-License-Identifier: MIT */
/* From raw fitness to one small weight a pair, in integers: the same on every rank, thread and machine. */
#ifndef EGG_ES_FITNESS_H
#define EGG_ES_FITNESS_H

#include <stdint.h>

typedef enum egg_rule { EGG_RULE_FRACTIONAL, EGG_RULE_VOTE } egg_rule;

typedef struct egg_fitness {
    int8_t *F;               /* (pairs) weight of each pair, 64 = one vote; |F| <= 127 */
    uint64_t sum_squares;    /* of F */
    uint64_t ties;           /* pairs whose members did equally well */
} egg_fitness;

/*
 * difference[p] = loss[2p+1] - loss[2p]. loss (2 * pairs): of the members, lower is better; member 2p carries the
 * perturbation with sign +, 2p + 1 with -.
 */
void egg_fitness_differences(const int32_t *loss, uint32_t pairs, int32_t *difference);

/*
 * With d = difference[p], of which 'vote' needs the sign only:
 *
 *   vote         F = 64 sign(d)                                         (paper, App. G: "fast fitness")
 *   fractional   F = clip(trunc(640 d / R), 127),  R = max(1, isqrt(256 * sum d^2 / pairs)) = 16 rms(d)
 *                so one standard deviation is 40
 *
 * Writes fitness->F, which the caller owns, and the sums. Losses lie within a span of 2^21 (4096 tokens of at
 * most 24 bits are below it), pairs <= 2^21.
 */
void egg_fitness_shape(egg_fitness *fitness, egg_rule rule, const int32_t *difference, uint32_t pairs);

/* floor(sqrt(x)), exactly. */
uint64_t egg_isqrt(uint64_t x);

#endif
