/* SPDX-License-Identifier: MIT */
/*
 * Pendulum-v1: swing a rod up and hold it there by torque at its end, as in Gymnasium. An episode never terminates.
 *
 * Observation: cosine and sine of the angle, angular velocity. Like the original, states are float64 and products with
 * the torque float32.
 */
#include "envs/pendulum.h"

#include <math.h>

#include "envs/draw.h"
#include "envs/list.h"

static const double pi = 3.14159265358979323846, gravity = 10.0, tau = 0.05, speed_limit = 8.0;

static void observe(const egg_pendulum *s, float *observation)
{
    observation[0] = (float)cos(s->angle);
    observation[1] = (float)sin(s->angle);
    observation[2] = (float)s->velocity;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_words words = egg_env_words(seed);
    egg_pendulum *s = state;
    s->angle = pi * egg_env_between(&words, -1, 1);
    s->velocity = egg_env_between(&words, -1, 1);
    observe(s, observation);
}

/* The angle within [-pi, pi). */
static double wrap(double angle)
{
    double turned = fmod(angle + pi, 2 * pi);
    return (turned < 0 ? turned + 2 * pi : turned) - pi;
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_pendulum *s = state;
    float torque = fminf(fmaxf(action[0], -2), 2);
    double angle = wrap(s->angle);
    *reward = (float)-(angle * angle + 0.1 * (s->velocity * s->velocity) + (double)(0.001f * (torque * torque)));

    s->velocity += (3 * gravity / 2 * sin(s->angle) + (double)(3 * torque)) * tau;   /* length 1, mass 1 */
    s->velocity = fmin(fmax(s->velocity, -speed_limit), speed_limit);
    s->angle += s->velocity * tau;
    observe(s, observation);
    return false;
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_pendulum *s = state;
    const double length = 20, x = EGG_CANVAS_WIDTH / 2.0, y = EGG_CANVAS_HEIGHT / 2.0;
    double end_x = x - length * sin(s->angle), end_y = y - length * cos(s->angle);
    egg_canvas canvas = {0};
    egg_canvas_line(&canvas, x, y, end_x, end_y);
    egg_canvas_disc(&canvas, x, y, 1);
    egg_canvas_disc(&canvas, end_x, end_y, 2.3);
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    egg_draw_canvas(&drawing, &canvas);
    return drawing.used;
}

const egg_env egg_env_pendulum = {
    .version = EGG_ENV_VERSION,
    .name = "Pendulum-v1",
    .summary = "swing a pendulum up and hold it upright by torque",
    .observations = 3,
    .actions = 1,
    .action_low = -2,
    .action_high = 2,
    .max_steps = 200,
    .state_bytes = sizeof(egg_pendulum),
    .reset = reset,
    .step = step,
    .render = render,
};
