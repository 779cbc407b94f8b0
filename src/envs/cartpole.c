/* SPDX-License-Identifier: MIT */
/* CartPole-v1: a pole on a cart that is pushed left or right (Barto, Sutton and Anderson, 1983), as in Gymnasium. */
#include "envs/cartpole.h"

#include <math.h>

#include "envs/draw.h"
#include "envs/list.h"

static const double gravity = 9.8, cart_mass = 1.0, pole_mass = 0.1, half_length = 0.5, push = 10.0, tau = 0.02;
static const double angle_limit = 12 * 2 * 3.14159265358979323846 / 360, x_limit = 2.4;

static void observe(const egg_cartpole *s, float *observation)
{
    observation[0] = (float)s->x;
    observation[1] = (float)s->x_velocity;
    observation[2] = (float)s->angle;
    observation[3] = (float)s->angle_velocity;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_words words = egg_env_words(seed);
    egg_cartpole *s = state;
    s->x = egg_env_between(&words, -0.05f, 0.05f);
    s->x_velocity = egg_env_between(&words, -0.05f, 0.05f);
    s->angle = egg_env_between(&words, -0.05f, 0.05f);
    s->angle_velocity = egg_env_between(&words, -0.05f, 0.05f);
    observe(s, observation);
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_cartpole *s = state;
    const double total_mass = cart_mass + pole_mass, pole_moment = pole_mass * half_length;
    double force = action[0] >= 0.5f ? push : -push, cosine = cos(s->angle), sine = sin(s->angle);
    double drive = (force + pole_moment * s->angle_velocity * s->angle_velocity * sine) / total_mass;
    double angle_acceleration = (gravity * sine - cosine * drive) /
                                (half_length * (4.0 / 3.0 - pole_mass * cosine * cosine / total_mass));
    double acceleration = drive - pole_moment * angle_acceleration * cosine / total_mass;

    s->x += tau * s->x_velocity;   /* Euler's method, positions first */
    s->x_velocity += tau * acceleration;
    s->angle += tau * s->angle_velocity;
    s->angle_velocity += tau * angle_acceleration;
    observe(s, observation);
    *reward = 1;
    return fabs(s->x) > x_limit || fabs(s->angle) > angle_limit;
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_cartpole *s = state;
    const double length = 30, y = EGG_CANVAS_HEIGHT - 6;
    double x = (s->x / x_limit + 1) / 2 * (EGG_CANVAS_WIDTH - 1);
    egg_canvas canvas = {0};
    for (int i = 0; i < 4; i++) egg_canvas_line(&canvas, x - 6, y + i, x + 6, y + i);
    egg_canvas_line(&canvas, x, y, x + length * sin(s->angle), y - length * cos(s->angle));
    egg_canvas_line(&canvas, 0, EGG_CANVAS_HEIGHT - 1, EGG_CANVAS_WIDTH - 1, EGG_CANVAS_HEIGHT - 1);
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    egg_draw_canvas(&drawing, &canvas);
    return drawing.used;
}

const egg_env egg_env_cartpole = {
    .version = EGG_ENV_VERSION,
    .name = "CartPole-v1",
    .summary = "balance a pole on a cart by pushes to the left and right",
    .observations = 4,
    .actions = 2,
    .discrete = true,
    .max_steps = 500,
    .state_bytes = sizeof(egg_cartpole),
    .reset = reset,
    .step = step,
    .render = render,
};
