/* SPDX-License-Identifier: MIT */
/* Whole runs: the same bits however they are cut, saved, killed and resumed; no allocation; memory as planned. */
#include <dirent.h>
#include <malloc.h>
#include <math.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "eggroll.h"
#include "run_folder.h"

/* "name", "value", ..., NULL */
static egg_options *options_of(const char *first, ...)
{
    egg_error error = {0};
    egg_options *options = egg_options_new("pretrain");
    va_list arguments;
    va_start(arguments, first);
    for (const char *name = first; name; name = va_arg(arguments, const char *)) {
        const char *value = va_arg(arguments, const char *);
        if (egg_options_set(options, name, value, &error) != EGG_OK) fail_msg("%s", error.text);
    }
    va_end(arguments);
    return options;
}

static void set(egg_options *options, const char *name, const char *value)
{
    egg_error error = {0};
    if (egg_options_set(options, name, value, &error) != EGG_OK) fail_msg("%s", error.text);
}

/* Runs until 'stop' epochs are done or the budget is used; frees the options. */
static egg_status try_run(egg_options *options, const char *text, uint64_t stop, egg_error *error)
{
    egg_trainer *trainer;
    egg_epoch_stats stats = {0};
    egg_status status = egg_trainer_open(&trainer, options, &text, text ? 1 : 0, error);
    while (status == EGG_OK && !egg_trainer_finished(trainer) && stats.epoch < stop)
        status = egg_trainer_epoch(trainer, &stats, error);
    if (status == EGG_OK) status = egg_trainer_save(trainer, error);
    egg_trainer_close(trainer);
    egg_options_free(options);
    return status;
}

static void run(egg_options *options, const char *text, uint64_t stop)
{
    egg_error error = {0};
    if (try_run(options, text, stop, &error) != EGG_OK) fail_msg("%s", error.text);
}

/* The hash named 'key' that `eggroll info` would print; static, one at a time a slot. */
static const char *hash_of(const char *folder, const char *key, int slot)
{
    static char hashes[4][33];
    egg_error error = {0};
    char *json, *at;
    if (egg_describe(folder, &json, &error) != EGG_OK) fail_msg("%s", error.text);
    at = strstr(json, key);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(key), "\": \"%32[0-9a-f]", hashes[slot]), 1);
    egg_text_free(json);
    return hashes[slot];
}

static egg_options *small(const char *out, const char *update)
{
    return options_of("width", "32", "layers", "2", "population", "48", "seq-len", "7", "epochs", "24", "update",
                      update,
                      "valid-fraction", "0.1", "validations", "3", "out", out, NULL);
}

static void assert_same_end(const char *folder, const char *expected_state, const char *expected_model)
{
    assert_string_equal(hash_of(folder, "state_hash", 2), expected_state);
    assert_string_equal(hash_of(folder, "model_hash", 3), expected_model);
}

static void check_invariance(const char *update)
{
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], a[RUN_FOLDER_BYTES], b[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    folder_path(a, folder, "plain");
    run(small(a, update), text, UINT64_MAX);
    const char *state = hash_of(a, "state_hash", 0), *model = hash_of(a, "model_hash", 1);

    static const char *const variants[][2] = {{"threads", "1"}, {"threads", "2"}, {"threads", "5"}, {"chunk", "1"},
                                              {"chunk", "7"},   {"chunk", "24"},  {"validations", "24"},
                                              {"save-epochs", "1"}};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char name[24];
        snprintf(name, sizeof name, "variant-%zu", i);
        folder_path(b, folder, name);
        egg_options *options = small(b, update);
        set(options, variants[i][0], variants[i][1]);
        run(options, text, UINT64_MAX);
        assert_same_end(b, state, model);
    }
    for (uint64_t stop = 1; stop < 24; stop = 2 * stop + 1) {   /* interrupted twice: after 'stop' and twice as many */
        char name[24];
        snprintf(name, sizeof name, "resumed-%d", (int)stop);
        folder_path(b, folder, name);
        run(small(b, update), text, stop);
        run(options_of("resume", b, "threads", "2", NULL), NULL, 2 * stop);
        run(options_of("resume", b, "threads", "1", NULL), text, UINT64_MAX);
        assert_same_end(b, state, model);
    }
    static const char *const levels[] = {"ref", "avx2", "avx512vnni", "neon"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        folder_path(b, folder, levels[i]);
        setenv("EGGROLL_ISA", levels[i], 1);
        run(small(b, update), text, UINT64_MAX);
        unsetenv("EGGROLL_ISA");
        assert_same_end(b, state, model);
    }
    egg_options *other = small(b, update);
    folder_path(b, folder, "other-seed");
    set(other, "seed", "2");
    set(other, "out", b);
    run(other, text, UINT64_MAX);
    assert_string_not_equal(hash_of(b, "model_hash", 2), model);   /* so that equal hashes above mean something */
    folder_remove(folder);
}

static void test_vote_invariance(void **state)
{
    (void)state;
    check_invariance("vote");
}

static void test_fractional_invariance(void **state)
{
    (void)state;
    check_invariance("fractional");
}

/* A run of this build, whatever the compiler and its options, ends with these bits. */
static void test_known_hashes(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    folder_path(out, folder, "vote");
    run(small(out, "vote"), text, UINT64_MAX);
    assert_string_equal(hash_of(out, "model_hash", 0), "c228aa8a5c81a8367c5fd9a08954ebd3");
    folder_path(out, folder, "fractional");
    run(small(out, "fractional"), text, UINT64_MAX);
    assert_string_equal(hash_of(out, "model_hash", 0), "6359cae4cba0b56253e3afe605092067");
    folder_remove(folder);
}

/* ----------------------------------------------------------------------------------------------------------- kill */

static size_t count_lines(const char *folder, const char *name)
{
    char path[RUN_FOLDER_BYTES];
    size_t lines = 0;
    folder_path(path, folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

static size_t count_temporaries(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) count += strstr(entry->d_name, ".tmp-") != NULL;
    closedir(directory);
    return count;
}

static void test_kill(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], plain[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    folder_path(plain, folder, "plain");
    folder_path(out, folder, "killed");
    egg_options *options = small(plain, "fractional");
    set(options, "epochs", "400");
    run(options, text, UINT64_MAX);
    const char *expected = hash_of(plain, "state_hash", 0);

    char config[RUN_FOLDER_BYTES];
    folder_path(config, out, "config.json");
    for (int attempt = 0; attempt < 8; attempt++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {   /* saves at every epoch, so that kills meet saves; begins anew if killed before it began */
            bool begun = egg_path_exists(config);
            egg_options *mine = begun ? options_of("resume", out, "save-epochs", "1", NULL) : small(out, "fractional");
            if (!begun) {
                set(mine, "epochs", "400");
                set(mine, "save-epochs", "1");
            }
            _exit(try_run(mine, begun ? NULL : text, UINT64_MAX, NULL) == EGG_OK ? 0 : 1);
        }
        int result;
        for (int i = 0; attempt && i < 2000 && !egg_path_exists(config); i++) usleep(5000);   /* on a busy machine */
        usleep((useconds_t)(30000 + 17000 * attempt));
        kill(child, SIGKILL);
        waitpid(child, &result, 0);
        assert_false(WIFEXITED(result) && WEXITSTATUS(result) != 0);
    }
    run(options_of("resume", out, NULL), NULL, UINT64_MAX);
    assert_string_equal(hash_of(out, "state_hash", 1), expected);
    assert_int_equal(count_lines(out, "metrics.jsonl"), 400);   /* one an epoch, however often some were repeated */
    assert_int_equal(count_temporaries(out), 0);
    folder_remove(folder);
}

/* A run bounded by time follows the clock, but repeats what it recorded: lost epochs come back with the same bits. */
static void test_recorded_rates(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES], copy[RUN_FOLDER_BYTES], first[33];
    folder_make(folder);
    text_make(folder, text);
    folder_path(out, folder, "timed");
    folder_path(copy, folder, "copy");
    egg_options *options = options_of("width", "16", "population", "16", "minutes", "1000", "out", out, "save-seconds",
                                      "1000000", NULL);
    run(options, text, 5);
    folder_copy(out, copy);   /* saved after 5 epochs */
    run(options_of("resume", out, "save-seconds", "1000000", NULL), NULL, 30);
    snprintf(first, sizeof first, "%s", hash_of(out, "model_hash", 0));

    char from[RUN_FOLDER_BYTES], to[RUN_FOLDER_BYTES];
    folder_path(from, out, "rates.bin");
    folder_path(to, copy, "rates.bin");
    file_copy(from, to);      /* as if killed after 30 epochs, the last save being that after 5 */
    usleep(300000);
    run(options_of("resume", copy, NULL), NULL, 30);
    assert_string_equal(hash_of(copy, "model_hash", 1), first);
    folder_remove(folder);
}

/* --------------------------------------------------------------------------------------------------------- memory */

static void test_no_allocation(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    egg_error error = {0};
    egg_trainer *trainer;
    folder_make(folder);
    text_make(folder, text);
    const char *data = text;
    char out[RUN_FOLDER_BYTES];
    folder_path(out, folder, "run");
    egg_options *options = small(out, "fractional");
    if (egg_trainer_open(&trainer, options, &data, 1, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    uint64_t before = egg_alloc_count();
    size_t heap = mallinfo2().uordblks;
    while (!egg_trainer_finished(trainer)) assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    assert_int_equal(egg_alloc_count(), before);       /* validations included */
    assert_int_equal(mallinfo2().uordblks, heap);      /* nor behind our back */
    egg_trainer_close(trainer);
    egg_options_free(options);
    folder_remove(folder);
}

/* With the nth allocation failing, for every n: a clean error, nothing leaked (the sanitizer build looks). */
static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    const char *data = text;
    egg_options *options = options_of("width", "16", "population", "8", "epochs", "1", NULL);
    for (uint64_t nth = 1;; nth++) {
        egg_error error = {0};
        egg_trainer *trainer = NULL;
        egg_alloc_fail_at(nth);
        egg_status status = egg_trainer_open(&trainer, options, &data, 1, &error);
        egg_alloc_fail_at(0);
        egg_trainer_close(trainer);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_null(trainer);
        assert_true(strlen(error.text) > 0);
        assert_true(nth < 10000);
    }
    egg_options_free(options);
    folder_remove(folder);
}

/*
 * What `eggroll plan` says beforehand is what a process then uses at its peak, within a tenth. In a process of its own.
 */
static int plan_child(const char *text, const char *width, const char *population)
{
    egg_error error = {0};
    egg_plan plan;
    egg_trainer *trainer;
    struct rusage usage;
    egg_options *options = options_of("width", width, "population", population, "threads", "2", "member-tokens", "1",
                                      NULL);
    if (egg_trainer_plan(&plan, options, &text, 1, &error) != EGG_OK ||
        egg_trainer_open(&trainer, options, &text, 1, &error) != EGG_OK ||
        egg_trainer_epoch(trainer, NULL, &error) != EGG_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    getrusage(RUSAGE_SELF, &usage);
    double used = (double)usage.ru_maxrss * 1024, planned = (double)plan.total_bytes;
    printf("  width %s, population %s: planned %.1f MiB, used %.1f MiB\n", width, population, planned / 0x1p20,
           used / 0x1p20);
    egg_trainer_close(trainer);
    egg_options_free(options);
    return fabs(used - planned) > 0.1 * used;
}

static void check_plan(const char *text, const char *width, const char *population)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test_trainer", "--plan", text, width, population, (char *)NULL);
        _exit(127);
    }
    int result;
    waitpid(child, &result, 0);
    assert_int_equal(result, 0);
}

static void test_plan(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(EGG_SANITIZED)
    skip();   /* shadow memory is not ours to plan */
#endif
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    check_plan(text, "64", "4096");
    check_plan(text, "256", "1024");
    check_plan(text, "16", "262144");

    egg_error error = {0};
    egg_plan plan;
    egg_options *huge = options_of("width", "1024", "layers", "64", "population", "1048576", NULL);
    const char *data = text;
    assert_int_equal(egg_trainer_plan(&plan, huge, &data, 1, &error), EGG_ERR_NOMEM);
    assert_non_null(strstr(error.text, "states"));
    assert_true(plan.total_bytes > (uint64_t)60 << 30);
    egg_trainer *trainer;
    assert_int_equal(egg_trainer_open(&trainer, huge, &data, 1, &error), EGG_ERR_NOMEM);
    egg_options_free(huge);
    folder_remove(folder);
}

/* ------------------------------------------------------------------------------------------------------ bad input */

static void refuse(egg_options *options, const char *text, egg_status expected, const char *part)
{
    egg_error error = {0};
    egg_trainer *trainer;
    egg_status status = egg_trainer_open(&trainer, options, &text, text ? 1 : 0, &error);
    if (status == EGG_OK) egg_trainer_close(trainer);
    if (status != expected || !strstr(error.text, part))
        fail_msg("expected status %d and '%s', found %d and '%s'", expected, part, status, error.text);
    egg_options_free(options);
}

static void test_bad_options(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    const egg_status bad = EGG_ERR_ARGUMENT;
    refuse(options_of("population", "63", NULL), text, bad, "--population: 63 is odd");
    refuse(options_of("width", "48", NULL), text, bad, "--width: 48");
    refuse(options_of("group-size", "6", "population", "64", NULL), text, bad, "--group-size: 6");
    refuse(options_of("group-size", "3", "population", "66", NULL), text, bad, "--group-size: 3");
    refuse(options_of("rank", "64", "population", "4194304", NULL), text, bad, "--population");
    refuse(options_of("rank", "4", "width", "1024", "population", "2", NULL), text, bad, "--rank: 4");
    refuse(options_of("minutes", "1", NULL), NULL, bad, "no text");
    char shorter[RUN_FOLDER_BYTES];
    folder_path(shorter, folder, "short.txt");
    assert_int_equal(egg_file_replace(shorter, "hello", 5, NULL), EGG_OK);
    refuse(options_of("minutes", "1", NULL), shorter, bad, "--seq-len: the training text has 6 bytes");
    refuse(options_of("minutes", "1", NULL), "no/such/file", EGG_ERR_IO, "no/such/file");
    setenv("EGGROLL_ISA", "sse9", 1);
    refuse(options_of("minutes", "1", NULL), text, bad, "EGGROLL_ISA: 'sse9'");
    unsetenv("EGGROLL_ISA");
    folder_remove(folder);
}

static void test_bad_resume(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES], other[RUN_FOLDER_BYTES];
    folder_make(folder);
    text_make(folder, text);
    folder_path(out, folder, "run");
    run(small(out, "vote"), text, 3);
    refuse(small(out, "vote"), text, EGG_ERR_ARGUMENT, "already holds a run");
    refuse(options_of("resume", out, "width", "64", NULL), text, EGG_ERR_ARGUMENT, "--width: the run in");
    refuse(options_of("resume", out, "seed", "9", NULL), text, EGG_ERR_ARGUMENT, "--seed: the run in");
    refuse(options_of("resume", "no/such/run", NULL), text, EGG_ERR_IO, "no/such/run/config.json");
    folder_path(other, folder, "other.txt");
    char *words = calloc(1, 5000);
    memset(words, 'x', 5000);
    assert_int_equal(egg_file_replace(other, words, 5000, NULL), EGG_OK);
    free(words);
    refuse(options_of("resume", out, NULL), other, EGG_ERR_ARGUMENT, "is not the one of the run");

    /* A damaged checkpoint of every length is refused, never crashed on. */
    char path[RUN_FOLDER_BYTES];
    egg_mapping whole;
    folder_path(path, out, "checkpoint.safetensors");
    assert_int_equal(egg_mapping_open(&whole, path, NULL), EGG_OK);
    uint8_t *bytes = malloc(whole.bytes);
    memcpy(bytes, whole.data, whole.bytes);
    for (size_t n = 0; n < whole.bytes; n += 1 + whole.bytes / 50) {
        assert_int_equal(egg_file_replace(path, bytes, n, NULL), EGG_OK);
        refuse(options_of("resume", out, NULL), text, EGG_ERR_FORMAT, "checkpoint.safetensors");
    }
    assert_int_equal(egg_file_replace(path, bytes, whole.bytes, NULL), EGG_OK);
    egg_mapping_close(&whole);
    free(bytes);
    run(options_of("resume", out, NULL), text, UINT64_MAX);
    folder_remove(folder);
}

/* A disk that fills up in the middle of a run: an error that names the file, and the previous save still resumes. */
static void test_full_disk(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES], out[RUN_FOLDER_BYTES];
    egg_error error = {0};
    egg_trainer *trainer;
    folder_make(folder);
    text_make(folder, text);
    folder_path(out, folder, "run");
    egg_options *options = small(out, "fractional");
    const char *data = text;
    if (egg_trainer_open(&trainer, options, &data, 1, &error) != EGG_OK) fail_msg("%s", error.text);
    for (int i = 0; i < 5; i++) assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);
    assert_int_equal(egg_trainer_save(trainer, &error), EGG_OK);
    char saved[33];
    snprintf(saved, sizeof saved, "%s", hash_of(out, "state_hash", 0));
    assert_int_equal(egg_trainer_epoch(trainer, NULL, &error), EGG_OK);

    struct rlimit limit, small_files;
    getrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    small_files = (struct rlimit){.rlim_cur = 10000, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small_files);
    egg_status status = egg_trainer_save(trainer, &error);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, EGG_ERR_IO);
    assert_non_null(strstr(error.text, "checkpoint.safetensors"));
    assert_string_equal(hash_of(out, "state_hash", 1), saved);
    assert_int_equal(egg_trainer_save(trainer, &error), EGG_OK);   /* and once there is room again, it saves */
    assert_string_not_equal(hash_of(out, "state_hash", 1), saved);
    egg_trainer_close(trainer);
    egg_options_free(options);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--plan") == 0) return plan_child(argv[2], argv[3], argv[4]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vote_invariance), cmocka_unit_test(test_fractional_invariance),
        cmocka_unit_test(test_known_hashes),    cmocka_unit_test(test_kill),
        cmocka_unit_test(test_recorded_rates),  cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_allocation_failures), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_bad_options),     cmocka_unit_test(test_bad_resume),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
