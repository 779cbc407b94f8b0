/* SPDX-License-Identifier: MIT */
/*
 * Completions of questions by the members of a population: every member answers every question. A finished completion
 * leaves its slot to the next, prompts of any length are read without padding. A member's completion of a question
 * depends on nothing else: random numbers are the question's, the same for all members (common random numbers). A
 * completer belongs to one thread.
 */
#ifndef EGG_TASKS_COMPLETE_H
#define EGG_TASKS_COMPLETE_H

#include "tasks/decode.h"
#include "tasks/sample.h"

typedef struct egg_question {
    const uint32_t *tokens;      /* (count) at least 1 */
    uint32_t count;
    uint32_t stream;             /* names its random numbers */
} egg_question;

typedef struct egg_completing {
    egg_sampling sampling;
    uint32_t max_tokens;         /* of a completion */

    /* Asked after each token: whether the completion is whole. May be NULL. */
    bool (*is_whole)(void *context, const uint32_t *tokens, uint32_t count);

    /* Receives each completion once, in any order; the token that ends a document is not part of it. */
    void (*done)(void *context, uint32_t member, uint32_t question, const uint32_t *tokens, uint32_t count);
    void *context;
} egg_completing;

typedef struct egg_completer egg_completer;

egg_status egg_completer_open(egg_completer **completer, const egg_rwkv7 *model, const egg_kernels *kernels,
                              const egg_decoder_shape *shape, const egg_completing *completing, egg_error *error);
void egg_completer_close(egg_completer *completer);   /* NULL is fine */

typedef struct egg_completer_stats {
    uint64_t prompt_tokens, completion_tokens;   /* read, drawn */
} egg_completer_stats;

/*
 * All of members x questions (count); bank == NULL: unperturbed members. False only where scratch ran out. 'epoch'
 * changes the random numbers. 'stats' is added to; it may be NULL.
 */
bool egg_completer_run(egg_completer *completer, const egg_bank *bank, uint32_t members, const egg_question *questions,
                       uint32_t count, uint32_t epoch, egg_completer_stats *stats);

#endif
