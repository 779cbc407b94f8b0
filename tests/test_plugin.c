/* SPDX-License-Identifier: MIT */
/* Environments from shared libraries: what is refused, and that runs survive what cannot be seen beforehand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eggroll.h"
#include "envs/plugin.h"
#include "scratch.h"

static void refuse(const char *path, egg_status expected, const char *text)
{
    egg_env_handle handle;
    egg_error error = {0};
    assert_int_equal(egg_env_open(&handle, path, &error), expected);
    assert_null(handle.env);
    assert_null(handle.library);
    if (!strstr(error.text, text) || !strstr(error.text, path))
        fail_msg("'%s' or the path is not in '%s'", text, error.text);
}

static void test_files(void **state)
{
    (void)state;
    scratch_write("text.so", "not a library", 13);
    refuse("./no-such-plugin.so", EGG_ERR_IO, "No such file");
    refuse("no-such-plugin.so", EGG_ERR_IO, "cannot load");
    refuse(scratch_path("text.so"), EGG_ERR_IO, "cannot load");
    refuse(scratch_folder(), EGG_ERR_IO, "cannot load");
    refuse(EGG_TEST_NO_PLUGIN, EGG_ERR_FORMAT, "exports no function egg_env_plugin()");
}

/* A name without a folder is a file of this one, and no library that the system knows. */
static void test_working_folder(void **state)
{
    (void)state;
    static char bytes[1 << 22];
    egg_env_handle handle;
    char before[4096];
    FILE *file = fopen(EGG_TEST_PLUGIN_PATH, "rb");
    assert_non_null(file);
    scratch_write("local.so", bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scratch_folder()), 0);
    assert_int_equal(egg_env_open(&handle, "local.so", NULL), EGG_OK);
    egg_env_close(&handle);
    refuse("libm.so", EGG_ERR_IO, "cannot load");
    assert_int_equal(chdir(before), 0);
}

static void test_fields(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"null", "returned NULL"},
        {"version", "version 99, expected 1"},
        {"name", "name: expected"},
        {"empty-name", "name: expected"},
        {"summary", "summary: expected"},
        {"observations", "observations: expected 1"},
        {"many-observations", "observations: expected 1"},
        {"actions", "actions: expected 1"},
        {"bounds", "action_low, action_high"},
        {"infinite-bounds", "action_low, action_high"},
        {"max-steps", "max_steps: expected at least 1"},
        {"state-bytes", "state_bytes: expected at most"},
        {"reset", "reset: expected a function"},
        {"step", "step: expected a function"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("EGG_TEST_PLUGIN", cases[i][0], 1);
        refuse(EGG_TEST_PLUGIN_PATH, EGG_ERR_FORMAT, cases[i][1]);
    }
    unsetenv("EGG_TEST_PLUGIN");
    egg_env_handle handle;
    assert_int_equal(egg_env_open(&handle, EGG_TEST_PLUGIN_PATH, NULL), EGG_OK);
    assert_string_equal(handle.env->name, "Counter");
    egg_env_close(&handle);
    assert_null(handle.env);
}

/* ------------------------------------------------------------------------------------------------------------- runs */

static egg_rl *open_run(const char *path, const char *out, const char *epochs)
{
    const char *const values[][2] = {{"env", path},          {"epochs", epochs},     {"population", "64"},
                                     {"policy-width", "16"}, {"policy-layers", "1"}, {"eval-episodes", "16"},
                                     {"out", out},           {"rate", "0.05"}};
    egg_options *options = egg_options_new("rl");
    egg_rl *rl;
    egg_error error = {0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (egg_options_set(options, values[i][0], values[i][1], &error)) fail_msg("%s", error.text);
    if (egg_rl_open(&rl, options, &error)) fail_msg("%s", error.text);
    egg_options_free(options);
    return rl;
}

/* Runs to the end; the last epoch's figures. */
static egg_rl_stats finish(egg_rl *rl)
{
    egg_rl_stats stats = {0};
    egg_error error = {0};
    while (!egg_rl_finished(rl))
        if (egg_rl_epoch(rl, &stats, &error)) fail_msg("%s", error.text);
    return stats;
}

static void test_learns(void **state)
{
    (void)state;
    egg_rl *rl = open_run(EGG_TEST_PLUGIN_PATH, scratch_path("counter"), "30");
    egg_rl_stats stats = finish(rl);
    assert_true(stats.invalid == 0 && stats.cut == 0);
    assert_true(stats.eval_return > 15);   /* of 16; 8 by chance */
    assert_int_equal(egg_rl_save(rl, NULL), EGG_OK);
    egg_rl_close(rl);

    egg_policy *policy;   /* the file remembers the plug-in's path */
    egg_options *options = egg_options_new("eval");
    egg_returns returns;
    egg_error error = {0};
    if (egg_policy_open(&policy, scratch_path("counter"), &error)) fail_msg("%s", error.text);
    assert_int_equal(egg_policy_evaluate(policy, options, &returns, NULL), EGG_OK);
    assert_true(returns.mean > 15 && returns.episodes == 100 && returns.env_steps == 1600);
    egg_policy_close(policy);
    egg_options_free(options);
}

/* The example that the build compiles. */
static void test_example(void **state)
{
    (void)state;
    egg_rl *rl = open_run(EGG_TEST_EXAMPLE, scratch_path("boat"), "40");
    egg_rl_stats first, last;
    assert_int_equal(egg_rl_epoch(rl, &first, NULL), EGG_OK);
    last = finish(rl);
    assert_true(first.return_mean < 40 && last.return_mean > 70);   /* of 100 */
    egg_rl_close(rl);
}

static void test_faults(void **state)
{
    (void)state;
    static const char *const faults[] = {"nan-reward", "nan-observation", "endless", "nan-always"};
    for (int i = 0; i < 4; i++) {
        setenv("EGG_TEST_PLUGIN", faults[i], 1);
        egg_rl *rl = open_run(EGG_TEST_PLUGIN_PATH, scratch_path(faults[i]), "3");
        egg_rl_stats stats = finish(rl);
        assert_int_equal(stats.epoch, 3);
        assert_true(isfinite(stats.return_mean) && isfinite(stats.gradient_norm));
        if (i < 2) assert_true(stats.invalid > 0 && stats.invalid < 64 && stats.cut == 0);
        if (i == 2) assert_true(stats.invalid == 0 && stats.cut == 64 && stats.env_steps == UINT64_C(3) * 64 * 50);
        if (i == 3) assert_true(stats.invalid == 64);
        assert_int_equal(egg_rl_save(rl, NULL), EGG_OK);
        egg_rl_close(rl);
    }
    unsetenv("EGG_TEST_PLUGIN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),   cmocka_unit_test(test_fields), cmocka_unit_test(test_learns),
        cmocka_unit_test(test_example), cmocka_unit_test(test_faults), cmocka_unit_test(test_working_folder),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
