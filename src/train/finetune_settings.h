/* SPDX-License-Identifier: MIT */
/* From the options of a fine-tuning run to the shapes of what it is made of. */
#ifndef EGG_TRAIN_FINETUNE_SETTINGS_H
#define EGG_TRAIN_FINETUNE_SETTINGS_H

#include "es/evolution.h"
#include "models/rwkv7.h"
#include "tasks/course.h"
#include "tasks/stops.h"
#include "train/options.h"

/* Fills in what suits the task and the model's width, and every chosen value, and checks the combination. */
egg_status egg_finetune_resolve(egg_options *options, egg_error *error);

/* Views of resolved settings. */
egg_evolution_shape egg_finetune_evolution(const egg_settings *settings, uint32_t threads);

/*
 * Of 'pairs' pairs in one process; 'stops' are those of the option and must outlive the course, as the settings must.
 */
egg_course_shape egg_finetune_course(const egg_settings *settings, uint32_t pairs, const egg_stops *stops,
                                     uint32_t threads);

/* Whether fitness is centred by question, rather than left to the shaping of evolution. */
bool egg_finetune_is_centred(const egg_settings *settings);

/* Freezes what the options say. EGG_ERR_ARGUMENT names what they do not fit. */
egg_status egg_finetune_freeze(const egg_settings *settings, egg_rwkv7 *model, egg_error *error);

#endif
