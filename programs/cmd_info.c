/* SPDX-License-Identifier: MIT */
#include "command.h"

static int info(const struct invocation *invocation)
{
    egg_error error;
    char *json;
    egg_status status = egg_describe(invocation->operands[0], &json, &error);
    return status == EGG_OK ? print_described(invocation, json) : report(invocation->command, &error);
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
