/* SPDX-License-Identifier: MIT */
/*
 * Game2048-v1: slide the tiles of a 4 x 4 board, merge equal ones, as in Jumanji. Actions 0 to 3 slide up, right,
 * down, left. A slide that moves a tile is followed by a new tile in a random empty cell, 2 nine times of ten, else 4;
 * one that moves none changes nothing. The reward is the sum of the tiles made by merging; the end is when nothing can
 * move.
 *
 * Observation, 20 numbers: the exponents of the 16 cells row by row, divided by 16 (empty: 0); then for each action 1
 * if it moves a tile, else 0 (Jumanji's action mask). Jumanji has no bound on steps; 2000 leaves room for the tile
 * 4096.
 */
#include "envs/game2048.h"

#include "envs/draw.h"
#include "envs/list.h"

enum { SIDE = EGG_GAME2048_SIDE, CELLS = EGG_GAME2048_CELLS, ACTIONS = 4 };

/* The index of cell 'k' of line 'line', counted from the side to which 'action' slides. */
static uint32_t cell_at(uint32_t action, uint32_t line, uint32_t k)
{
    switch (action) {
    case 0: return SIDE * k + line;
    case 1: return SIDE * line + (SIDE - 1 - k);
    case 2: return SIDE * (SIDE - 1 - k) + line;
    default: return SIDE * line + k;
    }
}

static bool can_move(const uint8_t *board, uint32_t action)
{
    for (uint32_t line = 0; line < SIDE; line++) {
        uint8_t ahead = board[cell_at(action, line, 0)];
        for (uint32_t k = 1; k < SIDE; k++) {
            uint8_t tile = board[cell_at(action, line, k)];
            if (tile && (!ahead || ahead == tile)) return true;
            ahead = tile;
        }
    }
    return false;
}

/* Slides one line; a tile that was made by merging does not merge again. Returns the sum of such tiles. */
static uint32_t slide(uint8_t *board, uint32_t action, uint32_t line)
{
    uint8_t out[SIDE] = {0};
    uint32_t filled = 0, made = 0;
    bool may_merge = false;
    for (uint32_t k = 0; k < SIDE; k++) {
        uint8_t tile = board[cell_at(action, line, k)];
        if (!tile) continue;
        if (may_merge && out[filled - 1] == tile) {
            made += 1u << ++out[filled - 1];
            may_merge = false;
        } else {
            out[filled++] = tile;
            may_merge = true;
        }
    }
    for (uint32_t k = 0; k < SIDE; k++) board[cell_at(action, line, k)] = out[k];
    return made;
}

static void add_tile(egg_game2048 *s)
{
    uint32_t empty[CELLS], count = 0;
    for (uint32_t i = 0; i < CELLS; i++)
        if (!s->board[i]) empty[count++] = i;
    uint32_t cell = empty[egg_env_below(&s->words, count)];
    s->board[cell] = egg_env_below(&s->words, 10) ? 1 : 2;
}

/* Returns whether any action moves a tile. */
static bool observe(const egg_game2048 *s, float *observation)
{
    bool any = false;
    for (uint32_t i = 0; i < CELLS; i++) observation[i] = (float)s->board[i] / 16;
    for (uint32_t action = 0; action < ACTIONS; action++) {
        bool can = can_move(s->board, action);
        observation[CELLS + action] = can;
        any |= can;
    }
    return any;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_game2048 *s = state;
    *s = (egg_game2048){.words = egg_env_words(seed)};
    add_tile(s);
    observe(s, observation);
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_game2048 *s = state;
    uint32_t direction = (uint32_t)action[0], made = 0;
    if (can_move(s->board, direction)) {
        for (uint32_t line = 0; line < SIDE; line++) made += slide(s->board, direction, line);
        add_tile(s);
        s->score += made;
        s->moves++;
    }
    *reward = (float)made;
    return !observe(s, observation);
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_game2048 *s = state;
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    egg_draw(&drawing, "┌──────┬──────┬──────┬──────┐\n");
    for (uint32_t row = 0; row < SIDE; row++) {
        if (row) egg_draw(&drawing, "├──────┼──────┼──────┼──────┤\n");
        for (uint32_t column = 0; column < SIDE; column++) {
            uint8_t tile = s->board[SIDE * row + column];
            if (tile)
                egg_draw(&drawing, "│%5u ", 1u << tile);
            else
                egg_draw(&drawing, "│      ");
        }
        egg_draw(&drawing, "│\n");
    }
    egg_draw(&drawing, "└──────┴──────┴──────┴──────┘\nscore %u, %u moves\n", s->score, s->moves);
    return drawing.used;
}

const egg_env egg_env_game2048 = {
    .version = EGG_ENV_VERSION,
    .name = "Game2048-v1",
    .summary = "slide and merge tiles of powers of two",
    .observations = CELLS + ACTIONS,
    .actions = ACTIONS,
    .discrete = true,
    .mask_at = 1 + CELLS,
    .max_steps = 2000,
    .state_bytes = sizeof(egg_game2048),
    .reset = reset,
    .step = step,
    .render = render,
};
