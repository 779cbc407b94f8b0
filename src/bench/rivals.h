/* SPDX-License-Identifier: MIT */
/*
 * Other ways to evaluate the same population, for comparison, each with the best kernels we have:
 *
 *   dense     naive ES: every member has its own dense perturbation of every weight, drawn, added and packed for the
 *             product; then the member reads its sequence alone
 *   single    low-rank members one at a time, token by token, every product in the order of our packed weights
 *   dots      the same with a SIMD dot product for every output, as implementations without batching have it
 *
 * Members are independent, so a sample of them is timed.
 */
#ifndef EGG_BENCH_RIVALS_H
#define EGG_BENCH_RIVALS_H

#include "base/threads.h"
#include "models/model.h"

typedef struct egg_rival egg_rival;

egg_status egg_rival_open(egg_rival **rival, const egg_model *model, const egg_kernels *kernels, egg_pool *pool,
                          uint32_t pairs, uint32_t steps, egg_error *error);
void egg_rival_close(egg_rival *rival);

/* Evaluates 2 * pairs members. */
egg_status egg_rival_dense(egg_rival *rival, egg_error *error);
egg_status egg_rival_single(egg_rival *rival, egg_error *error);
egg_status egg_rival_dots(egg_rival *rival, egg_error *error);

#endif
