/* SPDX-License-Identifier: MIT */
/*
 * The classic control environments against Gymnasium (tests/gen/envs_gymnasium.py). States are float64 in both; sine
 * and cosine of the C library and of NumPy are within 1 ulp, 2e-16, of the truth. Accelerations are sums of such
 * numbers times at most 1000 (Acrobot with both speeds at their limits) and a step multiplies them by at most 0.2, four
 * times in Runge and Kutta's method; angles are at most 50: less than 1e-12. Two such numbers round to the same float,
 * or to neighbors where a midpoint lies between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "env_replay.h"
#include "envs/acrobot.h"
#include "envs/cartpole.h"
#include "envs/list.h"
#include "envs/mountain_car.h"
#include "envs/pendulum.h"

/* A state that is doubles and nothing else. */
#define DOUBLES(name)                                                                                                  \
    static void set_##name(void *state, const double *numbers)                                                         \
    {                                                                                                                  \
        memcpy(state, numbers, sizeof(egg_##name));                                                                    \
    }                                                                                                                  \
    static void get_##name(const void *state, double *numbers)                                                         \
    {                                                                                                                  \
        memcpy(numbers, state, sizeof(egg_##name));                                                                    \
    }

DOUBLES(cartpole)
DOUBLES(acrobot)
DOUBLES(pendulum)

static void set_mountain_car(void *state, const double *numbers)
{
    *(egg_mountain_car *)state = (egg_mountain_car){.position = (float)numbers[0], .velocity = (float)numbers[1]};
}

static void get_mountain_car(const void *state, double *numbers)
{
    const egg_mountain_car *s = state;
    numbers[0] = (double)s->position;
    numbers[1] = (double)s->velocity;
}

/* Initial states: "state2" is number 2 of the state. */
static double draw_number(const egg_env *env, void *state, size_t number, uint32_t seed)
{
    float observation[8];
    env->reset(state, seed, observation);
    return ((double *)state)[number];
}

static double draw_cartpole(const char *what, uint32_t i)
{
    egg_cartpole s;
    return draw_number(&egg_env_cartpole, &s, (size_t)(what[5] - '0'), i);
}

static double draw_acrobot(const char *what, uint32_t i)
{
    egg_acrobot s;
    return draw_number(&egg_env_acrobot, &s, (size_t)(what[5] - '0'), i);
}

static double draw_pendulum(const char *what, uint32_t i)
{
    egg_pendulum s;
    return draw_number(&egg_env_pendulum, &s, strcmp(what, "velocity") == 0, i);
}

static double draw_mountain_car(const char *what, uint32_t i)
{
    egg_mountain_car s;
    float observation[2];
    (void)what;
    egg_env_mountain_car.reset(&s, i, observation);
    return (double)s.position;
}

#define REPLAY(name, count, off)                                                                                       \
    {                                                                                                                  \
        .env = &egg_env_##name, .state_numbers = count, .set = set_##name, .get = get_##name, .draw = draw_##name,     \
        .tolerance = off, .neighbors = off > 0                                                                         \
    }
static const replay_env replays[] = {
    REPLAY(cartpole, 4, 1e-12),
    REPLAY(acrobot, 4, 1e-12),
    REPLAY(pendulum, 2, 1e-12),
    REPLAY(mountain_car, 2, 0),   /* float32 but for one cosine, whose last bit of 53 the float32 does not show */
};

static void test_every_step_is_the_originals(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(replays); i++) replay_steps(&replays[i]);
}

/*
 * Errors grow as the systems are unstable: the fastest is Acrobot, whose 50 steps are 10 seconds at about e^2 a second:
 * 1e-16 becomes 5e-8. Numbers up to 30 as floats add 2e-6.
 */
static void test_episodes_stay_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(replays); i++) replay_episodes(&replays[i], 50, 1e-5);
}

static void test_initial_states_are_distributed_as_the_originals(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(replays); i++) replay_histograms(&replays[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_is_the_originals),
        cmocka_unit_test(test_episodes_stay_together),
        cmocka_unit_test(test_initial_states_are_distributed_as_the_originals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
