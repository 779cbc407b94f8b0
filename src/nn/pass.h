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

typedef struct egg_pass {
    const egg_kernels *kernels;
    egg_arena *arena;            /* scratch; a layer gives back all but what it returns */
    const egg_perturb *law;      /* NULL: unperturbed */
    uint32_t first_pair;         /* global number of this chunk's first antithetic pair */
    uint32_t members;            /* the last pair may lack its second; with law == NULL: just independent sequences */
    bool failed;
    bool observing;              /* count saturated activations */
    uint64_t observed, saturated;
} egg_pass;

/* A matrix of activations: 'steps' consecutive rows a member. Rows are 'stride' elements apart. */
typedef struct egg_mat {
    void *data;                  /* (members * steps, cols) int8 or float32 */
    size_t stride;
    uint32_t steps, cols;
} egg_mat;

/* The factors of one parameter for all pairs of the pass: A (pairs, rank, length), B likewise; NULL without a law. */
typedef struct egg_factors {
    const void *A, *B;
} egg_factors;

/* A vector parameter as each member sees it: (members, n), or one shared row and stride 0. */
typedef struct egg_member_vector {
    const void *data;
    size_t stride;
} egg_member_vector;

egg_pass egg_pass_begin(const egg_kernels *kernels, egg_arena *arena, const egg_perturb *law, uint32_t first_pair,
                        uint32_t members);

static inline uint32_t egg_mat_rows(const egg_pass *pass, egg_mat mat)
{
    return pass->members * mat.steps;
}

/* Scratch of the pass; NULL, and the pass has failed, where there is no more. */
void *egg_pass_take(egg_pass *pass, size_t bytes);

#endif
