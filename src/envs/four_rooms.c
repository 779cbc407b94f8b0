/* SPDX-License-Identifier: MIT */
/* MiniGrid-FourRooms-v0: four rooms with a gap in each wall between two of them; the agent is to find the goal. */
#include "envs/grid.h"
#include "envs/list.h"

enum { SIDE = 19, MIDDLE = SIDE / 2, PLANES = 3, MAX_STEPS = 100 };

static const egg_grid_rules rules = {.side = SIDE, .planes = PLANES, .max_steps = MAX_STEPS};

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_grid *s = state;
    egg_grid_begin(s, &rules, seed);
    for (uint32_t i = 0; i < SIDE; i++) *egg_grid_at(s, MIDDLE, i) = *egg_grid_at(s, i, MIDDLE) = EGG_TILE_WALL;
    for (uint32_t first = 1; first < SIDE; first += MIDDLE) {
        *egg_grid_at(s, MIDDLE, first + egg_env_below(&s->words, MIDDLE - 1)) = EGG_TILE_EMPTY;
        *egg_grid_at(s, first + egg_env_below(&s->words, MIDDLE - 1), MIDDLE) = EGG_TILE_EMPTY;
    }

    const egg_grid_area anywhere = {.high_x = SIDE, .high_y = SIDE};
    egg_grid_cell goal = {0};
    egg_grid_place_agent(s, anywhere);
    egg_grid_draw_cell(s, anywhere, &goal);
    *egg_grid_at(s, goal.x, goal.y) = EGG_TILE_GOAL;
    egg_grid_observe(s, observation);
}

const egg_env egg_env_four_rooms = {
    .version = EGG_ENV_VERSION,
    .name = "MiniGrid-FourRooms-v0",
    .summary = "find the goal in one of four rooms, seeing only what is near",
    .observations = EGG_GRID_OBSERVATIONS(PLANES),
    .actions = EGG_GRID_ACTIONS,
    .discrete = true,
    .max_steps = MAX_STEPS,
    .state_bytes = sizeof(egg_grid),
    .reset = reset,
    .step = egg_grid_step,
    .render = egg_grid_render,
};
