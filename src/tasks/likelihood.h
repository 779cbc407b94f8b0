/* SPDX-License-Identifier: MIT */
/*
 * How likely the members of a population find given texts. All members read all texts, side by side in batches without
 * padding; what a member finds of a text depends on nothing else, to the bit. An evaluator belongs to one thread.
 */
#ifndef EGG_TASKS_LIKELIHOOD_H
#define EGG_TASKS_LIKELIHOOD_H

#include "models/rwkv7.h"

/* Of a text's tokens those from 'prompt' on are scored; the first token never is. */
typedef struct egg_scored_text {
    const uint32_t *tokens;      /* (count) */
    uint32_t count, prompt;
} egg_scored_text;

typedef struct egg_likelihood egg_likelihood;

/* 'rows': tokens of a batch; 'rank': of the banks' perturbations, 0: none. */
egg_status egg_likelihood_open(egg_likelihood **likelihood, const egg_rwkv7 *model, const egg_kernels *kernels,
                               uint32_t rows, uint32_t rank, egg_error *error);
void egg_likelihood_close(egg_likelihood *likelihood);   /* NULL is fine */
uint64_t egg_likelihood_bytes(const egg_rwkv7 *model, uint32_t rows, uint32_t rank);

/*
 * loss[m * count + j] = the sum of -log p over the scored tokens of text j under member m of the bank, 0 <= m <
 * members; with bank == NULL the members are all the unperturbed model. False only where scratch ran out.
 */
bool egg_likelihood_run(egg_likelihood *likelihood, const egg_bank *bank, uint32_t members,
                        const egg_scored_text *texts, uint32_t count, double *loss);

#endif
