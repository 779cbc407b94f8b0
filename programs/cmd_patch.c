/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "text.h"

static int patch(const struct invocation *invocation)
{
    egg_error error;
    const char *base = invocation->operands[0], *path = invocation->operands[1];
    const char *out = egg_options_get(invocation->options, "out");
    if (!*out) return report_usage(invocation->command, "--out is missing: the file to write");
    if (egg_patch_apply(base, path, out, &error) != EGG_OK) return report(invocation->command, &error);
    fputs("rebuilt      ", stdout);
    text_shell_word(stdout, out);
    puts(", checked by its hash");
    return STATUS_OK;
}

const struct command command_patch = {
    .name = "patch",
    .summary = "rebuild a fine-tuned model from its seed patch",
    .synopsis = {"MODEL PATCH --out FILE"},
    .operands = {"MODEL", "PATCH"},
    .least = 2,
    .description =
        "Rebuilds the model that a run of `eggroll finetune` ended with, from the MODEL that it began with and the run's "
        "patch.safetensors: a seed and one number a pair of members and epoch, from which every update is computed again. "
        "The hashes of both models are checked. With the kernel level that made it the result is the same to the bit; "
        "EGGROLL_ISA names another level than this machine's best.",
    .examples = {{"eggroll patch base.safetensors run/patch.safetensors --out tuned.safetensors", "a model for a few kilobytes"}},
    .run = patch,
};
