/* SPDX-License-Identifier: MIT */
/* Drawing a token from float logits. */
#ifndef EGG_TASKS_SAMPLE_H
#define EGG_TASKS_SAMPLE_H

#include <stdint.h>

#include "tasks/generate.h"

typedef struct egg_sampler {
    egg_sampling sampling;       /* temperature, top_p, min_p */
    double *weights;             /* (vocabulary) scratch */
    uint32_t *order;             /* (vocabulary) scratch */
    uint32_t vocabulary;
} egg_sampler;

egg_status egg_sampler_open(egg_sampler *sampler, const egg_sampling *sampling, uint32_t vocabulary, egg_error *error);
void egg_sampler_close(egg_sampler *sampler);

/*
 * A token for a uniform number in [0, 1): of those that min_p and top_p leave, in the order of their numbers.
 * Temperature 0: the likeliest, the lowest of equals. A logit that is no number is never drawn.
 */
uint32_t egg_sampler_draw(egg_sampler *sampler, const float *logits, double uniform);

/* The next uniform number of a stream, of 53 bits. */
double egg_words_uniform(egg_words *words);

#endif
