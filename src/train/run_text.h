/* SPDX-License-Identifier: MIT */
/* The text of a run of pretraining, and which part of it is for what. */
#ifndef EGG_TRAIN_RUN_TEXT_H
#define EGG_TRAIN_RUN_TEXT_H

#include "data/corpus.h"
#include "eggroll.h"
#include "train/options.h"

typedef struct egg_run_text {
    egg_corpus *corpus;
    egg_corpus *valid;               /* NULL: a tail of 'corpus' is held out */
    uint64_t train_bytes;            /* [0, train_bytes) of 'corpus' */
    uint64_t valid_begin, valid_end; /* of the corpus that validates; empty: no validation */
} egg_run_text;

/* From 'paths' (count) and what the settings say of validation. To be closed also after a failure. */
egg_status egg_run_text_open(egg_run_text *text, const egg_settings *settings, const char *const *paths, size_t count,
                             egg_error *error);
void egg_run_text_close(egg_run_text *text);   /* zeros are fine */

/* The corpus that 'valid_begin' and 'valid_end' are positions of. */
const egg_corpus *egg_run_text_valid(const egg_run_text *text);

/* Sizes, and the entropies of the part that validates. */
egg_status egg_run_text_measure(const egg_run_text *text, egg_corpus_stats *stats, egg_error *error);

#endif
