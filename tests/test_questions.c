/* SPDX-License-Identifier: MIT */
/* Questions and their scores: countdown, GSM8K, and records of JSON lines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/records.h"
#include "scratch.h"
#include "tasks/countdown.h"
#include "tasks/gsm8k.h"
#include "tasks/questions.h"

/* ------------------------------------------------------------------------------------------------------- countdown */

/* Whether some subset and order of the values makes the target, tried in doubles. */
static bool solvable(const double *values, uint32_t count, double target)
{
    for (uint32_t i = 0; i < count; i++)
        if (fabs(values[i] - target) < 1e-9) return true;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++) {
            if (i == j) continue;
            double rest[EGG_COUNTDOWN_NUMBERS];
            uint32_t n = 0;
            for (uint32_t k = 0; k < count; k++)
                if (k != i && k != j) rest[n++] = values[k];
            const double a = values[i], b = values[j], results[] = {a + b, a - b, a * b, b != 0 ? a / b : 0};
            for (uint32_t r = 0; r < 4; r++) {
                rest[n] = results[r];
                if (solvable(rest, n + 1, target)) return true;
            }
        }
    return false;
}

static void check_form(const egg_countdown_form *form, uint32_t count)
{
    for (int set = EGG_COUNTDOWN_TRAINING; set <= EGG_COUNTDOWN_VALIDATION; set++)
        for (uint32_t i = 0; i < count; i++) {
            egg_countdown puzzle, again;
            double values[EGG_COUNTDOWN_NUMBERS];
            assert_int_equal(egg_countdown_make(&puzzle, form, (egg_countdown_set)set, 42, i, NULL), EGG_OK);
            assert_int_equal(egg_countdown_make(&again, form, (egg_countdown_set)set, 42, i, NULL), EGG_OK);
            assert_memory_equal(&puzzle, &again, sizeof puzzle);
            assert_int_equal(egg_countdown_set_of(&puzzle), set);
            assert_in_range(puzzle.count, form->least, form->most);
            assert_in_range(puzzle.target, form->target_low, form->target_high);
            for (uint32_t k = 0; k < puzzle.count; k++) {
                assert_in_range(puzzle.numbers[k], form->low, form->high);
                values[k] = puzzle.numbers[k];
            }
            if (puzzle.count <= 5) assert_true(solvable(values, puzzle.count, puzzle.target));
        }
}

static void test_puzzles(void **state)
{
    (void)state;
    check_form(&egg_countdown_short, 300);
    check_form(&egg_countdown_long, 40);
    check_form(&(egg_countdown_form){.least = 2, .most = 2, .low = 1, .high = 9, .target_low = 1, .target_high = 20},
               50);
}

static void test_the_set_does_not_depend_on_the_order(void **state)
{
    (void)state;
    uint32_t validation = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        egg_countdown puzzle = {.target = i, .count = 4, .numbers = {i % 7, 3, i % 11, 9}};
        egg_countdown turned = {.target = i, .count = 4, .numbers = {9, i % 11, i % 7, 3}};
        assert_int_equal(egg_countdown_set_of(&puzzle), egg_countdown_set_of(&turned));
        validation += egg_countdown_set_of(&puzzle) == EGG_COUNTDOWN_VALIDATION;
    }
    assert_in_range(validation, 400, 600);   /* 500 +- 4.8 deviations of 21 */
}

static void make(egg_questions *questions, const egg_countdown_form *form, egg_countdown_set set, uint32_t count)
{
    egg_error error = {0};
    egg_tokenizer *tokenizer = NULL;
    assert_int_equal(egg_tokenizer_open_byte(&tokenizer, &error), EGG_OK);
    const egg_question_rules rules = {.tokenizer = tokenizer, .max_prompt = 100};
    if (egg_questions_make_countdown(questions, form, set, EGG_COUNTDOWN_PLAIN, 1, count, &rules, &error) != EGG_OK)
        fail_msg("%s", error.text);
    egg_tokenizer_close(tokenizer);
}

/* Of two numbers of 1 to 4 and targets of 0 to 16, five puzzles are for validation, found by trying all. */
static void test_held_out_puzzles_differ(void **state)
{
    (void)state;
    static const egg_countdown_form few = {.least = 2, .most = 2, .low = 1, .high = 4, .target_low = 0,
                                           .target_high = 16};
    static const struct { const egg_countdown_form *form; uint32_t asked, found; } cases[] = {
        {&few, 100, 5}, {&few, 3, 3}, {&egg_countdown_short, 200, 200},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        egg_questions questions;
        make(&questions, cases[c].form, EGG_COUNTDOWN_VALIDATION, cases[c].asked);
        assert_int_equal(questions.count, cases[c].found);
        for (uint32_t i = 0; i < questions.count; i++) {
            assert_int_equal(egg_countdown_set_of(&questions.items[i].puzzle), EGG_COUNTDOWN_VALIDATION);
            for (uint32_t k = 0; k < i; k++)
                assert_false(egg_countdown_same(&questions.items[i].puzzle, &questions.items[k].puzzle));
        }
        egg_questions_close(&questions);
    }
    egg_questions training;
    make(&training, &few, EGG_COUNTDOWN_TRAINING, 100);
    assert_int_equal(training.count, 100);
    egg_questions_close(&training);
}

static void test_what_is_the_same_puzzle(void **state)
{
    (void)state;
    const egg_countdown puzzle = {.target = 7, .count = 3, .numbers = {1, 2, 2}};
    const egg_countdown turned = {.target = 7, .count = 3, .numbers = {2, 1, 2}};
    const egg_countdown others[] = {{.target = 8, .count = 3, .numbers = {1, 2, 2}},
                                    {.target = 7, .count = 3, .numbers = {1, 1, 2}},
                                    {.target = 7, .count = 2, .numbers = {1, 2}}};
    assert_true(egg_countdown_same(&puzzle, &turned));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(egg_countdown_same(&puzzle, &others[i]));
}

static void test_impossible_forms(void **state)
{
    (void)state;
    egg_countdown puzzle;
    egg_error error = {0};
    static const egg_countdown_form forms[] = {
        {.least = 0, .most = 4, .low = 1, .high = 9, .target_low = 1, .target_high = 9},
        {.least = 3, .most = 2, .low = 1, .high = 9, .target_low = 1, .target_high = 9},
        {.least = 3, .most = 7, .low = 1, .high = 9, .target_low = 1, .target_high = 9},
        {.least = 3, .most = 4, .low = 9, .high = 1, .target_low = 1, .target_high = 9},
        {.least = 3, .most = 4, .low = 1, .high = 9, .target_low = 9, .target_high = 1},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(egg_countdown_make(&puzzle, &forms[i], EGG_COUNTDOWN_TRAINING, 1, 0, &error),
                         EGG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "expected 1 to 6 numbers"));
    }
    const egg_countdown_form far = {.least = 2, .most = 2, .low = 1, .high = 3, .target_low = 500, .target_high = 900};
    assert_int_equal(egg_countdown_make(&puzzle, &far, EGG_COUNTDOWN_TRAINING, 1, 0, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "has a target of 500 to 900"));
}

static void test_scores_of_countdown(void **state)
{
    (void)state;
    static const egg_countdown puzzle = {.target = 24, .count = 4, .numbers = {3, 3, 8, 8}};
    static const struct {
        const char *answer;
        double strict, graded;
    } cases[] = {
        {"8 / (3 - 8 / 3)", 1, 1},           {"(8/(3-8/3))=24", 1, 1},      {" 3*8 ", 1, 1},
        {"3 * 8 + 8 - 8", 0, 1},             {"3+3+3+3+3+3+3+3", 0, 1},     {"-8*-3", 1, 1},
        {"24", 0, 0.05},                     {"8*3+0", 0, 0.05},            {"8+8", 0, 0.05},
        {"8/(3-3)", 0, 0.05},                {"8**3", 0, 0.01},             {"(8*3", 0, 0.01},
        {"8*3)", 0, 0.01},                   {"8 3", 0, 0.01},              {"eight times three", 0, 0.01},
        {"3*8.0", 0, 0.01},                  {"", 0, 0},                    {"  \n", 0, 0},
        {"= 24", 0, 0},                      {"99999999999999999999*8", 0, 0.05},
        {"8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8*8", 0, 0.05},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char chat[512];
        size_t n = strlen(cases[i].answer),
               m = (size_t)snprintf(chat, sizeof chat, ">3*8=24</think>\n%s\n", cases[i].answer);
        double strict = egg_countdown_strict(&puzzle, EGG_COUNTDOWN_PLAIN, cases[i].answer, n);
        double graded = egg_countdown_graded(&puzzle, EGG_COUNTDOWN_PLAIN, cases[i].answer, n);
        if (strict != cases[i].strict || graded != cases[i].graded)
            fail_msg("'%s': %g and %g", cases[i].answer, strict, graded);
        assert_true(egg_countdown_strict(&puzzle, EGG_COUNTDOWN_CHAT, chat, m) == cases[i].strict);
        assert_true(egg_countdown_graded(&puzzle, EGG_COUNTDOWN_CHAT, chat, m) == cases[i].graded);
        assert_true(egg_countdown_graded(&puzzle, EGG_COUNTDOWN_CHAT, cases[i].answer, n) == 0);   /* no </think> */
    }
    static const char two_lines[] = "3*8\nand more";
    assert_true(egg_countdown_strict(&puzzle, EGG_COUNTDOWN_PLAIN, two_lines, sizeof two_lines - 1) == 1);
    assert_true(egg_countdown_strict(&puzzle, EGG_COUNTDOWN_PLAIN, "3*8\0", 4) == 1);
    assert_true(egg_countdown_strict(&puzzle, EGG_COUNTDOWN_PLAIN, "3\0*8", 4) == 0);
}

static void test_deep_brackets(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    static const egg_countdown puzzle = {.target = 3, .count = 1, .numbers = {3}};
    char *text = malloc(DEPTH);
    memset(text, '(', DEPTH);
    assert_true(egg_countdown_graded(&puzzle, EGG_COUNTDOWN_PLAIN, text, DEPTH) == 0.01);
    memset(text, '-', DEPTH);
    assert_true(egg_countdown_graded(&puzzle, EGG_COUNTDOWN_PLAIN, text, DEPTH) == 0.01);
    free(text);
    assert_true(egg_countdown_strict(&puzzle, EGG_COUNTDOWN_PLAIN, "((((3))))", 9) == 1);
}

static void test_prompts_of_countdown(void **state)
{
    (void)state;
    char prompt[EGG_COUNTDOWN_PROMPT_BYTES];
    const egg_countdown puzzle = {.target = 24, .count = 3, .numbers = {3, 8, 100}};
    egg_countdown_prompt(&puzzle, EGG_COUNTDOWN_PLAIN, prompt);
    assert_string_equal(prompt, "3 8 100 = 24: ");
    egg_countdown_prompt(&puzzle, EGG_COUNTDOWN_CHAT, prompt);
    assert_non_null(strstr(prompt, "whose value is 24 from the numbers 3, 8, 100."));
    assert_string_equal(prompt + strlen(prompt) - strlen("\n\nAssistant: <think"), "\n\nAssistant: <think");
}

/* ----------------------------------------------------------------------------------------------------------- gsm8k */

static double reward(const char *answer, const char *completion)
{
    return egg_gsm8k_reward(answer, completion, strlen(completion));
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *completion;
        double reward;
    } cases[] = {
        {"#### 72", "</think> 72", 1},       {"#### 72", "72", 0},              {"#### 72", "</think> 73", 0},
        {"#### 72", "</think>", 0},          {"#### 72", "</think> none", 0},   {"#### 1,000", "</think>$1000.", 1},
        {"#### 1000", "</think> 1,000.00", 1}, {"#### -5", "</think> -5", 1},   {"#### -5", "</think> -$5", 1},
        {"#### 5", "</think> 10-5", 1},      {"#### 5", "</think> x-5", 1},     {"#### 2.5", "</think> 02.50", 1},
        {"#### 0", "</think> -0.0", 1},      {"#### 72", "</think> 72 apples, not 73", 0},
        {"5 #### 72", "</think> 5", 0},      {"#### 72", "72 </think> 1", 0},   {"#### 72", "</think> 72.", 1},
        {"#### 10", "</think> 1,0", 1},      {"#### 3", "</think> 1.2.3", 1},   {"no mark", "</think> 1", 0},
        {"#### 0.5", "</think> 0.5", 1},     {"#### 0", "</think> 00", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double found = reward(cases[i].answer, cases[i].completion);
        if (found != cases[i].reward) fail_msg("'%s' '%s': %g", cases[i].answer, cases[i].completion, found);
    }
    egg_error error = {0};
    assert_int_equal(egg_gsm8k_check("#### 72", NULL), EGG_OK);
    assert_int_equal(egg_gsm8k_check("#### many", &error), EGG_ERR_FORMAT);
    assert_string_equal(error.text, "the answer has no number behind '####'");
    char *prompt = egg_gsm8k_prompt("How many?");
    assert_string_equal(prompt, "User: How many?\n\nAssistant: <think");
    egg_free(prompt);
}

/* The reference answers as completions are right, and with one more digit are wrong: all of them. */
static size_t check_file(const char *path)
{
    static const char *const fields[] = {"question", "answer"};
    egg_records *records;
    egg_error error = {0};
    if (egg_records_open(&records, path, fields, 2, &error) != EGG_OK) fail_msg("%s", error.text);
    size_t count = egg_records_count(records);
    for (size_t i = 0; i < count; i++) {
        const char *answer = egg_records_at(records, i)->text[1];
        size_t bytes = strlen(answer) + 32;
        char *completion = malloc(bytes);
        snprintf(completion, bytes, ">so</think>%s", answer);
        assert_int_equal(egg_gsm8k_check(answer, NULL), EGG_OK);
        assert_true(reward(answer, completion) == 1);
        snprintf(completion, bytes, ">so</think>%s1", answer);
        assert_true(reward(answer, completion) == 0);
        snprintf(completion, bytes, ">so %s", answer);
        assert_true(reward(answer, completion) == 0);
        free(completion);
    }
    egg_records_close(records);
    return count;
}

static void test_all_of_gsm8k(void **state)
{
    (void)state;
    if (!egg_path_exists(EGG_TEST_DATA_DIR "/gsm8k-train.jsonl")) {
        print_message("skipped: no GSM8K in " EGG_TEST_DATA_DIR "\n");
        skip();
    }
    size_t rows =
        check_file(EGG_TEST_DATA_DIR "/gsm8k-train.jsonl") + check_file(EGG_TEST_DATA_DIR "/gsm8k-test.jsonl");
    assert_int_equal(rows, 8792);
}

/* --------------------------------------------------------------------------------------------------------- records */

static egg_status open_text(egg_records **records, const char *text, egg_error *error)
{
    static const char *const fields[] = {"prompt", "completion"};
    scratch_write("rows.jsonl", text, strlen(text));
    return egg_records_open(records, scratch_path("rows.jsonl"), fields, 2, error);
}

static void test_records(void **state)
{
    (void)state;
    egg_records *records;
    egg_error error = {0};
    static const char first[] = "{\"completion\": \"b\\n\", \"prompt\": \"a\", \"n\": 12345678901234567890123}";
    char text[512];
    snprintf(text, sizeof text, "\xef\xbb\xbf%s\r\n\n  \n{\"prompt\": \"\", \"completion\": \"\xc3\xa9\"}", first);
    if (open_text(&records, text, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(egg_records_count(records), 2);
    const egg_record *a = egg_records_at(records, 0), *b = egg_records_at(records, 1);
    assert_string_equal(a->text[0], "a");
    assert_string_equal(a->text[1], "b\n");
    assert_int_equal(a->row_bytes, sizeof first - 1);
    assert_memory_equal(a->row, first, sizeof first - 1);
    assert_int_equal(a->line, 1);
    assert_string_equal(b->text[0], "");
    assert_string_equal(b->text[1], "\xc3\xa9");
    assert_int_equal(b->line, 4);
    egg_records_close(records);
}

static void assert_refused(const char *text, size_t line, const char *reason)
{
    egg_records *records;
    egg_error error = {0};
    assert_int_equal(open_text(&records, text, &error), EGG_ERR_FORMAT);
    assert_null(records);
    if (!strstr(error.text, reason)) fail_msg("'%s' lacks '%s'", error.text, reason);
    assert_int_equal(error.offset, line);
}

static void test_wrong_records(void **state)
{
    (void)state;
    assert_refused("", 0, "rows.jsonl: holds no line, expected at least one");
    assert_refused("\n\n", 0, "holds no line");
    assert_refused("{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"}\n", 2,
                   "line 2 has no field 'completion'; its fields are: 'prompt'");
    assert_refused("{\"prompt\": 3, \"completion\": \"b\"}\n", 1, "line 1: field 'prompt' is not a string");
    assert_refused("\n[]\n", 2, "line 2 is no object");
    assert_refused("\n\n{\"prompt\": \"a\"", 3, "line 3, column ");
    assert_refused("{\"prompt\": \"a\\u0000\", \"completion\": \"\"}", 1, "line 1, column ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_puzzles),
        cmocka_unit_test(test_the_set_does_not_depend_on_the_order),
        cmocka_unit_test(test_held_out_puzzles_differ),
        cmocka_unit_test(test_what_is_the_same_puzzle),
        cmocka_unit_test(test_impossible_forms),
        cmocka_unit_test(test_scores_of_countdown),
        cmocka_unit_test(test_deep_brackets),
        cmocka_unit_test(test_prompts_of_countdown),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_all_of_gsm8k),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_wrong_records),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
