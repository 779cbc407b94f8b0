/* SPDX-License-Identifier: MIT */
#include "train/presets.h"

#include <stdio.h>
#include <string.h>

#include "train/options.h"

typedef struct preset {
    const char *env;
    const char *eggroll, *openes;   /* "name=value name=value ..." */
} preset;

static const preset presets[] = {
#define PRESET(env, eggroll, openes) {env, eggroll, openes},
#include "train/presets.def"
#undef PRESET
};

static egg_status apply(egg_options *options, const char *text, egg_error *error)
{
    char name[64], value[64];
    int used;
    for (; sscanf(text, " %63[^=]=%63s%n", name, value, &used) == 2; text += used) {
        egg_status status = egg_options_prefer(options, name, value, error);
        if (status != EGG_OK) return status;
    }
    return EGG_OK;
}

egg_status egg_preset_apply(egg_options *options, const char *env, egg_error *error)
{
    const egg_settings *settings = egg_options_values(options);
    if (settings->preset == EGG_PRESET_NONE) return EGG_OK;
    for (size_t i = 0; i < EGG_COUNT(presets); i++)
        if (strcmp(presets[i].env, env) == 0)
            return apply(options, settings->algorithm == EGG_ALGORITHM_OPENES ? presets[i].openes : presets[i].eggroll,
                         error);
    return EGG_OK;
}
