/* SPDX-License-Identifier: MIT */
/* The manual page, in the macros of man(7). */
#include <string.h>

#include "help.h"

/* Text with what troff would take for its own made plain. 'start': at the beginning of a line. */
static void print_text(FILE *out, const char *text, bool start)
{
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        start = false;
        switch (*text) {
        case '\\': fputs("\\e", out); break;
        case '-': fputs("\\-", out); break;
        case '\'': fputs("\\(aq", out); break;
        case '^': fputs("\\(ha", out); break;
        case '~': fputs("\\(ti", out); break;
        case '`': fputs("\\(ga", out); break;
        case '\n':
            if (text[1] == '\n') continue;
            fputs("\n.PP\n", out);
            start = true;
            break;
        default: fputc(*text, out);
        }
    }
}

static void print_paragraph(FILE *out, const char *text)
{
    fputs(".PP\n", out);
    print_text(out, text, true);
    fputc('\n', out);
}

static void print_option(FILE *out, const egg_option_info *info)
{
    char note[HELP_NOTE_BYTES];
    fputs(".TP\n\\fB\\-\\-", out);
    print_text(out, info->name, false);
    fputs("\\fR", out);
    if (info->argument) {
        fputs(" \\fI", out);
        print_text(out, info->argument, false);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    print_text(out, info->help, true);
    if (*help_note(note, info)) {
        fputs(" (", out);
        print_text(out, note, false);
        fputc(')', out);
    }
    fputc('\n', out);
}

static void print_options(FILE *out, const egg_options *options)
{
    const char *group = "";
    for (size_t i = 0; i < egg_options_count(options); i++) {
        egg_option_info info = egg_options_describe(options, i);
        if (strcmp(group, info.group) != 0) fprintf(out, ".PP\n\\fI%s\\fR\n", info.group);
        group = info.group;
        print_option(out, &info);
    }
}

static void print_synopsis(FILE *out, const struct command *command)
{
    for (int i = 0; i < 2 && command->synopsis[i]; i++) {
        fprintf(out, "%s\\fBeggroll %s\\fR ", i ? ".br\n" : "", command->name);
        print_text(out, command->synopsis[i], false);
        fputc('\n', out);
    }
}

static int print_command(FILE *out, const struct command *command)
{
    egg_options *options = egg_options_new(command->name);
    if (!options) {
        fputs("eggroll: no memory for the manual\n", stderr);
        return STATUS_FAILURE;
    }
    fprintf(out, ".SS %s\n", command->name);
    print_synopsis(out, command);
    print_paragraph(out, command->description);
    print_options(out, options);
    egg_options_free(options);
    return STATUS_OK;
}

static void print_examples(FILE *out, const struct command *command)
{
    for (const struct example *at = command->examples; at->line; at++) {
        fputs(".TP\n.nf\n", out);
        print_text(out, at->line, true);
        fputs("\n.fi\n", out);
        print_text(out, at->purpose, true);
        fputc('\n', out);
    }
}

int manual(FILE *out)
{
    fprintf(out, ".\\\" Printed by the program itself: change it there.\n"
                 ".TH EGGROLL 1 \"\" \"eggroll %s\" \"User Commands\"\n"
                 ".SH NAME\neggroll \\- train neural networks without back\\-propagation\n.SH SYNOPSIS\n",
            egg_version());
    for (const struct command *const *at = commands; *at; at++) {
        if (at != commands) fputs(".br\n", out);
        print_synopsis(out, *at);
    }
    fputs(".SH DESCRIPTION\n", out);
    print_text(out,
               "eggroll trains neural networks by evolution strategies with low-rank perturbations (EGGROLL, "
               "arXiv:2511.16652): it never needs a gradient. A population of perturbed copies of a network is "
               "evaluated, and the network moves toward those that did well.\n\n"
               "Flags are written --name VALUE or --name=VALUE, and --name or --no-name where there is no value. "
               "Whole numbers may end in k, M or G (powers of 1000) or Ki, Mi or Gi (powers of 1024). -o stands for "
               "--out, -q for --quiet. After -- there are no flags, only paths.", true);
    fputs("\n.SH COMMANDS\n", out);
    for (const struct command *const *at = commands; *at; at++)
        if (print_command(out, *at) != STATUS_OK) return STATUS_FAILURE;
    fputs(".SH CONFIGURATION\n", out);
    print_text(out,
               "The file that --config names is one JSON object; its keys are the names of the flags without the "
               "dashes in front. Flags count more than the file. The configuration of a run, config.json in its "
               "folder, is such a file.", true);
    fputs("\n.SH FILES\nThe folder of a run holds\n"
          ".TP\n\\fIconfig.json\\fR\nthe options of the run and the paths of its data\n"
          ".TP\n\\fImodel.safetensors\\fR\nthe model, for use\n"
          ".TP\n\\fIcheckpoint.safetensors\\fR\nwhat resuming needs\n"
          ".TP\n\\fImetrics.jsonl\\fR\na line of measurements an epoch, also as a TensorBoard event file\n"
          ".SH ENVIRONMENT\n.TP\n.B EGGROLL_ISA\nhighest level of instructions to use: ref, avx2, avx512vnni or neon; "
          "without effect on the result\n"
          ".TP\n.B EGGROLL_CUDA\nhow large products on a GPU are computed: mma or, on those of capability 9.0, "
          "wgmma; without effect on the result\n"
          ".SH EXIT STATUS\n0 if all went well, 1 if something failed, 2 if the command line was wrong.\n"
          "An interrupted run ends with 128 plus the number of the signal, once it is saved;\n"
          "a second signal ends it at once.\n"
          ".SH EXAMPLES\n", out);
    for (const struct command *const *at = commands; *at; at++) print_examples(out, *at);
    return STATUS_OK;
}
