/* SPDX-License-Identifier: MIT */
#include "args.h"

#include <stdlib.h>
#include <string.h>

struct flag {
    const char *name, *value;
};

static bool find_option(const egg_options *options, const char *name, egg_option_info *info)
{
    for (size_t i = 0; i < egg_options_count(options); i++) {
        *info = egg_options_describe(options, i);
        if (strcmp(info->name, name) == 0) return true;
    }
    return false;
}

/* The library knows which name was meant. */
static int unknown_flag(const struct args *args, const char *name)
{
    egg_error error = {0};
    egg_options_set(args->invocation.options, name, "", &error);
    return report(args->invocation.command, &error);
}

/* '*value' comes in as what follows "=", or NULL; 'next' is the word after the flag, or NULL. */
static int read_long(struct args *args, const char *name, const char *value, const char *next, bool *took_next)
{
    const struct command *command = args->invocation.command;
    egg_option_info info;
    bool no = strncmp(name, "no-", 3) == 0;
    if (no && find_option(args->invocation.options, name + 3, &info) && info.type == EGG_OPTION_BOOL) {
        if (value) return report_usage(command, "--%s: takes no value, found '%s'", name, value);
        args->flags[args->flag_count++] = (struct flag){name + 3, "false"};
        return STATUS_OK;
    }
    if (!find_option(args->invocation.options, name, &info)) return unknown_flag(args, name);
    if (!value && info.type == EGG_OPTION_BOOL) value = "true";
    if (!value) {
        value = next;
        *took_next = true;
    }
    if (!value) return report_usage(command, "--%s: expected %s after it, found nothing", name, info.argument);
    args->flags[args->flag_count++] = (struct flag){name, value};
    return STATUS_OK;
}

/* "-o PATH", "-oPATH", "-q" */
static int read_short(struct args *args, const char *word, const char *next, bool *took_next)
{
    static const struct flag letters[] = {{"o", "out"}, {"q", "quiet"}};
    egg_option_info info;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        if (word[1] != letters[i].name[0] || !find_option(args->invocation.options, letters[i].value, &info)) continue;
        if (word[2] && info.type == EGG_OPTION_BOOL) break;
        return read_long(args, letters[i].value, word[2] ? word + 2 : NULL, next, took_next);
    }
    return report_usage(args->invocation.command,
                        "unknown flag '%s'; a path that begins with a dash is written ./%s, or after --", word, word);
}

static enum args_outcome read_words(struct args *args, int count, char **words, int *status)
{
    bool flags = true;
    for (int i = 0; i < count; i++) {
        char *word = words[i], *next = i + 1 < count ? words[i + 1] : NULL;
        bool took_next = false;
        if (!flags || word[0] != '-' || !word[1]) {
            args->operands[args->invocation.operand_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            flags = false;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            return ARGS_HELP;
        } else if (word[1] == '-') {
            char *equals = strchr(word, '=');
            if (equals) *equals = '\0';
            *status = read_long(args, word + 2, equals ? equals + 1 : NULL, next, &took_next);
        } else {
            *status = read_short(args, word, next, &took_next);
        }
        if (*status != STATUS_OK) return ARGS_WRONG;
        i += took_next;
    }
    return ARGS_RUN;
}

static int set_options(struct args *args)
{
    egg_options *options = args->invocation.options;
    const struct command *command = args->invocation.command;
    egg_error error;
    for (size_t i = 0; i < args->flag_count; i++) {
        const struct flag *flag = &args->flags[i];
        if (strcmp(flag->name, "config") != 0) continue;
        egg_status status = egg_options_load(options, flag->value, &error);
        if (status == EGG_ERR_FORMAT) return report_usage(command, "%s", error.text);
        if (status != EGG_OK) return report(command, &error);
    }
    for (size_t i = 0; i < args->flag_count; i++)
        if (egg_options_set(options, args->flags[i].name, args->flags[i].value, &error) != EGG_OK)
            return report(command, &error);
    return STATUS_OK;
}

static int check_operands(const struct invocation *invocation)
{
    const struct command *command = invocation->command;
    size_t count = invocation->operand_count, most = 0;
    while (most < 2 && command->operands[most]) most++;
    if (count < command->least) return report_usage(command, "%s is missing", command->operands[count]);
    if (count > most && !command->many)
        return report_usage(command, "'%s' is one argument too many", invocation->operands[most]);
    return STATUS_OK;
}

enum args_outcome args_parse(struct args *args, const struct command *command, int count, char **words, int *status)
{
    size_t size = (size_t)count + 1;
    *args = (struct args){.invocation = {.command = command, .options = egg_options_new(command->name)},
                          .operands = malloc(size * sizeof *args->operands),
                          .flags = malloc(size * sizeof *args->flags)};
    args->invocation.operands = args->operands;
    *status = STATUS_OK;
    if (!args->invocation.options || !args->operands || !args->flags) {
        egg_error error = {.status = EGG_ERR_NOMEM, .text = "no memory for the command line"};
        *status = report(command, &error);
        return ARGS_WRONG;
    }
    enum args_outcome outcome = read_words(args, count, words, status);
    if (outcome != ARGS_RUN) return outcome;
    *status = set_options(args);
    if (*status == STATUS_OK) *status = check_operands(&args->invocation);
    return *status == STATUS_OK ? ARGS_RUN : ARGS_WRONG;
}

void args_free(struct args *args)
{
    egg_options_free(args->invocation.options);
    free(args->operands);
    free(args->flags);
}
