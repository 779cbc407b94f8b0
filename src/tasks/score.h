/* SPDX-License-Identifier: MIT */
/*
 * Bits per byte of text under a model's unperturbed weights: the exact length of an ideal code with probabilities
 * p(k) = 2^(logit_k / 16) / sum. Every document is read from a zero state; its first byte is read but not scored. Many
 * documents are read side by side, a long one in blocks of steps.
 */
#ifndef EGG_TASKS_SCORE_H
#define EGG_TASKS_SCORE_H

#include "base/threads.h"
#include "data/corpus.h"
#include "models/model.h"

typedef struct egg_scorer egg_scorer;

typedef struct egg_score_result {
    double bits_per_byte;        /* NaN where no byte is scored */
    uint64_t bytes, documents;
    double saturated;            /* share of the residual stream at +-127 */
} egg_score_result;

egg_status egg_scorer_open(egg_scorer **scorer, const egg_model *model, uint32_t threads, egg_error *error);
void egg_scorer_close(egg_scorer *scorer);
uint64_t egg_scorer_bytes(const egg_model *model, uint32_t threads);
uint64_t egg_scorer_device_bytes(const egg_model *model);   /* on the model's device; 0 where it has none */

/*
 * Scores [begin, end) of the corpus; a part of a document counts as one. Allocates nothing. Any threads, same result.
 */
egg_status egg_scorer_run(egg_scorer *scorer, const egg_kernels *kernels, egg_pool *pool, const egg_corpus *corpus,
                          uint64_t begin, uint64_t end, egg_score_result *result, egg_error *error);

#endif
