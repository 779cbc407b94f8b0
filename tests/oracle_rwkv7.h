/* SPDX-License-Identifier: MIT */
/*
 * RWKV-7 as its published equations read, in double precision, a token at a time: slow and obvious, and with nothing in
 * common with the library but the reading of files.
 */
#ifndef EGG_TESTS_ORACLE_RWKV7_H
#define EGG_TESTS_ORACLE_RWKV7_H

#include <stddef.h>
#include <stdint.h>

#include "data/shards.h"
#include "es/perturb.h"
#include "models/rwkv7.h"

typedef struct oracle_tensor {
    const char *name;
    uint64_t shape[2];             /* rows and columns; vectors have one row */
    double *values;
} oracle_tensor;

typedef struct oracle_rwkv7 {
    oracle_tensor *tensors;        /* (count) */
    size_t count;
    uint32_t layers, width, heads, head_size, vocabulary;
    double *state;                 /* of one sequence: (layers) of z_prev (C), z_prev2 (C), St (H, S, S) */
    double *first_value;           /* (C) */
} oracle_rwkv7;

oracle_rwkv7 *oracle_rwkv7_open(const egg_shards *shards);   /* 'shards' must outlive it */
void oracle_rwkv7_close(oracle_rwkv7 *oracle);

/* The values of a tensor, which a test may change. */
oracle_tensor *oracle_rwkv7_tensor(oracle_rwkv7 *oracle, const char *name);

void oracle_rwkv7_reset(oracle_rwkv7 *oracle);
void oracle_rwkv7_step(oracle_rwkv7 *oracle, uint32_t token, double *logits);   /* logits (vocabulary) */

/* Adds to the weights what member 2 * pair + odd of 'model' sees under the law, in double precision. */
void oracle_rwkv7_perturb(oracle_rwkv7 *oracle, const egg_rwkv7 *model, const egg_perturb *law, uint32_t pair,
                          bool odd);

#endif
