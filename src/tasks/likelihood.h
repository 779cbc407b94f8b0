/* SPDX-License-Identifier: MIT */
/*
 * How likely given texts are to every member of a population: teacher forcing, so that whole sequences go through the
 * model at once and nothing is decoded. No result depends on threads or on who was in whose batch.
 */
#ifndef EGG_TASKS_LIKELIHOOD_H
#define EGG_TASKS_LIKELIHOOD_H

#include "nn/bank.h"
#include "tasks/language.h"
#include "tasks/slice.h"

/* A text of which the tokens from 'given' on are scored; the ones before are read. */
typedef struct egg_lesson {
    const uint32_t *tokens;      /* (count) at least 2 */
    uint32_t count, given;       /* 1 <= given < count */
} egg_lesson;

typedef struct egg_likelihood_shape {
    uint32_t pairs;              /* of members in one call, at most */
    uint32_t lessons;            /* of a member in one call, at most */
    uint32_t rank;
    uint32_t rows;               /* tokens that a thread reads at once, without effect on the result; 0 = chosen */
    uint32_t threads;
} egg_likelihood_shape;

typedef struct egg_likelihood egg_likelihood;

egg_status egg_likelihood_open(egg_likelihood **likelihood, const egg_likelihood_shape *shape,
                               const egg_language *language, egg_error *error);
void egg_likelihood_close(egg_likelihood *likelihood);   /* NULL is fine */
egg_memory_bytes egg_likelihood_bytes(const egg_likelihood_shape *shape, const egg_language *language);

/*
 * S (2 * slice.pairs, count) = the sum over the scored tokens of a lesson of the logarithm of their probability, in
 * nats. law == NULL: of the unperturbed model, S (count), and any number of lessons.
 */
egg_status egg_likelihood_run(egg_likelihood *likelihood, egg_pool *pool, const egg_perturb *law, egg_slice slice,
                              const egg_lesson *lessons, uint32_t count, float *S, egg_error *error);

#endif
