/* SPDX-License-Identifier: MIT */
/*
 * The environments that MuJoCo simulates (Todorov, Erez and Tassa, 2012), with the models, observations and rewards of
 * Gymnasium's v5. They are listed in every build; one without MuJoCo has absent.c in place of robots.c and world.c.
 */
#ifndef EGG_ENVS_MUJOCO_ROBOTS_H
#define EGG_ENVS_MUJOCO_ROBOTS_H

#include "base/status.h"

/* egg_env_*, name, file of the model, observations, actions, bound of an action, summary */
#define EGG_ROBOTS(X)                                                                                                  \
    X(ant, "Ant-v5", "ant.xml", 105, 8, 1.0f, "run forward on four legs; MuJoCo")                                      \
    X(humanoid, "Humanoid-v5", "humanoid.xml", 348, 17, 0.4f, "walk forward on two legs without falling; MuJoCo")      \
    X(half_cheetah, "HalfCheetah-v5", "half_cheetah.xml", 17, 6, 1.0f, "run forward in a plane; MuJoCo")               \
    X(inverted_double_pendulum, "InvertedDoublePendulum-v5", "inverted_double_pendulum.xml", 9, 1, 1.0f,               \
      "balance a pole on a pole on a cart; MuJoCo")

#define EGG_ROBOT_ENV(id, name, file, observations, actions, bound, summary) extern const egg_env egg_env_##id;
EGG_ROBOTS(EGG_ROBOT_ENV)
#undef EGG_ROBOT_ENV

/* Why this build or machine cannot run this one of them, or NULL. Looks for the file of the model. */
const char *egg_robot_missing(const egg_env *env);

/* For tests: the version of MuJoCo that is linked, "" for none; an episode that begins from a recorded state. */
const char *egg_robot_engine(void);
void egg_robot_begin(void *state, const double *positions, const double *velocities, float *observation);

#endif
