/* SPDX-License-Identifier: MIT */
/* The options: words to values and back, refusals that help, configuration files. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "train/options.h"

static egg_options *new_options(const char *command)
{
    egg_options *options = egg_options_new(command);
    assert_non_null(options);
    return options;
}

static void set(egg_options *options, const char *name, const char *text)
{
    egg_error error = {0};
    if (egg_options_set(options, name, text, &error) != EGG_OK) fail_msg("%s", error.text);
}

static void assert_set(egg_options *options, const char *name, const char *text, const char *expected)
{
    set(options, name, text);
    assert_string_equal(egg_options_get(options, name), expected);
}

static void assert_refused(egg_options *options, const char *name, const char *text, const char *expected)
{
    egg_error error = {0};
    assert_int_equal(egg_options_set(options, name, text, &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, expected);
    assert_int_equal(egg_options_set(options, name, text, NULL), EGG_ERR_ARGUMENT);
}

static egg_status parse(egg_options *options, const char *json, egg_error *error)
{
    return egg_options_parse_json(options, json, strlen(json), "c.json", error);
}

static void assert_parsed(egg_options *options, const char *json)
{
    egg_error error = {0};
    if (parse(options, json, &error) != EGG_OK) fail_msg("%s", error.text);
}

static void assert_json_refused(const char *json, size_t line, const char *expected)
{
    egg_options *options = new_options("pretrain");
    egg_error error = {0};
    assert_int_equal(parse(options, json, &error), EGG_ERR_FORMAT);
    assert_string_equal(error.text, expected);
    assert_int_equal(error.offset, line);
    egg_options_free(options);
}

static const char *const commands[] = {"pretrain", "plan", "eval", "generate", "info", "version"};

/* ----------------------------------------------------------------------------------------------------------- list */

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(commands); i++) egg_options_free(new_options(commands[i]));
    assert_null(egg_options_new("train"));
    assert_null(egg_options_new(""));
    egg_options_free(NULL);
}

static void test_every_option_is_described(void **state)
{
    (void)state;
    for (size_t c = 0; c < EGG_COUNT(commands); c++) {
        egg_options *options = new_options(commands[c]);
        size_t count = egg_options_count(options);
        assert_true(count >= 1);
        for (size_t i = 0; i < count; i++) {
            egg_option_info info = egg_options_describe(options, i);
            assert_true(strlen(info.name) > 0 && strlen(info.group) > 0);
            size_t bytes = strlen(info.help);
            if (bytes == 0 || bytes > 90) fail_msg("--%s: a help text of %zu bytes", info.name, bytes);
            assert_null(strchr(info.name, '_'));
            assert_string_equal(egg_options_get(options, info.name), info.default_text);
            assert_false(egg_options_is_set(options, info.name));
            assert_true((info.argument == NULL) == (info.type == EGG_OPTION_BOOL));
            assert_true((info.choices != NULL) == (info.type == EGG_OPTION_CHOICE));
            if (info.type == EGG_OPTION_INTEGER || info.type == EGG_OPTION_NUMBER) assert_true(info.low < info.high);
            if (info.type == EGG_OPTION_INTEGER) assert_true(info.low >= 0 && info.high <= 0x1p53 - 1);
            set(options, info.name, info.default_text);   /* a default is within its own range */
            assert_true(egg_options_is_set(options, info.name));
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(info.name, egg_options_describe(options, j).name);
        }
        assert_null(egg_options_describe(options, count).name);
        egg_options_free(options);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    const egg_settings *settings = egg_options_values(options);
    assert_int_equal(settings->population, 4096);
    assert_int_equal(settings->state, EGG_STATE_CARRY);
    assert_string_equal(settings->field, "text");
    assert_string_equal(settings->prompt, "");   /* of another command, and still a string */
    assert_string_equal(egg_options_get(options, "valid-fraction"), "0.01");
    assert_string_equal(egg_options_get(options, "update"), "fractional");
    assert_null(egg_options_get(options, "prompt"));
    assert_null(egg_options_get(options, "seq_len"));
    assert_false(egg_options_is_set(options, "no-such"));
    egg_options_free(options);
}

/* --------------------------------------------------------------------------------------------------------- values */

static void test_integers(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    assert_set(options, "population", "64k", "64000");
    assert_set(options, "population", "4Mi", "4194304");
    assert_set(options, "population", "1.5Ki", "1536");
    assert_set(options, "population", "1.5k", "1500");
    assert_set(options, "population", "2.0", "2");
    assert_set(options, "population", "0064", "64");
    assert_set(options, "member-tokens", "64e6", "64000000");
    assert_set(options, "member-tokens", "6.4e+7", "64000000");
    assert_set(options, "member-tokens", "2G", "2000000000");
    assert_set(options, "member-tokens", "2Gi", "2147483648");
    assert_set(options, "member-tokens", "1e15", "1000000000000000");
    assert_set(options, "member-tokens", "0e9", "0");
    assert_set(options, "member-tokens", "4.35e2", "435");
    assert_set(options, "seed", "9007199254740991", "9007199254740991");
    assert_int_equal(egg_options_values(options)->seed, 9007199254740991);

    static const char *const wrong[] = {"",      " 4",  "4 ",    "-4",   "+4",   "abc",  "4x",  "0x10", "4K",
                                        "4 k",   "4kk", "4Kib",  "1.5",  "1e-3", ".",    "k",   "e3",   "4e",
                                        "1.23e1", "1..5k", "nan", "inf", "1",    "4194305", "5Mi", "1e300", "4e+",
                                        "99999999999999999999", "18446744073709551618", "18014398509481984Ki"};
    set(options, "population", "64");
    for (size_t i = 0; i < EGG_COUNT(wrong); i++) {
        char expected[160];
        snprintf(expected, sizeof expected, "--population: expected an integer from 2 to 4194304, found '%s'",
                 wrong[i]);
        assert_refused(options, "population", wrong[i], expected);
        assert_string_equal(egg_options_get(options, "population"), "64");
    }
    egg_options_free(options);
}

static void test_numbers(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    assert_set(options, "learning-rate", "0.7", "0.7");
    assert_set(options, "learning-rate", "1e-3", "0.001");
    assert_set(options, "learning-rate", ".5", "0.5");
    assert_set(options, "learning-rate", "16", "16");
    assert_set(options, "learning-rate", "0.30000000000000004", "0.30000000000000004");
    assert_set(options, "minutes", "1e6", "1000000");
    assert_true(egg_options_values(options)->minutes == 1e6);
    static const char *const wrong[] = {"",    "x",   "inf", "nan",    "0x1p1", " 1", "1 ",
                                        "1,5", "-1",  "16.001", "1e999", "1k",    "."};
    for (size_t i = 0; i < EGG_COUNT(wrong); i++) {
        char expected[160];
        snprintf(expected, sizeof expected, "--learning-rate: expected a number from 0 to 16, found '%s'", wrong[i]);
        assert_refused(options, "learning-rate", wrong[i], expected);
    }
    assert_refused(options, "save-seconds", "0", "--save-seconds: expected a number from 0.1 to 1000000, found '0'");
    egg_options_free(options);
}

static void test_booleans(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    static const char *const words[2][3] = {{"false", "no", "0"}, {"true", "yes", "1"}};
    for (int i = 0; i < 3; i++) {
        assert_set(options, "quiet", words[1][i], "true");
        assert_true(egg_options_values(options)->quiet);
        assert_set(options, "quiet", words[0][i], "false");
        assert_false(egg_options_values(options)->quiet);
    }
    assert_refused(options, "quiet", "maybe", "--quiet: expected true or false, found 'maybe'");
    egg_options_free(options);
}

static void test_choices(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    assert_set(options, "update", "vote", "vote");
    assert_int_equal(egg_options_values(options)->update, EGG_UPDATE_VOTE);
    assert_set(options, "update", "fractional", "fractional");
    assert_int_equal(egg_options_values(options)->update, EGG_UPDATE_FRACTIONAL);
    static const char *const wrong[] = {"", "vot", "votes", "fractional|vote", "|", "1"};
    for (size_t i = 0; i < EGG_COUNT(wrong); i++) {
        char expected[160];
        snprintf(expected, sizeof expected, "--update: expected one of fractional|vote, found '%s'", wrong[i]);
        assert_refused(options, "update", wrong[i], expected);
    }
    egg_options_free(options);
}

static void test_texts(void **state)
{
    (void)state;
    egg_options *options = new_options("generate");
    char longer[5001];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_set(options, "prompt", longer, longer);
    set(options, "prompt", "abc");
    set(options, "prompt", egg_options_get(options, "prompt"));
    assert_string_equal(egg_options_values(options)->prompt, "abc");
    assert_set(options, "prompt", "", "");
    egg_options_free(options);
}

static void test_locale(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        print_message("no locale with a decimal comma is installed\n");
        skip();
    }
    egg_options *options = new_options("pretrain");
    assert_set(options, "alpha", "0.25", "0.25");
    setlocale(LC_ALL, "C");
    egg_options_free(options);
}

static void test_resolving_does_not_mark(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    set(options, "minutes", "3");
    egg_options_resolve_integer(options, "seq-len", 10);
    egg_options_resolve_number(options, "learning-rate", 0.7);
    egg_options_resolve_number(options, "minutes", 0);
    assert_string_equal(egg_options_get(options, "seq-len"), "10");
    assert_string_equal(egg_options_get(options, "learning-rate"), "0.7");
    assert_false(egg_options_is_set(options, "seq-len"));
    assert_false(egg_options_is_set(options, "learning-rate"));
    assert_true(egg_options_is_set(options, "minutes"));
    egg_options_free(options);
}

static void test_a_copy_lives_alone(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    set(options, "out", "here");
    set(options, "seed", "7");
    egg_options *copy = egg_options_copy(options);
    assert_non_null(copy);
    set(options, "out", "there");
    egg_options_free(options);
    assert_string_equal(egg_options_get(copy, "out"), "here");
    assert_string_equal(egg_options_get(copy, "seed"), "7");
    assert_true(egg_options_is_set(copy, "seed"));
    assert_false(egg_options_is_set(copy, "epochs"));
    egg_options_free(copy);
}

/* ---------------------------------------------------------------------------------------------------- unknown names */

static void test_did_you_mean(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    assert_refused(options, "populaton", "4", "--populaton: unknown option of 'pretrain'; did you mean 'population'?");
    assert_refused(options, "seq_len", "4", "--seq_len: unknown option of 'pretrain'; did you mean 'seq-len'?");
    assert_refused(options, "pop", "4", "--pop: unknown option of 'pretrain'; did you mean 'population'?");
    assert_refused(options, "sead", "4", "--sead: unknown option of 'pretrain'; did you mean 'seed'?");
    assert_refused(options, "frobnicate", "4", "--frobnicate: unknown option of 'pretrain'");
    assert_refused(options, "", "4", "--: unknown option of 'pretrain'");
    assert_refused(options, "temperature", "1", "--temperature: an option of 'generate', not of 'pretrain'");
    /* Only options of the command are worth a hint. */
    assert_refused(options, "temperatur", "1", "--temperatur: unknown option of 'pretrain'");
    egg_options_free(options);

    options = new_options("plan");
    assert_refused(options, "wdth", "64", "--wdth: unknown option of 'plan'; did you mean 'width'?");
    egg_options_free(options);
}

static void test_a_long_name_is_cut(void **state)
{
    (void)state;
    egg_options *options = new_options("eval");
    char name[10001];
    egg_error error = {0};
    memset(name, 'p', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(egg_options_set(options, name, name, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "unknown option of 'eval'"));
    egg_options_free(options);
}

/* ----------------------------------------------------------------------------------------------------------- JSON */

static void test_json_of_each_type(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    assert_parsed(options, "{\"data\": [\"a\"], \"command\": \"pretrain\", \"version\": 3,\n"
                           " \"population\": 128, \"seq-len\": 2e1, \"minutes\": 2, \"alpha\": 0.25,\n"
                           " \"quiet\": true, \"update\": \"vote\", \"out\": \"a \\u00e4\"}");
    const egg_settings *settings = egg_options_values(options);
    assert_int_equal(settings->population, 128);
    assert_int_equal(settings->seq_len, 20);
    assert_true(settings->minutes == 2 && settings->alpha == 0.25 && settings->quiet);
    assert_int_equal(settings->update, EGG_UPDATE_VOTE);
    assert_string_equal(settings->out, "a \xc3\xa4");
    assert_int_equal(settings->seed, 1);
    assert_true(egg_options_is_set(options, "population"));
    assert_false(egg_options_is_set(options, "seed"));
    egg_options_free(options);
}

static void test_json_refusals(void **state)
{
    (void)state;
    assert_json_refused("{\n\"seed\": 1,\n\"populaton\": 4\n}", 3,
                        "c.json:3: populaton: unknown option of 'pretrain'; did you mean 'population'?");
    assert_json_refused("{\"temperature\": 1}", 1, "c.json:1: temperature: an option of 'generate', not of 'pretrain'");
    assert_json_refused("{\"population\": 1}", 1,
                        "c.json:1: population: expected an integer from 2 to 4194304, found '1'");
    assert_json_refused("{\"population\": -2}", 1,
                        "c.json:1: population: expected an integer from 2 to 4194304, found '-2'");
    assert_json_refused("{\"population\": 2.5}", 1,
                        "c.json:1: population: expected an integer from 2 to 4194304, found '2.5'");
    assert_json_refused("{\"population\": \"64k\"}", 1,
                        "c.json:1: population: expected an integer, found a text");
    assert_json_refused("{\"alpha\": 1.5}", 1, "c.json:1: alpha: expected a number from 0 to 1, found '1.5'");
    assert_json_refused("{\"alpha\": null}", 1, "c.json:1: alpha: expected a number, found null");
    assert_json_refused("{\"quiet\": 1}", 1, "c.json:1: quiet: expected true or false, found an integer");
    assert_json_refused("{\"state\": \"kept\"}", 1, "c.json:1: state: expected one of carry|reset, found 'kept'");
    assert_json_refused("{\"out\": [1]}", 1, "c.json:1: out: expected a text, found an array");
    assert_json_refused("{\"data\": [1]}", 1, "c.json:1: data: expected an array of paths, found another array");
    assert_json_refused("[1]", 1, "c.json:1: expected a JSON object");
}

/* Braces, colons, quotes and the key itself inside other values must not lead the search for its line astray. */
static void test_the_line_is_that_of_the_key(void **state)
{
    (void)state;
    assert_json_refused("{\"data\": [\"seed\", \"}:\\\"\\\\\",\n\"seed\"],\n\"out\": \"seed\\\": {\",\n\n\"seed\": -1}",
                        5, "c.json:5: seed: expected an integer from 0 to 9007199254740991, found '-1'");
}

static void test_json_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t line;
    } wrong[] = {{"", 1}, {"{", 1}, {"7", 1}, {"{\n\"seed\": 1,\n}", 3}, {"{\"seed\": 1}\nx", 2},
                 {"{\"seed\": 1,\n\"seed\": 2}", 2}, {"{\"out\":\n\"\xff\"}", 2}, {"{\"minutes\": 1e999}", 1}};
    for (size_t i = 0; i < EGG_COUNT(wrong); i++) {
        egg_options *options = new_options("pretrain");
        egg_error error = {0};
        char expected[32];
        snprintf(expected, sizeof expected, "c.json:%zu: ", wrong[i].line);
        assert_int_equal(parse(options, wrong[i].json, &error), EGG_ERR_FORMAT);
        assert_memory_equal(error.text, expected, strlen(expected));
        assert_int_equal(error.offset, wrong[i].line);
        assert_int_equal(parse(options, wrong[i].json, NULL), EGG_ERR_FORMAT);
        egg_options_free(options);
    }
}

static void test_the_last_value_wins(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    set(options, "seed", "5");
    assert_parsed(options, "{\"seed\": 6, \"rank\": 2}");
    assert_string_equal(egg_options_get(options, "seed"), "6");
    assert_parsed(options, "{\"rank\": 3}");
    set(options, "rank", "4");
    assert_string_equal(egg_options_get(options, "rank"), "4");
    egg_options_free(options);
}

static void assert_same(egg_options *a, egg_options *b)
{
    for (size_t i = 0; i < egg_options_count(a); i++) {
        const char *name = egg_options_describe(a, i).name;
        assert_string_equal(egg_options_get(a, name), egg_options_get(b, name));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const data[] = {"a.txt", "b \"c\"\\\n.txt"};
    egg_options *options = new_options("pretrain"), *back = new_options("pretrain");
    egg_error error;
    char *json, *again;
    set(options, "seed", "9007199254740991");
    set(options, "learning-rate", "0.30000000000000004");
    set(options, "alpha", "1e-9");
    set(options, "update", "vote");
    set(options, "out", "a\t\"b\" \xc3\xa4");
    set(options, "quiet", "yes");
    assert_int_equal(egg_options_write_json(options, data, 2, &json, &error), EGG_OK);
    assert_memory_equal(json, "{\n  \"data\": [\"a.txt\", ", 22);
    size_t lines = 0;
    for (const char *at = json; (at = strchr(at, '\n')); at++) lines++;
    assert_int_equal(lines, egg_options_count(options) + 3);
    assert_parsed(back, json);
    assert_same(options, back);
    assert_true(egg_options_values(options)->learning_rate == egg_options_values(back)->learning_rate);
    assert_int_equal(egg_options_write_json(back, data, 2, &again, &error), EGG_OK);
    assert_string_equal(json, again);
    egg_free(json);
    egg_free(again);

    for (size_t c = 0; c < EGG_COUNT(commands); c++) {
        egg_options *plain = new_options(commands[c]);
        assert_int_equal(egg_options_write_json(plain, NULL, 0, &json, &error), EGG_OK);
        assert_null(strstr(json, "\"data\""));
        assert_parsed(plain, json);
        egg_free(json);
        egg_options_free(plain);
    }
    egg_options_free(options);
    egg_options_free(back);
}

static void test_what_json_cannot_hold_is_refused(void **state)
{
    (void)state;
    static const char *const data[] = {"\xff.txt"};
    egg_options *options = new_options("pretrain");
    egg_error error = {0};
    char *json;
    assert_int_equal(egg_options_write_json(options, data, 1, &json, &error), EGG_ERR_ARGUMENT);
    assert_null(json);
    assert_non_null(strstr(error.text, "data: "));
    set(options, "out", "\xff");
    assert_int_equal(egg_options_write_json(options, NULL, 0, &json, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "out: "));
    egg_options_free(options);
}

/* ---------------------------------------------------------------------------------------------------------- files */

static void write_file(char path[], const char *text)
{
    strcpy(path, "/tmp/egg-options-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_load(void **state)
{
    (void)state;
    egg_options *options = new_options("pretrain");
    egg_error error = {0};
    char path[64], expected[160], **data;
    size_t count;

    write_file(path, "{\n\"data\": [\"x\", \"y\"],\n\"rank\": 2\n}\n");
    assert_int_equal(egg_options_load(options, path, &error), EGG_OK);
    assert_string_equal(egg_options_get(options, "rank"), "2");
    assert_int_equal(egg_options_load_data(path, &data, &count, &error), EGG_OK);
    assert_int_equal(count, 2);
    assert_string_equal(data[0], "x");
    assert_string_equal(data[1], "y");
    for (size_t i = 0; i < count; i++) egg_free(data[i]);
    egg_free(data);

    /* The array, its two strings: any of them may find no memory. */
    for (uint64_t nth = 1; nth <= 3; nth++) {
        egg_alloc_fail_at(nth);
        assert_int_equal(egg_options_load_data(path, &data, &count, &error), EGG_ERR_NOMEM);
        assert_null(data);
    }
    egg_alloc_fail_at(0);
    unlink(path);

    snprintf(expected, sizeof expected, "%s: cannot open: No such file or directory", path);
    assert_int_equal(egg_options_load(options, path, &error), EGG_ERR_IO);
    assert_string_equal(error.text, expected);
    assert_int_equal(egg_options_load_data(path, &data, &count, &error), EGG_ERR_IO);

    write_file(path, "{\"seed\": 1,\n\"data\": [1]}");
    snprintf(expected, sizeof expected, "%s: data: expected an array of paths, found another array", path);
    assert_int_equal(egg_options_load_data(path, &data, &count, &error), EGG_ERR_FORMAT);
    assert_string_equal(error.text, expected);
    unlink(path);

    write_file(path, "{}");
    assert_int_equal(egg_options_load_data(path, &data, &count, &error), EGG_ERR_FORMAT);
    unlink(path);

    write_file(path, "");
    assert_int_equal(egg_options_load(options, path, &error), EGG_ERR_FORMAT);
    unlink(path);
    egg_options_free(options);
}

static void test_no_memory(void **state)
{
    (void)state;
    egg_options *options = NULL, *copy = NULL;
    uint64_t nth;
    for (nth = 1; !options; nth++) {
        egg_alloc_fail_at(nth);
        options = egg_options_new("pretrain");
    }
    assert_true(nth > 3);
    for (nth = 1; !copy; nth++) {
        egg_alloc_fail_at(nth);
        copy = egg_options_copy(options);
    }
    assert_true(nth > 3);

    egg_error error = {0};
    char *json;
    egg_alloc_fail_at(1);
    assert_int_equal(egg_options_set(options, "out", "x", &error), EGG_ERR_NOMEM);
    assert_string_equal(egg_options_get(options, "out"), "");
    assert_false(egg_options_is_set(options, "out"));
    egg_alloc_fail_at(1);
    assert_int_equal(parse(options, "{\"out\": \"x\"}", &error), EGG_ERR_NOMEM);
    egg_alloc_fail_at(1);
    assert_int_equal(egg_options_write_json(options, NULL, 0, &json, &error), EGG_ERR_NOMEM);
    assert_null(json);
    egg_alloc_fail_at(0);
    egg_options_free(options);
    egg_options_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_every_option_is_described),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_resolving_does_not_mark),
        cmocka_unit_test(test_a_copy_lives_alone),
        cmocka_unit_test(test_did_you_mean),
        cmocka_unit_test(test_a_long_name_is_cut),
        cmocka_unit_test(test_json_of_each_type),
        cmocka_unit_test(test_json_refusals),
        cmocka_unit_test(test_the_line_is_that_of_the_key),
        cmocka_unit_test(test_json_syntax),
        cmocka_unit_test(test_the_last_value_wins),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_json_cannot_hold_is_refused),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
