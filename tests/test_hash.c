/* SPDX-License-Identifier: MIT */
/* Fingerprints: the published function, whole or in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/memory.h"

enum { LONG_BYTES = 5000 };

static void fill(uint8_t data[LONG_BYTES])
{
    for (size_t i = 0; i < LONG_BYTES; i++) data[i] = (uint8_t)(7 * i + 3);
}

static void assert_hash(egg_hash hash, const char *expected)
{
    char text[33];
    memset(text, '#', sizeof text);
    egg_hash_text(hash, text);
    assert_string_equal(text, expected);
}

/* By `xxhsum -H2`. */
static void test_known_answers(void **state)
{
    (void)state;
    uint8_t data[LONG_BYTES];
    fill(data);
    assert_hash(egg_hash_bytes("", 0), "99aa06d3014798d86001c324468d497f");
    assert_hash(egg_hash_bytes(NULL, 0), "99aa06d3014798d86001c324468d497f");
    assert_hash(egg_hash_bytes("a", 1), "a96faf705af16834e6c632b61e964e1f");
    assert_hash(egg_hash_bytes("eggroll", 7), "1d7e0763af724a65cdb55da81ba61b3a");
    assert_hash(egg_hash_bytes(data, sizeof data), "c98ae385d09887cc799aaddd7339581d");
}

static void test_text_keeps_leading_zeros(void **state)
{
    (void)state;
    assert_hash((egg_hash){0}, "00000000000000000000000000000000");
    assert_hash((egg_hash){.high = 0xab, .low = 1}, "00000000000000ab0000000000000001");
}

static void test_pieces_make_the_whole(void **state)
{
    (void)state;
    uint8_t data[LONG_BYTES];
    fill(data);
    for (size_t piece = 1; piece <= LONG_BYTES; piece += 1 + piece / 2) {
        egg_hasher *hasher;
        assert_int_equal(egg_hasher_open(&hasher, NULL), EGG_OK);
        egg_hasher_add(hasher, NULL, 0);
        for (size_t at = 0; at < LONG_BYTES; at += piece) {
            egg_hasher_add(hasher, data + at, LONG_BYTES - at < piece ? LONG_BYTES - at : piece);
            egg_hash now = egg_hasher_value(hasher);   /* a look does not disturb */
            egg_hash expected = egg_hash_bytes(data, LONG_BYTES - at < piece ? LONG_BYTES : at + piece);
            assert_true(now.high == expected.high && now.low == expected.low);
        }
        assert_hash(egg_hasher_value(hasher), "c98ae385d09887cc799aaddd7339581d");
        egg_hasher_close(hasher);
    }
    egg_hasher_close(NULL);
}

static void test_missing_memory_is_reported(void **state)
{
    (void)state;
    egg_hasher *hasher = (egg_hasher *)&hasher;
    egg_error error = {0};
    egg_alloc_fail_at(1);
    assert_int_equal(egg_hasher_open(&hasher, &error), EGG_ERR_NOMEM);
    assert_int_equal(error.status, EGG_ERR_NOMEM);
    assert_null(hasher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_text_keeps_leading_zeros),
        cmocka_unit_test(test_pieces_make_the_whole),
        cmocka_unit_test(test_missing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
