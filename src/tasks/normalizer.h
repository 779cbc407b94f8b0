/* SPDX-License-Identifier: MIT */
/*
 * Running mean and variance of every observation of an environment, by which policies see observations shifted and
 * scaled. What is learned in one epoch is used from the next on, so that all members of an epoch see the same.
 */
#ifndef EGG_TASKS_NORMALIZER_H
#define EGG_TASKS_NORMALIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_normalizer {
    uint32_t n;
    double count;                     /* observations so far */
    double *mean, *squares;           /* (n) mean, and sum of squared deviations from it */
    float *shift, *scale;             /* (n) what is in use */
} egg_normalizer;

egg_status egg_normalizer_open(egg_normalizer *normalizer, uint32_t n, egg_error *error);
void egg_normalizer_close(egg_normalizer *normalizer);

/* Adds 'count' observations with these sums of values and of squares, (n) each. */
void egg_normalizer_add(egg_normalizer *normalizer, double count, const double *sums, const double *squares);

/*
 * Puts what was learned to use: shift = mean, scale = 1 / standard deviation. 'on' false, or nothing learned: 0 and 1.
 */
void egg_normalizer_refresh(egg_normalizer *normalizer, bool on);

/* out[i] = (in[i] - shift[i]) * scale[i], cut at +-10. */
void egg_normalizer_apply(const egg_normalizer *normalizer, const float *in, float *out);

#endif
