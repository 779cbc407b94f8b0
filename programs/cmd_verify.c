/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "replayed.h"

static int verify(const struct invocation *invocation)
{
    egg_error error;
    egg_replayed replayed;
    if (egg_verify(invocation->operands[0], invocation->options, &replayed, &error) != EGG_OK)
        return report(invocation->command, &error);
    replayed_print(invocation, &replayed);
    if (!wants_json(invocation))
        puts("verified      the checkpoint and the model are what the journal leads to from the seed");
    return STATUS_OK;
}

const struct command command_verify = {
    .name = "verify",
    .summary = "prove a run from its seed and its journal",
    .synopsis = {"RUN [option...]"},
    .operands = {"RUN"},
    .least = 1,
    .description =
        "Replays the journal of the run in the folder RUN from the seed to its end, checks every record and every hash "
        "of the state in it, and compares the state after their epochs with the checkpoint and the model in the "
        "folder. Ends with status 1, and a line that names the record or the file, where anything differs.\n\n"
        "That proves that the model came from this seed by these fitness values, not that the data gave them: that "
        "takes another run.",
    .examples = {{"eggroll verify runs/first", "the whole run"}},
    .run = verify,
};
