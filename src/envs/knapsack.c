/* SPDX-License-Identifier: MIT */
/*
 * Knapsack-v1: pack items, one an action, into a bag that holds 12.5, as in Jumanji. The 50 items have weights and
 * values uniform in [0, 1). The reward is the value of the packed item. The end is when nothing more fits, or at an
 * action that names an item that is packed or too heavy, whose reward is 0.
 *
 * Observation, 200 numbers: 50 weights, 50 values; for each item 1 if it is packed; for each item 1 if it can be packed
 * (Jumanji's action mask).
 */
#include "envs/knapsack.h"

#include "envs/draw.h"
#include "envs/list.h"

enum { ITEMS = EGG_KNAPSACK_ITEMS };

static const float capacity = 12.5f;

static bool fits(const egg_knapsack *s, uint32_t item)
{
    return !s->packed[item] && s->weights[item] <= s->budget;
}

/* Returns whether anything fits. */
static bool observe(const egg_knapsack *s, float *observation)
{
    bool any = false;
    for (uint32_t i = 0; i < ITEMS; i++) {
        bool can = fits(s, i);
        observation[i] = s->weights[i];
        observation[ITEMS + i] = s->values[i];
        observation[2 * ITEMS + i] = s->packed[i];
        observation[3 * ITEMS + i] = can;
        any |= can;
    }
    return any;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_words words = egg_env_words(seed);
    egg_knapsack *s = state;
    *s = (egg_knapsack){.budget = capacity};
    for (uint32_t i = 0; i < ITEMS; i++) s->weights[i] = egg_env_uniform(&words);
    for (uint32_t i = 0; i < ITEMS; i++) s->values[i] = egg_env_uniform(&words);
    observe(s, observation);
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_knapsack *s = state;
    uint32_t item = (uint32_t)action[0];
    bool valid = fits(s, item);
    *reward = valid ? s->values[item] : 0;
    if (valid) {
        s->packed[item] = 1;
        s->budget -= s->weights[item];
    }
    return !observe(s, observation) || !valid;
}

static void draw_bag(egg_drawing *drawing, double used)
{
    enum { WIDTH = 50 };
    uint32_t filled = (uint32_t)(used / (double)capacity * WIDTH + 0.5);
    for (uint32_t i = 0; i < WIDTH; i++) egg_draw(drawing, i < filled ? "█" : "░");
}

static size_t render(const void *state, char *text, size_t bytes)
{
    enum { COLUMNS = 5 };
    const egg_knapsack *s = state;
    double value = 0, used = (double)(capacity - s->budget);
    for (uint32_t i = 0; i < ITEMS; i++) value += s->packed[i] ? (double)s->values[i] : 0;
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    draw_bag(&drawing, used);
    egg_draw(&drawing, "\n%.2f of %.1f used, value %.2f; items are value/weight\n", used, (double)capacity, value);
    for (uint32_t i = 0; i < ITEMS; i++)
        egg_draw(&drawing, "%s %.2f/%.2f%s", s->packed[i] ? "■" : fits(s, i) ? "□" : " ", (double)s->values[i],
                 (double)s->weights[i], (i + 1) % COLUMNS ? "  " : "\n");
    return drawing.used;
}

const egg_env egg_env_knapsack = {
    .version = EGG_ENV_VERSION,
    .name = "Knapsack-v1",
    .summary = "pack the most valuable of 50 items into a bag",
    .observations = 4 * ITEMS,
    .actions = ITEMS,
    .discrete = true,
    .mask_at = 1 + 3 * ITEMS,
    .max_steps = ITEMS,
    .state_bytes = sizeof(egg_knapsack),
    .reset = reset,
    .step = step,
    .render = render,
};
