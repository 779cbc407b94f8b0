/* SPDX-License-Identifier: MIT */
/* The environments of robots.h in a build without MuJoCo: there to be listed and to say what they lack. */
#include "envs/mujoco/robots.h"

static const char reason[] = "built without MuJoCo: run scripts/get-mujoco and build again";

const char *egg_robot_missing(const egg_env *env)
{
    (void)env;
    return reason;
}

const char *egg_robot_engine(void)
{
    return "";
}

void egg_robot_begin(void *state, const double *positions, const double *velocities, float *observation)
{
    (void)state, (void)positions, (void)velocities, (void)observation;   /* no state exists to call it on */
}

static egg_status init(void *state, egg_error *error)
{
    (void)state;
    return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s", reason);
}

#define EGG_ROBOT_ABSENT(id, name_, file, observations_, actions_, bound, summary_)                                    \
    const egg_env egg_env_##id = {                                                                                     \
        .version = EGG_ENV_VERSION,                                                                                    \
        .name = name_,                                                                                                 \
        .summary = summary_,                                                                                           \
        .observations = observations_,                                                                                 \
        .actions = actions_,                                                                                           \
        .action_low = -(bound),                                                                                        \
        .action_high = bound,                                                                                          \
        .max_steps = 1000,                                                                                             \
        .state_bytes = 1,                                                                                              \
        .init = init,                                                                                                  \
    };
EGG_ROBOTS(EGG_ROBOT_ABSENT)
