/* SPDX-License-Identifier: MIT */
/*
 * MiniGrid-Dynamic-Obstacles-Random-6x6-v0: an open room in which three balls wander; the agent is to reach the goal in
 * the corner without running into one of them, or into a wall. It may turn left, turn right and go forward.
 */
#include "envs/dynamic_obstacles.h"

#include "envs/list.h"

enum { SIDE = 6, PLANES = 4, MAX_STEPS = 4 * SIDE * SIDE, ACTIONS = 3 };

static const egg_grid_rules rules = {
    .side = SIDE, .planes = PLANES, .max_steps = MAX_STEPS, .see_through_walls = true};

static void reset(void *state, uint64_t seed, float *observation)
{
    const egg_grid_area anywhere = {.high_x = SIDE, .high_y = SIDE};
    egg_grid *s = state;
    egg_grid_begin(s, &rules, seed);
    *egg_grid_at(s, SIDE - 2, SIDE - 2) = EGG_TILE_GOAL;
    egg_grid_place_agent(s, anywhere);
    for (uint32_t i = 0; i < EGG_GRID_BALLS; i++) {
        egg_grid_draw_cell(s, anywhere, &s->balls[i]);
        *egg_grid_at(s, s->balls[i].x, s->balls[i].y) = EGG_TILE_BALL;
    }
    egg_grid_observe(s, observation);
}

/*
 * Each ball moves to an empty cell that touches its own, also diagonally, and stays where there is none. MiniGrid looks
 * for one with at most 101 blind draws, which fail in 7 of a million cases where one cell is empty; here it is found.
 */
void egg_obstacles_move(egg_grid *s)
{
    for (uint32_t i = 0; i < EGG_GRID_BALLS; i++) {
        egg_grid_cell from = s->balls[i], to;
        egg_grid_area around = {from.x - 1u, from.x + 2u, from.y - 1u, from.y + 2u};
        if (!egg_grid_draw_cell(s, around, &to)) continue;
        *egg_grid_at(s, from.x, from.y) = EGG_TILE_EMPTY;
        *egg_grid_at(s, to.x, to.y) = EGG_TILE_BALL;
        s->balls[i] = to;
    }
}

/*
 * Going forward against what was ahead before the balls moved is a collision, even if the way is free by now. A ball
 * that has moved into the way since only stops the agent.
 */
bool egg_obstacles_act(egg_grid *s, egg_grid_action action, egg_tile ahead, float *reward)
{
    bool ended = egg_grid_act(s, action, reward);
    if (action != EGG_GRID_FORWARD || ahead == EGG_TILE_EMPTY || ahead == EGG_TILE_GOAL) return ended;
    *reward = -1;
    return true;
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_grid *s = state;
    egg_tile ahead = (egg_tile)*egg_grid_ahead(s);
    egg_obstacles_move(s);
    bool ended = egg_obstacles_act(s, (egg_grid_action)action[0], ahead, reward);
    egg_grid_observe(s, observation);
    return ended;
}

const egg_env egg_env_dynamic_obstacles = {
    .version = EGG_ENV_VERSION,
    .name = "MiniGrid-Dynamic-Obstacles-Random-6x6-v0",
    .summary = "cross a room to the goal without running into wandering balls or walls",
    .observations = EGG_GRID_OBSERVATIONS(PLANES),
    .actions = ACTIONS,
    .discrete = true,
    .max_steps = MAX_STEPS,
    .state_bytes = sizeof(egg_grid),
    .reset = reset,
    .step = step,
    .render = egg_grid_render,
};
