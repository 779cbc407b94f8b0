/* SPDX-License-Identifier: MIT */
/* From options as given to options as meant: chosen values filled in, combinations that cannot be refused. */
#ifndef EGG_TRAIN_SETTINGS_H
#define EGG_TRAIN_SETTINGS_H

#include "es/update.h"
#include "models/egg.h"
#include "tasks/pretrain.h"
#include "train/options.h"
#include "train/schedule.h"

/* Replaces every "chosen" default of pretrain by its value and checks the combination. */
egg_status egg_settings_resolve(egg_options *options, egg_error *error);

/* That of a command: egg_settings_resolve for pretrain. */
typedef egg_status egg_settings_resolve_fn(egg_options *options, egg_error *error);

/* What the options given to a run come to. */
typedef struct egg_chosen {
    egg_options *options;    /* resolved; free with egg_options_free */
    char *folder;            /* free with egg_free; NULL: none */
    bool resumed;            /* the run in it goes on */
} egg_chosen;

/*
 * A new run's folder must not hold one. The options of a resumed run are those of its configuration, with the ones that
 * 'given' sets and that may change (budget, threads, saving, validating); another value for any other option is refused
 * by name. '*chosen' is to be freed after an error, too.
 */
egg_status egg_settings_choose(egg_chosen *chosen, const egg_options *given, egg_settings_resolve_fn *resolve,
                               egg_error *error);

/* Views of resolved settings. */
egg_shape egg_settings_shape(const egg_settings *settings);
egg_egg_init egg_settings_init(const egg_settings *settings);
egg_schedule egg_settings_schedule(const egg_settings *settings);
egg_perturb egg_settings_law(const egg_settings *settings, uint64_t epoch);

/* How the weights F (pairs) of an epoch move the parameters; 'rate' is the learning rate, or vote's alpha. */
egg_step egg_settings_step(const egg_settings *settings, double rate, const int8_t *F);

egg_pretrain_shape egg_settings_pretrain(const egg_settings *settings, uint32_t threads, uint64_t train_bytes);

#endif
