/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "listing.h"

static int version(const struct invocation *invocation)
{
    egg_error error;
    char *json;
    if (egg_build_info(&json, &error) != EGG_OK) return report(invocation->command, &error);
    if (wants_json(invocation))
        puts(json);
    else
        listing_print(stdout, json);
    egg_text_free(json);
    return STATUS_OK;
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
