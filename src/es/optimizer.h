/* SPDX-License-Identifier: MIT */
/*
 * How the estimated gradient moves float weights. 'G' points uphill: fitness is maximized. A fixed order of IEEE
 * operations, so that no kernel table and no number of threads changes a bit.
 */
#ifndef EGG_ES_OPTIMIZER_H
#define EGG_ES_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct egg_optimizer {
    egg_optimizer_kind kind;
    float beta1, beta2, epsilon;
    float weight_decay;       /* W -= lr weight_decay W before the step, whatever the kind */
    float clip;               /* the gradient is shortened to this global norm; 0 = never */
} egg_optimizer;

/* How many moments of the shape of the weights it keeps: 0, 1 or 2. */
uint32_t egg_optimizer_moments(egg_optimizer_kind kind);

/*
 * One step of n weights, where the kernels work, with 'scale' times G. 'step' counts the steps of the run from 1 (Adam's bias correction).
 * first, second (n): the moments, NULL where the kind keeps none.
 */
void egg_optimizer_step(const egg_optimizer *optimizer, const egg_kernels *kernels, uint64_t step, double lr,
                        float scale, size_t n, const float *G, float *W, float *first, float *second);

#endif
