/* SPDX-License-Identifier: MIT */
/* Tokenizers: every entry encodes to itself, every text comes back, and vocabularies that are wrong are explained. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/literal.h"
#include "data/tokenizer.h"
#include "scratch.h"

#define TINY EGG_TEST_SOURCE_DIR "/fixtures/tiny_vocab.txt"
#define WORLD EGG_TEST_DATA_DIR "/rwkv_vocab_v20230424.txt"

static egg_tokenizer *open_world(const char *path)
{
    egg_tokenizer *tokenizer;
    egg_error error = {0};
    if (egg_tokenizer_open_world(&tokenizer, path, &error) != EGG_OK) fail_msg("%s", error.text);
    return tokenizer;
}

static void assert_tokens(const egg_tokenizer *tokenizer, const char *text, size_t count, const uint32_t *expected)
{
    uint32_t found[64];
    assert_true(strlen(text) <= 64);
    size_t n = egg_tokenizer_encode(tokenizer, text, strlen(text), found);
    for (size_t i = 0; i < n && i < count; i++) assert_int_equal(found[i], expected[i]);
    assert_int_equal(n, count);
}

/* A window that moves over the text gives the same tokens. */
static void assert_parts(const egg_tokenizer *tokenizer, const uint8_t *text, size_t bytes, const uint32_t *expected,
                         size_t count)
{
    uint32_t part[300];
    size_t window = egg_tokenizer_longest(tokenizer) + 7, at = 0, n = 0, used;
    assert_true(window <= 300);
    while (at < bytes) {
        bool last = bytes - at <= window;
        size_t found = egg_tokenizer_encode_part(tokenizer, text + at, last ? bytes - at : window, last, part, &used);
        assert_true(used > 0 && n + found <= count);
        assert_memory_equal(part, expected + n, found * sizeof *part);
        n += found;
        at += used;
    }
    assert_int_equal(n, count);
}

static void assert_round_trip(const egg_tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    uint32_t *tokens = malloc((bytes + 1) * sizeof *tokens);
    assert_non_null(tokens);
    size_t count = egg_tokenizer_encode(tokenizer, text, bytes, tokens), at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *part = egg_tokenizer_text(tokenizer, tokens[i], &n);
        assert_true(part && n <= bytes - at && memcmp(part, text + at, n) == 0);
        at += n;
    }
    assert_int_equal(at, bytes);
    assert_parts(tokenizer, text, bytes, tokens, count);
    free(tokens);
}

/* Every entry alone is its own longest match. */
static void assert_entries(const egg_tokenizer *tokenizer, size_t expected)
{
    size_t entries = 0;
    for (uint32_t token = 0; token < egg_tokenizer_vocabulary(tokenizer); token++) {
        size_t n;
        uint32_t found[256];
        const char *text = egg_tokenizer_text(tokenizer, token, &n);
        if (!text) continue;
        assert_true(n <= 256);
        assert_int_equal(egg_tokenizer_encode(tokenizer, text, n, found), 1);
        assert_int_equal(found[0], token);
        entries++;
    }
    assert_int_equal(entries, expected);
}

static void assert_random_texts(const egg_tokenizer *tokenizer)
{
    uint8_t text[512];
    uint32_t state = 1;
    for (int round = 0; round < 500; round++) {
        size_t n = 0;
        while (n < 400) {   /* entries and single bytes in random order */
            state = state * 1664525 + 1013904223;
            size_t bytes;
            const char *entry =
                egg_tokenizer_text(tokenizer, (state >> 8) % egg_tokenizer_vocabulary(tokenizer), &bytes);
            if (entry && bytes < 100 && state % 3) memcpy(text + n, entry, bytes), n += bytes;
            else text[n++] = (uint8_t)(state >> 24);
        }
        assert_round_trip(tokenizer, text, n);
    }
}

/* ---------------------------------------------------------------------------------------------------- the two kinds */

static void test_bytes(void **state)
{
    (void)state;
    egg_tokenizer *tokenizer;
    size_t n;
    assert_int_equal(egg_tokenizer_open_byte(&tokenizer, NULL), EGG_OK);
    assert_int_equal(egg_tokenizer_vocabulary(tokenizer), 256);
    assert_tokens(tokenizer, "a\xff", 2, (uint32_t[]){'a', 255});
    assert_tokens(tokenizer, "", 0, NULL);
    assert_null(egg_tokenizer_text(tokenizer, EGG_TOKEN_END, &n));
    assert_null(egg_tokenizer_text(tokenizer, 256, &n));
    assert_entries(tokenizer, 255);
    egg_tokenizer_close(tokenizer);
}

/* tests/gen/tiny_vocab.py: ids 1 to 256 are the bytes, then "th" 257, "the" 258, "there" 259, "her" 260, ... */
static void test_longest_match_is_greedy(void **state)
{
    (void)state;
    egg_tokenizer *tokenizer = open_world(TINY);
    assert_int_equal(egg_tokenizer_vocabulary(tokenizer), 277);
    assert_tokens(tokenizer, "there", 1, (uint32_t[]){259});
    assert_tokens(tokenizer, "thers", 3, (uint32_t[]){258, 'r' + 1, 's' + 1});
    assert_tokens(tokenizer, "ther", 2, (uint32_t[]){258, 'r' + 1});          /* not th + her */
    assert_tokens(tokenizer, "it's \"", 1, (uint32_t[]){265});
    assert_tokens(tokenizer, "\\n\n\n", 2, (uint32_t[]){266, 262});
    assert_tokens(tokenizer, "\xc3\xa9\xc3", 2, (uint32_t[]){268, 0xc3 + 1});
    assert_tokens(tokenizer, "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0", 3, (uint32_t[]){271, 272, 0xa0 + 1});
    assert_tokens(tokenizer, "\xf0\x9f\x98\x80\xf0\x9f\x98\x81", 3, (uint32_t[]){270, 273, 0x81 + 1});
    assert_entries(tokenizer, 276);
    assert_random_texts(tokenizer);
    egg_tokenizer_close(tokenizer);
}

static void test_the_world(void **state)
{
    (void)state;
    if (!egg_path_exists(WORLD)) {
        print_message("skipped: %s is not there\n", WORLD);
        skip();
    }
    egg_tokenizer *tokenizer = open_world(WORLD);
    assert_int_equal(egg_tokenizer_vocabulary(tokenizer), 65530);
    assert_entries(tokenizer, 65529);
    for (uint32_t byte = 0; byte < 256; byte++) {
        size_t n;
        const char *text = egg_tokenizer_text(tokenizer, byte + 1, &n);
        assert_true(n == 1 && (uint8_t)*text == byte);
    }
    assert_random_texts(tokenizer);
    egg_mapping text;
    if (egg_mapping_open(&text, EGG_TEST_DATA_DIR "/tinyshakespeare.txt", NULL) == EGG_OK) {
        assert_round_trip(tokenizer, text.data, text.bytes);
        uint32_t *tokens = malloc(text.bytes * sizeof *tokens);
        double begun = egg_clock_seconds();
        size_t count = egg_tokenizer_encode(tokenizer, text.data, text.bytes, tokens);
        print_message("%zu tokens, %.0f MB/s\n", count, (double)text.bytes / (egg_clock_seconds() - begun) * 1e-6);
        free(tokens);
        egg_mapping_close(&text);
    }
    egg_tokenizer_close(tokenizer);
}

/* -------------------------------------------------------------------------------------------------------- literals */

static void test_literals(void **state)
{
    (void)state;
    static const struct {
        const char *literal, *text;   /* text NULL: refused */
    } cases[] = {
        {"'a'", "a"},           {"\"it's\"", "it's"},     {"b'\\xff\\x01'", "\xff\x01"}, {"'\\xff'", "\xc3\xbf"},
        {"'\\u2028'", "\xe2\x80\xa8"}, {"'\\U0001f600'", "\xf0\x9f\x98\x80"}, {"'\\\\\\'\\\"\\n\\r\\t'", "\\'\"\n\r\t"},
        {"''", ""},             {"'", NULL},              {"", NULL},       {"b", NULL},      {"'a\"", NULL},
        {"'a'b'", NULL},        {"'\\'", NULL},           {"'\\x4'", NULL}, {"'\\xg0'", NULL}, {"'\\ud800'", NULL},
        {"'\\U00110000'", NULL}, {"b'\\u0041'", NULL},    {"b'\xc3\xa9'", NULL}, {"'\\q'", NULL}, {"x'a'", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        size_t n;
        const char *wrong = egg_literal_decode(cases[i].literal, strlen(cases[i].literal), out, &n);
        if (!wrong != !!cases[i].text) fail_msg("%s: %s", cases[i].literal, wrong ? wrong : "taken");
        if (wrong) continue;
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(out, cases[i].text, n);
    }
}

/* --------------------------------------------------------------------------------------------- vocabularies that fail
 */

/* The tiny vocabulary with 'tail' behind it. */
static void assert_refused(const char *tail, size_t line, const char *reason)
{
    size_t bytes;
    egg_tokenizer *tokenizer;
    egg_error error = {0};
    egg_mapping tiny;
    assert_int_equal(egg_mapping_open(&tiny, TINY, NULL), EGG_OK);
    bytes = tiny.bytes + strlen(tail);
    char *text = malloc(bytes);
    memcpy(text, tiny.data, tiny.bytes);
    memcpy(text + tiny.bytes, tail, strlen(tail));
    assert_int_equal(egg_tokenizer_parse_world(&tokenizer, text, bytes, "vocab", &error), EGG_ERR_FORMAT);
    assert_null(tokenizer);
    if (!strstr(error.text, reason)) fail_msg("'%s' lacks '%s'", error.text, reason);
    assert_int_equal(error.offset, line);
    egg_mapping_close(&tiny);
    free(text);
}

static void test_wrong_lines(void **state)
{
    (void)state;
    assert_refused("\nrubbish\n", 278, "vocab: line 278 is 'rubbish', expected '<id from 1> <literal> <bytes>'");
    assert_refused("0 'zz' 2\n", 277, "line 277 is '0 'zz' 2'");
    assert_refused("-1 'zz' 2\n", 277, "line 277 is");
    assert_refused("99999999999 'zz' 2\n", 277, "line 277 is");
    assert_refused("300 'zz' two\n", 277, "line 277 is");
    assert_refused("300 2\n", 277, "line 277 is");
    assert_refused("300  2\n", 277, "line 277 is");
    assert_refused("300 zz 2\n", 277, "line 277: no literal in quotes: zz");
    assert_refused("300 'zz' 3\n", 277, "line 277: the entry has 2 bytes, the line says 3");
    assert_refused("300 '' 0\n", 277, "line 277: the entry has 0 bytes");
    assert_refused("300 'yy' 2\n301 'yy' 2\n", 278, "line 278: the entry is that of line 277 again");
    assert_refused("300 'yy' 2\n300 'zz' 2\n", 278, "line 278: the id 300 is that of line 277 again");
}

static void test_a_part_of_a_vocabulary(void **state)
{
    (void)state;
    egg_tokenizer *tokenizer;
    egg_error error = {0};
    const char *one = "1 'a' 1\r\n";
    assert_int_equal(egg_tokenizer_parse_world(&tokenizer, one, strlen(one), "part", &error), EGG_ERR_FORMAT);
    assert_non_null(strstr(error.text, "part: no entry is the single byte 0x00"));
    assert_int_equal(egg_tokenizer_parse_world(&tokenizer, NULL, 0, "none", &error), EGG_ERR_FORMAT);
    assert_int_equal(egg_tokenizer_open_world(&tokenizer, scratch_path("absent"), &error), EGG_ERR_IO);
    assert_null(tokenizer);
}

static void test_missing_memory(void **state)
{
    (void)state;
    egg_status status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_tokenizer *tokenizer;
        egg_error error = {0};
        egg_alloc_fail_at(nth);
        status = egg_tokenizer_open_world(&tokenizer, TINY, &error);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK || (status == EGG_ERR_NOMEM && !tokenizer && strstr(error.text, "no memory")));
        assert_true(status != EGG_OK || nth > 10);
        egg_tokenizer_close(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),       cmocka_unit_test(test_longest_match_is_greedy),
        cmocka_unit_test(test_the_world),   cmocka_unit_test(test_literals),
        cmocka_unit_test(test_wrong_lines), cmocka_unit_test(test_a_part_of_a_vocabulary),
        cmocka_unit_test(test_missing_memory),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
