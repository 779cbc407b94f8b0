/* SPDX-License-Identifier: MIT */
/* Drawing tokens from the logits of many rows, where the kernels have them. */
#ifndef EGG_TASKS_SAMPLE_H
#define EGG_TASKS_SAMPLE_H

#include <stdint.h>

#include "es/device_memory.h"
#include "tasks/generate.h"

typedef struct egg_sampler {
    double *uniform;             /* (rows) to be filled in before a draw, unless the temperature is 0 */
    uint32_t *token;             /* (rows) what was drawn */

    egg_sampling sampling;       /* temperature, top_p, min_p */
    const egg_kernels *kernels;
    uint32_t vocabulary, rows;
    double *uniform_there;       /* the same where the kernels work */
    uint32_t *token_there;
    void *scratch;
} egg_sampler;

/* For 'rows' rows at once, at most. */
egg_status egg_sampler_open(egg_sampler *sampler, const egg_sampling *sampling, const egg_kernels *kernels,
                            uint32_t vocabulary, uint32_t rows, egg_error *error);
void egg_sampler_close(egg_sampler *sampler);
egg_memory_bytes egg_sampler_bytes(const egg_device *device, uint32_t vocabulary, uint32_t rows);

/* token[b] of logits[b] (rows, vocabulary; the kernels') by uniform[b], as kernels/sample.h says. */
void egg_sampler_draw(egg_sampler *sampler, const float *logits, uint32_t rows);

/* The next uniform number of a stream, of 53 bits. */
double egg_words_uniform(egg_words *words);

#endif
