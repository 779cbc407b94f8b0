/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "listing.h"

static int info(const struct invocation *invocation)
{
    egg_error error;
    char *json;
    if (egg_describe(invocation->operands[0], &json, &error) != EGG_OK) return report(invocation->command, &error);
    if (wants_json(invocation))
        puts(json);
    else
        listing_print(stdout, json);
    egg_text_free(json);
    return STATUS_OK;
}

const struct command command_info = {
    .name = "info",
    .summary = "describe a model or a run",
    .synopsis = {"MODEL [--json]"},
    .operands = {"MODEL"},
    .least = 1,
    .description =
        "Tells what MODEL is, a .safetensors file or the folder of a run: architecture, parameters, history, and of a "
        "run the options it runs with. Two models with the same model hash have the same weights; two runs with the "
        "same state hash go on in the same way.",
    .examples = {{"eggroll info runs/first", "for reading"}, {"eggroll info model.safetensors --json", "for programs"}},
    .run = info,
};
