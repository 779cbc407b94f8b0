/* SPDX-License-Identifier: MIT */
/*
 * What the environments of MiniGrid (Chevalier-Boisvert et al., 2023) have in common: a square of tiles with walls all
 * around, and an agent that stands on one of them, faces one of four directions, carries at most one thing and sees the
 * 7 x 7 tiles before it, as far as walls and closed doors let it.
 *
 * The view is turned so that the agent looks up: column 3 of row 6 is its own tile, which shows what it carries in
 * place of what it stands on, row 5 is the row before it, column 4 is to its right.
 *
 * An observation is the view, one hot, row by row, then the direction, one hot:
 *
 *     observation[(7 row + column) planes + plane] = 1    the tile there is of this plane; unseen: of none
 *     observation[49 planes + direction] = 1              0 right, 1 down, 2 left, 3 up
 *
 *     plane  0 empty  1 wall  2 goal  3 key or ball  4 open door  5 closed door  6 locked door
 *
 * An environment has the first few planes only, as many as its tiles need. None has both keys and balls.
 */
#ifndef EGG_ENVS_GRID_H
#define EGG_ENVS_GRID_H

#include "envs/env.h"

enum {
    EGG_GRID_SIDE = 19,   /* of the largest environment */
    EGG_GRID_VIEW = 7,
    EGG_GRID_VIEW_CELLS = EGG_GRID_VIEW * EGG_GRID_VIEW,
    EGG_GRID_BALLS = 3
};

#define EGG_GRID_OBSERVATIONS(planes) (EGG_GRID_VIEW_CELLS * (planes) + 4)

/* MiniGrid's objects with their colors and states, as far as they occur: keys and doors are yellow, balls blue. */
typedef enum egg_tile {
    EGG_TILE_UNSEEN,
    EGG_TILE_EMPTY,
    EGG_TILE_WALL,
    EGG_TILE_GOAL,
    EGG_TILE_BALL,
    EGG_TILE_KEY,
    EGG_TILE_DOOR_OPEN,
    EGG_TILE_DOOR_CLOSED,
    EGG_TILE_DOOR_LOCKED
} egg_tile;

typedef enum egg_grid_action {
    EGG_GRID_LEFT,
    EGG_GRID_RIGHT,
    EGG_GRID_FORWARD,
    EGG_GRID_PICK_UP,
    EGG_GRID_DROP,
    EGG_GRID_TOGGLE,
    EGG_GRID_DONE,   /* does nothing */
    EGG_GRID_ACTIONS
} egg_grid_action;

typedef struct egg_grid_rules {
    uint32_t side, planes, max_steps;
    bool see_through_walls;
} egg_grid_rules;

typedef struct egg_grid_cell {
    uint8_t x, y;   /* from the left, from the top */
} egg_grid_cell;

/* The state of an episode; the header lets a test begin from a recorded one. */
typedef struct egg_grid {
    const egg_grid_rules *rules;
    egg_words words;
    uint32_t steps;
    egg_grid_cell agent;
    uint8_t direction;                              /* 0 right, 1 down, 2 left, 3 up */
    uint8_t carried;                                /* a tile; EGG_TILE_EMPTY for nothing */
    egg_grid_cell balls[EGG_GRID_BALLS];            /* of the environment whose balls move */
    uint8_t tiles[EGG_GRID_SIDE * EGG_GRID_SIDE];   /* egg_tile (side, side), row by row */
} egg_grid;

/* The tile of a cell, to read or to write. */
uint8_t *egg_grid_at(egg_grid *s, uint32_t x, uint32_t y);

/* An empty room with walls around and no agent in it yet. */
void egg_grid_begin(egg_grid *s, const egg_grid_rules *rules, uint64_t seed);

/* The cells with low_x <= x < high_x and low_y <= y < high_y. */
typedef struct egg_grid_area {
    uint32_t low_x, high_x, low_y, high_y;
} egg_grid_area;

/* One of the empty cells of 'area' other than the agent's, each as likely as the others. False: there is none. */
bool egg_grid_draw_cell(egg_grid *s, egg_grid_area area, egg_grid_cell *cell);

/* Puts the agent on a cell drawn from 'area', facing a direction drawn from all four. */
void egg_grid_place_agent(egg_grid *s, egg_grid_area area);

/* The tile before the agent. There always is one, because the walls of the border keep the agent off it. */
uint8_t *egg_grid_ahead(egg_grid *s);

/* One action. True: the agent reached the goal, for which the reward is 1 - 0.9 steps / max_steps; else it is 0. */
bool egg_grid_act(egg_grid *s, egg_grid_action action, float *reward);

/* What the agent sees: egg_tile (7, 7), row by row. */
void egg_grid_look(const egg_grid *s, uint8_t view[EGG_GRID_VIEW_CELLS]);

/* The same as MiniGrid has it: image[column][row] = {object, color, state}. */
void egg_grid_image(const egg_grid *s, uint8_t image[EGG_GRID_VIEW][EGG_GRID_VIEW][3]);

void egg_grid_observe(const egg_grid *s, float *observation);

/* The functions of an egg_env whose steps are the agent's actions and nothing else. */
bool egg_grid_step(void *state, const float *action, float *observation, float *reward);
size_t egg_grid_render(const void *state, char *text, size_t bytes);

#endif
