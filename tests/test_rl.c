/* SPDX-License-Identifier: MIT */
/* Runs of reinforcement learning: they learn, no number of threads or slots changes a bit, they resume exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "eggroll.h"
#include "run_folder.h"

static void set(egg_options *options, const char *name, const char *value)
{
    egg_error error = {0};
    if (egg_options_set(options, name, value, &error) != EGG_OK) fail_msg("%s", error.text);
}

/* Pairs of name and value, up to NULL. */
static egg_options *options_of(const char *first, ...)
{
    egg_options *options = egg_options_new("rl");
    va_list list;
    va_start(list, first);
    for (const char *name = first; name; name = va_arg(list, const char *))
        set(options, name, va_arg(list, const char *));
    va_end(list);
    return options;
}

static egg_options *small(const char *env, const char *out)
{
    return options_of("env", env, "preset", "none", "population", "24", "policy-width", "32", "policy-layers", "1",
                      "epochs",
                      "6", "eval-epochs", "3", "eval-episodes", "5", "rate", "0.05", "sigma", "0.1", "out", out, NULL);
}

/* Until the end or epoch 'stop'; frees the options. */
static egg_rl_stats run(egg_options *options, uint64_t stop)
{
    egg_error error = {0};
    egg_rl *rl = NULL;
    egg_rl_stats stats = {0};
    if (egg_rl_open(&rl, options, &error) != EGG_OK) fail_msg("%s", error.text);
    while (!egg_rl_finished(rl) && stats.epoch < stop)
        if (egg_rl_epoch(rl, &stats, &error) != EGG_OK) fail_msg("%s", error.text);
    if (egg_rl_save(rl, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_rl_close(rl);
    egg_options_free(options);
    return stats;
}

/* The member 'key' of what `eggroll info` would print; static, one at a time a slot. */
static const char *info(const char *path, const char *key, int slot)
{
    static char values[4][40];
    egg_error error = {0};
    char *json, name[40];
    if (egg_describe(path, &json, &error) != EGG_OK) fail_msg("%s", error.text);
    snprintf(name, sizeof name, "\"%s\": \"", key);
    const char *at = strstr(json, name);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "%39[^\"]", values[slot]), 1);
    egg_text_free(json);
    return values[slot];
}

static void test_learns(void **state)
{
    (void)state;
    egg_options *options = options_of("env", "CartPole", "preset", "none", "population", "128", "policy-width", "32",
                                      "policy-layers", "1", "epochs", "40", "eval-epochs", "40", "sigma", "0.1", "rate",
                                      "0.05", "policy", "deterministic", NULL);
    egg_error error = {0};
    egg_rl *rl = NULL;
    egg_rl_stats first, last = {0};
    if (egg_rl_open(&rl, options, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(egg_rl_epoch(rl, &first, &error), EGG_OK);
    while (!egg_rl_finished(rl)) assert_int_equal(egg_rl_epoch(rl, &last, &error), EGG_OK);
    assert_true(first.return_mean < 60);
    assert_true(last.eval_return > 300);   /* 500 on every level we have; the rest is room for other roundings */
    assert_true(last.evaluated && last.progress == 1 && last.epoch == 40);
    egg_rl_close(rl);
    egg_options_free(options);
}

static void check_invariance(const char *env, const char *algorithm)
{
    static const char *const variants[][2] = {{"threads", "1"}, {"threads", "3"}, {"slots", "1"}, {"slots", "7"},
                                              {"eval-epochs", "1"}, {"save-epochs", "1"}};
    char folder[RUN_FOLDER_BYTES], a[RUN_FOLDER_BYTES], b[RUN_FOLDER_BYTES];
    folder_make(folder);
    folder_path(a, folder, "plain");
    egg_options *options = small(env, a);
    set(options, "algorithm", algorithm);
    run(options, UINT64_MAX);
    const char *model = info(a, "model_hash", 0);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char name[24];
        snprintf(name, sizeof name, "variant-%zu", i);
        folder_path(b, folder, name);
        options = small(env, b);
        set(options, "algorithm", algorithm);
        set(options, variants[i][0], variants[i][1]);
        run(options, UINT64_MAX);
        assert_string_equal(info(b, "model_hash", 1), model);
        if (strcmp(variants[i][0], "eval-epochs") != 0)   /* a checkpoint also tells of the last evaluation */
            assert_string_equal(info(b, "state_hash", 2), info(a, "state_hash", 3));
    }
    folder_path(b, folder, "other-seed");
    options = small(env, b);
    set(options, "algorithm", algorithm);
    set(options, "seed", "2");
    run(options, UINT64_MAX);
    assert_string_not_equal(info(b, "model_hash", 1), model);   /* so that equal hashes above mean something */
    folder_remove(folder);
}

static void test_invariance(void **state)
{
    (void)state;
    check_invariance("CartPole-v1", "eggroll");     /* episodes of many lengths */
    check_invariance("Pendulum-v1", "eggroll");     /* continuous actions */
    check_invariance("Game2048-v1", "openes");      /* legal actions; chance within episodes */
}

static void check_resume(const char *const *extra)
{
    char folder[RUN_FOLDER_BYTES], a[RUN_FOLDER_BYTES], b[RUN_FOLDER_BYTES];
    folder_make(folder);
    folder_path(a, folder, "whole");
    folder_path(b, folder, "halves");
    egg_options *whole = small("CartPole-v1", a), *half = small("CartPole-v1", b);
    for (size_t i = 0; extra[i]; i += 2) {
        set(whole, extra[i], extra[i + 1]);
        set(half, extra[i], extra[i + 1]);
    }
    run(whole, UINT64_MAX);
    run(half, 2);
    egg_rl_stats stats = run(options_of("resume", b, NULL), UINT64_MAX);
    assert_int_equal(stats.epoch, 6);
    assert_string_equal(info(b, "model_hash", 1), info(a, "model_hash", 0));
    assert_string_equal(info(b, "state_hash", 1), info(a, "state_hash", 0));
    stats = run(options_of("resume", b, "epochs", "8", NULL), UINT64_MAX);   /* and further than it was meant to */
    assert_int_equal(stats.epoch, 8);
    folder_remove(folder);
}

static void test_resume(void **state)
{
    (void)state;
    check_resume((const char *const[]){NULL});
    check_resume((const char *const[]){"optimizer", "momentum", "shaping", "rank", "rank", "3", NULL});
    check_resume((const char *const[]){"optimizer", "adamw", "clip-norm", "0.5", "pairs", "independent", NULL});
    check_resume((const char *const[]){"optimizer", "sgd", "shaping", "baseline", "noise-reuse", "2", NULL});
    check_resume((const char *const[]){"algorithm", "openes", "shaping", "sign", "episode-seeds", "epoch", NULL});
}

static void test_resume_refuses_changes(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES];
    egg_error error = {0};
    egg_rl *rl;
    folder_make(folder);
    folder_path(out, folder, "run");
    run(small("CartPole-v1", out), 1);
    egg_options *options = options_of("resume", out, "sigma", "0.2", NULL);
    assert_int_equal(egg_rl_open(&rl, options, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "--sigma"));
    egg_options_free(options);
    options = small("CartPole-v1", out);
    assert_int_equal(egg_rl_open(&rl, options, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "already holds a run"));
    egg_options_free(options);
    folder_remove(folder);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *text;
    } cases[] = {
        {"env", "CartPool", "CartPole-v1"},
        {"env", "./no-such-plugin.so", "./no-such-plugin.so"},
        {"policy-width", "40", "multiple of 16"},
        {"sigma", "0", "--sigma"},
        {"population", "7", "even"},
        {"freeze", "vector,no.such", "'no.such'"},
        {"freeze", "*", "nothing is left"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        egg_error error = {0};
        egg_rl *rl;
        egg_options *options = options_of("env", "CartPole-v1", "preset", "none", NULL);
        set(options, cases[i].name, cases[i].value);
        assert_int_not_equal(egg_rl_open(&rl, options, &error), EGG_OK);
        assert_null(rl);
        if (!strstr(error.text, cases[i].text)) fail_msg("'%s' is not in: %s", cases[i].text, error.text);
        egg_options_free(options);
    }
}

/* What a preset sets, an option of the user's wins over. */
static void test_presets(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_rl *rl;
    char preset[64];
    egg_options *options = options_of("env", "CartPole-v1", NULL);
    if (egg_rl_open(&rl, options, &error) != EGG_OK) fail_msg("%s", error.text);
    snprintf(preset, sizeof preset, "%s", egg_rl_option(rl, "population"));
    assert_string_not_equal(preset, "4096");
    egg_rl_close(rl);
    set(options, "population", "34");
    if (egg_rl_open(&rl, options, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_string_equal(egg_rl_option(rl, "population"), "34");
    egg_rl_close(rl);
    egg_options_free(options);
}

static bool count_frames(void *context, const char *text, uint32_t steps, double total, bool ended)
{
    double *last = context;
    assert_non_null(text);
    assert_true(steps == last[0]);
    last[0]++;
    last[1] = total;
    last[2] = ended;
    return true;
}

static void test_policy(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES];
    egg_error error = {0};
    egg_policy *policy;
    egg_returns a, b;
    folder_make(folder);
    folder_path(out, folder, "run");
    run(small("CartPole-v1", out), UINT64_MAX);
    assert_true(egg_policy_is(out));
    assert_false(egg_policy_is(folder));
    if (egg_policy_open(&policy, out, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_options *options = egg_options_new("eval");
    set(options, "episodes", "50");
    set(options, "threads", "1");
    assert_int_equal(egg_policy_evaluate(policy, options, &a, &error), EGG_OK);
    set(options, "threads", "3");
    assert_int_equal(egg_policy_evaluate(policy, options, &b, &error), EGG_OK);
    assert_true(a.mean == b.mean && a.deviation == b.deviation && a.env_steps == b.env_steps);
    assert_int_equal(a.episodes, 50);
    assert_true(a.worst <= a.mean && a.mean <= a.best && a.env_steps == 50 * a.mean);   /* a reward of 1 a step */
    double last[3] = {0};
    assert_int_equal(egg_policy_play(policy, 3, count_frames, last, &error), EGG_OK);
    assert_true(last[0] == last[1] + 1 && last[2] == 1);
    egg_policy_close(policy);
    egg_options_free(options);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_refuses_changes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
