/* SPDX-License-Identifier: MIT */
/* The environments that need nothing but this library, in the order in which they are shown. */
#ifndef EGG_ENVS_LIST_H
#define EGG_ENVS_LIST_H

#include "envs/env.h"

extern const egg_env egg_env_cartpole, egg_env_acrobot, egg_env_pendulum, egg_env_mountain_car;
extern const egg_env egg_env_game2048, egg_env_knapsack, egg_env_snake;
extern const egg_env egg_env_door_key, egg_env_dynamic_obstacles, egg_env_four_rooms;

#define EGG_ENVS_BUILT_IN                                                                                              \
    &egg_env_cartpole, &egg_env_acrobot, &egg_env_pendulum, &egg_env_mountain_car, &egg_env_game2048,                  \
    &egg_env_knapsack, &egg_env_snake, &egg_env_door_key, &egg_env_dynamic_obstacles, &egg_env_four_rooms

#endif
