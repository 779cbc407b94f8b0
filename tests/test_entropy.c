/* SPDX-License-Identifier: MIT */
/* Entropies that are known in advance, and those of real text. */
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

#include "base/memory.h"
#include "data/entropy.h"

typedef struct bits {
    double unigram, bigram;
} bits;

static egg_corpus *open_text(const void *text, size_t bytes)
{
    egg_error error = {0};
    egg_corpus *corpus;
    if (egg_corpus_open_memory(&corpus, &text, &bytes, 1, &error) != EGG_OK) fail_msg("%s", error.text);
    return corpus;
}

static bits measure(const egg_corpus *corpus, uint64_t offset, uint64_t bytes)
{
    egg_error error = {0};
    bits found = {NAN, NAN};
    if (egg_entropy(corpus, offset, bytes, &found.unigram, &found.bigram, &error) != EGG_OK) fail_msg("%s", error.text);
    return found;
}

/* Far above what the sum of 65536 rounded terms may lose, far below the least miscount of a million bytes. */
#define ASSERT_CLOSE(found, expected) assert_true(fabs((found) - (expected)) < 1e-11)

static void test_constant_text_has_none(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    egg_corpus *corpus = open_text(text, sizeof text);
    bits found = measure(corpus, 1, sizeof text);
    assert_true(found.unigram == 0 && found.bigram == 0);
    egg_corpus_close(corpus);
}

static void test_cycle_is_known_from_the_byte_before(void **state)
{
    (void)state;
    char text[4096];
    for (size_t i = 0; i < sizeof text; i++) text[i] = "abcd"[i % 4];
    egg_corpus *corpus = open_text(text, sizeof text);
    bits found = measure(corpus, 1, sizeof text);
    ASSERT_CLOSE(found.unigram, 2);
    ASSERT_CLOSE(found.bigram, 0);
    egg_corpus_close(corpus);
}

static void test_counted_by_hand(void **state)
{
    (void)state;
    /* The stream is 0 a a b a; its pairs are 0a, aa, ab, ba. */
    egg_corpus *corpus = open_text("aaba", 4);
    bits found = measure(corpus, 0, 5);
    ASSERT_CLOSE(found.unigram, 3.0 / 5 * log2(5.0 / 3) + 2.0 / 5 * log2(5.0));
    ASSERT_CLOSE(found.bigram, 2.0 / 4);   /* after an a either may come, and an a has come twice */

    /* Round the end: b a 0 a a, with the pairs ba, a0, 0a, aa. */
    found = measure(corpus, 3, 5);
    ASSERT_CLOSE(found.unigram, 3.0 / 5 * log2(5.0 / 3) + 2.0 / 5 * log2(5.0));
    ASSERT_CLOSE(found.bigram, 2.0 / 4);
    found = measure(corpus, 1, 2);
    assert_true(found.unigram == 0 && found.bigram == 0);
    egg_corpus_close(corpus);
}

static void test_ranges_too_short_to_count(void **state)
{
    (void)state;
    egg_corpus *corpus = open_text("abc", 3);
    for (uint64_t bytes = 0; bytes < 2; bytes++) {
        bits found = measure(corpus, 2, bytes);
        assert_true(found.unigram == 0 && found.bigram == 0);
    }
    egg_corpus_close(corpus);
}

static void test_every_pair_equally_often_is_eight_bits(void **state)
{
    (void)state;
    /* 0 0 0 1 0 2 ... 255 255: every pair of bytes comes twice, but 255 is followed by 0 only once. */
    enum { SYMBOLS = 256, BYTES = 2 * SYMBOLS * SYMBOLS };
    uint8_t *text = malloc(BYTES);
    for (uint32_t i = 0; i < SYMBOLS * SYMBOLS; i++) {
        text[2 * i] = (uint8_t)(i / SYMBOLS);
        text[2 * i + 1] = (uint8_t)i;
    }
    egg_corpus *corpus = open_text(text, BYTES);
    bits found = measure(corpus, 1, BYTES);
    ASSERT_CLOSE(found.unigram, 8);
    ASSERT_CLOSE(found.bigram, (255 * 512 * 8.0 + 255 * 2 * log2(511.0 / 2) + log2(511.0)) / (BYTES - 1));
    egg_corpus_close(corpus);
    free(text);
}

static void test_uniform_noise_is_nearly_eight_bits(void **state)
{
    (void)state;
    enum { BYTES = 1 << 23 };
    uint8_t *text = malloc(BYTES);
    uint64_t word = 1;
    for (size_t i = 0; i < BYTES; i++) {
        word = word * 6364136223846793005 + 1442695040888963407;
        text[i] = (uint8_t)(word >> 56);
    }
    egg_corpus *corpus = open_text(text, BYTES);
    bits found = measure(corpus, 1, BYTES);
    /*
     * Counts over the bytes themselves fall short of the true 8 by (free cells) / (2 ln 2 n): 255 / (2 ln 2 n) = 2.2e-5
     * and 256 * 255 / (2 ln 2 n) = 5.6e-3, with a spread of sqrt(2 * cells) / (2 ln 2 n), here under 1 % of the latter.
     */
    double unit = 1 / (2 * log(2) * BYTES);
    assert_true(fabs(8 - found.unigram - 255 * unit) < 10 * sqrt(2 * 255) * unit);
    assert_true(fabs(8 - found.bigram - 256 * 255 * unit) < 10 * sqrt(2 * 256 * 255) * unit);
    egg_corpus_close(corpus);
    free(text);
}

/* Counted straight from the definition, with a double loop over a text of few symbols. */
static void test_agrees_with_the_definition(void **state)
{
    (void)state;
    enum { BYTES = 200001, SYMBOLS = 5 };
    static uint8_t text[BYTES];
    double counts[SYMBOLS] = {0}, pairs[SYMBOLS][SYMBOLS] = {{0}}, rows[SYMBOLS] = {0};
    uint32_t seed = 9;
    for (size_t i = 0; i < BYTES; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (uint8_t)(i && seed >> 31 ? text[i - 1] : 1 + (seed >> 20) % (SYMBOLS - 1));
        counts[text[i]]++;
        if (i) pairs[text[i - 1]][text[i]]++;
        if (i) rows[text[i - 1]]++;
    }
    bits expected = {0, 0};
    for (int a = 0; a < SYMBOLS; a++) {
        if (counts[a] > 0) expected.unigram -= counts[a] / BYTES * log2(counts[a] / BYTES);
        for (int b = 0; b < SYMBOLS; b++)
            if (pairs[a][b] > 0) expected.bigram -= pairs[a][b] / (BYTES - 1) * log2(pairs[a][b] / rows[a]);
    }
    egg_corpus *corpus = open_text(text, BYTES);
    bits found = measure(corpus, 1, BYTES);
    ASSERT_CLOSE(found.unigram, expected.unigram);
    ASSERT_CLOSE(found.bigram, expected.bigram);
    assert_true(found.bigram < found.unigram);
    egg_corpus_close(corpus);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    egg_corpus *corpus = open_text("abc", 3);
    uint64_t nth = 1;
    for (;; nth++) {
        egg_error error = {0};
        double unigram, bigram;
        egg_alloc_fail_at(nth);
        egg_status status = egg_entropy(corpus, 0, 4, &unigram, &bigram, &error);
        egg_alloc_fail_at(0);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
    }
    assert_true(nth > 1);
    egg_corpus_close(corpus);
}

static void test_tiny_shakespeare(void **state)
{
    (void)state;
    const char *given = getenv("EGGROLL_TEST_DATA");
#ifdef EGG_TEST_DATA_DIR
    if (!given) given = EGG_TEST_DATA_DIR;
#endif
    char text[1024];
    const char *path = text;
    snprintf(text, sizeof text, "%s/tinyshakespeare.txt", given ? given : ".");
    if (access(path, R_OK) != 0) {
        print_message("%s is not there\n", path);
        skip();
    }
    egg_error error = {0};
    egg_corpus *corpus;
    if (egg_corpus_open(&corpus, &path, 1, NULL, NULL, &error) != EGG_OK) fail_msg("%s", error.text);
    bits found = measure(corpus, 1, egg_corpus_bytes(corpus) - 1);
    ASSERT_CLOSE(found.unigram, 4.779353271961856);    /* both from a count in another language */
    ASSERT_CLOSE(found.bigram, 3.5383039366180378);
    egg_corpus_close(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_text_has_none),
        cmocka_unit_test(test_cycle_is_known_from_the_byte_before),
        cmocka_unit_test(test_counted_by_hand),
        cmocka_unit_test(test_ranges_too_short_to_count),
        cmocka_unit_test(test_every_pair_equally_often_is_eight_bits),
        cmocka_unit_test(test_uniform_noise_is_nearly_eight_bits),
        cmocka_unit_test(test_agrees_with_the_definition),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_tiny_shakespeare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
