/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "text.h"

static int patch(const struct invocation *invocation)
{
    egg_error error;
    egg_replayed replayed;
    const char *base = invocation->operands[0], *path = invocation->operands[1];
    const char *out = egg_options_get(invocation->options, "out");
    if (!*out) return report_usage(invocation->command, "--out is missing: the file to write");
    if (egg_patch_apply(base, path, out, &replayed, &error) != EGG_OK) return report(invocation->command, &error);
    fputs("rebuilt      ", stdout);
    text_shell_word(stdout, out);
    printf(", %llu epochs, %llu hashes met\n", (unsigned long long)replayed.epoch, (unsigned long long)replayed.hashes);
    return STATUS_OK;
}

const struct command command_patch = {
    .name = "patch",
    .summary = "rebuild a fine-tuned model from the journal of its run",
    .synopsis = {"MODEL JOURNAL --out FILE"},
    .operands = {"MODEL", "JOURNAL"},
    .least = 2,
    .description = "Rebuilds the model that a run of `eggroll finetune` ended with, from the MODEL that it began with "
                   "and the run's "
                   "journal.egg, a patch of some kilobytes: a seed and one number a pair of members and epoch, from "
                   "which every update "
                   "is computed again, with the kernels that the run used. The MODEL is checked by its hash, and so is "
                   "the result.\n\n"
                   "`eggroll replay RUN` does the same where the folder of the run and the MODEL are still in place, "
                   "for any epoch.",
    .examples = {{"eggroll patch base.safetensors journal.egg --out tuned.safetensors", "a model for a few kilobytes"}},
    .run = patch,
};
