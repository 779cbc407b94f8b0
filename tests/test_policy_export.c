/* SPDX-License-Identifier: MIT */
/* A policy as a C header: compiled by a C and a C++ compiler in a program of its own, it acts as the library does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "eggroll.h"
#include "scratch.h"
#include "train/option_text.h"
#include "train/policy.h"

enum { OBSERVATIONS = 200, MOST = 32 };

static void set(egg_options *options, const char *name, const char *value)
{
    egg_error error = {0};
    if (egg_options_set(options, name, value, &error)) fail_msg("%s", error.text);
}

/* Trains a small policy for three epochs and opens it. */
static egg_policy *train(const char *env, const char *activation, const char *layers, const char *folder)
{
    egg_options *options = egg_options_new("rl");
    egg_rl *rl;
    egg_policy *policy;
    egg_error error = {0};
    const char *values[][2] = {
        {"env", env},       {"activation", activation}, {"policy-layers", layers}, {"out", folder},
        {"preset", "none"}, {"policy-width", "32"},     {"population", "16"},      {"epochs", "3"},
        {"max-steps", "50"}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) set(options, values[i][0], values[i][1]);
    if (egg_rl_open(&rl, options, &error)) fail_msg("%s", error.text);
    while (!egg_rl_finished(rl)) assert_int_equal(egg_rl_epoch(rl, NULL, &error), EGG_OK);
    assert_int_equal(egg_rl_save(rl, &error), EGG_OK);
    egg_rl_close(rl);
    if (egg_policy_open(&policy, folder, &error)) fail_msg("%s", error.text);
    egg_options_free(options);
    return policy;
}

/* Observations along episodes under changing actions, every second one moved far from where such episodes lead. */
static void record(const egg_env *env, float (*observations)[MOST])
{
    void *state = aligned_alloc(64, (env->state_bytes + 63) / 64 * 64);
    float action, reward;
    memset(state, 0, env->state_bytes);
    env->reset(state, 3, observations[0]);
    for (int i = 1; i < OBSERVATIONS; i++) {
        action = env->discrete ? (float)(i / 2 % (int)env->actions) : (float)sin(i) * env->action_high;
        if (env->step(state, &action, observations[i], &reward)) env->reset(state, (uint64_t)i, observations[i]);
    }
    for (uint32_t i = 0; i < OBSERVATIONS * env->observations; i++)
        if (i / env->observations % 2)
            observations[i / env->observations][i % env->observations] += 3 * (float)sin(i * i);
    free(state);
}

/* The library's outputs for an observation, before argmax or bounds. */
static void outputs_of(const egg_policy *policy, const float *observation, float *Y)
{
    float X[MOST] = {0};
    egg_arena arena;
    uint32_t member = 0;
    assert_int_equal(egg_arena_open(&arena, egg_mlp_scratch_bytes(&policy->mlp, 1, 1), NULL), EGG_OK);
    egg_normalizer_apply(&policy->normalizer, observation, X);
    egg_pass pass = egg_pass_begin_rows(&policy->kernels, &arena, NULL, &member, 1);
    uint32_t in = egg_mlp_columns(policy->mlp.shape.inputs), out = egg_mlp_columns(policy->mlp.shape.outputs);
    egg_mlp_forward(&pass, &policy->mlp, (egg_mat){.data = X, .stride = in, .steps = 1, .cols = in},
                    (egg_mat){.data = Y, .stride = out, .steps = 1, .cols = out});
    assert_false(pass.failed);
    egg_arena_close(&arena);
}

/* A program that reads observations and prints actions. */
static void write_program(const char *name, bool discrete)
{
    char text[1024];
    snprintf(text, sizeof text,
             "#include \"policy.h\"\n#include <stdio.h>\nint main(void)\n{\n"
             "    float x[walker_observations], a[walker_actions];\n"
             "    while (fread(x, sizeof x, 1, stdin) == 1) {\n"
             "        %s\n"
             "        fwrite(a, sizeof *a, %s, stdout);\n    }\n    return 0;\n}\n",
             discrete ? "a[0] = (float)walker_act(x);" : "walker_act(x, a);", discrete ? "1" : "walker_actions");
    scratch_write(name, text, strlen(text));
}

static void build_and_run(const char *compiler, const char *source)
{
    char command[2048];
    snprintf(command, sizeof command,
             "cd '%s' && %s -Wall -Wextra -Werror -pedantic -O1 %s -o act -lm && ./act <in >out", scratch_folder(),
             compiler, source);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

static void check_actions(const egg_policy *policy, float (*observations)[MOST])
{
    const egg_env *env = policy->env.env;
    size_t bytes, each = env->discrete ? 1 : env->actions, chosen = 0;
    float *actions = (float *)scratch_read("out", &bytes);
    assert_int_equal(bytes, OBSERVATIONS * each * sizeof(float));
    for (int r = 0; r < OBSERVATIONS; r++) {
        float Y[MOST];
        outputs_of(policy, observations[r], Y);
        for (uint32_t i = 0; !env->discrete && i < env->actions; i++) {
            float a = fminf(fmaxf(Y[i], -1), 1);
            float expected = env->action_low + 0.5f * (a + 1) * (env->action_high - env->action_low);
            assert_true(fabsf(actions[r * (int)each + (int)i] - expected) < 1e-4f * env->action_high);
            chosen += fabsf(a) < 1;
        }
        for (uint32_t i = 0; env->discrete && i < env->actions; i++)   /* nothing is better by more than rounding */
            assert_true(Y[i] <= Y[(int)actions[r]] + 1e-4f);
        chosen += env->discrete && actions[r] != actions[0];
    }
    assert_true(chosen > 0);   /* not one answer to all */
    free(actions);
}

static void check_export(const char *env, const char *activation, const char *layers)
{
    static int runs;
    static float observations[OBSERVATIONS][MOST];
    char folder[16];
    egg_error error = {0};
    snprintf(folder, sizeof folder, "run%d", runs++);
    egg_policy *policy = train(env, activation, layers, scratch_path(folder));
    if (egg_policy_export(policy, "walker", scratch_path("policy.h"), &error)) fail_msg("%s", error.text);
    record(policy->env.env, observations);
    uint32_t n = policy->env.env->observations;
    float *packed = malloc((size_t)OBSERVATIONS * n * sizeof *packed);
    for (int r = 0; r < OBSERVATIONS; r++) memcpy(packed + (size_t)r * n, observations[r], n * sizeof *packed);
    scratch_write("in", packed, (size_t)OBSERVATIONS * n * sizeof *packed);
    free(packed);
    write_program("act.c", policy->env.env->discrete);
    write_program("act.cc", policy->env.env->discrete);
    build_and_run(EGG_TEST_CC " -std=c99", "act.c");
    check_actions(policy, observations);
#ifdef EGG_TEST_CXX
    build_and_run(EGG_TEST_CXX " -std=c++11", "act.cc");
    check_actions(policy, observations);
#endif
    egg_policy_close(policy);
}

static void test_discrete(void **state)
{
    (void)state;
    check_export("CartPole-v1", "pqn", "2");
    check_export("Acrobot-v1", "relu", "0");
}

static void test_continuous(void **state)
{
    (void)state;
    check_export("Pendulum-v1", "tanh", "1");
    check_export("MountainCarContinuous-v0", "pqn", "3");
}

static void test_literals(void **state)
{
    (void)state;
    uint32_t bits = 12345;
    for (int i = 0; i < 200000; i++) {
        float value;
        char text[EGG_NUMBER_BYTES];
        bits = bits * 1664525 + 1013904223;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        egg_float_format(text, value);
        assert_true(strtof(text, NULL) == value);
    }
}

static void test_misuse(void **state)
{
    (void)state;
    static const char *const names[] = {"", "7up", "a-b", "a b", "\xc3\xa4", "@"};
    egg_policy *policy = train("CartPole-v1", "pqn", "1", scratch_path("misuse"));
    egg_error error = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(egg_policy_export(policy, names[i], scratch_path("no.h"), &error), EGG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "is no name for C"));
    }
    assert_int_equal(egg_policy_export(policy, "a", scratch_path("no-folder/no.h"), &error), EGG_ERR_IO);
    assert_non_null(strstr(error.text, "no-folder"));
    egg_policy_close(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discrete),
        cmocka_unit_test(test_continuous),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
