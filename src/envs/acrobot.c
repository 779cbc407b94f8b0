/* SPDX-License-Identifier: MIT */
/*
 * Acrobot-v1: two links hang from a joint; torque at the elbow has to swing the free end above a line (Sutton, 1996,
 * with the equations of Sutton and Barto's book), as in Gymnasium. Actions 0, 1, 2 are torques -1, 0, +1.
 *
 * Observation: cosine and sine of the first and of the second angle, both angular velocities.
 */
#include "envs/acrobot.h"

#include <math.h>

#include "envs/draw.h"
#include "envs/list.h"

/* Links are 1 long, weigh 1, have a moment of inertia of 1 and their centers of mass at 0.5. */
static const double pi = 3.14159265358979323846, gravity = 9.8, tau = 0.2;
static const double center = 0.5, inertia = 1.0;

static void observe(const egg_acrobot *s, float *observation)
{
    for (uint32_t i = 0; i < 2; i++) {
        observation[2 * i] = (float)cos(s->angle[i]);
        observation[2 * i + 1] = (float)sin(s->angle[i]);
        observation[4 + i] = (float)s->velocity[i];
    }
}

static void reset(void *state, uint64_t seed, float *observation)
{
    egg_words words = egg_env_words(seed);
    egg_acrobot *s = state;
    for (uint32_t i = 0; i < 2; i++) s->angle[i] = egg_env_between(&words, -0.1f, 0.1f);
    for (uint32_t i = 0; i < 2; i++) s->velocity[i] = egg_env_between(&words, -0.1f, 0.1f);
    observe(s, observation);
}

/* The time derivative of 's' under 'torque'. */
static egg_acrobot derive(const egg_acrobot *s, double torque)
{
    double cosine = cos(s->angle[1]), sine = sin(s->angle[1]), v0 = s->velocity[0], v1 = s->velocity[1];
    double d1 = center * center + (1 + center * center + cosine) + inertia + inertia;
    double d2 = center * center + center * cosine + inertia;
    double phi2 = center * gravity * cos(s->angle[0] + s->angle[1] - pi / 2);
    double phi1 = -center * (v1 * v1) * sine - v1 * v0 * sine +
                  (center + 1) * gravity * cos(s->angle[0] - pi / 2) + phi2;
    double second = (torque + d2 / d1 * phi1 - center * (v0 * v0) * sine - phi2) /
                    (center * center + inertia - d2 * d2 / d1);
    return (egg_acrobot){.angle = {v0, v1}, .velocity = {-(d2 * second + phi1) / d1, second}};
}

static egg_acrobot advance(const egg_acrobot *s, double time, const egg_acrobot *slope)
{
    egg_acrobot out;
    for (uint32_t i = 0; i < 2; i++) {
        out.angle[i] = s->angle[i] + time * slope->angle[i];
        out.velocity[i] = s->velocity[i] + time * slope->velocity[i];
    }
    return out;
}

/* One step of the classical method of Runge and Kutta. */
static void integrate(egg_acrobot *s, double torque)
{
    egg_acrobot k1 = derive(s, torque), at = advance(s, tau / 2, &k1);
    egg_acrobot k2 = derive(&at, torque);
    at = advance(s, tau / 2, &k2);
    egg_acrobot k3 = derive(&at, torque);
    at = advance(s, tau, &k3);
    egg_acrobot k4 = derive(&at, torque), sum;
    for (uint32_t i = 0; i < 2; i++) {
        sum.angle[i] = k1.angle[i] + 2 * k2.angle[i] + 2 * k3.angle[i] + k4.angle[i];
        sum.velocity[i] = k1.velocity[i] + 2 * k2.velocity[i] + 2 * k3.velocity[i] + k4.velocity[i];
    }
    *s = advance(s, tau / 6, &sum);
}

static double wrap(double angle)
{
    while (angle > pi) angle -= 2 * pi;
    while (angle < -pi) angle += 2 * pi;
    return angle;
}

static bool step(void *state, const float *action, float *observation, float *reward)
{
    egg_acrobot *s = state;
    const double limit[2] = {4 * pi, 9 * pi};
    integrate(s, (double)action[0] - 1);
    for (uint32_t i = 0; i < 2; i++) {
        s->angle[i] = wrap(s->angle[i]);
        s->velocity[i] = fmin(fmax(s->velocity[i], -limit[i]), limit[i]);
    }
    observe(s, observation);
    bool above = -cos(s->angle[0]) - cos(s->angle[1] + s->angle[0]) > 1;
    *reward = above ? 0 : -1;
    return above;
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const egg_acrobot *s = state;
    const double scale = 11, x = EGG_CANVAS_WIDTH / 2.0, y = EGG_CANVAS_HEIGHT / 2.0;
    double both = s->angle[0] + s->angle[1];
    double elbow_x = x + scale * sin(s->angle[0]), elbow_y = y + scale * cos(s->angle[0]);
    double end_x = elbow_x + scale * sin(both), end_y = elbow_y + scale * cos(both);
    egg_canvas canvas = {0};
    for (uint32_t i = 0; i < EGG_CANVAS_WIDTH; i += 4) egg_canvas_dot(&canvas, i, y - scale);
    egg_canvas_line(&canvas, x, y, elbow_x, elbow_y);
    egg_canvas_line(&canvas, elbow_x, elbow_y, end_x, end_y);
    egg_canvas_disc(&canvas, x, y, 1);
    egg_canvas_disc(&canvas, elbow_x, elbow_y, 1);
    egg_canvas_disc(&canvas, end_x, end_y, 1.5);
    egg_drawing drawing = egg_drawing_begin(text, bytes);
    egg_draw_canvas(&drawing, &canvas);
    return drawing.used;
}

const egg_env egg_env_acrobot = {
    .version = EGG_ENV_VERSION,
    .name = "Acrobot-v1",
    .summary = "swing the free end of two links above a line by torque at the elbow",
    .observations = 6,
    .actions = 3,
    .discrete = true,
    .max_steps = 500,
    .state_bytes = sizeof(egg_acrobot),
    .reset = reset,
    .step = step,
    .render = render,
};
