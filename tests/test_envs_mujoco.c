/* SPDX-License-Identifier: MIT */
/* The environments that MuJoCo simulates, against episodes recorded from Gymnasium; how they are listed without it. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "envs/env.h"
#include "envs/mujoco/robots.h"

enum { MAX_OBSERVATIONS = 348, MAX_ACTIONS = 17, MAX_COORDINATES = 24 };

static const struct {
    const egg_env *env;
    const char *fixture;
    uint32_t positions, velocities;
} robots[] = {
    {&egg_env_ant, "ant", 15, 14},
    {&egg_env_humanoid, "humanoid", 24, 23},
    {&egg_env_half_cheetah, "half_cheetah", 9, 9},
    {&egg_env_inverted_double_pendulum, "inverted_double_pendulum", 3, 3},
};

static void skip_if_missing(void)
{
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        const char *missing = egg_robot_missing(robots[i].env);
        if (!missing) continue;
        print_message("skipped, %s is not available: %s\n", robots[i].env->name, missing);
        skip();
    }
}

static void *state_open(const egg_env *env)
{
    egg_error error = {0};
    void *state = egg_alloc(env->state_bytes);
    assert_non_null(state);
    if (env->init(state, &error) != EGG_OK) fail_msg("%s", error.text);
    return state;
}

static void state_close(const egg_env *env, void *state)
{
    env->fini(state);
    egg_free(state);
}

/* --------------------------------------------------------------------------------------------------------- listed */

static void test_they_are_listed_with_the_reason_they_lack(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        size_t at = 0;
        while (at < egg_env_count() && egg_env_at(at).env != robots[i].env) at++;
        assert_true(at < egg_env_count());
        egg_env_entry entry = egg_env_at(at);
        egg_error error = {0};
        const egg_env *found;
        egg_status status = egg_env_find(&found, entry.env->name, &error);
        if (entry.missing) {
            assert_int_equal(status, EGG_ERR_UNSUPPORTED);
            assert_non_null(strstr(error.text, entry.missing));
            assert_int_not_equal(entry.env->init(&(char){0}, &error), EGG_OK);
        } else {
            assert_int_equal(status, EGG_OK);
            assert_ptr_equal(found, entry.env);
        }
    }
}

static void test_a_model_that_is_not_there_is_named(void **unused)
{
    (void)unused;
    if (!*egg_robot_engine()) skip();
    const egg_env *env = &egg_env_ant;
    egg_error error = {0};
    void *state = egg_alloc(env->state_bytes);
    setenv("EGGROLL_MUJOCO_ASSETS", "/nonexistent", 1);
    const char *missing = egg_robot_missing(env);
    egg_status status = env->init(state, &error);
    unsetenv("EGGROLL_MUJOCO_ASSETS");
    env->fini(state);
    egg_free(state);
    assert_non_null(missing);
    assert_non_null(strstr(missing, "EGGROLL_MUJOCO_ASSETS"));
    assert_int_equal(status, EGG_ERR_IO);
    assert_non_null(strstr(error.text, "/nonexistent/ant.xml"));
}

/* Prepares a state with a model file of this name and text, in a folder of its own. */
static egg_status init_with_model(const egg_env *env, const char *name, const char *text, void *state, egg_error *error)
{
    char folder[] = "/tmp/egg-models-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    setenv("EGGROLL_MUJOCO_ASSETS", folder, 1);
    egg_status status = env->init(state, error);
    unsetenv("EGGROLL_MUJOCO_ASSETS");
    unlink(path);
    rmdir(folder);
    return status;
}

/* A file with this text is refused as the model of the ant, for this reason. */
static void expect_refused(const char *text, const char *reason)
{
    egg_error error = {0};
    void *state = egg_alloc(egg_env_ant.state_bytes);
    egg_status status = init_with_model(&egg_env_ant, "ant.xml", text, state, &error);
    egg_env_ant.fini(state);
    egg_free(state);
    assert_int_equal(status, EGG_ERR_FORMAT);
    if (!strstr(error.text, "/ant.xml: ") || !strstr(error.text, reason))
        fail_msg("'%s', expected '%s'", error.text, reason);
}

static void test_a_model_that_is_another_is_refused(void **unused)
{
    (void)unused;
    if (!*egg_robot_engine()) skip();
    expect_refused("<mujoco><worldbody/></mujoco>", "expected 15 positions, found 0");
    expect_refused("not a model", "XML");
    expect_refused("", "XML");
}

/* --------------------------------------------------------------------------------------------------- trajectories */

/* Reads 'n' numbers of a line. */
static void read_numbers(FILE *file, double *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (fscanf(file, "%lf", &out[i]) != 1) fail_msg("number %u of %u is missing", i, n);
}

/* Rounding of a float, and of the few sums and sines that Gymnasium rounds in another order. */
static bool close_to(double found, double expected)
{
    return fabs(found - expected) <= 2e-6 * (1 + fabs(expected));
}

static void check_observation(const egg_env *env, FILE *file, const float *observation, uint32_t step)
{
    double expected[MAX_OBSERVATIONS];
    read_numbers(file, expected, env->observations);
    for (uint32_t i = 0; i < env->observations; i++)
        if (!close_to(observation[i], expected[i]))
            fail_msg("%s: step %u, observation %u: %.9g, expected %.9g", env->name, step, i, observation[i],
                     expected[i]);
}

/* Replays all episodes of a file; returns how many steps that were. */
static uint32_t replay(size_t robot, FILE *file)
{
    const egg_env *env = robots[robot].env;
    float observation[MAX_OBSERVATIONS], action[MAX_ACTIONS], reward = 0;
    double positions[MAX_COORDINATES], velocities[MAX_COORDINATES], numbers[MAX_ACTIONS];
    char word[32];
    bool ended = false;
    uint32_t step = 0;
    void *state = state_open(env);
    while (fscanf(file, "%31s", word) == 1) {
        if (!strcmp(word, "episode")) {
            read_numbers(file, positions, robots[robot].positions);
            read_numbers(file, velocities, robots[robot].velocities);
            egg_robot_begin(state, positions, velocities, observation);
        } else if (!strcmp(word, "observation")) {
            check_observation(env, file, observation, step);
        } else if (!strcmp(word, "action")) {
            read_numbers(file, numbers, env->actions);
            for (uint32_t i = 0; i < env->actions; i++) action[i] = (float)numbers[i];
            ended = env->step(state, action, observation, &reward);
            step++;
        } else if (!strcmp(word, "result")) {
            read_numbers(file, numbers, 2);
            if (!close_to(reward, numbers[0]) || ended != (numbers[1] != 0))
                fail_msg("%s: step %u: reward %.9g, ended %d; expected %.9g, %.0f", env->name, step, reward, ended,
                         numbers[0], numbers[1]);
        } else {
            fail_msg("%s: unknown line '%s'", env->name, word);
        }
    }
    state_close(env, state);
    return step;
}

static void test_recorded_episodes(void **unused)
{
    (void)unused;
    skip_if_missing();
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        char path[512], version[32];
        snprintf(path, sizeof path, "%s/fixtures/envs/%s.txt", EGG_TEST_SOURCE_DIR, robots[i].fixture);
        FILE *file = fopen(path, "r");
        if (!file) fail_msg("%s: not found", path);
        assert_int_equal(fscanf(file, "%*[^\n] mujoco %31s", version), 1);
        if (strcmp(version, egg_robot_engine())) {
            print_message("skipped: recorded with MuJoCo %s, this is %s, whose steps differ\n", version,
                          egg_robot_engine());
            fclose(file);
            skip();
        }
        uint32_t steps = replay(i, file);
        fclose(file);
        assert_true(steps >= 20);
    }
}

/* --------------------------------------------------------------------------------------------------- determinism */

/* A pseudo-random action of any size, within 'scale' times its bounds. */
static void act(const egg_env *env, egg_words *words, float scale, float *action)
{
    for (uint32_t i = 0; i < env->actions; i++)
        action[i] = scale * egg_env_between(words, env->action_low, env->action_high);
}

/* Runs an episode of 50 steps at most; the sum over everything it returned, bit by bit. */
static uint64_t episode_hash(const egg_env *env, void *state, uint64_t seed)
{
    float observation[MAX_OBSERVATIONS + 1], action[MAX_ACTIONS];
    egg_words words = egg_env_words(seed + 1000);
    uint64_t hash = 0;
    bool ended = false;
    env->reset(state, seed, observation);
    for (uint32_t step = 0; step < 50; step++) {
        for (uint32_t i = 0; i < env->observations + (step > 0); i++) {
            uint32_t bits;
            memcpy(&bits, &observation[i], sizeof bits);
            hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
        }
        if (ended) break;
        act(env, &words, 1, action);
        ended = env->step(state, action, observation, &observation[env->observations]);
    }
    return hash;
}

static void test_the_same_whatever_ran_before(void **unused)
{
    (void)unused;
    skip_if_missing();
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        const egg_env *env = robots[i].env;
        void *fresh = state_open(env), *used = state_open(env);
        uint64_t expected = episode_hash(env, fresh, 7);
        for (uint64_t seed = 100; seed < 104; seed++) assert_true(episode_hash(env, used, seed) != expected);
        assert_true(episode_hash(env, used, 7) == expected);
        assert_true(episode_hash(env, fresh, 7) == expected);
        state_close(env, fresh);
        state_close(env, used);
    }
}

typedef struct worker {
    const egg_env *env;
    uint64_t seed, hash;
} worker;

static void *work(void *context)
{
    worker *w = context;
    void *state = state_open(w->env);
    w->hash = episode_hash(w->env, state, w->seed);
    state_close(w->env, state);
    return NULL;
}

static void test_threads_open_run_and_close(void **unused)
{
    (void)unused;
    skip_if_missing();
    enum { WORKERS = 8 };
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.env = robots[i % EGG_COUNT(robots)].env, .seed = 5};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        worker alone = {.env = workers[i].env, .seed = 5};
        work(&alone);
        assert_true(alone.hash == workers[i].hash);
    }
}

/* ------------------------------------------------------------------------------------------------------- extremes */

static void check_finite(const egg_env *env, const float *observation)
{
    for (uint32_t i = 0; i < env->observations; i++)
        if (!isfinite(observation[i])) fail_msg("%s: observation %u is %g", env->name, i, observation[i]);
}

static void test_a_broken_simulation_ends_the_episode(void **unused)
{
    (void)unused;
    skip_if_missing();
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        const egg_env *env = robots[i].env;
        float observation[MAX_OBSERVATIONS], action[MAX_ACTIONS] = {0}, reward;
        double bad[] = {NAN, INFINITY, 1e300, 1e9};
        void *state = state_open(env);
        uint64_t expected = episode_hash(env, state, 3);
        for (size_t k = 0; k < EGG_COUNT(bad); k++) {
            double positions[MAX_COORDINATES] = {0}, velocities[MAX_COORDINATES] = {0};
            for (uint32_t p = 0; p < robots[i].positions; p++) positions[p] = 0.1 * p;
            positions[2] = 1.4;
            velocities[robots[i].velocities - 1] = bad[k];
            velocities[0] = bad[k];
            egg_robot_begin(state, positions, velocities, observation);
            bool ended = false;
            for (uint32_t step = 0; step < 20 && !ended; step++) {
                ended = env->step(state, action, observation, &reward);
                check_finite(env, observation);
                assert_true(isfinite(reward));
            }
            if (bad[k] != 1e9) assert_true(ended && reward == 0);   /* the last is a fall like another, or none */
            assert_true(episode_hash(env, state, 3) == expected);
        }
        state_close(env, state);
    }
}

/* The bound of 1e10 is passed in the last of the five frames: the distance is not progress. */
static void test_a_simulation_that_breaks_at_the_end_of_a_step(void **unused)
{
    (void)unused;
    skip_if_missing();
    const egg_env *env = &egg_env_half_cheetah;
    const double positions[9] = {1e10 - 4.5e7}, velocities[9] = {1e9};
    float observation[17], action[6] = {0}, reward = 1;
    void *state = state_open(env);
    egg_robot_begin(state, positions, velocities, observation);
    assert_true(env->step(state, action, observation, &reward));
    assert_true(reward == 0);
    check_finite(env, observation);
    state_close(env, state);
}

/* A model with enough memory to load, and none for its joints' limits, which an episode begins beyond. */
static void test_an_error_of_the_engine_ends_the_episode(void **unused)
{
    (void)unused;
    skip_if_missing();
    static const char cramped[] =
        "<mujoco><size memory='1000'/><compiler angle='radian'/><option integrator='RK4'/><default>"
        "<joint limited='true' range='-.001 .001'/><geom size='.1'/></default><worldbody><body>"
        "<joint name='a' type='slide'/><geom/><body><joint type='hinge'/><geom/><body><joint type='hinge'/><geom/>"
        "<site/></body></body></body></worldbody><actuator><motor joint='a'/></actuator></mujoco>";
    const egg_env *env = &egg_env_inverted_double_pendulum;
    egg_error error = {0};
    float observation[9], action[1] = {0}, reward = 1;
    void *state = egg_alloc(env->state_bytes);
    egg_status status = init_with_model(env, "inverted_double_pendulum.xml", cramped, state, &error);
    if (status != EGG_OK) fail_msg("%s", error.text);
    env->reset(state, 1, observation);
    check_finite(env, observation);
    assert_true(env->step(state, action, observation, &reward));
    assert_true(reward == 0);
    check_finite(env, observation);
    state_close(env, state);
}

static void test_actions_that_are_no_numbers_do_no_harm(void **unused)
{
    (void)unused;
    skip_if_missing();
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        const egg_env *env = robots[i].env;
        float observation[MAX_OBSERVATIONS], action[MAX_ACTIONS], reward;
        void *state = state_open(env);
        uint64_t expected = episode_hash(env, state, 3);
        for (uint32_t k = 0; k < MAX_ACTIONS; k++) action[k] = k % 2 ? INFINITY : NAN;
        env->reset(state, 1, observation);
        for (uint32_t step = 0; step < 5; step++) {
            env->step(state, action, observation, &reward);
            check_finite(env, observation);
        }
        assert_true(episode_hash(env, state, 3) == expected);
        state_close(env, state);
    }
}

/* --------------------------------------------------------------------------------------------------------- resets */

typedef struct moments {
    double low, high, sum, squares, n;
} moments;

static void add(moments *m, double x)
{
    m->low = fmin(m->low, x);
    m->high = fmax(m->high, x);
    m->sum += x;
    m->squares += x * x;
    m->n++;
}

/* Five standard errors. */
static void check_moments(const moments *m, double deviation, bool uniform)
{
    double mean = m->sum / m->n, variance = m->squares / m->n, expected = deviation * deviation;
    double spread = uniform ? sqrt(0.8 / m->n) : sqrt(2 / m->n);   /* of the variance, relative */
    assert_true(fabs(mean) < 5 * deviation / sqrt(m->n));
    assert_true(fabs(variance / expected - 1) < 5 * spread);
    double end = deviation * sqrt(3) * (1 + 1e-5);
    if (uniform) assert_true(m->low >= -end && m->high <= end && m->high > 0.99 * end && m->low < -0.99 * end);
    if (!uniform) assert_true(m->low < -3 * deviation && m->high > 3 * deviation);
}

static void test_noise_of_the_beginning(void **unused)
{
    (void)unused;
    skip_if_missing();
    static const struct {   /* where positions and velocities without a rest value lie in an observation */
        uint32_t position, positions, velocity, velocities;
        double noise;
        bool normal;
    } at[] = {
        {5, 1, 13, 14, 0.1, true}, {5, 17, 22, 23, 0.01, false}, {0, 8, 8, 9, 0.1, true}, {0, 1, 5, 3, 0.1, true}};
    for (size_t i = 0; i < EGG_COUNT(robots); i++) {
        const egg_env *env = robots[i].env;
        float observation[MAX_OBSERVATIONS];
        moments position = {0}, velocity = {0};
        void *state = state_open(env);
        for (uint64_t seed = 0; seed < 3000; seed++) {
            env->reset(state, seed, observation);
            for (uint32_t k = 0; k < at[i].positions; k++) add(&position, observation[at[i].position + k]);
            for (uint32_t k = 0; k < at[i].velocities; k++) add(&velocity, observation[at[i].velocity + k]);
        }
        state_close(env, state);
        check_moments(&position, at[i].noise / sqrt(3), true);
        check_moments(&velocity, at[i].normal ? at[i].noise : at[i].noise / sqrt(3), !at[i].normal);
    }
}

/* ------------------------------------------------------------------------------------------------------- pictures */

static void test_the_double_pendulum_as_text(void **unused)
{
    (void)unused;
    skip_if_missing();
    const egg_env *env = &egg_env_inverted_double_pendulum;
    const double upright[3] = {0};
    float observation[9];
    char text[1024];
    void *state = state_open(env);
    egg_robot_begin(state, upright, upright, observation);
    size_t length = env->render(state, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(length, 13 * 60);
    for (uint32_t y = 0; y < 12; y++) {   /* the tip at 1.2 m, the joint at 0.6 m, the cart on the rail */
        char expected = y == 0 ? 'o' : y == 6 ? 'o' : y == 11 ? '#' : '|';
        assert_int_equal(text[60 * y + 29], expected);
    }
    assert_int_equal(env->render(state, text, 61), 60);   /* what fits */
    assert_int_equal(strlen(text), 60);
    state_close(env, state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_are_listed_with_the_reason_they_lack),
        cmocka_unit_test(test_a_model_that_is_not_there_is_named),
        cmocka_unit_test(test_a_model_that_is_another_is_refused),
        cmocka_unit_test(test_recorded_episodes),
        cmocka_unit_test(test_the_same_whatever_ran_before),
        cmocka_unit_test(test_threads_open_run_and_close),
        cmocka_unit_test(test_a_broken_simulation_ends_the_episode),
        cmocka_unit_test(test_a_simulation_that_breaks_at_the_end_of_a_step),
        cmocka_unit_test(test_an_error_of_the_engine_ends_the_episode),
        cmocka_unit_test(test_actions_that_are_no_numbers_do_no_harm),
        cmocka_unit_test(test_noise_of_the_beginning),
        cmocka_unit_test(test_the_double_pendulum_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
