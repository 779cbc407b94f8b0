/* SPDX-License-Identifier: MIT */
/* Rewards of completions: countdown's and GSM8K's own, a program's or a shared library's. */
#ifndef EGG_TASKS_GRADER_H
#define EGG_TASKS_GRADER_H

#include "tasks/questions.h"
#include "tasks/reward_process.h"

typedef enum egg_grader_kind {
    EGG_GRADER_COUNTDOWN,
    EGG_GRADER_GSM8K,
    EGG_GRADER_PROCESS,
    EGG_GRADER_LIBRARY
} egg_grader_kind;

typedef struct egg_grader_shape {
    egg_grader_kind kind;
    egg_countdown_style style;
    bool graded;                 /* countdown: the graded score in place of 0 or 1 */
    egg_reward_options process;
    const char *library;         /* its path */
} egg_grader_shape;

typedef struct egg_graded {
    const egg_question *question;
    const char *completion;      /* (bytes) any bytes, without a NUL behind them */
    size_t bytes;
} egg_graded;

typedef struct egg_grader egg_grader;

egg_status egg_grader_open(egg_grader **grader, const egg_grader_shape *shape, egg_error *error);
void egg_grader_close(egg_grader *grader);   /* NULL is fine */

/* rewards[i] = the reward of items[i], 0 <= i < count <= EGG_GRADER_MOST. */
enum { EGG_GRADER_MOST = 1024 };
egg_status egg_grader_run(egg_grader *grader, const egg_graded *items, size_t count, double *rewards, egg_error *error);

uint64_t egg_grader_restarts(const egg_grader *grader);   /* of programs */

#endif
