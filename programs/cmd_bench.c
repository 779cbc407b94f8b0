/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "listing.h"
#include "text.h"

static const char *const suites[] = {"kernels", "population", "update",   "noise",
                                     "scaling", "envs",       "finetune", "decode", "linear"};
enum { SUITE_COUNT = sizeof suites / sizeof *suites };

/* Where rows go as they come. */
struct table {
    bool json;
    size_t rows;
    char size[64];     /* of the last row */
};

static void print_row(const egg_bench_row *row)
{
    if (strcmp(row->unit, "x") == 0)
        printf("  %-36s %10.3f %10.3f x\n", row->name, row->median, row->best);
    else if (row->median >= 1e4)
        printf("  %-36s %10.0f %10.0f %s\n", row->name, row->median, row->best, row->unit);
    else
        printf("  %-36s %10.3f %10.3f %s\n", row->name, row->median, row->best, row->unit);
}

static void take_row(void *context, const egg_bench_row *row)
{
    struct table *table = context;
    if (table->json) {
        printf("%s\n  {\"size\": \"%s\", \"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"median\": %.6g, "
               "\"best\": %.6g}",
               table->rows ? "," : "", row->size, row->name, row->value, row->unit, row->median, row->best);
    } else {
        if (strcmp(table->size, row->size) != 0) printf("%s\n", row->size);
        snprintf(table->size, sizeof table->size, "%s", row->size);
        print_row(row);
    }
    table->rows++;
    fflush(stdout);
}

/* What the figures were measured with. */
static int print_machine(const struct command *command, bool json)
{
    egg_error error;
    char *build, compiler[128], level[32];
    if (egg_build_info(&build, &error) != EGG_OK) return report(command, &error);
    if (!listing_find(build, "compiler", compiler, sizeof compiler)) *compiler = 0;
    if (!listing_find(build, "kernel_level_in_use", level, sizeof level)) *level = 0;
    char machine[128];
    if (!listing_find(build, "processor", machine, sizeof machine)) *machine = 0;
    egg_text_free(build);
    if (json)
        printf("{\"machine\": \"%s\", \"kernel_level\": \"%s\", \"compiler\": \"%s\", \"rows\": [", machine, level,
               compiler);
    else
        printf("%s, %s kernels, %s\n%-38s %10s %10s\n", machine, level, compiler, "", "median", "best");
    return STATUS_OK;
}

static int bench(const struct invocation *invocation)
{
    egg_error error;
    struct table table = {.json = wants_json(invocation)};
    const char *one[1] = {invocation->operand_count ? invocation->operands[0] : NULL};
    const char *const *names = *one ? one : suites;
    size_t count = *one ? 1 : SUITE_COUNT;
    for (size_t i = 0; *one && i <= SUITE_COUNT; i++) {
        if (i == SUITE_COUNT) return report_usage(invocation->command, "'%s' is no suite of benchmarks", *one);
        if (strcmp(suites[i], *one) == 0) break;
    }
    int status = print_machine(invocation->command, table.json);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < count; i++)
        if (egg_bench(names[i], invocation->options, take_row, &table, &error) != EGG_OK)
            return report(invocation->command, &error);
    if (table.json) puts("\n]}");
    return finish_output(STATUS_OK);
}

const struct command command_bench = {
    .name = "bench",
    .summary = "measure the speed of this machine",
    .synopsis = {"[SUITE] [option...]"},
    .operands = {"SUITE"},
    .least = 0,
    .many = false,
    .description =
        "SUITE is kernels, population, update, noise, scaling, envs, finetune, decode or linear.\n\n"
        "Measures kernels against the register-only peak, whole epochs against plain inference, naive evolution "
        "strategies and one member at a time, how cost grows with population and threads, and the steps a second of "
        "every environment; without a suite all of it. Contenders take turns in every repetition and ratios are taken "
        "repetition by repetition, so that a busy machine meets all of them; rows show the median and the best.\n\n"
        "kernels with --device cuda measures the kernels of the GPU by its own clock, each against what bounds it: "
        "multiply-adds on registers alone, or an elementwise sum.\n\n"
        "decode compares plain decoding with weights held as f32, bf16 and int8, at the shapes of RWKV-7 0.1B. "
        "finetune lets a population answer prompts, against the same answers of one shared model. With --device cuda "
        "both also measure RWKV-7 1.5B, in bf16, with all answers in flight at once: 6 prompts for each of 512 "
        "members, or of --population, every text --seq-len tokens; decode then has a population, too, and rows "
        "tell the device's memory beside what was planned.\n\n"
        "linear measures one linear layer, bf16, with a member a row: plain inference, the perturbed product with "
        "factors that are stored or drawn, and dense noise. With --device cuda it has the paper's 8192 inputs and "
        "outputs and 1024 rows, and also runs on tensor cores; --width names another size.\n\n"
        "population measures 64x2, 128x4, 256x6 and 512x8 at 100 tokens a member, or the model that --width and "
        "--layers name. EGGROLL_ISA chooses the kernel level.",
    .examples = {{"eggroll bench population --width 256 --layers 6 --population 4096 --seq-len 100",
                  "the paper's model"},
                 {"eggroll bench kernels --json", "for tools"}},
    .run = bench,
};
