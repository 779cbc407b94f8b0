/* SPDX-License-Identifier: MIT */
/*
 * MountainCarContinuous-v0: a weak car between two hills has to gather speed to climb the right one (Moore, 1990), as
 * in Gymnasium, whose state is float32 from the first step on, and so is its arithmetic but for the slope's cosine.
 *
 * Observation: position, velocity.
 */
#include "envs/mountain_car.h"

#include <math.h>

#include "envs/draw.h"
#include "envs/list.h"

static const float power = 0.0015f, speed_limit = 0.07f, left_end = -1.2f, right_end = 0.6f, goal = 0.45f;

static void observe(const egg_mountain_car *s, float *observation)
{
    observation[0] = s->position;
    observation[1] = s->velocity;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_words words = egg_env_words(seed);
    egg_mountain_car *s = state;
    s->position = egg_env_between(&words, -0.6f, -0.4f);
    s->velocity = 0;
    observe(s, observation);
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_mountain_car *s = state;
    float force = fminf(fmaxf(action[0], -1), 1);
    float pull = (float)(0.0025 * cos((double)(3 * s->position)));
    s->velocity = fminf(fmaxf(s->velocity + (force * power - pull), -speed_limit), speed_limit);
    s->position = fminf(fmaxf(s->position + s->velocity, left_end), right_end);
    if (s->position <= left_end && s->velocity < 0) s->velocity = 0;   /* a wall */
    observe(s, observation);
    bool there = s->position >= goal && s->velocity >= 0;
    *reward = (float)((there ? 100 : 0) - (double)action[0] * (double)action[0] * 0.1);
    return there;
}

/* The hills, in dots. */
static double dot_x(double position)
{
    return (position - (double)left_end) / (double)(right_end - left_end) * (EGG_CANVAS_WIDTH - 1);
}

static double dot_y(double position)
{
    return EGG_CANVAS_HEIGHT - 4 - (0.5 + 0.5 * sin(3 * position)) * (EGG_CANVAS_HEIGHT - 14);
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_mountain_car *s = state;
    double goal_x = dot_x((double)goal), goal_y = dot_y((double)goal), x = (double)s->position;
    egg_canvas canvas = {0};
    for (uint32_t i = 0; i < EGG_CANVAS_WIDTH; i++) {
        double position = (double)left_end + (double)(right_end - left_end) * i / (EGG_CANVAS_WIDTH - 1);
        egg_canvas_dot(&canvas, i, dot_y(position));
    }
    egg_canvas_line(&canvas, goal_x, goal_y, goal_x, goal_y - 8);
    for (uint32_t i = 0; i < 3; i++) egg_canvas_line(&canvas, goal_x, goal_y - 8 + i, goal_x + 4, goal_y - 8 + i);
    egg_canvas_disc(&canvas, dot_x(x), dot_y(x) - 3, 2.3);
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    egg_draw_canvas(&drawing, &canvas);
    return drawing.used;
}

const egg_env egg_env_mountain_car = {
    .version = EGG_ENV_VERSION,
    .name = "MountainCarContinuous-v0",
    .summary = "rock a weak car up a hill with little force",
    .observations = 2,
    .actions = 1,
    .action_low = -1,
    .action_high = 1,
    .max_steps = 999,
    .state_bytes = sizeof(egg_mountain_car),
    .reset = reset,
    .step = step,
    .render = render,
};
