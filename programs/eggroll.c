/* SPDX-License-Identifier: MIT */
/* The program: finds the command, reads its arguments, runs it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "args.h"
#include "command.h"
#include "help.h"
#include "listing.h"
#include "text.h"

const struct command *const commands[] = {
    &command_pretrain, &command_rl,       &command_finetune, &command_eval,   &command_generate, &command_play,
    &command_export,   &command_patch,    &command_replay,   &command_verify, &command_simulate, &command_info,
    &command_plan,     &command_envs,     &command_bench,    &command_version, NULL};

const struct command *command_find(const char *name)
{
    for (const struct command *const *at = commands; *at; at++)
        if (strcmp((*at)->name, name) == 0) return *at;
    return NULL;
}

bool wants_json(const struct invocation *invocation)
{
    return strcmp(egg_options_get(invocation->options, "json"), "true") == 0;
}

int print_described(const struct invocation *invocation, char *json)
{
    if (wants_json(invocation))
        puts(json);
    else
        listing_print(stdout, json);
    egg_text_free(json);
    return STATUS_OK;
}

bool speaks(const egg_error *error)
{
    return egg_rank() == 0 || error->status == EGG_ERR_COMM;
}

int report(const struct command *command, const egg_error *error)
{
    if (!speaks(error)) return error->status == EGG_ERR_ARGUMENT ? STATUS_USAGE : STATUS_FAILURE;
    if (error->status == EGG_ERR_ARGUMENT) return report_usage(command, "%s", error->text);
    fprintf(stderr, "eggroll: %s\n", error->text);
    return STATUS_FAILURE;
}

int report_usage(const struct command *command, const char *format, ...)
{
    va_list arguments;
    if (egg_rank()) return STATUS_USAGE;   /* rank 0 was given the same words */
    va_start(arguments, format);
    fputs("eggroll: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry 'eggroll%s%s --help'.\n", command ? " " : "", command ? command->name : "");
    return STATUS_USAGE;
}

int finish_output(int status)
{
    bool failed = fflush(stdout) != 0;
    if (!failed && !ferror(stdout)) return status;
    fprintf(stderr, "eggroll: cannot write to standard output%s%s\n", failed ? ": " : "",
            failed ? strerror(errno) : "");
    return status == STATUS_OK ? STATUS_FAILURE : status;
}

static int unknown_command(const char *name)
{
    for (const struct command *const *at = commands; *at; at++)
        if (text_similar(name, (*at)->name) || (strlen(name) > 1 && strncmp(name, (*at)->name, strlen(name)) == 0))
            return report_usage(NULL, "unknown command '%s'; did you mean '%s'?", name, (*at)->name);
    return report_usage(NULL, "unknown command '%s'", name);
}

static int run_help(int count, char **words)
{
    if (count == 0) {
        help_program(stdout);
        return STATUS_OK;
    }
    const struct command *command = command_find(words[0]);
    return command ? help_command(stdout, command) : unknown_command(words[0]);
}

static int run_command(const struct command *command, int count, char **words)
{
    struct args args;
    int status;
    switch (args_parse(&args, command, count, words, &status)) {
    case ARGS_RUN: status = command->run(&args.invocation); break;
    case ARGS_HELP: status = help_command(stdout, command); break;
    case ARGS_WRONG: break;
    }
    args_free(&args);
    return status;
}

static int run(int count, char **words)
{
    if (count == 0) {
        help_program(stderr);
        return STATUS_USAGE;
    }
    const char *first = words[0];
    const struct command *command = command_find(first);
    if (command) return run_command(command, count - 1, words + 1);
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) return run_help(0, NULL);
    if (strcmp(first, "help") == 0) return run_help(count - 1, words + 1);
    if (strcmp(first, "manual") == 0) return manual(stdout);   /* for the build, not for people: no help tells of it */
    if (strcmp(first, "--version") == 0) {
        printf("eggroll %s\n", egg_version());
        return STATUS_OK;
    }
    return first[0] == '-' ? report_usage(NULL, "unknown flag '%s'", first) : unknown_command(first);
}

/*
 * A launcher that sees one rank fail ends the others, within a second and whether or not rank 0 has told why. So others
 * wait to be ended; where their launcher does not do that, they end by themselves.
 */
static void let_first_rank_speak(void)
{
    const struct timespec longest = {.tv_sec = 10};
    nanosleep(&longest, NULL);   /* any signal ends it */
}

int main(int argc, char **argv)
{
    int status = finish_output(run(argc - 1, argv + 1));
    if (status != STATUS_OK && egg_rank() > 0) let_first_rank_speak();
    return status;
}
