/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "replayed.h"

static int replay(const struct invocation *invocation)
{
    egg_error error;
    egg_replayed replayed;
    const char *out = egg_options_get(invocation->options, "out");
    if (egg_replay(invocation->operands[0], invocation->options, &replayed, &error) != EGG_OK)
        return report(invocation->command, &error);
    replayed_print(invocation, &replayed);
    if (*out && !wants_json(invocation)) printf("written       %s\n", out);
    return STATUS_OK;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "rebuild the model of any epoch from a journal",
    .synopsis = {"RUN [--epoch E] [--out MODEL.safetensors] [option...]"},
    .operands = {"RUN"},
    .least = 1,
    .description =
        "Rebuilds the model that a run had after epoch E from its journal, journal.egg in the folder RUN, or from RUN "
        "itself where it is a journal. That takes neither data nor environment and no forward pass: the initial "
        "weights come from the seed, and every update is done again from the recorded weights of the pairs, whose "
        "noise is drawn again. The hashes that the run recorded of its state are checked on the way.",
    .examples = {{"eggroll replay runs/first --epoch 100 --out epoch100.safetensors",
                  "the model as it was after epoch 100"},
                 {"eggroll replay journal.egg --out model.safetensors",
                  "the last model, from nothing but its journal"}},
    .run = replay,
};
