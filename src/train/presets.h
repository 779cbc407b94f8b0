/* SPDX-License-Identifier: MIT */
/* Settings that were found for environments by the search that docs/results.md describes. */
#ifndef EGG_TRAIN_PRESETS_H
#define EGG_TRAIN_PRESETS_H

#include "base/status.h"

/* Gives every option that is neither set nor loaded the value of the environment's preset; without one, nothing. */
egg_status egg_preset_apply(egg_options *options, const char *env, egg_error *error);

#endif
