/* SPDX-License-Identifier: MIT */
/*
 * MiniGrid-DoorKey-8x8-v0: a wall splits the room. The agent is to take the key on its side, to unlock the door in the
 * wall and to reach the goal in the far corner.
 */
#include "envs/grid.h"
#include "envs/list.h"

enum { SIDE = 8, PLANES = 7, MAX_STEPS = 10 * SIDE * SIDE };

static const egg_grid_rules rules = {.side = SIDE, .planes = PLANES, .max_steps = MAX_STEPS};

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_grid *s = state;
    egg_grid_begin(s, &rules, seed);
    uint32_t wall = 2 + egg_env_below(&s->words, SIDE - 4), door = 1 + egg_env_below(&s->words, SIDE - 3);
    for (uint32_t y = 0; y < SIDE; y++) *egg_grid_at(s, wall, y) = EGG_TILE_WALL;
    *egg_grid_at(s, wall, door) = EGG_TILE_DOOR_LOCKED;
    *egg_grid_at(s, SIDE - 2, SIDE - 2) = EGG_TILE_GOAL;

    const egg_grid_area left = {.high_x = wall, .high_y = SIDE};
    egg_grid_cell key = {0};
    egg_grid_place_agent(s, left);
    egg_grid_draw_cell(s, left, &key);
    *egg_grid_at(s, key.x, key.y) = EGG_TILE_KEY;
    egg_grid_observe(s, observation);
}

const egg_env egg_env_door_key = {
    .version = EGG_ENV_VERSION,
    .name = "MiniGrid-DoorKey-8x8-v0",
    .summary = "fetch the key, unlock the door and reach the goal behind it",
    .observations = EGG_GRID_OBSERVATIONS(PLANES),
    .actions = EGG_GRID_ACTIONS,
    .discrete = true,
    .max_steps = MAX_STEPS,
    .state_bytes = sizeof(egg_grid),
    .reset = reset,
    .step = egg_grid_step,
    .render = egg_grid_render,
};
