/* SPDX-License-Identifier: MIT */
/* Drawing tokens from float logits. */
#ifndef EGG_KERNELS_SAMPLE_H
#define EGG_KERNELS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * sample:  token[b] of the softmax of logits[b] / temperature, for a uniform number in [0, 1)
 *
 * Of the tokens that have at least min_p of the likeliest's probability, the likeliest that together have top_p of what
 * these have, the lower number first of equals; among them the first, by number, at which the sum passes uniform[b].
 * Temperature 0: the likeliest, the lowest of equals. A logit that is no number is never drawn, unless there is nothing
 * else.
 *
 *   logits (rows, n)   uniform (rows), read with a temperature   token (rows)
 *   scratch: EGG_SAMPLE_SCRATCH(n) bytes, 64-byte aligned
 */
typedef struct egg_sample_args {
    const float *logits;
    const double *uniform;
    uint32_t *token;
    void *scratch;
    uint32_t rows, n;
    double temperature, top_p, min_p;   /* 1 and 0: no effect */
} egg_sample_args;

#define EGG_SAMPLE_SCRATCH(n) ((size_t)(n) * (sizeof(double) + sizeof(uint32_t)))

typedef void egg_sample_fn(const egg_sample_args *args);

egg_sample_fn egg_sample_ref;

#endif
