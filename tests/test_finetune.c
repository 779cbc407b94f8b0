/* SPDX-License-Identifier: MIT */
/*
 * Runs of fine-tuning: they learn by likelihood and by reward, no number of threads changes a bit, they resume exactly,
 * a patch rebuilds them, and what cannot be is refused by name.
 */
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

#include "base/file.h"
#include "eggroll.h"
#include "random_rwkv7.h"
#include "scratch.h"
#include "tasks/questions.h"

static const egg_rwkv7_shape shape = {.vocabulary = 256, .width = 32, .layers = 2, .head_size = 16, .hidden = 64,
                                      .w_rank = 16, .a_rank = 16, .v_rank = 16, .g_rank = 16};

#define SFT_LINE "{\"prompt\": \"ab\", \"completion\": \"cabcab\"}\n{\"prompt\": \"ba\", \"completion\": \"dbadba\"}\n"
#define PROMPT_LINE "{\"prompt\": \"once\"}\n{\"prompt\": \"upon a time\", \"weight\": 3}\n"

/* How long the completion is as JSON: bytes that need an escape count more. With nothing but the shell. */
#define SHELL_REWARD \
    "while IFS= read -r line; do id=${line#*: }; id=${id%%,*}; rest=${line#*completion}; n=${#rest}; " \
    "printf '{\"id\": %s, \"reward\": %d}\\n' \"$id\" \"$n\"; done"

static int setup(void **state)
{
    if (scratch_open(state) != 0) return -1;
    random_rwkv7_write(
        &(random_rwkv7){.path = scratch_path("base.safetensors"), .shape = shape, .type = EGG_TENSOR_F32});
    random_rwkv7_write(
        &(random_rwkv7){.path = scratch_path("bf16.safetensors"), .shape = shape, .type = EGG_TENSOR_BF16});
    scratch_write("sft.jsonl", SFT_LINE SFT_LINE SFT_LINE, 3 * strlen(SFT_LINE));
    scratch_write("prompts.jsonl", PROMPT_LINE PROMPT_LINE, 2 * strlen(PROMPT_LINE));
    return 0;
}

static void set(egg_options *options, const char *name, const char *value)
{
    egg_error error = {0};
    if (egg_options_set(options, name, value, &error) != EGG_OK) fail_msg("%s", error.text);
}

/* Pairs of name and value, up to NULL. */
static void set_all(egg_options *options, va_list list)
{
    for (const char *name; (name = va_arg(list, const char *));) set(options, name, va_arg(list, const char *));
}

static egg_options *options_of(const char *out, ...)
{
    egg_options *options = egg_options_new("finetune");
    va_list list;
    set(options, "base", scratch_path("base.safetensors"));
    set(options, "preset", "none");
    set(options, "population", "16");
    set(options, "questions", "2");
    set(options, "max-tokens", "8");
    set(options, "epochs", "6");
    set(options, "eval-epochs", "2");
    set(options, "sigma", "0.02");
    set(options, "valid-fraction", "0.4");
    if (out) set(options, "out", out);
    va_start(list, out);
    set_all(options, list);
    va_end(list);
    return options;
}

#define SFT "task", "sft", "data", scratch_path("sft.jsonl")
#define COUNTDOWN                                                                                                      \
    "task", "countdown", "style", "plain", "numbers", "2-3", "number-range", "1-9", "target-range", "1-99", "puzzles", \
        "40", "valid-questions", "10", "temperature", "1"

/* Until the end or epoch 'stop'; frees the options. */
static egg_finetune_stats run(egg_options *options, uint64_t stop)
{
    egg_error error = {0};
    egg_finetune *finetune = NULL;
    egg_finetune_stats stats = {0};
    if (egg_finetune_open(&finetune, options, &error) != EGG_OK) fail_msg("%s", error.text);
    while (!egg_finetune_finished(finetune) && stats.epoch < stop)
        if (egg_finetune_epoch(finetune, &stats, &error) != EGG_OK) fail_msg("%s", error.text);
    if (*egg_finetune_option(finetune, "out") && egg_finetune_save(finetune, &error) != EGG_OK)
        fail_msg("%s", error.text);
    egg_finetune_close(finetune);
    egg_options_free(options);
    return stats;
}

static void check_same_file(const char *a, const char *b, const char *name)
{
    char first[300], second[300];
    size_t bytes, other;
    snprintf(first, sizeof first, "%s/%s", a, name);
    snprintf(second, sizeof second, "%s/%s", b, name);
    uint8_t *left = scratch_read(first, &bytes), *right = scratch_read(second, &other);
    assert_int_equal(bytes, other);
    assert_memory_equal(left, right, bytes);
    free(left);
    free(right);
}

/* --------------------------------------------------------------------------------------------------------- learning */

static void test_sft_makes_texts_likelier(void **state)
{
    (void)state;
    egg_finetune_stats stats = run(options_of(NULL, SFT, "population", "64", "epochs", "60", "rate", "0.5",
                                              "eval-epochs", "20", "thaw", "vectors,head", NULL),
                                   UINT64_MAX);
    assert_true(stats.valid < stats.base_valid - 0.3);
    assert_true(stats.best_valid <= stats.valid && stats.best_epoch > 0 && stats.validated && stats.progress == 1);
    assert_true(stats.silent_epochs == 0 && stats.prompt_rate > 0 && stats.answers == 64 * 2);
}

/* The share of vowels, which a random model knows nothing of, by the library of examples/. */
static void test_a_reward_rises(void **state)
{
    (void)state;
    egg_finetune_stats stats =
        run(options_of(NULL, "task", "jsonl", "data", scratch_path("prompts.jsonl"), "reward-lib", EGG_TEST_REWARD,
                       "population", "64", "epochs", "60", "rate", "2", "eval-epochs", "60", "thaw", "vectors,head",
                       "temperature", "1", "valid", scratch_path("prompts.jsonl"), NULL),
            UINT64_MAX);
    assert_true(stats.reward_mean > 0.12); /* 10 of 256 bytes are vowels: 0.04 by chance; 0.22 on every level we have */
    assert_true(stats.answer_tokens > 0 && stats.answer_rate > 0 && stats.reward_deviation > 0);
}

/* The same through a program, once: the shell knows how long a line is. */
static void test_a_program_rewards(void **state)
{
    (void)state;
    egg_finetune_stats one = run(options_of(NULL, "task", "jsonl", "data", scratch_path("prompts.jsonl"), "reward",
                                            SHELL_REWARD, "temperature", "1", NULL), UINT64_MAX);
    egg_finetune_stats two = run(options_of(NULL, "task", "jsonl", "data", scratch_path("prompts.jsonl"), "reward",
                                            SHELL_REWARD, "temperature", "1", "reward-workers", "3", NULL), UINT64_MAX);
    assert_true(one.reward_mean > 8 && one.reward_mean == two.reward_mean && one.valid == two.valid);
    assert_true(one.silent_epochs == 0 && one.gradient_norm == two.gradient_norm);
}

static void check_option(egg_options *options, const char *name, const char *expected)
{
    egg_error error = {0};
    egg_finetune *finetune = NULL;
    if (egg_finetune_open(&finetune, options, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_string_equal(egg_finetune_option(finetune, name), expected);
    egg_finetune_close(finetune);
    egg_options_free(options);
}

/* A model of 32 channels is a narrow one. What the user gives wins, and none of it comes with --preset none. */
static void test_narrow_models_get_settings_of_their_own(void **state)
{
    (void)state;
    const char *prompts = scratch_path("prompts.jsonl");
#define JSONL "task", "jsonl", "data", prompts, "reward", "cat"
    check_option(options_of(NULL, "task", "countdown", "preset", "auto", NULL), "temperature", "1");
    check_option(options_of(NULL, "task", "countdown", "preset", "auto", NULL), "numbers", "4");
    check_option(options_of(NULL, "task", "countdown", "preset", "auto", NULL), "population", "16");
    check_option(options_of(NULL, "task", "countdown", "preset", "none", NULL), "temperature", "0");
    check_option(options_of(NULL, "task", "countdown", "preset", "none", NULL), "numbers", "3-4");
    check_option(options_of(NULL, SFT, "preset", "auto", NULL), "rate", "0.2");
    check_option(options_of(NULL, SFT, "preset", "none", NULL), "rate", "0.125");
    check_option(options_of(NULL, JSONL, "preset", "auto", NULL), "rate", "1");
    check_option(options_of(NULL, JSONL, "preset", "auto", "rate", "3", NULL), "rate", "3");
#undef JSONL
}

static void test_nothing_to_learn_from_is_told(void **state)
{
    (void)state;
    egg_finetune_stats stats =
        run(options_of(NULL, COUNTDOWN, "population", "4", "epochs", "3", "temperature", "0", NULL), UINT64_MAX);
    assert_int_equal(stats.silent_epochs, 3);   /* a random model solves no puzzle */
    assert_true(stats.equal_questions == 1 && stats.tied_pairs == 1 && stats.reward_mean == 0 && stats.valid == 0);
}

static void test_target_ends_a_run(void **state)
{
    (void)state;
    egg_finetune_stats stats =
        run(options_of(NULL, SFT, "epochs", "50", "eval-epochs", "3", "target", "100", NULL), UINT64_MAX);
    assert_int_equal(stats.epoch, 1);   /* bits per byte: the lower the better, and below 100 from the beginning */
}

/* ------------------------------------------------------------------------------------------------- bits, resuming */

static egg_options *variant(const char *out, bool sft)
{
    if (sft)
        return options_of(out, SFT, "optimizer", "adam", "rate", "0.002", "noise-reuse", "2", "save-epochs", "1", NULL);
    return options_of(out, COUNTDOWN, "grading", "graded", "thaw", "vectors,embedding", "freeze", "blocks.0.*", NULL);
}

static void check_bits(bool sft)
{
    static const char *const changes[][2] = {{"threads", "1"}, {"threads", "3"}, {"rows", "1"}, {"rows", "5"}};
    char plain[20], name[20];
    snprintf(plain, sizeof plain, "plain%d", sft);
    run(variant(scratch_path(plain), sft), UINT64_MAX);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        snprintf(name, sizeof name, "change%d%zu", sft, i);
        egg_options *options = variant(scratch_path(name), sft);
        set(options, changes[i][0], changes[i][1]);
        run(options, UINT64_MAX);
        check_same_file(plain, name, "model.safetensors");
    }
    for (uint64_t stop = 1; stop <= 5; stop += 2) {   /* interrupted, and gone on with */
        snprintf(name, sizeof name, "stop%d%d", sft, (int)stop);
        run(variant(scratch_path(name), sft), stop);
        egg_options *options = egg_options_new("finetune");
        set(options, "resume", scratch_path(name));
        egg_finetune_stats stats = run(options, UINT64_MAX);
        assert_int_equal(stats.epoch, 6);
        check_same_file(plain, name, "model.safetensors");
        if (sft)
            check_same_file(plain, name, "best.safetensors"); /* a random model solves no puzzle better than before */
    }
}

static void test_bits_of_sft(void **state)
{
    (void)state;
    check_bits(true);
}

static void test_bits_of_answers(void **state)
{
    (void)state;
    check_bits(false);
}

static void check_rebuilt(const char *base_name, const char *run_name)
{
    egg_error error = {0};
    egg_replayed replayed;
    char base[300], journal[300], out[300], model[300];
    size_t bytes, other;
    snprintf(base, sizeof base, "%s", scratch_path(base_name));
    snprintf(journal, sizeof journal, "%s/%s/journal.egg", scratch_folder(), run_name);
    snprintf(out, sizeof out, "%s", scratch_path("rebuilt.safetensors"));
    if (egg_patch_apply(base, journal, out, &replayed, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_true(replayed.epoch == 6 && replayed.hashes > 0);
    snprintf(model, sizeof model, "%s/model.safetensors", run_name);
    uint8_t *left = scratch_read(model, &bytes), *right = scratch_read("rebuilt.safetensors", &other);
    assert_int_equal(bytes, other);
    assert_memory_equal(left, right, bytes);
    free(left);
    free(right);
}

static void test_patches(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_replayed replayed;
    char journal[300];
    size_t bytes;
    check_rebuilt("base.safetensors", "plain1");
    check_rebuilt("base.safetensors", "plain0");
    free(scratch_read("plain1/journal.egg", &bytes));
    assert_true(bytes < 8192);
    snprintf(journal, sizeof journal, "%s", scratch_path("plain1/journal.egg"));
    random_rwkv7_write(
        &(random_rwkv7){.path = scratch_path("other.safetensors"), .shape = shape, .type = EGG_TENSOR_BF16});
    assert_int_equal(egg_patch_apply(scratch_path("other.safetensors"), journal, scratch_path("no.safetensors"),
                                     &replayed, &error), EGG_ERR_FORMAT);
    assert_non_null(strstr(error.text, "the run began with a model of hash"));
    assert_int_equal(egg_patch_apply(scratch_path("base.safetensors"), scratch_path("plain1/model.safetensors"),
                                     scratch_path("no.safetensors"), &replayed, &error), EGG_ERR_FORMAT);
    assert_false(egg_path_exists(scratch_path("no.safetensors")));
}

/* ----------------------------------------------------------------------------------------------- weights that are read */

static egg_options *held_as(const char *out, const char *weights, const char *epochs)
{
    return options_of(out, SFT, "base", scratch_path("bf16.safetensors"), "weights", weights, "epochs", epochs, "rate",
                      "0.5", "thaw", "vectors,head", NULL);
}

/* Where the tensors of a run's model begin: the file says itself how long its header is. */
static const uint8_t *tensors_of(const uint8_t *file, size_t *bytes)
{
    uint64_t header;
    memcpy(&header, file, sizeof header);
    assert_true(sizeof header + header < *bytes);
    *bytes -= sizeof header + header;
    return file + sizeof header + header;
}

static bool same_weights(const char *a, const char *b)
{
    char name[300];
    size_t bytes, other;
    snprintf(name, sizeof name, "%s/model.safetensors", a);
    uint8_t *left = scratch_read(name, &bytes);
    snprintf(name, sizeof name, "%s/model.safetensors", b);
    uint8_t *right = scratch_read(name, &other);
    const uint8_t *first = tensors_of(left, &bytes), *second = tensors_of(right, &other);
    bool same = bytes == other && memcmp(first, second, bytes) == 0;
    free(left);
    free(right);
    return same;
}

/*
 * bf16 loses nothing of a model that was published so: the first epoch gives the bits of float32. From then on the
 * forward passes read rounded weights, which the update does not add to: the float32 weights are not bf16 themselves.
 */
static void test_bf16_is_read_and_float32_updated(void **state)
{
    (void)state;
    run(held_as(scratch_path("one_f32"), "f32", "1"), UINT64_MAX);
    run(held_as(scratch_path("one_bf16"), "bf16", "1"), UINT64_MAX);
    run(held_as(scratch_path("one_int8"), "int8", "1"), UINT64_MAX);
    assert_true(same_weights("one_f32", "one_bf16"));
    assert_false(same_weights("one_f32", "one_int8"));
    run(held_as(scratch_path("f32"), "f32", "6"), UINT64_MAX);
    run(held_as(scratch_path("bf16"), "bf16", "6"), UINT64_MAX);
    assert_false(same_weights("f32", "bf16"));
}

static void test_bits_of_held_weights(void **state)
{
    (void)state;
    static const char *const weights[] = {"bf16", "int8"};
    char name[40];
    run(held_as(scratch_path("int8"), "int8", "6"), UINT64_MAX);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        snprintf(name, sizeof name, "%s-threads", weights[i]);
        egg_options *options = held_as(scratch_path(name), weights[i], "6");
        set(options, "threads", "3");
        run(options, UINT64_MAX);
        assert_true(same_weights(weights[i], name));
        snprintf(name, sizeof name, "%s-stop", weights[i]);
        run(held_as(scratch_path(name), weights[i], "6"), 3);
        options = egg_options_new("finetune");
        set(options, "resume", scratch_path(name));
        run(options, UINT64_MAX);
        assert_true(same_weights(weights[i], name));
        check_rebuilt("bf16.safetensors", name);
    }
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        egg_finetune_stats stats = run(held_as(NULL, weights[i], "60"), UINT64_MAX);
        assert_true(stats.valid < stats.base_valid - 0.3);
    }
}

static uint64_t planned_parameters(const char *weights)
{
    egg_error error = {0};
    egg_plan plan;
    egg_options *options = held_as(NULL, weights, "1");
    if (egg_finetune_plan(&plan, options, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_options_free(options);
    assert_string_equal(plan.items[1].name, "parameters");
    return plan.items[1].bytes;
}

/* Of a matrix there are 4 bytes of the weight and 4, 2 or 1 and a scale of what is read. */
static void test_a_plan_knows_how_weights_are_held(void **state)
{
    (void)state;
    uint64_t f32 = planned_parameters("f32"), bf16 = planned_parameters("bf16"), int8 = planned_parameters("int8");
    uint64_t matrices = (f32 - bf16) / 2;   /* elements of them */
    assert_true(8 * matrices < f32 && f32 < 8 * matrices + 4 * (256 * 32 + 100 * 32));   /* an embedding, vectors */
    assert_true(int8 < bf16 && f32 - int8 < 3 * matrices && f32 - int8 > 2 * matrices);
}

static void test_a_run_can_be_verified(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_replayed replayed;
    egg_options *options = egg_options_new("verify");
    if (egg_verify(scratch_path("plain1"), options, &replayed, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_true(replayed.epoch == 6 && replayed.hashes > 0);
    egg_options_free(options);
}

/* Killed after its last save: the epochs since then come from the journal, and nothing is answered again. */
static void test_a_killed_run_goes_on_from_its_journal(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_finetune *finetune = NULL;
    egg_options *options = variant(scratch_path("killed"), false);
    assert_int_equal(egg_finetune_open(&finetune, options, &error), EGG_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(egg_finetune_epoch(finetune, NULL, &error), EGG_OK);
    egg_finetune_close(finetune);
    egg_options_free(options);
    options = egg_options_new("finetune");
    set(options, "resume", scratch_path("killed"));
    assert_int_equal(egg_finetune_open(&finetune, options, &error), EGG_OK);
    assert_int_equal(egg_finetune_journal(finetune).replayed_epochs, 4);
    egg_finetune_stats stats = {0};
    while (!egg_finetune_finished(finetune)) assert_int_equal(egg_finetune_epoch(finetune, &stats, &error), EGG_OK);
    assert_int_equal(stats.epoch, 6);
    assert_int_equal(egg_finetune_save(finetune, &error), EGG_OK);
    egg_finetune_close(finetune);
    egg_options_free(options);
    check_same_file("plain0", "killed", "model.safetensors");
}

/* -------------------------------------------------------------------------------------------------------- bad input */

static void check_refused(egg_options *options, egg_status status, const char *text)
{
    egg_error error = {0};
    egg_finetune *finetune = NULL;
    egg_status found = egg_finetune_open(&finetune, options, &error);
    if (found != status || !strstr(error.text, text))
        fail_msg("%s: '%s', expected '%s'", egg_status_name(found), error.text, text);
    assert_null(finetune);
    egg_options_free(options);
}

/* A line that is wrong, as a file. */
static const char *file_of(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
    return scratch_path(name);
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
#define PROMPTS "data", scratch_path("prompts.jsonl")
    check_refused(options_of(NULL, NULL), EGG_ERR_ARGUMENT, "--task is missing");
    check_refused(options_of(NULL, "task", "gsm8k", NULL), EGG_ERR_ARGUMENT, "--data is missing");
    check_refused(options_of(NULL, COUNTDOWN, PROMPTS, NULL), EGG_ERR_ARGUMENT, "--data: countdown makes its own");
    check_refused(options_of(NULL, "task", "jsonl", PROMPTS, NULL), EGG_ERR_ARGUMENT, "--reward: --task jsonl needs");
    check_refused(options_of(NULL, SFT, "reward", "cat", NULL), EGG_ERR_ARGUMENT, "--reward: rewards of your own");
    check_refused(options_of(NULL, SFT, "thaw", "vectors,heads", NULL), EGG_ERR_ARGUMENT, "--thaw: expected words");
    check_refused(options_of(NULL, SFT, "freeze", "blocks.7.*", NULL), EGG_ERR_ARGUMENT,
                  "--freeze: no parameter is named");
    check_refused(options_of(NULL, COUNTDOWN, "numbers", "5-2", NULL), EGG_ERR_ARGUMENT,
                  "--numbers: expected two numbers");
    check_refused(options_of(NULL, COUNTDOWN, "numbers", "7", NULL), EGG_ERR_ARGUMENT,
                  "--numbers: expected two numbers");
    check_refused(options_of(NULL, SFT, "population", "15", NULL), EGG_ERR_ARGUMENT, "--population: 15 is odd");
    check_refused(options_of(NULL, SFT, "sigma", "0", NULL), EGG_ERR_ARGUMENT, "--sigma: expected more than 0");
    check_refused(options_of(NULL, SFT, "base", scratch_path("none.safetensors"), NULL), EGG_ERR_IO,
                  "none.safetensors");
    check_refused(options_of(NULL, "task", "jsonl", PROMPTS, "reward-lib", EGG_TEST_NO_PLUGIN, NULL), EGG_ERR_FORMAT,
                  "exports no function egg_reward_plugin()");
    check_refused(options_of(NULL, "task", "jsonl", PROMPTS, "reward-lib", "./none.so", NULL), EGG_ERR_IO,
                  "cannot load");
    check_refused(options_of(NULL, COUNTDOWN, "stop", "a||b", NULL), EGG_ERR_ARGUMENT, "--stop");
}

static void test_data_that_is_wrong(void **state)
{
    (void)state;
    const struct {
        const char *task, *text, *reason;
    } cases[] = {
        {"sft", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"}\n",
         "line 2 has no field 'completion'"},
        {"sft", "{\"prompt\": \"a\", \"completion\": \"b\"}\n\n{\"prompt\": 3, \"completion\": \"b\"}\n",
         "line 3: field 'prompt'"},
        {"sft", "{\"prompt\": \"a\", \"completion\": \"b\"\n", "line 1, column"},
        {"sft", "{\"prompt\": \"a\", \"completion\": \"0123456789\"}\n",
         "line 1: the completion has 11 tokens, expected at most 8"},
        {"sft", "\n", "holds no line"},
        {"sft", "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "leaves no question to train on"},
        {"gsm8k", "{\"question\": \"a\", \"answer\": \"b\"}\n", "line 1: "},
        {"jsonl", "{\"prompt\": \"0123456789abcdef\"}\n", "line 1: the prompt has 16 tokens, expected at most 10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        egg_options *options = options_of(NULL, "task", cases[i].task, "data", file_of("wrong.jsonl", cases[i].text),
                                          "max-prompt", "10", NULL);
        if (strcmp(cases[i].task, "jsonl") == 0) set(options, "reward", "cat");
        check_refused(options, EGG_ERR_FORMAT, cases[i].reason);
    }
    check_refused(options_of(NULL, "task", "sft", "data", file_of("short.txt", "too short"), NULL), EGG_ERR_FORMAT,
                  "leaves no question");
}

/* A reward that fails ends the epoch with a report, and leaves the model as it was. */
static void test_rewards_that_fail(void **state)
{
    (void)state;
    const struct {
        const char *command, *reason;
    } cases[] = {
        {"exit 3", "ended"},
        {"sleep 60", "gave no reply in time"},
        {"read line; printf '{\"id\": 0, \"reward\": NaN}\\n'", "replied"},
        {"while :; do printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "without a newline"},
        {"read line; printf '{\"id\": 0, \"reward\": 1}\\n{\"id\": 0, \"reward\": 1}\\n'; sleep 5",
         "--reward: "}, /* which of two complaints depends on the pipe */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        egg_error error = {0};
        egg_finetune *finetune = NULL;
        egg_options *options = options_of(NULL, "task", "jsonl", "data", scratch_path("prompts.jsonl"), "reward",
                                          cases[i].command, "reward-seconds", "0.2", NULL);
        if (egg_finetune_open(&finetune, options, &error) != EGG_OK) fail_msg("%s", error.text);
        assert_int_not_equal(egg_finetune_epoch(finetune, NULL, &error), EGG_OK);
        if (!strstr(error.text, cases[i].reason)) fail_msg("'%s', expected '%s'", error.text, cases[i].reason);
        egg_finetune_close(finetune);
        egg_options_free(options);
    }
}

static void test_a_run_keeps_what_it_began_with(void **state)
{
    (void)state;
    egg_options *options = egg_options_new("finetune");
    set(options, "resume", scratch_path("plain1"));
    set(options, "sigma", "0.03");
    check_refused(options, EGG_ERR_ARGUMENT, "sigma");
    options = egg_options_new("finetune");
    set(options, "resume", scratch_path("plain1"));
    set(options, "weights", "bf16");
    check_refused(options, EGG_ERR_ARGUMENT, "has f32, found bf16; a resumed run cannot change it");
    options = egg_options_new("finetune");
    random_rwkv7_write(
        &(random_rwkv7){.path = scratch_path("other.safetensors"), .shape = shape, .type = EGG_TENSOR_BF16});
    set(options, "resume", scratch_path("plain1"));
    set(options, "base", scratch_path("other.safetensors"));
    check_refused(options, EGG_ERR_FORMAT, "weights of the model to begin with");
    options = egg_options_new("finetune");
    set(options, "resume", scratch_path("plain1"));
    set(options, "data", file_of("changed.jsonl", SFT_LINE SFT_LINE));
    check_refused(options, EGG_ERR_FORMAT, "questions to train on");
}

/* Where a reward lies is nothing that a run began with: mended or moved, it goes on. */
static void test_a_resumed_run_may_call_another_reward(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_finetune *finetune = NULL;
    egg_options *options = options_of(scratch_path("mended"), "task", "jsonl", "data", scratch_path("prompts.jsonl"),
                                      "reward", "exit 3", NULL);
    assert_int_equal(egg_finetune_open(&finetune, options, &error), EGG_OK);
    assert_int_equal(egg_finetune_epoch(finetune, NULL, &error), EGG_ERR_IO);
    egg_finetune_close(finetune);
    egg_options_free(options);
    options = egg_options_new("finetune");
    set(options, "resume", scratch_path("mended"));
    set(options, "reward", SHELL_REWARD);
    assert_int_equal(run(options, UINT64_MAX).epoch, 6);
}

/* ----------------------------------------------------------------------------------------------------------- order */

static void test_every_question_comes_once_a_pass(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 7, 64, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint32_t n = counts[i], moved = 0;
        for (uint64_t pass = 0; pass < 3; pass++) {
            bool *seen = calloc(n, sizeof *seen);
            for (uint32_t k = 0; k < n; k++) {
                uint32_t q = egg_questions_pick(9, n, pass * n + k);
                assert_true(q < n && !seen[q]);
                seen[q] = true;
                moved += q != egg_questions_pick(9, n, k);
            }
            free(seen);
        }
        assert_true(n < 64 || moved > n);   /* another order in every pass */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sft_makes_texts_likelier),
        cmocka_unit_test(test_a_reward_rises),
        cmocka_unit_test(test_a_program_rewards),
        cmocka_unit_test(test_narrow_models_get_settings_of_their_own),
        cmocka_unit_test(test_nothing_to_learn_from_is_told),
        cmocka_unit_test(test_target_ends_a_run),
        cmocka_unit_test(test_bits_of_sft),
        cmocka_unit_test(test_bits_of_answers),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_bf16_is_read_and_float32_updated),
        cmocka_unit_test(test_bits_of_held_weights),
        cmocka_unit_test(test_a_plan_knows_how_weights_are_held),
        cmocka_unit_test(test_a_run_can_be_verified),
        cmocka_unit_test(test_a_killed_run_goes_on_from_its_journal),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_data_that_is_wrong),
        cmocka_unit_test(test_rewards_that_fail),
        cmocka_unit_test(test_a_run_keeps_what_it_began_with),
        cmocka_unit_test(test_a_resumed_run_may_call_another_reward),
        cmocka_unit_test(test_every_question_comes_once_a_pass),
    };
    return cmocka_run_group_tests(tests, setup, scratch_close);
}
