/* SPDX-License-Identifier: MIT */
/*
 * The puzzles against Jumanji (tests/gen/envs_jumanji.py): whole numbers and float32 in both, so equal in every bit,
 * but for one quotient of Snake's observation. Compiled by XLA it is i * (1 / n), which is less than 1.5 units in the
 * last place from i / n, and so at most the float next to ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "env_replay.h"
#include "envs/game2048.h"
#include "envs/knapsack.h"
#include "envs/list.h"
#include "envs/snake.h"

/* ------------------------------------------------------------------------------------------------------------- 2048 */

static void set_game2048(void *state, const double *numbers)
{
    egg_game2048 *s = state;
    for (uint32_t i = 0; i < EGG_GAME2048_CELLS; i++) s->board[i] = (uint8_t)numbers[i];
}

static void get_game2048(const void *state, double *numbers)
{
    const egg_game2048 *s = state;
    for (uint32_t i = 0; i < EGG_GAME2048_CELLS; i++) numbers[i] = s->board[i];
}

static void reseed_game2048(void *state, uint64_t seed)
{
    ((egg_game2048 *)state)->words = egg_env_words(seed);
}

/* "first-cell", "first-tile": of a new game; "next-cell", "next-tile": after a slide to the left. */
static double draw_game2048(const char *what, uint32_t i)
{
    static const uint8_t before[16] = {1, 2, 1, 2, 2, 1, 2, 1, 1, 2, 1, 0, 1, 0, 0, 3};
    static const uint8_t slid[16] = {1, 2, 1, 2, 2, 1, 2, 1, 1, 2, 1, 0, 1, 3, 0, 0};
    egg_game2048 s;
    float observation[20], reward;
    bool next = strncmp(what, "next", 4) == 0;
    egg_env_game2048.reset(&s, i, observation);
    if (next) {
        memcpy(s.board, before, sizeof before);
        egg_env_game2048.step(&s, (float[]){3}, observation, &reward);
    }
    uint32_t cell = 0;
    while (s.board[cell] == (next ? slid[cell] : 0)) assert_in_range(++cell, 0, 15);
    return strstr(what, "cell") ? cell : s.board[cell];
}

/* --------------------------------------------------------------------------------------------------------- knapsack */

enum { ITEMS = EGG_KNAPSACK_ITEMS };

static void set_knapsack(void *state, const double *numbers)
{
    egg_knapsack *s = state;
    for (uint32_t i = 0; i < ITEMS; i++) {
        s->weights[i] = (float)numbers[i];
        s->values[i] = (float)numbers[ITEMS + i];
        s->packed[i] = numbers[2 * ITEMS + i] > 0;
    }
    s->budget = (float)numbers[3 * ITEMS];
}

static void get_knapsack(const void *state, double *numbers)
{
    const egg_knapsack *s = state;
    for (uint32_t i = 0; i < ITEMS; i++) {
        numbers[i] = (double)s->weights[i];
        numbers[ITEMS + i] = (double)s->values[i];
        numbers[2 * ITEMS + i] = s->packed[i];
    }
    numbers[3 * ITEMS] = (double)s->budget;
}

static double draw_knapsack(const char *what, uint32_t i)
{
    egg_knapsack s;
    float observation[4 * ITEMS];
    egg_env_knapsack.reset(&s, i / ITEMS, observation);
    return (double)(strcmp(what, "weight") == 0 ? s.weights : s.values)[i % ITEMS];
}

/* ------------------------------------------------------------------------------------------------------------ snake */

enum { CELLS = EGG_SNAKE_CELLS };

static void set_snake(void *state, const double *numbers)
{
    egg_snake *s = state;
    for (uint32_t i = 0; i < CELLS; i++) s->body[i] = (int16_t)numbers[i];
    s->head_row = (int16_t)numbers[CELLS];
    s->head_column = (int16_t)numbers[CELLS + 1];
    s->fruit = (int16_t)numbers[CELLS + 2];
    s->length = (int16_t)numbers[CELLS + 3];
    s->steps = (uint32_t)numbers[CELLS + 4];
}

static void get_snake(const void *state, double *numbers)
{
    const egg_snake *s = state;
    for (uint32_t i = 0; i < CELLS; i++) numbers[i] = s->body[i];
    numbers[CELLS] = s->head_row;
    numbers[CELLS + 1] = s->head_column;
    numbers[CELLS + 2] = s->fruit;
    numbers[CELLS + 3] = s->length;
    numbers[CELLS + 4] = s->steps;
}

static void reseed_snake(void *state, uint64_t seed)
{
    ((egg_snake *)state)->words = egg_env_words(seed);
}

/* A snake of 60 that lies in rows, to and fro, from the upper left, before the fruit. */
static void lie_winding(egg_snake *s)
{
    enum { LENGTH = 60, SIDE = EGG_SNAKE_SIDE };
    int16_t last = 0;
    memset(s->body, 0, sizeof s->body);
    for (int16_t i = 0; i < LENGTH; i++) {
        int16_t row = (int16_t)(i / SIDE), column = (int16_t)(row % 2 ? SIDE - 1 - i % SIDE : i % SIDE);
        last = (int16_t)(row * SIDE + column);
        s->body[last] = (int16_t)(i + 1);
    }
    s->head_row = (int16_t)(last / SIDE);
    s->head_column = (int16_t)(last % SIDE);
    s->fruit = (int16_t)(last + SIDE);
    s->length = LENGTH;
}

/* "head", "fruit": of a new episode; "next-fruit": after the winding snake has eaten. */
static double draw_snake(const char *what, uint32_t i)
{
    egg_snake s;
    float observation[725], reward;
    egg_env_snake.reset(&s, i, observation);
    if (strcmp(what, "head") == 0) return s.head_row * EGG_SNAKE_SIDE + s.head_column;
    if (strcmp(what, "fruit") == 0) return s.fruit;
    lie_winding(&s);
    assert_false(egg_env_snake.step(&s, (float[]){2}, observation, &reward));
    assert_true(reward == 1);
    return s.fruit;
}

/* ------------------------------------------------------------------------------------------------------------ tests */

static const replay_env replays[] = {
    {.env = &egg_env_game2048, .state_numbers = EGG_GAME2048_CELLS, .set = set_game2048, .get = get_game2048,
     .reseed = reseed_game2048, .draw = draw_game2048},
    {.env = &egg_env_knapsack, .state_numbers = 3 * ITEMS + 1, .set = set_knapsack, .get = get_knapsack,
     .draw = draw_knapsack},
    {.env = &egg_env_snake, .state_numbers = CELLS + 5, .set = set_snake, .get = get_snake, .reseed = reseed_snake,
     .draw = draw_snake, .neighbors = true},
};

static void test_every_step_is_the_originals(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(replays); i++) replay_steps(&replays[i]);
}

static void test_random_parts_are_distributed_as_the_originals(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(replays); i++) replay_histograms(&replays[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_is_the_originals),
        cmocka_unit_test(test_random_parts_are_distributed_as_the_originals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
