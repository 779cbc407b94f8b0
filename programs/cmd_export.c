/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

enum { NAME_BYTES = 128 };

/* The name of a header without its folder and ending, as a word of C. */
static void name_of(const char *path, char name[NAME_BYTES])
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    size_t n = 0;
    if (isdigit((unsigned char)*base)) name[n++] = '_';
    for (; *base && *base != '.' && n + 1 < NAME_BYTES; base++) name[n++] = isalnum((unsigned char)*base) ? *base : '_';
    name[n] = '\0';
    if (!n) strcpy(name, "policy");
}

static int export_policy(const struct invocation *invocation)
{
    egg_error error;
    egg_policy *policy;
    char name[NAME_BYTES];
    const char *out = egg_options_get(invocation->options, "out");
    if (!*out) return report_usage(invocation->command, "--out is missing: the header file to write");
    name_of(out, name);
    egg_status status = egg_policy_open(&policy, invocation->operands[0], &error);
    if (status == EGG_OK) status = egg_policy_export(policy, name, out, &error);
    egg_policy_close(policy);
    if (status != EGG_OK) return report(invocation->command, &error);
    printf("%s: %s_act()\n", out, name);
    return STATUS_OK;
}

const struct command command_export = {
    .name = "export",
    .summary = "write a policy as a C header",
    .synopsis = {"RUN --out FILE.h"},
    .operands = {"RUN"},
    .least = 1,
    .description =
        "Writes the trained policy of RUN, a run folder or a .safetensors file, as one C header that needs nothing but "
        "math.h. Its function FILE_act() takes an observation and gives the likeliest action, or the mean action where "
        "actions are continuous.",
    .examples = {{"eggroll export runs/pendulum --out pendulum.h", "a policy for a microcontroller"}},
    .run = export_policy,
};
