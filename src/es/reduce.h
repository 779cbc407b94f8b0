/* SPDX-License-Identifier: MIT */
/*
 * Figures of a population whose members lie on several ranks, each with a part of them. Sums are exact, so that no
 * result depends on who holds what. Collective; with comm == NULL all members are here, and nothing fails.
 */
#ifndef EGG_ES_REDUCE_H
#define EGG_ES_REDUCE_H

#include "base/exact_sum.h"
#include "comm/comm.h"

/* The terms and the counts (count <= 4) of all ranks. */
egg_status egg_reduce_sum(egg_comm *comm, egg_exact_sum *sum, int64_t *counts, uint32_t count, egg_error *error);

typedef struct egg_range {
    double low, high;          /* no NaN; empty where low > high */
} egg_range;

static inline egg_range egg_range_empty(void)
{
    return (egg_range){.low = __builtin_inf(), .high = -__builtin_inf()};
}

/* The widest of all ranks. A zero leaves with a positive sign: which of the two it was may depend on the order. */
egg_status egg_reduce_ranges(egg_comm *comm, egg_range *ranges, uint32_t count, egg_error *error);

#endif
