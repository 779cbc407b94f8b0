/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "text.h"

static void print_line(const char *name, uint64_t bytes)
{
    printf("  %-40s %12.1f MiB\n", name, (double)bytes / 0x1p20);
}

void print_plan(const egg_plan *plan, bool fits)
{
    char parameters[TEXT_BYTES];
    printf("%s parameters", text_scaled(parameters, (double)plan->parameters, ""));
    if (plan->epochs)
        printf(", %llu epochs\n", (unsigned long long)plan->epochs);
    else
        puts(", as many epochs as the clock allows");
    for (uint32_t i = 0; i < plan->count; i++) print_line(plan->items[i].name, plan->items[i].bytes);
    print_line("peak memory of the process", plan->total_bytes);
    if (plan->available_bytes) print_line("available", plan->available_bytes);
    if (plan->device_bytes) print_line("memory of the device", plan->device_bytes);
    if (plan->device_available_bytes) print_line("available there", plan->device_available_bytes);
    puts(fits ? "The run fits." : "The run does not fit.");
}

static void print_json(const egg_plan *plan, bool fits)
{
    printf("{\"parameters\": %llu, \"epochs\": %llu, \"items\": {", (unsigned long long)plan->parameters,
           (unsigned long long)plan->epochs);
    for (uint32_t i = 0; i < plan->count; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", plan->items[i].name, (unsigned long long)plan->items[i].bytes);
    printf("}, \"total_bytes\": %llu, \"available_bytes\": %llu, ", (unsigned long long)plan->total_bytes,
           (unsigned long long)plan->available_bytes);
    if (plan->device_bytes)
        printf("\"device_bytes\": %llu, \"device_available_bytes\": %llu, ", (unsigned long long)plan->device_bytes,
               (unsigned long long)plan->device_available_bytes);
    printf("\"fits\": %s}\n", fits ? "true" : "false");
}

static int plan(const struct invocation *invocation)
{
    egg_error error;
    egg_plan plan;
    egg_options *options = invocation->options;
    egg_status status = egg_trainer_plan(&plan, options, invocation->operands, invocation->operand_count, &error);
    if (status == EGG_OK || (status == EGG_ERR_NOMEM && plan.count)) {
        if (wants_json(invocation))
            print_json(&plan, status == EGG_OK);
        else if (strcmp(egg_options_get(options, "quiet"), "true") != 0)
            print_plan(&plan, status == EGG_OK);
    }
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

const struct command command_plan = {
    .name = "plan",
    .summary = "tell what memory a run would take",
    .synopsis = {"DATA... [option...]"},
    .operands = {"DATA"},
    .least = 1,
    .many = true,
    .description =
        "Adds up, before a run, what memory it would hold: item by item, in all, and what the machine has to give. "
        "Takes what pretrain takes; for the others there are `eggroll rl ENV --plan` and `eggroll finetune MODEL --plan`. "
        "The exit status is 0 if the run fits and 1 if it does not.",
    .examples = {{"eggroll plan corpus/ --width 1024 --population 64Ki", "would this fit?"}},
    .run = plan,
};
