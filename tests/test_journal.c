/* SPDX-License-Identifier: MIT */
/* Journals of whole runs: they rebuild every epoch, prove a run, show every damage, and give back what a crash took. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "eggroll.h"
#include "run_folder.h"

static char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];   /* of the test under way */

static int set_up(void **state)
{
    (void)state;
    folder_make(folder);
    text_make(folder, text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static void set(egg_options *options, const char *name, const char *value)
{
    egg_error error = {0};
    if (egg_options_set(options, name, value, &error) != EGG_OK) fail_msg("%s", error.text);
}

/* Pairs of name and value, up to NULL. */
static egg_options *options_of(const char *command, const char *first, ...)
{
    egg_options *options = egg_options_new(command);
    va_list list;
    va_start(list, first);
    for (const char *name = first; name; name = va_arg(list, const char *))
        set(options, name, va_arg(list, const char *));
    va_end(list);
    return options;
}

/* A kind of run, so that the tests below need not know which. */
typedef struct run_kind {
    const char *command, *name, *value;   /* an option that makes the kind */
    bool usable;                          /* the journal holds all that an epoch changed */
} run_kind;

static const run_kind kinds[] = {
    {"pretrain", "update", "vote", true},     {"pretrain", "update", "fractional", true},
    {"pretrain", "state", "carry", false},
    {"rl", "optimizer", "sgd", true},         {"rl", "optimizer", "adamw", true},
    {"rl", "shaping", "sign", true},
    {"rl", "algorithm", "openes", true},      {"rl", "pairs", "independent", true},
    {"rl", "freeze", "vector", true},
};
enum { KINDS = sizeof kinds / sizeof *kinds, EPOCHS = 12 };

static egg_options *small(const run_kind *kind, const char *out)
{
    egg_options *options;
    if (strcmp(kind->command, "pretrain") == 0)
        options = options_of("pretrain", "width", "16", "layers", "2", "population", "36", "seq-len", "5",
                             "valid-fraction",
                             "0.1", "validations", "3", "state", "reset", "threads", "2", NULL);
    else
        options = options_of("rl", "env", "CartPole", "preset", "none", "population", "24", "policy-width", "32",
                             "policy-layers", "1", "eval-epochs", "3", "eval-episodes", "4", "rate", "0.05", "sigma",
                             "0.1",
                             "threads", "2", NULL);
    set(options, "epochs", "12");
    set(options, "save-seconds", "1000000");
    set(options, "out", out);
    set(options, kind->name, kind->value);
    return options;
}

/* Runs epochs until 'save_at' and saves, then until 'stop', and leaves as a crash would. Frees the options. */
static egg_status try_run(egg_options *options, const char *command, uint64_t save_at, uint64_t stop,
                          egg_journal_info *info, egg_error *error)
{
    bool rl_run = strcmp(command, "rl") == 0, fresh = !*egg_options_get(options, "resume");
    egg_rl *rl = NULL;
    egg_trainer *trainer = NULL;
    egg_rl_stats played = {0};
    egg_epoch_stats read = {0};
    const char *data = text;
    egg_status status = rl_run ? egg_rl_open(&rl, options, error)
                               : egg_trainer_open(&trainer, options, &data, fresh ? 1 : 0, error);
    if (status == EGG_OK && info) *info = rl_run ? egg_rl_journal(rl) : egg_trainer_journal(trainer);
    for (uint64_t epoch = 0; status == EGG_OK && epoch < stop;) {
        if (rl_run ? egg_rl_finished(rl) : egg_trainer_finished(trainer)) break;
        status = rl_run ? egg_rl_epoch(rl, &played, error) : egg_trainer_epoch(trainer, &read, error);
        epoch = rl_run ? played.epoch : read.epoch;
        if (status == EGG_OK && epoch == save_at)
            status = rl_run ? egg_rl_save(rl, error) : egg_trainer_save(trainer, error);
    }
    egg_rl_close(rl);
    egg_trainer_close(trainer);
    egg_options_free(options);
    return status;
}

static egg_journal_info run(egg_options *options, const char *command, uint64_t save_at, uint64_t stop)
{
    egg_error error = {0};
    egg_journal_info info;
    if (try_run(options, command, save_at, stop, &info, &error) != EGG_OK) fail_msg("%s", error.text);
    return info;
}

/* The member 'key' of what `eggroll info` would print. */
static void describe(const char *path, const char *key, char value[40])
{
    egg_error error = {0};
    char *json, name[40];
    if (egg_describe(path, &json, &error) != EGG_OK) fail_msg("%s", error.text);
    snprintf(name, sizeof name, "\"%s\": \"", key);
    const char *at = strstr(json, name);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "%39[^\"]", value), 1);
    egg_text_free(json);
}

static egg_replayed replay(const char *path, int epoch, const char *out)
{
    egg_error error = {0};
    egg_replayed replayed;
    char number[16];
    egg_options *options = options_of("replay", "threads", "1", "out", out, NULL);
    snprintf(number, sizeof number, "%d", epoch);
    if (epoch >= 0) set(options, "epoch", number);
    if (egg_replay(path, options, &replayed, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_options_free(options);
    return replayed;
}

static egg_status try_verify(const char *path, egg_replayed *replayed, egg_error *error)
{
    egg_options *options = options_of("verify", "threads", "1", NULL);
    egg_status status = egg_verify(path, options, replayed, error);
    egg_options_free(options);
    return status;
}

static egg_replayed verify(const char *path)
{
    egg_error error = {0};
    egg_replayed replayed;
    if (try_verify(path, &replayed, &error) != EGG_OK) fail_msg("%s", error.text);
    return replayed;
}

static void refuse_verify(const char *path, const char *part)
{
    egg_error error = {0};
    egg_replayed replayed;
    egg_status status = try_verify(path, &replayed, &error);
    if (status == EGG_OK || !strstr(error.text, part))
        fail_msg("expected '%s', found %d and '%s'", part, status, error.text);
}

static void assert_same_file(const char *a, const char *b)
{
    egg_mapping left, right;
    assert_int_equal(egg_mapping_open(&left, a, NULL), EGG_OK);
    assert_int_equal(egg_mapping_open(&right, b, NULL), EGG_OK);
    assert_int_equal(left.bytes, right.bytes);
    assert_memory_equal(left.data, right.data, left.bytes);
    egg_mapping_close(&left);
    egg_mapping_close(&right);
}

/* ----------------------------------------------------------------------------------------------------------- replay */

/* The model after any epoch is, byte for byte, the file that a run leaves which stops there. */
static void test_every_epoch(void **state)
{
    (void)state;
    char whole[RUN_FOLDER_BYTES], part[RUN_FOLDER_BYTES], model[RUN_FOLDER_BYTES], journal[RUN_FOLDER_BYTES];
    char rebuilt[RUN_FOLDER_BYTES], name[40], hash[40];
    for (size_t k = 0; k < KINDS; k++) {
        snprintf(name, sizeof name, "whole-%zu", k);
        folder_path(whole, folder, name);
        folder_path(rebuilt, folder, "rebuilt.safetensors");
        run(small(&kinds[k], whole), kinds[k].command, EPOCHS, UINT64_MAX);
        egg_replayed all = verify(whole);
        assert_int_equal(all.epoch, EPOCHS);
        assert_true(all.hashes >= 2);
        for (int stop = 1; stop <= EPOCHS; stop += 1 + stop) {
            snprintf(name, sizeof name, "part-%zu-%d", k, stop);
            folder_path(part, folder, name);
            folder_path(model, part, "model.safetensors");
            run(small(&kinds[k], part), kinds[k].command, (uint64_t)stop, (uint64_t)stop);
            egg_replayed replayed = replay(whole, stop, rebuilt);
            describe(model, "model_hash", hash);
            assert_int_equal(replayed.epoch, stop);
            assert_string_equal(replayed.model_hash, hash);
            assert_same_file(rebuilt, model);
        }
        folder_path(journal, whole, "journal.egg");   /* the journal alone will do */
        folder_path(model, whole, "model.safetensors");
        assert_int_equal(replay(journal, -1, rebuilt).epoch, EPOCHS);
        assert_same_file(rebuilt, model);
        assert_string_not_equal(replay(journal, 0, "").model_hash, all.model_hash);
    }
    egg_replayed replayed;
    egg_error error = {0};
    egg_options *options = options_of("replay", "epoch", "13", NULL);
    assert_int_equal(egg_replay(whole, options, &replayed, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "ends with epoch 12"));
    egg_options_free(options);
}

/* ------------------------------------------------------------------------------------------------------------ crash */

static size_t count_lines(const char *path)
{
    char file_path[RUN_FOLDER_BYTES];
    size_t lines = 0;
    folder_path(file_path, path, "metrics.jsonl");
    FILE *file = fopen(file_path, "r");
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

static egg_options *resumed(const run_kind *kind, const char *path)
{
    return options_of(kind->command, "resume", path, NULL);
}

/* Saved at 3, gone at 8: with the journal the epochs between come back without being evaluated. */
static void test_resume_by_tail(void **state)
{
    (void)state;
    char whole[RUN_FOLDER_BYTES], cut[RUN_FOLDER_BYTES], name[40], expected[40], found[40];
    for (size_t k = 0; k < KINDS; k++) {
        snprintf(name, sizeof name, "whole-%zu", k);
        folder_path(whole, folder, name);
        snprintf(name, sizeof name, "cut-%zu", k);
        folder_path(cut, folder, name);
        run(small(&kinds[k], whole), kinds[k].command, EPOCHS, UINT64_MAX);
        describe(whole, "state_hash", expected);
        run(small(&kinds[k], cut), kinds[k].command, 3, 8);
        assert_int_equal(verify(cut).epoch, 8);   /* which compares with the checkpoint on the way */
        egg_journal_info info = run(resumed(&kinds[k], cut), kinds[k].command, 0, 9);   /* and gone again */
        assert_int_equal(info.replayed_epochs, kinds[k].usable ? 5 : 0);
        info = run(resumed(&kinds[k], cut), kinds[k].command, EPOCHS, UINT64_MAX);
        assert_int_equal(info.replayed_epochs, kinds[k].usable ? 1 : 0);   /* the others were saved at once */
        describe(cut, "state_hash", found);
        assert_string_equal(found, expected);
        assert_int_equal(count_lines(cut), EPOCHS);
        assert_int_equal(verify(cut).epoch, EPOCHS);
        info = run(resumed(&kinds[k], cut), kinds[k].command, 0, UINT64_MAX);
        assert_int_equal(info.replayed_epochs, 0);
    }
}

/* Gone between the last epoch and the last save: no epoch is left to run, and the folder still has to get the end. */
static void test_end_by_tail(void **state)
{
    (void)state;
    char whole[RUN_FOLDER_BYTES], cut[RUN_FOLDER_BYTES], expected[40], found[40];
    for (size_t k = 0; k < KINDS; k++) {
        if (!kinds[k].usable) continue;
        folder_path(whole, folder, kinds[k].command);
        snprintf(found, sizeof found, "%s-cut", kinds[k].command);
        folder_path(cut, folder, found);
        run(small(&kinds[k], whole), kinds[k].command, EPOCHS, UINT64_MAX);
        run(small(&kinds[k], cut), kinds[k].command, 3, UINT64_MAX);
        run(resumed(&kinds[k], cut), kinds[k].command, 0, UINT64_MAX);
        for (int hash = 0; hash < 2; hash++) {
            describe(whole, hash ? "state_hash" : "model_hash", expected);
            describe(cut, hash ? "state_hash" : "model_hash", found);
            assert_string_equal(found, expected);
        }
        folder_remove(folder);
        folder_make(folder);
        text_make(folder, text);
    }
}

/*
 * Float bits belong to a kernel level: epochs that another one did are evaluated again, and replaying changes with the
 * run.
 */
static void test_other_kernels(void **state)
{
    (void)state;
    char out[RUN_FOLDER_BYTES], level[40];
    const run_kind *kind = &kinds[4];
    folder_path(out, folder, "run");
    setenv("EGGROLL_ISA", "ref", 1);
    run(small(kind, out), kind->command, 3, 8);
    unsetenv("EGGROLL_ISA");
    egg_error error = {0};
    char *json;
    assert_int_equal(egg_build_info(&json, &error), EGG_OK);
    const char *at = strstr(json, "\"kernel_level_in_use\": \"");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"kernel_level_in_use\": \"%39[^\"]", level), 1);
    egg_text_free(json);
    assert_int_equal(verify(out).epoch, 8);
    egg_journal_info info = run(resumed(kind, out), kind->command, EPOCHS, UINT64_MAX);
    assert_int_equal(info.replayed_epochs, strcmp(level, "ref") == 0 ? 5 : 0);
    assert_int_equal(count_lines(out), EPOCHS);
    assert_int_equal(verify(out).epoch, EPOCHS);
}

static void cut_file(const char *path, off_t less)
{
    struct stat before;
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(truncate(path, before.st_size - less), 0);
}

static void test_torn(void **state)
{
    (void)state;
    char whole[RUN_FOLDER_BYTES], cut[RUN_FOLDER_BYTES], journal[RUN_FOLDER_BYTES], expected[40], found[40];
    const run_kind *kind = &kinds[1];
    folder_path(whole, folder, "whole");
    folder_path(cut, folder, "cut");
    folder_path(journal, cut, "journal.egg");
    run(small(kind, whole), kind->command, EPOCHS, UINT64_MAX);
    run(small(kind, cut), kind->command, 3, 8);
    cut_file(journal, 1);
    egg_replayed replayed = verify(cut);
    assert_true(replayed.torn_bytes > 0);
    cut_file(journal, (off_t)replayed.torn_bytes + 5);   /* now into the record before */
    uint64_t left = verify(cut).epoch;
    egg_journal_info info = run(resumed(kind, cut), kind->command, EPOCHS, UINT64_MAX);
    assert_true(info.torn_bytes > 0);
    assert_int_equal(info.replayed_epochs, left - 3);
    describe(whole, "state_hash", expected);
    describe(cut, "state_hash", found);
    assert_string_equal(found, expected);
    assert_int_equal(verify(cut).torn_bytes, 0);
}

/* Killed at any moment, with saves at every second epoch. */
static void check_kill(const run_kind *kind)
{
    char whole[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES], config[RUN_FOLDER_BYTES], expected[40], found[40];
    folder_path(whole, folder, kind->command);
    snprintf(found, sizeof found, "%s-killed", kind->command);
    folder_path(out, folder, found);
    folder_path(config, out, "config.json");
    egg_options *options = small(kind, whole);
    set(options, "epochs", "300");
    run(options, kind->command, 300, UINT64_MAX);
    describe(whole, "state_hash", expected);
    for (int attempt = 0; attempt < 8; attempt++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            egg_options *mine = egg_path_exists(config) ? resumed(kind, out) : small(kind, out);
            if (!egg_path_exists(config)) set(mine, "epochs", "300");
            set(mine, "save-epochs", attempt % 2 ? "2" : "0");
            _exit(try_run(mine, kind->command, 300, UINT64_MAX, NULL, NULL) == EGG_OK ? 0 : 1);
        }
        int result;
        usleep((useconds_t)(7000 + 5300 * attempt));
        kill(child, SIGKILL);
        waitpid(child, &result, 0);
        assert_false(WIFEXITED(result) && WEXITSTATUS(result) != 0);
    }
    if (egg_path_exists(config)) {
        run(resumed(kind, out), kind->command, 300, UINT64_MAX);
    } else {   /* a slow machine, on which none began */
        options = small(kind, out);
        set(options, "epochs", "300");
        run(options, kind->command, 300, UINT64_MAX);
    }
    describe(out, "state_hash", found);
    assert_string_equal(found, expected);
    assert_int_equal(count_lines(out), 300);
    assert_int_equal(verify(out).epoch, 300);
}

static void test_kill(void **state)
{
    (void)state;
    check_kill(&kinds[1]);
    check_kill(&kinds[4]);
}

/* ----------------------------------------------------------------------------------------------------------- damage */

/* Changes bits of the byte at 'offset'. */
static void flip(const char *path, long offset, int bits)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    fputc(byte ^ bits, file);
    assert_int_equal(fclose(file), 0);
}

/* A thousand bits, drawn from all of the file. */
static void test_flipped_bits(void **state)
{
    (void)state;
    char out[RUN_FOLDER_BYTES], journal[RUN_FOLDER_BYTES];
    struct stat size;
    folder_path(out, folder, "run");
    folder_path(journal, out, "journal.egg");
    run(small(&kinds[0], out), "pretrain", EPOCHS, UINT64_MAX);
    verify(out);
    assert_int_equal(stat(journal, &size), 0);
    size_t bytes = (size_t)size.st_size;
    uint64_t random = 1;
    for (int i = 0; i < 1000; i++) {
        random = random * 6364136223846793005 + 1442695040888963407;
        size_t bit = (size_t)(random >> 20) % (8 * bytes);
        egg_error error = {0};
        egg_replayed replayed;
        flip(journal, (long)(bit / 8), 1 << bit % 8);
        assert_int_equal(try_verify(out, &replayed, &error), EGG_ERR_FORMAT);
        assert_non_null(strstr(error.text, "journal.egg"));
        if (bit / 8 >= 8) {
            assert_non_null(strstr(error.text, " epoch "));
            assert_true(error.offset >= 8 && error.offset <= bit / 8);
        }
        flip(journal, (long)(bit / 8), 1 << bit % 8);
    }
    verify(out);
}

static void test_changed_files(void **state)
{
    (void)state;
    char out[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES], copy[RUN_FOLDER_BYTES], name[24];
    for (size_t k = 1; k < 5; k += 3) {
        snprintf(name, sizeof name, "run-%zu", k);
        folder_path(out, folder, name);
        folder_path(copy, folder, "copy");
        run(small(&kinds[k], out), kinds[k].command, EPOCHS, UINT64_MAX);
        static const char *const files[] = {"model.safetensors", "checkpoint.safetensors"};
        for (size_t i = 0; i < 2; i++) {
            folder_path(path, out, files[i]);
            file_copy(path, copy);
            struct stat size;
            assert_int_equal(stat(path, &size), 0);
            flip(path, (long)size.st_size - 70, 1);
            refuse_verify(out, files[i]);
            file_copy(copy, path);
        }
        verify(out);
    }
    folder_path(path, out, "journal.egg");
    cut_file(path, 200);
    refuse_verify(out, "before");
    folder_path(path, folder, "text.txt");
    refuse_verify(path, "not the folder of a run");
}

static void refuse_resume(const run_kind *kind, const char *path, const char *part)
{
    egg_error error = {0};
    egg_status status = try_run(resumed(kind, path), kind->command, 0, UINT64_MAX, NULL, &error);
    if (status == EGG_OK || !strstr(error.text, part))
        fail_msg("expected '%s', found %d and '%s'", part, status, error.text);
}

static void test_resume_refuses(void **state)
{
    (void)state;
    char out[RUN_FOLDER_BYTES], other[RUN_FOLDER_BYTES], journal[RUN_FOLDER_BYTES], foreign[RUN_FOLDER_BYTES];
    const run_kind *kind = &kinds[1];
    folder_path(out, folder, "run");
    folder_path(other, folder, "other");
    folder_path(journal, out, "journal.egg");
    folder_path(foreign, other, "journal.egg");
    run(small(kind, out), kind->command, 3, 8);
    egg_options *options = small(kind, other);
    set(options, "seed", "5");
    run(options, kind->command, 3, 8);
    file_copy(foreign, journal);
    refuse_resume(kind, out, "another state");
    flip(journal, 60, 1);   /* in the first record */
    refuse_resume(kind, out, "is damaged");

    /* Without it the run goes on; with it again, what is missing is a gap that is told of. */
    options = resumed(kind, out);
    set(options, "journal", "off");
    run(options, kind->command, 6, 6);
    assert_int_equal(unlink(journal), 0);
    options = resumed(kind, out);
    set(options, "journal", "on");
    run(options, kind->command, EPOCHS, UINT64_MAX);
    refuse_verify(out, "epochs 1 to 6 were not recorded");
}

/* A disk that is full for two epochs: the run goes on, and the journal tells which it lacks. */
static void test_full_disk(void **state)
{
    (void)state;
    char out[RUN_FOLDER_BYTES], whole[RUN_FOLDER_BYTES], journal[RUN_FOLDER_BYTES], expected[40], found[40];
    const run_kind *kind = &kinds[1];
    egg_trainer *trainer;
    egg_error error = {0};
    const char *data = text;
    folder_path(out, folder, "run");
    folder_path(whole, folder, "whole");
    folder_path(journal, out, "journal.egg");
    run(small(kind, whole), kind->command, EPOCHS, UINT64_MAX);
    egg_options *options = small(kind, out);
    if (egg_trainer_open(&trainer, options, &data, 1, &error) != EGG_OK) fail_msg("%s", error.text);
    for (int i = 0; i < 5; i++) assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    struct rlimit limit, full;
    struct stat size;
    getrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(stat(journal, &size), 0);
    full = (struct rlimit){.rlim_cur = (rlim_t)size.st_size, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
    for (int i = 0; i < 2; i++) assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    setrlimit(RLIMIT_FSIZE, &limit);
    while (!egg_trainer_finished(trainer)) assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    assert_int_equal(egg_trainer_save(trainer, &error), EGG_ERR_IO);
    assert_non_null(strstr(error.text, "journal.egg"));
    assert_int_equal(egg_trainer_save(trainer, &error), EGG_OK);
    egg_trainer_close(trainer);
    egg_options_free(options);
    describe(whole, "state_hash", expected);
    describe(out, "state_hash", found);
    assert_string_equal(found, expected);
    refuse_verify(out, "epochs 6 to 7 were not recorded");
    assert_int_equal(replay(out, 5, "").epoch, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_every_epoch),   TEST(test_resume_by_tail),  TEST(test_end_by_tail),    TEST(test_torn),
        TEST(test_kill),          TEST(test_flipped_bits),    TEST(test_changed_files),  TEST(test_resume_refuses),
        TEST(test_full_disk),     TEST(test_other_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
