/* SPDX-License-Identifier: MIT */
/* The command line of a command: flags for its options, operands for the rest. */
#ifndef EGG_PROGRAM_ARGS_H
#define EGG_PROGRAM_ARGS_H

#include "command.h"

struct args {
    struct invocation invocation;
    const char **operands;
    struct flag *flags;
    size_t flag_count;
};

enum args_outcome {
    ARGS_RUN,
    ARGS_HELP,      /* help was asked for */
    ARGS_WRONG      /* reported; '*status' is set */
};

/*
 * Flags are --name value, --name=value, and for booleans --name or --no-name; -h, -o and -q stand for --help, --out and
 * --quiet. A lone "-" is an operand, and after "--" all are. A configuration file counts less than a flag, wherever
 * they stand. 'words' is written to. Free with args_free, whatever came back.
 */
enum args_outcome args_parse(struct args *args, const struct command *command, int count, char **words, int *status);
void args_free(struct args *args);

#endif
