/* SPDX-License-Identifier: MIT */
/*
 * Rewards from a program of the user's. It is started by the shell and talks over its standard input and output, one
 * JSON line a request and one a reply, in turn:
 *
 *   {"id": 7, "prompt": "...", "completion": "...", "row": {...}}        row: the line of the data, null without one
 *   {"id": 7, "reward": 0.5}                                             any other keys are ignored
 *
 * It ends when its input does. A program that dies or hangs is started again, a few times for one request; anything
 * else than a reply to the request is an error at once. What it writes to standard error is shown, the end of it, where
 * it fails.
 */
#ifndef EGG_TASKS_REWARD_PROCESS_H
#define EGG_TASKS_REWARD_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_reward_options {
    const char *command;         /* for the shell */
    uint32_t workers;            /* processes at once */
    uint32_t attempts;           /* for one request, before a death or a hang is an error */
    double seconds;              /* that a reply may take */
    size_t max_reply;            /* bytes of a reply */
} egg_reward_options;

typedef struct egg_reward_request {
    const char *prompt, *completion;   /* any bytes; what is not UTF-8 arrives as U+FFFD */
    size_t prompt_bytes, completion_bytes;
    const char *row;                   /* (row_bytes) JSON text, or NULL */
    size_t row_bytes;
} egg_reward_request;

typedef struct egg_reward_process egg_reward_process;

/* Starts nothing yet. 'options' is copied. */
egg_status egg_reward_process_open(egg_reward_process **process, const egg_reward_options *options, egg_error *error);
void egg_reward_process_close(egg_reward_process *process);   /* ends the programs; NULL is fine */

/*
 * rewards[i] = the reward of requests[i], 0 <= i < count. The workers share the requests, whose ids count on from call
 * to call. EGG_ERR_IO or EGG_ERR_FORMAT says what the program did, on which request. Must not be called by two threads
 * at once.
 */
egg_status egg_reward_process_run(egg_reward_process *process, const egg_reward_request *requests, size_t count,
                                  double *rewards, egg_error *error);

uint64_t egg_reward_process_restarts(const egg_reward_process *process);

/* ------------------------------------------------------------------------------------------------ the lines alone */

/* The line of a request, with its newline; egg_free() it. NULL without memory. */
char *egg_reward_request_text(const egg_reward_request *request, uint64_t id, size_t *bytes);

/* Reads a reply without its newline; the text of a failure says what was found. */
egg_status egg_reward_reply_parse(const char *line, size_t bytes, uint64_t id, double *reward, egg_error *error);

#endif
