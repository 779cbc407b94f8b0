/* SPDX-License-Identifier: MIT */
/*
 * What a language model is fine-tuned on: training and held-out questions, how its members deal with them, and what
 * they get for it. Questions are answered and graded, or given texts are read (sft).
 */
#ifndef EGG_TASKS_COURSE_H
#define EGG_TASKS_COURSE_H

#include "tasks/answers.h"
#include "tasks/grader.h"

typedef enum egg_course_kind {   /* in the order of options.def */
    EGG_COURSE_SFT,
    EGG_COURSE_COUNTDOWN,
    EGG_COURSE_GSM8K,
    EGG_COURSE_JSONL
} egg_course_kind;

typedef struct egg_course_shape {
    egg_course_kind kind;
    const char *data, *valid;    /* paths; "" for none: then a share of the data is held out */
    double valid_fraction;
    uint32_t valid_questions;    /* at most; 0: all */
    uint32_t questions;          /* of an epoch */
    uint32_t piece;              /* sft of a text: tokens of a piece */
    uint32_t max_prompt;         /* tokens */
    egg_countdown_form form;
    uint32_t puzzles;            /* countdown: of the training set */
    uint64_t seed;
    egg_answers_shape answers;   /* pairs, rank, max_tokens, sampling, stops, rows, threads */
    egg_grader_shape grader;
} egg_course_shape;

typedef struct egg_course egg_course;

/*
 * Reads or makes the questions. EGG_ERR_ARGUMENT or EGG_ERR_FORMAT where there are none, or no held-out ones. The
 * language and all that the shape points to must outlive it.
 */
egg_status egg_course_open(egg_course **course, const egg_course_shape *shape, const egg_language *language,
                           egg_error *error);
void egg_course_close(egg_course *course);   /* NULL is fine */

/* Gets ready to answer and read; needed before the next two, not before a plan. */
egg_status egg_course_begin(egg_course *course, egg_error *error);

typedef struct egg_course_stats {
    egg_answers_stats answers;   /* of sft: texts, and the tokens read as prompt_tokens */
    double reward_seconds;
} egg_course_stats;

/*
 * S (2 * slice.pairs, questions) = the rewards of the members of 'slice' for the questions of the epoch; of sft the
 * logarithm of the likelihood of its texts, in nats.
 */
egg_status egg_course_evaluate(egg_course *course, egg_pool *pool, const egg_perturb *law, uint64_t epoch,
                               egg_slice slice, float *S, egg_course_stats *stats, egg_error *error);

/*
 * The unperturbed model on the held-out questions first ... first + count - 1: leaves their rewards in their places of
 * egg_course_held_out, and where that has those of all, egg_course_score is their mean, of sft the bits per byte.
 */
egg_status egg_course_validate(egg_course *course, egg_pool *pool, uint32_t first, uint32_t count, egg_error *error);
float *egg_course_held_out(egg_course *course, uint32_t *count);   /* (count) as many as there are questions */
double egg_course_score(const egg_course *course);

typedef struct egg_course_facts {
    uint32_t train_questions, valid_questions;
    uint64_t question_bytes;     /* that all of them hold in memory */
    egg_memory_bytes task_bytes; /* that answering or reading will hold */
    egg_hash hash, valid_hash;   /* of the training questions, of the held-out ones */
} egg_course_facts;

egg_status egg_course_about(const egg_course *course, egg_course_facts *facts, egg_error *error);

#endif
