/* SPDX-License-Identifier: MIT */
/*
 * One forward in flight. A model is written once, as batched inference over rows; which member of the population owns a
 * row, and what evolution adds to it, travels in the pass. With law == NULL the same model is plain inference.
 *
 * Errors are sticky: after the first one (only ever scratch memory running out) layers do nothing, and whoever began
 * the pass asks pass->failed once at the end. So a model reads as its mathematics.
 */
#ifndef EGG_NN_PASS_H
#define EGG_NN_PASS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "es/perturb.h"
#include "nn/bank.h"

typedef struct egg_pass {
    const egg_kernels *kernels;
    egg_arena *arena;            /* scratch; a layer gives back all but what it returns */
    const egg_perturb *law;      /* NULL: unperturbed */
    uint32_t first_pair;         /* global number of this chunk's first antithetic pair */
    uint32_t members;            /* the last pair may lack its second; with law == NULL: just independent sequences */
    const egg_bank *bank;        /* float32: the noise of the members, drawn before; NULL: layers draw it */
    const uint32_t *row_member;  /* float32: (rows) the member of each row, in any order; NULL: rows are contiguous */
    uint32_t rows;               /* with row_member: of every matrix, whose 'steps' then counts nothing */
    bool failed;
    uint64_t *saturated;         /* where the kernels count saturated activations; NULL: they do not */
    uint64_t observed;           /* activations looked at */
} egg_pass;

/* A matrix of activations: 'steps' consecutive rows a member. Rows are 'stride' elements apart. */
typedef struct egg_mat {
    void *data;                  /* (members * steps, cols) int8 or float32 */
    size_t stride;
    uint32_t steps, cols;
} egg_mat;

egg_pass egg_pass_begin(const egg_kernels *kernels, egg_arena *arena, const egg_perturb *law, uint32_t first_pair,
                        uint32_t members);

/* A float32 pass over rows tagged with their members, whose noise is in 'bank'; with bank == NULL unperturbed. */
egg_pass egg_pass_begin_rows(const egg_kernels *kernels, egg_arena *arena, const egg_bank *bank,
                             const uint32_t *row_member, uint32_t rows);

/* What the calls of a pass over rows depend on beside what is in memory: a key for egg_device_begin_replay. */
typedef struct egg_pass_key {
    const void *owner;           /* of all that the pass reads and writes */
    const egg_bank *bank;        /* NULL: unperturbed, and then nothing below 'wanted' counts */
    uint32_t rows, sequences, wanted;
    uint32_t rank;
    float c, sigma;
} egg_pass_key;

egg_pass_key egg_pass_key_of(const void *owner, const egg_bank *bank, uint32_t rows, uint32_t sequences,
                             uint32_t wanted);

static inline uint32_t egg_mat_rows(const egg_pass *pass, egg_mat mat)
{
    return pass->row_member ? pass->rows : pass->members * mat.steps;
}

/* Scratch of the pass; NULL, and the pass has failed, where there is no more. */
void *egg_pass_take(egg_pass *pass, size_t bytes);

#endif
