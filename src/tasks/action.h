/* SPDX-License-Identifier: MIT */
/* From the outputs of a policy to an action of its environment. */
#ifndef EGG_TASKS_ACTION_H
#define EGG_TASKS_ACTION_H

#include "envs/env.h"

/*
 * y (actions): outputs of the policy. Discrete: logits, softmax over the actions that the mask in 'observation' allows.
 * Else a diagonal Gaussian around y with deviations exp(log_std) (actions), where -1 and 1 stand for the bounds of an
 * action. luck == NULL: no draw but the likeliest action, the mean. 'action' (actions, or 1 if discrete) is what
 * env->step takes.
 */
void egg_action_choose(const egg_env *env, const float *observation, const float *y, const float *log_std,
                       egg_words *luck, float *action);

#endif
