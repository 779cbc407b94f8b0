/* SPDX-License-Identifier: MIT */
/* A language model with its tokenizer on text: its score, and what it writes. */
#ifndef EGG_TASKS_LANGUAGE_H
#define EGG_TASKS_LANGUAGE_H

#include "base/threads.h"
#include "data/corpus.h"
#include "data/tokenizer.h"
#include "models/rwkv7.h"
#include "tasks/generate.h"
#include "tasks/score.h"

typedef struct egg_language {
    const egg_rwkv7 *model;
    const egg_tokenizer *tokenizer;
    const egg_kernels *kernels;
} egg_language;

/* A tokenizer that fits the model: World where the path of a vocabulary is given, else bytes. */
egg_status egg_language_tokenizer(egg_tokenizer **tokenizer, const egg_rwkv7 *model, const char *vocabulary,
                                  egg_error *error);

/* EGG_ERR_ARGUMENT where the tokenizer has tokens that the model does not know. */
egg_status egg_language_check(const egg_language *language, egg_error *error);

/*
 * Bits per byte of all documents of a corpus: each is read from a zero state, its first token is read but not scored.
 * Documents of any length are read side by side, 'bytes' counts those of the scored tokens. Any threads, same result.
 */
egg_status egg_language_score(const egg_language *language, egg_pool *pool, const egg_corpus *corpus,
                              egg_score_result *result, egg_error *error);

typedef struct egg_writing {
    const char *prompt;
    egg_sampling sampling;
    uint32_t streams;
    uint64_t bytes;              /* to write in each stream, at least; the last token is written whole */
    const char *const *stops;    /* (stop_count) a stream ends before the first of these texts */
    size_t stop_count;
} egg_writing;

/* Receives what a stream writes, in order; return false to end everything. */
typedef bool egg_writing_fn(void *context, uint32_t stream, const char *text, size_t bytes);

/*
 * Every stream reads the prompt (an empty one: the token that ends a document) and writes until it has its bytes, meets
 * a stop, or draws the end of a document. Text that may be the beginning of a stop is held back until it is known not
 * to be. Stream i writes the same whatever the number of streams and threads.
 */
egg_status egg_language_write(const egg_language *language, egg_pool *pool, const egg_writing *writing,
                              egg_writing_fn *write, void *context, egg_error *error);

#endif
