/* SPDX-License-Identifier: MIT */
/* A command of the program: what it is called, what it takes, what help says of it, what it does. */
#ifndef EGG_PROGRAM_COMMAND_H
#define EGG_PROGRAM_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "eggroll.h"

enum { STATUS_OK = 0, STATUS_FAILURE = 1, STATUS_USAGE = 2, STATUS_SIGNAL = 128 };   /* plus the signal's number */

struct command;

struct invocation {
    const struct command *command;
    egg_options *options;          /* as the command line and the configuration file set them */
    const char *const *operands;   /* (operand_count) what is no flag, in order */
    size_t operand_count;
};

struct example {
    const char *line, *purpose;
};

struct command {
    const char *name;
    const char *summary;           /* a few words */
    const char *synopsis[2];       /* what follows the name; the second may be NULL */
    const char *operands[2];       /* their names; the last of them may repeat if 'many' */
    size_t least;                  /* so many have to be there */
    bool many;
    const char *description;       /* paragraphs, two newlines between them */
    struct example examples[4];    /* ends at a NULL line */
    int (*run)(const struct invocation *invocation);   /* returns the exit status */
};

extern const struct command command_pretrain, command_rl, command_eval, command_generate, command_play, command_export,
    command_finetune, command_patch, command_replay, command_verify, command_simulate, command_info, command_plan,
    command_envs, command_bench, command_version;

/* All of them, in the order of the help text; ends with NULL. */
extern const struct command *const commands[];

const struct command *command_find(const char *name);           /* NULL: there is none */

bool wants_json(const struct invocation *invocation);           /* --json */

/* Prints a JSON text of the library as it is, or laid out for people, and frees it. */
int print_described(const struct invocation *invocation, char *json);

void print_plan(const egg_plan *plan, bool fits);

/*
 * Whether this process is to tell people of an error: of several ranks the first, which has the others' failures, too.
 */
bool speaks(const egg_error *error);

/* Prints what went wrong and returns the exit status that tells so; 'command' may be NULL. */
int report(const struct command *command, const egg_error *error);
int report_usage(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Pushes out what standard output still holds; a failure is reported and becomes the status. */
int finish_output(int status);

#endif
