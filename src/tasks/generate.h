/* SPDX-License-Identifier: MIT */
/* Text from a model: a prompt is read in blocks of steps, then every stream draws a byte and reads it, in turn. */
#ifndef EGG_TASKS_GENERATE_H
#define EGG_TASKS_GENERATE_H

#include <stdbool.h>

#include "base/threads.h"
#include "models/model.h"

typedef struct egg_sampling {
    uint64_t seed;
    double temperature;      /* 0: always the likeliest byte, the lowest of equals */
    double top_p, min_p;     /* 1 and 0: no effect */
} egg_sampling;

typedef struct egg_generator egg_generator;

egg_status egg_generator_open(egg_generator **generator, const egg_model *model, const egg_kernels *kernels,
                              uint32_t streams, uint32_t threads, const egg_sampling *sampling, egg_error *error);
void egg_generator_close(egg_generator *generator);

/* All streams read the byte 0 that begins a document, then 'prompt'. */
egg_status egg_generator_prompt(egg_generator *generator, egg_pool *pool, const uint8_t *prompt, size_t bytes,
                                egg_error *error);

/*
 * Draws the next byte of every stream into next (streams). Byte 0, the end of a document, is never drawn: a stream
 * writes one text as long as it is asked to. Stream i draws the same bytes whatever the number of streams and threads.
 */
egg_status egg_generator_step(egg_generator *generator, egg_pool *pool, uint8_t *next, egg_error *error);

/* Draws from logits (256) by 'sampling' with a uniform number in [0, 1). Byte 0 is never drawn. */
uint8_t egg_sample_byte(const int8_t *logits, const egg_sampling *sampling, double uniform);

#endif
