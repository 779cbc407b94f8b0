/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <math.h>
#include <string.h>

#include "text.h"

enum { INDENT = 26, NARROW = 60, WIDE = 100, USUAL = 90 };

static int width_of(FILE *out)
{
    int columns = text_columns(out);
    if (!columns) return USUAL;
    return columns < NARROW ? NARROW : columns > WIDE ? WIDE : columns;
}

/* A limit as a user would write it: "4Mi". */
static const char *limit_text(char out[TEXT_BYTES], egg_option_type type, double limit)
{
    static const struct {
        const char *suffix;
        double scale;
    } suffixes[] = {{"G", 1e9}, {"M", 1e6}, {"Gi", 0x1p30}, {"Mi", 0x1p20}, {"Ki", 0x1p10}, {"k", 1e3}};
    int exponent;
    snprintf(out, TEXT_BYTES, "%.15g", limit);
    if (type != EGG_OPTION_INTEGER || limit < 10000) return out;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (fmod(limit, suffixes[i].scale) != 0) continue;
        snprintf(out, TEXT_BYTES, "%.15g%s", limit / suffixes[i].scale, suffixes[i].suffix);
        return out;
    }
    if (frexp(limit + 1, &exponent) == 0.5) snprintf(out, TEXT_BYTES, "2^%d - 1", exponent - 1);
    return out;
}

const char *help_note(char out[HELP_NOTE_BYTES], const egg_option_info *info)
{
    char low[TEXT_BYTES], high[TEXT_BYTES];
    out[0] = '\0';
    if (info->type == EGG_OPTION_INTEGER || info->type == EGG_OPTION_NUMBER)
        snprintf(out, HELP_NOTE_BYTES, "default %s, %s to %s", info->default_text,
                 limit_text(low, info->type, info->low), limit_text(high, info->type, info->high));
    else if (info->type != EGG_OPTION_BOOL && *info->default_text)
        snprintf(out, HELP_NOTE_BYTES, "default %s", info->default_text);
    return out;
}

void help_program(FILE *out)
{
    fprintf(out, "eggroll %s trains neural networks without back-propagation, by evolution strategies.\n\n"
                 "Usage: eggroll COMMAND [argument...]\n\n", egg_version());
    for (const struct command *const *at = commands; *at; at++)
        fprintf(out, "  %-10s  %s\n", (*at)->name, (*at)->summary);
    fputs("\nFirst steps:\n", out);
    for (const struct command *const *at = commands; *at; at++)
        if ((*at)->examples[0].line) fprintf(out, "  %s\n", (*at)->examples[0].line);
    fputs("\n'eggroll COMMAND --help' tells all about one command, 'man eggroll' about the whole.\n", out);
}

static void print_option(FILE *out, const egg_option_info *info, int width)
{
    char note[HELP_NOTE_BYTES], text[512];
    const char *argument = info->argument ? info->argument : "";
    int column = fprintf(out, "  --%s%s%s", info->name, *argument ? " " : "", argument);
    help_note(note, info);
    snprintf(text, sizeof text, "%s%s%s%s", info->help, *note ? " (" : "", note, *note ? ")" : "");
    if (column + 2 > INDENT) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", INDENT - column, "");
    text_wrap(out, text, INDENT, INDENT, width);
}

static void print_options(FILE *out, const egg_options *options, int width)
{
    const char *group = "";
    for (size_t i = 0; i < egg_options_count(options); i++) {
        egg_option_info info = egg_options_describe(options, i);
        if (strcmp(group, info.group) != 0) fprintf(out, "\n%s\n", info.group);
        group = info.group;
        print_option(out, &info, width);
    }
}

int help_command(FILE *out, const struct command *command)
{
    int width = width_of(out);
    egg_options *options = egg_options_new(command->name);
    if (!options) {
        fputs("eggroll: no memory for a help text\n", stderr);
        return STATUS_FAILURE;
    }
    for (int i = 0; i < 2 && command->synopsis[i]; i++)
        fprintf(out, "%s eggroll %s %s\n", i ? "      " : "Usage:", command->name, command->synopsis[i]);
    fputc('\n', out);
    text_wrap(out, command->description, 0, 0, width);
    print_options(out, options, width);
    fputs("\nExamples\n", out);
    for (const struct example *at = command->examples; at->line; at++) {
        fprintf(out, "  %s\n      ", at->line);
        text_wrap(out, at->purpose, 6, 6, width);
    }
    egg_options_free(options);
    return STATUS_OK;
}
