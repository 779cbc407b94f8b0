/* SPDX-License-Identifier: MIT */
/* The questions of a task, as tokens: from JSON lines, from a text that is cut into pieces, or made. */
#ifndef EGG_TASKS_QUESTIONS_H
#define EGG_TASKS_QUESTIONS_H

#include "base/hash.h"
#include "data/records.h"
#include "data/tokenizer.h"
#include "tasks/countdown.h"

typedef struct egg_question {
    uint32_t *tokens;            /* (count) the prompt; where a completion is given, that too */
    uint32_t count, given;       /* tokens from 'given' on are the completion's; 'count' where none is given */
    const char *prompt;          /* (prompt_bytes), NULL for a piece of text */
    size_t prompt_bytes;
    const char *answer;          /* GSM8K: the reference */
    const char *row;             /* (row_bytes) the line of the file, NULL without one */
    size_t row_bytes;
    egg_countdown puzzle;        /* countdown */
} egg_question;

typedef struct egg_questions {
    egg_question *items;         /* (count) */
    uint32_t count;
    egg_records *records;        /* own what the items point to, or NULL */
    char **made;                 /* (count) prompts that were made, or NULL */
} egg_questions;

/* How texts become questions. */
typedef struct egg_question_rules {
    const egg_tokenizer *tokenizer;
    uint32_t max_prompt;         /* tokens; a longer prompt is refused */
    uint32_t max_tokens;         /* of a completion that is given, likewise */
} egg_question_rules;

/* All need egg_questions_close(), after a failure too. EGG_ERR_FORMAT names the file and the line. */
egg_status egg_questions_read_prompts(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                      egg_error *error);          /* {"prompt"} */
egg_status egg_questions_read_completions(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                          egg_error *error);      /* {"prompt", "completion"}, and the end of a text */
egg_status egg_questions_read_gsm8k(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                    egg_error *error);            /* {"question", "answer"} */

/*
 * Pieces of 'length' tokens to score, each behind one more that is read; what is left at the end is left out. A byte 0
 * becomes the end of a document.
 */
egg_status egg_questions_cut(egg_questions *questions, const void *text, size_t bytes, uint32_t length,
                             const egg_question_rules *rules, egg_error *error);

/*
 * Training puzzles come as they are drawn, 'count' of them. Validation puzzles all differ, so that a small form is not
 * judged by a few puzzles over and over; there are fewer than 'count' where no more are to be had.
 */
egg_status egg_questions_make_countdown(egg_questions *questions, const egg_countdown_form *form, egg_countdown_set set,
                                        egg_countdown_style style, uint64_t seed, uint32_t count,
                                        const egg_question_rules *rules, egg_error *error);

void egg_questions_close(egg_questions *questions);
uint64_t egg_questions_bytes(const egg_questions *questions);   /* that they hold, records aside */

/* Of everything that decides over training: tokens, rows and answers. */
egg_status egg_questions_hash(const egg_question *items, uint32_t count, egg_hash *hash, egg_error *error);

/*
 * Question 'position' of an endless order in which every stretch of 'count' questions that begins at a multiple of it
 * holds each question once, shuffled by the seed.
 */
uint32_t egg_questions_pick(uint64_t seed, uint32_t count, uint64_t position);

#endif
