/* SPDX-License-Identifier: MIT */
/* The options of `eggroll rl` as they are meant, and as the floors below want them. */
#ifndef EGG_TRAIN_RL_SETTINGS_H
#define EGG_TRAIN_RL_SETTINGS_H

#include "es/evolution.h"
#include "tasks/rollout.h"
#include "train/options.h"

/* What evolution asks of the options of "rl" and "strategy": fills in chosen values, checks the combination. */
egg_status egg_evolution_resolve(egg_options *options, egg_error *error);

/* Fills in the preset of the environment and every chosen value, and checks the combination. */
egg_status egg_rl_resolve(egg_options *options, egg_error *error);

/* The part of it that needs no environment and changes nothing in resolved options. */
egg_status egg_rl_check(egg_options *options, egg_error *error);

egg_evolution_shape egg_rl_evolution(const egg_settings *settings, uint32_t threads);
egg_rollout_shape egg_rl_rollout(const egg_settings *settings, const egg_env *env, uint32_t threads);
egg_mlp_shape egg_rl_policy(const egg_settings *settings, const egg_env *env);

#endif
