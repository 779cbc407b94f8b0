/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_DYNAMIC_OBSTACLES_H
#define EGG_ENVS_DYNAMIC_OBSTACLES_H

#include "envs/grid.h"

/*
 * The two halves of a step, so that a test can put recorded moves in place of the first: the balls move, one after the
 * other; then the agent acts, 'ahead' being the tile that it had before it until then.
 */
void egg_obstacles_move(egg_grid *s);
bool egg_obstacles_act(egg_grid *s, egg_grid_action action, egg_tile ahead, float *reward);

#endif
