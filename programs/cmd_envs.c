/* SPDX-License-Identifier: MIT */
#include "command.h"

static int envs(const struct invocation *invocation)
{
    char *json;
    egg_error error;
    if (egg_envs_describe(&json, &error) != EGG_OK) return report(invocation->command, &error);
    return print_described(invocation, json);
}

const struct command command_envs = {
    .name = "envs",
    .summary = "list the environments",
    .synopsis = {"[--json]"},
    .description =
        "Lists the built-in environments with their observations, their actions, the bound on their steps, and, where "
        "one is not available, the reason.",
    .examples = {{"eggroll envs", "what there is to train in"}},
    .run = envs,
};
