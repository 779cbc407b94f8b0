/* SPDX-License-Identifier: MIT */
/*
 * Snake-v1: a snake on a board of 12 x 12 grows by the fruit it eats, as in Jumanji. Actions 0 to 3 move the head up,
 * right, down, left. The reward is 1 for a fruit. The end is when the head leaves the board or meets the body (not the
 * tail, which moves away), when the snake fills the board, or after 4000 steps.
 *
 * Observation, 725 numbers: for each cell, row by row, five: 1 for body (head and tail too), 1 for head, 1 for tail,
 * 1 for fruit, and the place in the body, rising from 1/length at the tail to 1 at the head; then the steps so far
 * divided by 4000; then for each action 1 if it does not end the episode (Jumanji's action mask).
 */
#include "envs/snake.h"

#include <string.h>

#include "envs/draw.h"
#include "envs/list.h"

enum { SIDE = EGG_SNAKE_SIDE, CELLS = EGG_SNAKE_CELLS, PLANES = 5, ACTIONS = 4, MAX_STEPS = 4000 };

static const int8_t row_move[ACTIONS] = {-1, 0, 1, 0}, column_move[ACTIONS] = {0, 1, 0, -1};

/*
 * The cell that Jumanji marks as the head, or -1: its arrays read index -1 as the last and pass over an index beyond
 * the end, which shows when the head has left the board.
 */
static int32_t marked_cell(int32_t row, int32_t column)
{
    if (row >= SIDE || column >= SIDE) return -1;
    return (row < 0 ? row + SIDE : row) * SIDE + (column < 0 ? column + SIDE : column);
}

static bool can_move(const egg_snake *s, uint32_t action)
{
    int32_t row = s->head_row + row_move[action], column = s->head_column + column_move[action];
    return row >= 0 && row < SIDE && column >= 0 && column < SIDE && s->body[row * SIDE + column] <= 1;
}

static void observe(const egg_snake *s, float *observation)
{
    int16_t longest = 1;
    for (uint32_t i = 0; i < CELLS; i++) longest = s->body[i] > longest ? s->body[i] : longest;
    memset(observation, 0, PLANES * CELLS * sizeof *observation);
    for (uint32_t i = 0; i < CELLS; i++) {
        if (s->body[i] == 0) continue;
        observation[PLANES * i] = 1;
        observation[PLANES * i + 2] = s->body[i] == 1;
        observation[PLANES * i + 4] = (float)s->body[i] / (float)longest;
    }
    int32_t head = marked_cell(s->head_row, s->head_column);
    if (head >= 0) observation[PLANES * head + 1] = 1;
    observation[PLANES * s->fruit + 3] = 1;
    observation[PLANES * CELLS] = (float)s->steps / MAX_STEPS;
    for (uint32_t i = 0; i < ACTIONS; i++) observation[PLANES * CELLS + 1 + i] = can_move(s, i);
}

/* Puts the fruit into a cell without snake; returns whether there is one. */
static bool add_fruit(egg_snake *s)
{
    int16_t empty[CELLS];
    uint32_t count = 0;
    for (int16_t i = 0; i < CELLS; i++)
        if (!s->body[i]) empty[count++] = i;
    s->fruit = count ? empty[egg_env_below(&s->words, count)] : 0;
    return count > 0;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_snake *s = state;
    *s = (egg_snake){.length = 1, .words = egg_env_words(seed)};
    s->head_row = (int16_t)egg_env_below(&s->words, SIDE);
    s->head_column = (int16_t)egg_env_below(&s->words, SIDE);
    s->body[s->head_row * SIDE + s->head_column] = 1;
    add_fruit(s);
    observe(s, observation);
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_snake *s = state;
    uint32_t direction = (uint32_t)action[0];
    bool valid = can_move(s, direction), room = true;
    s->head_row = (int16_t)(s->head_row + row_move[direction]);
    s->head_column = (int16_t)(s->head_column + column_move[direction]);
    bool eaten = valid && s->head_row * SIDE + s->head_column == s->fruit;
    s->length = (int16_t)(s->length + eaten);
    for (uint32_t i = 0; i < CELLS && !eaten; i++) s->body[i] = (int16_t)(s->body[i] - (s->body[i] > 0));
    int32_t head = marked_cell(s->head_row, s->head_column);
    if (head >= 0) s->body[head] = s->length;
    if (eaten) room = add_fruit(s);
    s->steps++;
    observe(s, observation);
    *reward = eaten;
    return !valid || !room || s->steps >= MAX_STEPS;
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_snake *s = state;
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    for (int32_t row = -1; row <= SIDE; row++) {
        egg_draw(&drawing, row < 0 ? "┌" : row == SIDE ? "└" : "│");
        for (int32_t column = 0; column < SIDE; column++) {
            int32_t cell = row * SIDE + column;
            if (row < 0 || row == SIDE)
                egg_draw(&drawing, "──");
            else if (row == s->head_row && column == s->head_column)
                egg_draw(&drawing, "██");
            else
                egg_draw(&drawing, "%s", s->body[cell] ? "▓▓" : cell == s->fruit ? "◖◗" : "  ");
        }
        egg_draw(&drawing, row < 0 ? "┐\n" : row == SIDE ? "┘\n" : "│\n");
    }
    egg_draw(&drawing, "length %d, %u steps\n", s->length, s->steps);
    return drawing.used;
}

const egg_env egg_env_snake = {
    .version = EGG_ENV_VERSION,
    .name = "Snake-v1",
    .summary = "a snake that grows by eating fruit",
    .observations = PLANES * CELLS + 1 + ACTIONS,
    .actions = ACTIONS,
    .discrete = true,
    .mask_at = 1 + PLANES * CELLS + 1,
    .max_steps = MAX_STEPS,
    .state_bytes = sizeof(egg_snake),
    .reset = reset,
    .step = step,
    .render = render,
};
