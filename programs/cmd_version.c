/* SPDX-License-Identifier: MIT */
#include "command.h"

static int version(const struct invocation *invocation)
{
    egg_error error;
    char *json;
    egg_status status = egg_build_info(&json, &error);
    return status == EGG_OK ? print_described(invocation, json) : report(invocation->command, &error);
}

const struct command command_version = {
    .name = "version",
    .summary = "describe this build and what the machine offers it",
    .synopsis = {"[--json]"},
    .description =
        "Tells the version, the compiler, the levels of instructions that this processor has kernels for and which of "
        "them is in use, and which optional parts were built in.",
    .examples = {{"eggroll version", "worth adding to a report of a fault"}},
    .run = version,
};
