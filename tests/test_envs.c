/* SPDX-License-Identifier: MIT */
/* What holds for every environment there is: determinism by seed, finite numbers, states apart, names, drawings. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envs/env.h"

enum { STEPS = 300, ACTIONS_MAX = 64 };

/* An episode of an environment with random actions. */
typedef struct episode {
    const egg_env *env;
    void *state;
    egg_words actions;
    float *observation, reward;
    bool done;
} episode;

static void episode_open(episode *e, const egg_env *env)
{
    *e = (episode){.env = env};
    size_t bytes = (env->state_bytes + 63) / 64 * 64;
    e->state = aligned_alloc(64, bytes);
    e->observation = calloc(env->observations, sizeof(float));
    assert_non_null(e->state);
    assert_non_null(e->observation);
    memset(e->state, 0, bytes);
    egg_error error;
    if (env->init) assert_int_equal(env->init(e->state, &error), EGG_OK);
}

static void episode_close(episode *e)
{
    if (e->env->fini) e->env->fini(e->state);
    free(e->state);
    free(e->observation);
}

static void episode_begin(episode *e, uint64_t seed)
{
    for (uint32_t i = 0; i < e->env->observations; i++) e->observation[i] = NAN;   /* each has to be written */
    e->actions = egg_env_words(~seed);
    e->env->reset(e->state, seed, e->observation);
    e->done = false;
}

static void episode_step(episode *e)
{
    float action[ACTIONS_MAX];
    assert_in_range(e->env->discrete ? 1 : e->env->actions, 1, ACTIONS_MAX);
    if (e->env->discrete)
        action[0] = (float)egg_env_below(&e->actions, e->env->actions);
    else
        for (uint32_t i = 0; i < e->env->actions; i++)
            action[i] = egg_env_between(&e->actions, e->env->action_low, e->env->action_high);
    for (uint32_t i = 0; i < e->env->observations; i++) e->observation[i] = NAN;
    e->reward = NAN;
    e->done = e->env->step(e->state, action, e->observation, &e->reward);
}

/* Calls 'check' with every environment that can run here. */
static void for_each(void (*check)(const egg_env *env))
{
    size_t checked = 0;
    for (size_t i = 0; i < egg_env_count(); i++) {
        egg_env_entry entry = egg_env_at(i);
        if (entry.missing) {
            print_message("%s is not available: %s\n", entry.env->name, entry.missing);
            continue;
        }
        check(entry.env);
        checked++;
    }
    assert_true(checked >= 7);
}

static void assert_same_numbers(const episode *a, const episode *b, uint64_t seed, int step)
{
    size_t bytes = a->env->observations * sizeof(float);
    if (memcmp(a->observation, b->observation, bytes) != 0 || a->done != b->done)
        fail_msg("%s, seed %u, step %d: not what the same seed gave before", a->env->name, (unsigned)seed, step);
}

static void check_fields(const egg_env *env)
{
    assert_int_equal(env->version, EGG_ENV_VERSION);
    assert_true(env->name && *env->name && env->summary && *env->summary);
    assert_null(strchr(env->summary, '\n'));
    assert_true(env->observations > 0 && env->max_steps > 0 && env->state_bytes > 0 && env->reset && env->step);
    assert_in_range(env->actions, env->discrete ? 2 : 1, ACTIONS_MAX);
    if (!env->discrete) assert_true(env->action_low < env->action_high);
}

static void test_fields_are_filled(void **state)
{
    (void)state;
    for_each(check_fields);
}

static void check_finite(const egg_env *env)
{
    episode e;
    episode_open(&e, env);
    uint64_t seed = 0;
    episode_begin(&e, seed);
    for (int step = 0; step < STEPS; step++) {
        for (uint32_t i = 0; i < env->observations; i++)
            if (!isfinite(e.observation[i])) fail_msg("%s, step %d: observation %u is not finite", env->name, step, i);
        if (e.done) episode_begin(&e, ++seed);
        episode_step(&e);
        if (!isfinite(e.reward)) fail_msg("%s, step %d: the reward is not finite", env->name, step);
    }
    episode_close(&e);
}

static void test_numbers_are_finite(void **state)
{
    (void)state;
    for_each(check_finite);
}

/* The same seed and actions give the same episode in a state that is new, and in one that had other episodes before. */
static void check_deterministic(const egg_env *env)
{
    episode used, fresh;
    episode_open(&used, env);
    episode_begin(&used, 77);
    for (int step = 0; step < 20 && !used.done; step++) episode_step(&used);
    for (uint64_t seed = 0; seed < 4; seed++) {
        episode_open(&fresh, env);
        episode_begin(&used, seed);
        episode_begin(&fresh, seed);
        assert_same_numbers(&used, &fresh, seed, 0);
        for (int step = 1; step < STEPS && !used.done; step++) {
            episode_step(&used);
            episode_step(&fresh);
            assert_same_numbers(&used, &fresh, seed, step);
            assert_memory_equal(&used.reward, &fresh.reward, sizeof used.reward);
        }
        episode_close(&fresh);
    }
    episode_close(&used);
}

static void test_an_episode_follows_from_its_seed(void **state)
{
    (void)state;
    for_each(check_deterministic);
}

/* Of 8 seeds, at least two begin differently, or soon become different under the same actions. */
static void check_seeds_matter(const egg_env *env)
{
    episode first, other;
    bool differ = false;
    episode_open(&first, env);
    episode_open(&other, env);
    for (uint64_t seed = 1; seed < 8 && !differ; seed++) {
        episode_begin(&first, 0);
        episode_begin(&other, seed);
        other.actions = first.actions;
        for (int step = 0; step < 50 && !differ && !first.done && !other.done; step++) {
            differ = memcmp(first.observation, other.observation, env->observations * sizeof(float)) != 0;
            episode_step(&first);
            episode_step(&other);
        }
    }
    if (!differ) fail_msg("%s: every seed gives the same episode", env->name);
    episode_close(&first);
    episode_close(&other);
}

static void test_seeds_matter(void **state)
{
    (void)state;
    for_each(check_seeds_matter);
}

/* Two episodes that take turns are what each is alone. */
static void check_apart(const egg_env *env)
{
    episode alone[2], mixed[2];
    for (uint32_t i = 0; i < 2; i++) {
        episode_open(&alone[i], env);
        episode_open(&mixed[i], env);
        episode_begin(&mixed[i], 10 + i);
    }
    for (int step = 0; step < 100; step++)
        for (uint32_t i = 0; i < 2; i++)
            if (!mixed[i].done) episode_step(&mixed[i]);
    for (uint32_t i = 0; i < 2; i++) {
        episode_begin(&alone[i], 10 + i);
        for (int step = 0; step < 100 && !alone[i].done; step++) episode_step(&alone[i]);
        assert_same_numbers(&alone[i], &mixed[i], 10 + i, 100);
        episode_close(&alone[i]);
        episode_close(&mixed[i]);
    }
}

static void test_states_are_apart(void **state)
{
    (void)state;
    for_each(check_apart);
}

/* --------------------------------------------------------------------------------------------------------- drawings */

static bool is_utf8(const char *text)
{
    int more = 0;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (more ? (byte & 0xc0) != 0x80 : (byte & 0xc0) == 0x80) return false;
        more = more ? more - 1 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
    }
    return more == 0;
}

/* A drawing of any size ends within its buffer, with whole characters, and leaves what follows alone. */
static void check_render(const egg_env *env)
{
    enum { MOST = 16384 };
    static char text[MOST + 1], shorter[MOST + 1];
    if (!env->render) return;
    episode e;
    episode_open(&e, env);
    episode_begin(&e, 5);
    for (int step = 0; step < 40 && !e.done; step++) {
        size_t length = env->render(e.state, text, MOST);
        assert_in_range(length, 1, MOST - 2);   /* the whole drawing has room here */
        assert_int_equal(strlen(text), length);
        assert_true(is_utf8(text));
        assert_int_equal(text[length - 1], '\n');
        for (size_t bytes = 1; bytes <= length + 1; bytes += bytes < 200 ? 1 : 97) {
            memset(shorter, '#', sizeof shorter);
            size_t cut = env->render(e.state, shorter, bytes);
            if (cut >= bytes || strlen(shorter) != cut || !is_utf8(shorter) || memcmp(shorter, text, cut) != 0)
                fail_msg("%s draws %zu characters into %zu bytes", env->name, cut, bytes);
            for (size_t i = bytes; i < sizeof shorter; i++)
                if (shorter[i] != '#') fail_msg("%s writes byte %zu of %zu", env->name, i, bytes);
        }
        episode_step(&e);
    }
    episode_close(&e);
}

static void test_drawings_stay_within_their_buffer(void **state)
{
    (void)state;
    for_each(check_render);
}

/* ------------------------------------------------------------------------------------------------------------ names */

static void check_name(const egg_env *env)
{
    const egg_env *found;
    egg_error error;
    char name[64];
    snprintf(name, sizeof name, "%s", env->name);
    assert_int_equal(egg_env_find(&found, name, &error), EGG_OK);
    assert_ptr_equal(found, env);
    for (char *c = name; *c; c++) *c = (char)tolower((unsigned char)*c);
    assert_int_equal(egg_env_find(&found, name, &error), EGG_OK);
    assert_ptr_equal(found, env);
    char *version = strstr(name, "-v");
    if (!version) return;
    *version = 0;
    assert_int_equal(egg_env_find(&found, name, &error), EGG_OK);
    assert_ptr_equal(found, env);
}

static void test_names_are_found(void **state)
{
    (void)state;
    for_each(check_name);
    for (size_t i = 0; i < egg_env_count(); i++)
        for (size_t k = 0; k < i; k++) assert_string_not_equal(egg_env_at(i).env->name, egg_env_at(k).env->name);
}

static void test_unknown_names_get_the_nearest(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"CartPol", "CartPole-v1"}, {"pendulm-v1", "Pendulum-v1"}, {"Acrobat-v1", "Acrobot-v1"},
        {"2048", "Game2048-v1"}, {"knapsak", "Knapsack-v1"}, {"MountainCar", "MountainCarContinuous-v0"},
        {"snakes", "Snake-v1"},
    };
    for (size_t i = 0; i < EGG_COUNT(cases); i++) {
        const egg_env *found = &(egg_env){0};
        egg_error error = {0};
        assert_int_equal(egg_env_find(&found, cases[i][0], &error), EGG_ERR_ARGUMENT);
        assert_null(found);
        if (!strstr(error.text, cases[i][1])) fail_msg("'%s' is not in: %s", cases[i][1], error.text);
        assert_non_null(strstr(error.text, cases[i][0]));
    }
    const egg_env *found;
    egg_error error;
    char endless[500];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = 0;
    assert_int_equal(egg_env_find(&found, endless, &error), EGG_ERR_ARGUMENT);
    assert_int_equal(egg_env_find(&found, "", &error), EGG_ERR_ARGUMENT);
    assert_int_equal(egg_env_find(&found, "CartPole-v7", &error), EGG_ERR_ARGUMENT);
}

static void test_random_numbers_are_in_their_range(void **state)
{
    (void)state;
    egg_words words = egg_env_words(3);
    uint32_t counts[6] = {0};
    for (int i = 0; i < 6000; i++) {
        float uniform = egg_env_uniform(&words), between = egg_env_between(&words, -3, -1);
        assert_true(uniform >= 0 && uniform < 1 && between >= -3 && between < -1);
        counts[egg_env_below(&words, 6)]++;
    }
    double chi_square = 0;
    for (int i = 0; i < 6; i++) chi_square += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000.0;
    assert_true(chi_square < 25.7);   /* exceeded with a probability of 1e-4 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_filled),
        cmocka_unit_test(test_numbers_are_finite),
        cmocka_unit_test(test_an_episode_follows_from_its_seed),
        cmocka_unit_test(test_seeds_matter),
        cmocka_unit_test(test_states_are_apart),
        cmocka_unit_test(test_drawings_stay_within_their_buffer),
        cmocka_unit_test(test_names_are_found),
        cmocka_unit_test(test_unknown_names_get_the_nearest),
        cmocka_unit_test(test_random_numbers_are_in_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
