/* SPDX-License-Identifier: MIT */
/*
 * Countdown: make a target from some numbers, each used at most once, with + - * / and brackets. Puzzles follow from a
 * seed and an index and can be solved. Which set a puzzle belongs to follows from the puzzle itself, so that no seed
 * brings one from the training set into the validation set.
 */
#ifndef EGG_TASKS_COUNTDOWN_H
#define EGG_TASKS_COUNTDOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { EGG_COUNTDOWN_NUMBERS = 6 };

typedef struct egg_countdown {
    uint32_t target, count;
    uint32_t numbers[EGG_COUNTDOWN_NUMBERS];   /* (count) */
} egg_countdown;

typedef struct egg_countdown_form {
    uint32_t least, most;        /* numbers of a puzzle */
    uint32_t low, high;          /* of a number */
    uint32_t target_low, target_high;
} egg_countdown_form;

/* The sets of the paper's code: 3 to 4 and 4 to 6 numbers of 1 to 100, targets of 100 to 999. */
extern const egg_countdown_form egg_countdown_short, egg_countdown_long;

typedef enum egg_countdown_set { EGG_COUNTDOWN_TRAINING, EGG_COUNTDOWN_VALIDATION } egg_countdown_set;

egg_countdown_set egg_countdown_set_of(const egg_countdown *puzzle);   /* one puzzle in eight is for validation */

/* Whether they have the same numbers, in whatever order, and the same target. */
bool egg_countdown_same(const egg_countdown *a, const egg_countdown *b);
uint32_t egg_countdown_mix(const egg_countdown *puzzle);   /* 32 well-mixed bits, the same for the same puzzle */

/* EGG_ERR_ARGUMENT: the form is empty, or hardly any of its puzzles has a target in range. */
egg_status egg_countdown_make(egg_countdown *puzzle, const egg_countdown_form *form, egg_countdown_set set,
                              uint64_t seed, uint32_t index, egg_error *error);

typedef enum egg_countdown_style {
    EGG_COUNTDOWN_CHAT, /* asks in words and ends in "Assistant: <think"; the answer stands behind "</think>" */
    EGG_COUNTDOWN_PLAIN /* "3 5 7 = 22: "; the answer is the completion's first line */
} egg_countdown_style;

enum { EGG_COUNTDOWN_PROMPT_BYTES = 512 };

void egg_countdown_prompt(const egg_countdown *puzzle, egg_countdown_style style,
                          char prompt[EGG_COUNTDOWN_PROMPT_BYTES]);

/* 1 if the expression has the target as its exact value and uses each number at most once, and no others; else 0. */
double egg_countdown_strict(const egg_countdown *puzzle, egg_countdown_style style, const char *completion,
                            size_t bytes);

/*
 * The graded score: 1 for an expression of the target that uses none but the numbers, each as often as it likes; 0.05
 * for any other expression, 0.01 for an answer that is none, 0 without an answer.
 */
double egg_countdown_graded(const egg_countdown *puzzle, egg_countdown_style style, const char *completion,
                            size_t bytes);

#endif
