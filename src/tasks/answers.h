/* SPDX-License-Identifier: MIT */
/*
 * Every member of a population answers every question of an epoch: the prompt is read, the answer written token by
 * token. Threads keep a table of answers in flight; one that is finished leaves the batch, and its place goes to the
 * next question of the pair, or to the next pair. The members of an epoch draw the same random numbers for a question,
 * token by token, so that they differ by their weights alone. No result depends on who was in whose batch.
 */
#ifndef EGG_TASKS_ANSWERS_H
#define EGG_TASKS_ANSWERS_H

#include "nn/bank.h"
#include "tasks/language.h"
#include "tasks/slice.h"

typedef struct egg_prompt {
    const uint32_t *tokens;      /* (count, at least 1) */
    uint32_t count;
} egg_prompt;

typedef struct egg_answers_shape {
    uint32_t pairs;              /* of members that may answer at once in one call */
    uint32_t questions;          /* that a member answers in one call, at most */
    uint32_t most;               /* questions of the unperturbed model in one call, at most */
    uint32_t rank;
    uint32_t max_tokens;         /* of an answer */
    egg_sampling sampling;       /* temperature 0: the likeliest token; 'seed' is that of the run */
    const char *const *stops;    /* (stop_count) an answer ends before the first of these texts */
    size_t stop_count;
    uint32_t rows;               /* answers that a thread has in flight, without effect on the result; 0 = chosen */
    uint32_t threads;
} egg_answers_shape;

typedef struct egg_answers egg_answers;

/* The language and the stops must outlive it. */
egg_status egg_answers_open(egg_answers **answers, const egg_answers_shape *shape, const egg_language *language,
                            egg_error *error);
void egg_answers_close(egg_answers *answers);   /* NULL is fine */
egg_memory_bytes egg_answers_bytes(const egg_answers_shape *shape, const egg_language *language);

typedef struct egg_answers_stats {
    uint64_t answers, cut;       /* all; of these ended by the bound on tokens */
    uint64_t prompt_tokens, answer_tokens;
    double prompt_seconds, answer_seconds;   /* of all threads; the time of a batch is shared by its rows */
} egg_answers_stats;

/* The members of 'slice' (pairs within the shape's) answer prompts (count). */
egg_status egg_answers_run(egg_answers *answers, egg_pool *pool, const egg_perturb *law, uint64_t epoch,
                           egg_slice slice, const egg_prompt *prompts, uint32_t count, egg_answers_stats *stats,
                           egg_error *error);

/*
 * The unperturbed model answers prompts (count), with random numbers that no epoch uses: those of the prompts from
 * number 'first' on of a validation.
 */
egg_status egg_answers_validate(egg_answers *answers, egg_pool *pool, uint32_t first, const egg_prompt *prompts,
                                uint32_t count, egg_answers_stats *stats, egg_error *error);

/*
 * The text of an answer of the last call: of member 'member', counted from 0 within the slice, to question 'question';
 * the unperturbed model is member 0. Writes up to egg_answers_room() bytes, returns how many. Any number of threads.
 */
size_t egg_answers_text(const egg_answers *answers, uint32_t member, uint32_t question, char *text);
size_t egg_answers_room(const egg_answers *answers);
uint32_t egg_answers_tokens(const egg_answers *answers, uint32_t member, uint32_t question);   /* the end included */

#endif
