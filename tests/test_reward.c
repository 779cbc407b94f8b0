/* SPDX-License-Identifier: MIT */
/* Rewards from programs: those that keep to the protocol, and those that die, hang, flood, answer twice or nonsense. */
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
#include <jansson.h>

#include "base/clock.h"
#include "base/memory.h"
#include "scratch.h"
#include "tasks/reward_process.h"

/* Replies with the length of the line, by nothing but the shell. */
#define LENGTH_OF_LINE                                                                                                 \
    "while IFS= read -r line; do id=${line#*: }; id=${id%%,*}; "                                                       \
    "printf '{\"id\": %s, \"reward\": %d}\\n' \"$id\" ${#line}; done"

/* Reads one line, then acts. */
#define AFTER_ONE(action) "IFS= read -r line; " action

enum { COUNT = 20 };

static void fill_requests(egg_reward_request *requests, char texts[COUNT][64])
{
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(texts[i], 64, "%.*s", (int)i, "abcdefghijklmnopqrstuvwxyz");
        requests[i] =
            (egg_reward_request){.prompt = "p", .completion = texts[i], .prompt_bytes = 1, .completion_bytes = i};
    }
}

static egg_status run(const char *command, uint32_t workers, double seconds, size_t count, double *rewards,
                      uint64_t *restarts, egg_error *error)
{
    egg_reward_process *process;
    egg_reward_request requests[COUNT];
    char texts[COUNT][64];
    const egg_reward_options options = {.command = command, .workers = workers, .attempts = 3, .seconds = seconds,
                                        .max_reply = 1000};
    fill_requests(requests, texts);
    assert_int_equal(egg_reward_process_open(&process, &options, NULL), EGG_OK);
    egg_status status = egg_reward_process_run(process, requests, count, rewards, error);
    if (restarts) *restarts = egg_reward_process_restarts(process);
    egg_reward_process_close(process);
    return status;
}

static void test_every_request_gets_its_reward(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        double rewards[COUNT];
        uint64_t restarts;
        egg_error error = {0};
        if (run(LENGTH_OF_LINE, workers, 20, COUNT, rewards, &restarts, &error) != EGG_OK) fail_msg("%s", error.text);
        for (uint32_t i = 0; i < COUNT; i++) {
            double around = (double)strlen("{\"id\": 1, \"prompt\": \"p\", \"completion\": \"\", \"row\": null}");
            assert_true(rewards[i] == around + i + (i + 1 > 9));   /* ids count from 1 */
        }
        assert_int_equal(restarts, 0);
    }
}

static void test_programs_stay(void **state)
{
    (void)state;
    egg_reward_process *process;
    double reward;
    const egg_reward_request request = {.prompt = "", .completion = ""};
    const egg_reward_options options = {.command = "n=0; while read -r line; do n=$((n + 1)); "
                                                   "echo \"{\\\"id\\\": $n, \\\"reward\\\": $n}\"; done",
                                        .workers = 1, .attempts = 1, .seconds = 20, .max_reply = 1000};
    assert_int_equal(egg_reward_process_open(&process, &options, NULL), EGG_OK);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(egg_reward_process_run(process, &request, 1, &reward, NULL), EGG_OK);
        assert_true(reward == i);
    }
    assert_int_equal(egg_reward_process_run(process, &request, 0, &reward, NULL), EGG_OK);
    egg_reward_process_close(process);
}

static void test_large_texts(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };   /* far more than a pipe holds */
    egg_reward_process *process;
    double reward;
    char *text = malloc(BYTES);
    memset(text, 'x', BYTES);
    const egg_reward_request request = {.prompt = text,
                                        .prompt_bytes = BYTES,
                                        .completion = text,
                                        .completion_bytes = BYTES};
    const egg_reward_options options = {.command = AFTER_ONE("echo '{\"id\": 1, \"reward\": 2}'; cat >/dev/null"),
                                        .workers = 1, .attempts = 1, .seconds = 60, .max_reply = 1000};
    egg_error error = {0};
    assert_int_equal(egg_reward_process_open(&process, &options, NULL), EGG_OK);
    if (egg_reward_process_run(process, &request, 1, &reward, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_true(reward == 2);
    egg_reward_process_close(process);
    free(text);
}

/* ----------------------------------------------------------------------------------------------------- misbehaviour */

static void assert_fails(const char *command, double seconds, egg_status expected, const char *reason)
{
    double rewards[COUNT];
    egg_error error = {0};
    egg_status status = run(command, 1, seconds, 2, rewards, NULL, &error);
    if (status != expected || !strstr(error.text, reason))
        fail_msg("%s: status %d, '%s' lacks '%s'", command, status, error.text, reason);
    assert_non_null(strstr(error.text, "--reward: '"));
}

static void test_a_program_that_dies(void **state)
{
    (void)state;
    assert_fails("exit 3", 20, EGG_ERR_IO, "ended with status 3 on request 1, 3 times in a row");
    assert_fails(AFTER_ONE("echo no such module >&2; exit 1"), 20, EGG_ERR_IO,
                 "3 times in a row; it said: no such module");
    assert_fails("/no/such/program", 20, EGG_ERR_IO, "ended with status 127 on request 1");
    assert_fails(AFTER_ONE("kill -9 $$"), 20, EGG_ERR_IO, "was ended by signal 9 on request 1");
    assert_fails("exec 1>&-; sleep 20", 20, EGG_ERR_IO, "closed its output on request 1");
}

static void test_a_crash_is_survived(void **state)
{
    (void)state;
    char command[1024];
    double rewards[COUNT];
    uint64_t restarts;
    egg_error error = {0};
    /* Dies on its first three lines, across restarts; a request has three attempts. */
    snprintf(command, sizeof command,
             "while IFS= read -r line; do printf x >>'%s/crashes'; n=$(wc -c <'%s/crashes'); "
             "[ \"$n\" -eq 2 ] || [ \"$n\" -eq 5 ] && exit 1; id=${line#*: }; id=${id%%%%,*}; "
             "printf '{\"id\": %%s, \"reward\": 1}\\n' \"$id\"; done",
             scratch_folder(), scratch_folder());
    if (run(command, 1, 20, 5, rewards, &restarts, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(restarts, 2);
    for (int i = 0; i < 5; i++) assert_true(rewards[i] == 1);
}

static void test_a_program_that_hangs(void **state)
{
    (void)state;
    double begun = egg_clock_seconds();
    assert_fails("sleep 1000", 0.2, EGG_ERR_IO, "gave no reply in time on request 1, 3 times in a row");
    assert_fails("cat >/dev/null; sleep 1000", 0.2, EGG_ERR_IO, "gave no reply in time");
    assert_true(egg_clock_seconds() - begun < 60);   /* the sleeps are dead, and nobody waits for them */
}

static void test_a_program_that_floods(void **state)
{
    (void)state;
    assert_fails(AFTER_ONE("while :; do printf xxxxxxxxxxxxxxxxxxxxxxxxxxx; done"), 20, EGG_ERR_FORMAT,
                 "replied to request 1 with more than 1000 bytes without a newline");
    assert_fails(AFTER_ONE("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxx; done"), 20, EGG_ERR_FORMAT,
                 "replied 'xxxxxxx");
    assert_fails(AFTER_ONE("while :; do echo complaint; done >&2"), 0.5, EGG_ERR_IO, "gave no reply in time");
}

static void test_a_program_that_replies_twice(void **state)
{
    (void)state;
    assert_fails(AFTER_ONE("printf '{\"id\": 1, \"reward\": 1}\\n{\"id\": 2, \"reward\": 1}\\n'; cat"), 20,
                 EGG_ERR_FORMAT, "wrote more than one line for request 1");
    assert_fails("echo hello; cat", 20, EGG_ERR_FORMAT, "replied 'hello', expected {\"id\": 1, \"reward\": NUMBER}");
}

static void test_replies_that_are_none(void **state)
{
    (void)state;
    assert_fails(AFTER_ONE("echo '{\"id\": 1, \"reward\": NaN}'"), 20, EGG_ERR_FORMAT,
                 "replied '{\"id\": 1, \"reward\": NaN}'");
    double reward;
    egg_error error = {0};
    static const struct {
        const char *line, *reason;   /* NULL: taken */
    } cases[] = {
        {"{\"id\": 7, \"reward\": 0.5}", NULL},
        {"{\"reward\": -3, \"id\": 7, \"why\": []}", NULL},
        {" {\"id\": 7, \"reward\": 1e3} \r", NULL},
        {"", "expected {"},
        {"7", "expected {"},
        {"[7, 1]", "expected {"},
        {"{\"id\": 7}", "expected a finite number"},
        {"{\"id\": 7, \"reward\": \"1\"}", "expected a finite number"},
        {"{\"id\": 7, \"reward\": null}", "expected a finite number"},
        {"{\"id\": 7, \"reward\": true}", "a finite number"},
        {"{\"id\": 7, \"reward\": 1e999}", "expected"},
        {"{\"id\": 8, \"reward\": 1}", "expected the id 7"},
        {"{\"id\": \"7\", \"reward\": 1}", "expected the id 7"},
        {"{\"reward\": 1}", "expected the id 7"},
        {"{\"id\": 7, \"reward\": 1, \"reward\": 2}", "expected {"},
        {"{\"id\": 7, \"reward\": 1} x", "expected {"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        egg_status status = egg_reward_reply_parse(cases[i].line, strlen(cases[i].line), 7, &reward, &error);
        if (!cases[i].reason != (status == EGG_OK)) fail_msg("%s: %d", cases[i].line, status);
        if (cases[i].reason && !strstr(error.text, cases[i].reason))
            fail_msg("'%s' lacks '%s'", error.text, cases[i].reason);
    }
}

static void test_after_a_failure_the_next_call_begins_anew(void **state)
{
    (void)state;
    char command[512];
    egg_reward_process *process;
    double rewards[2];
    const egg_reward_request requests[2] = {{.prompt = "", .completion = ""}, {.prompt = "", .completion = ""}};
    snprintf(command, sizeof command, "[ -e '%s/once' ] || { : >'%s/once'; echo rubbish; }; %s",
             scratch_folder(), scratch_folder(), LENGTH_OF_LINE);
    const egg_reward_options options = {
        .command = command, .workers = 2, .attempts = 1, .seconds = 20, .max_reply = 1000};
    assert_int_equal(egg_reward_process_open(&process, &options, NULL), EGG_OK);
    assert_int_equal(egg_reward_process_run(process, requests, 2, rewards, NULL), EGG_ERR_FORMAT);
    assert_int_equal(egg_reward_process_run(process, requests, 2, rewards, NULL), EGG_OK);
    egg_reward_process_close(process);
}

/* -------------------------------------------------------------------------------------------------------- requests */

static void test_the_line_of_a_request(void **state)
{
    (void)state;
    size_t bytes;
    static const char prompt[] = "a\"\\\n\x01\0z",
                      completion[] = "\xc3\xa9\xff\xe2\x82x\xed\xa0\x80\xf0\x9f\x98\x80\xc0\xaf";
    const egg_reward_request request = {.prompt = prompt,
                                        .prompt_bytes = sizeof prompt - 1,
                                        .completion = completion,
                                        .completion_bytes = sizeof completion - 1,
                                        .row = "{\"answer\": 3}",
                                        .row_bytes = 13};
    char *line = egg_reward_request_text(&request, 12, &bytes);
    assert_true(line[bytes - 1] == '\n' && !memchr(line, '\n', bytes - 1));
    json_t *object = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
    assert_non_null(object);
    assert_int_equal(json_integer_value(json_object_get(object, "id")), 12);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(object, "row"), "answer")), 3);
    assert_int_equal(json_string_length(json_object_get(object, "prompt")), sizeof prompt - 1);
    assert_memory_equal(json_string_value(json_object_get(object, "prompt")), prompt, sizeof prompt - 1);
    assert_string_equal(
        json_string_value(json_object_get(object, "completion")),
        "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80"
        "\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(object);
    egg_free(line);
}

static void test_missing_memory(void **state)
{
    (void)state;
    const egg_reward_options options = {.command = "cat", .workers = 2, .attempts = 1, .seconds = 1, .max_reply = 100};
    egg_status status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_reward_process *process;
        egg_alloc_fail_at(nth);
        status = egg_reward_process_open(&process, &options, NULL);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK ? nth == 7 : status == EGG_ERR_NOMEM && !process);
        egg_reward_process_close(process);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_gets_its_reward),
        cmocka_unit_test(test_programs_stay),
        cmocka_unit_test(test_large_texts),
        cmocka_unit_test(test_a_program_that_dies),
        cmocka_unit_test(test_a_crash_is_survived),
        cmocka_unit_test(test_a_program_that_hangs),
        cmocka_unit_test(test_a_program_that_floods),
        cmocka_unit_test(test_a_program_that_replies_twice),
        cmocka_unit_test(test_replies_that_are_none),
        cmocka_unit_test(test_after_a_failure_the_next_call_begins_anew),
        cmocka_unit_test(test_the_line_of_a_request),
        cmocka_unit_test(test_missing_memory),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
