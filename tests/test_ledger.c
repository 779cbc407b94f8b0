/* SPDX-License-Identifier: MIT */
/*
 * Ledgers and the records of epochs: what was written comes back, a crash is told apart from damage, every bit counts.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ternary.h"
#include "data/ledger.h"
#include "scratch.h"
#include "train/journal.h"

enum { RECORDS = 7 };

static size_t length_of(uint64_t number)
{
    return number * 13 % 40;   /* the first one is empty */
}

static void fill(uint64_t number, uint8_t *data)
{
    for (size_t i = 0; i < length_of(number); i++) data[i] = (uint8_t)(31 * number + 7 * i);
}

static void add(egg_ledger *ledger, uint64_t number)
{
    uint8_t data[64];
    egg_error error = {0};
    fill(number, data);
    if (egg_ledger_add(ledger, (uint32_t)number % 3, 100 + number, data, length_of(number), &error) != EGG_OK)
        fail_msg("%s", error.text);
}

/* A ledger of RECORDS records; free() it. */
static uint8_t *make(const char *name, size_t *bytes)
{
    egg_ledger *ledger;
    assert_int_equal(egg_ledger_create(&ledger, scratch_path(name), NULL), EGG_OK);
    for (uint64_t i = 0; i < RECORDS; i++) add(ledger, i);
    assert_int_equal(egg_ledger_sync(ledger, NULL), EGG_OK);
    egg_ledger_close(ledger);
    return scratch_read(name, bytes);
}

/* Reads to the end, checking each record; returns how many there were. 'ends' (RECORDS + 1): where each one ends. */
static uint64_t read_all(const void *data, size_t bytes, egg_ledger_reader *reader, egg_status *status,
                         egg_error *error, size_t *ends)
{
    egg_ledger_record record;
    bool found = true;
    *status = egg_ledger_begin(reader, data, bytes, "some.egg", error);
    while (*status == EGG_OK && (*status = egg_ledger_next(reader, &record, &found, error)) == EGG_OK && found) {
        uint8_t expected[64];
        fill(record.number, expected);
        assert_int_equal(record.kind, record.number % 3);
        assert_int_equal(record.epoch, 100 + record.number);
        assert_int_equal(record.bytes, length_of(record.number));
        assert_memory_equal(record.data, expected, record.bytes);
        if (ends) ends[record.number] = reader->offset;
    }
    return reader->number;
}

static void test_round_trip(void **state)
{
    (void)state;
    size_t bytes;
    egg_status status;
    egg_ledger_reader reader;
    uint8_t *data = make("whole.egg", &bytes);
    assert_int_equal(read_all(data, bytes, &reader, &status, NULL, NULL), RECORDS);
    assert_int_equal(status, EGG_OK);
    assert_int_equal(egg_ledger_torn(&reader), 0);
    assert_int_equal(reader.epoch, 100 + RECORDS - 1);
    free(data);
}

/* Cut short anywhere: the whole records before the cut, and no error. */
static void test_cut_short(void **state)
{
    (void)state;
    size_t bytes, ends[RECORDS];
    egg_status status;
    egg_ledger_reader reader;
    uint8_t *data = make("cut.egg", &bytes);
    read_all(data, bytes, &reader, &status, NULL, ends);
    for (size_t n = 0; n < bytes; n++) {
        uint64_t whole = 0;
        while (whole < RECORDS && ends[whole] <= n) whole++;
        uint8_t *part = malloc(n + 1);   /* of its very size, so that a sanitizer sees a step beyond */
        memcpy(part, data, n);
        part = realloc(part, n ? n : 1);
        assert_int_equal(read_all(part, n, &reader, &status, NULL, NULL), whole);
        assert_int_equal(status, EGG_OK);
        assert_int_equal(egg_ledger_torn(&reader), n - (whole ? ends[whole - 1] : n < 8 ? 0 : 8));
        free(part);
    }
    free(data);
}

/* Each single bit, of heads and of data. */
static void test_every_bit(void **state)
{
    (void)state;
    size_t bytes, ends[RECORDS];
    egg_status status;
    egg_ledger_reader reader;
    uint8_t *data = make("bits.egg", &bytes);
    read_all(data, bytes, &reader, &status, NULL, ends);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        egg_error error = {0};
        uint64_t hit = 0;
        while (ends[hit] <= bit / 8) hit++;
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        uint64_t read = read_all(data, bytes, &reader, &status, &error, NULL);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(status, EGG_ERR_FORMAT);
        assert_non_null(strstr(error.text, "some.egg"));
        if (bit / 8 < 8) continue;
        char place[64];
        snprintf(place, sizeof place, "record %d ", (int)hit);
        assert_int_equal(read, hit);
        assert_non_null(strstr(error.text, place));
        assert_int_equal(error.offset, hit ? ends[hit - 1] : 8);
    }
    free(data);
}

/* A record taken out, doubled or exchanged is damage too, though each has its own right checksums. */
static void test_order(void **state)
{
    (void)state;
    size_t bytes, ends[RECORDS];
    egg_status status;
    egg_error error = {0};
    egg_ledger_reader reader;
    uint8_t *data = make("order.egg", &bytes), *other = malloc(2 * bytes);
    read_all(data, bytes, &reader, &status, NULL, ends);

    size_t third = ends[2] - ends[1];
    memcpy(other, data, ends[1]);                              /* without the third */
    memcpy(other + ends[1], data + ends[2], bytes - ends[2]);
    assert_int_equal(read_all(other, bytes - third, &reader, &status, &error, NULL), 2);
    assert_int_equal(status, EGG_ERR_FORMAT);

    memcpy(other, data, ends[2]);                              /* the third twice */
    memcpy(other + ends[2], data + ends[1], bytes - ends[1]);
    assert_int_equal(read_all(other, bytes + third, &reader, &status, &error, NULL), 3);
    assert_int_equal(status, EGG_ERR_FORMAT);
    free(other);
    free(data);
}

static void test_append(void **state)
{
    (void)state;
    size_t bytes, all, ends[RECORDS];
    egg_status status;
    egg_ledger *ledger;
    egg_ledger_reader reader;
    uint8_t *data = make("append.egg", &bytes), *again;
    read_all(data, bytes, &reader, &status, NULL, ends);
    scratch_write("append.egg", data, ends[4] + 11);           /* five records and a piece */
    read_all(data, ends[4] + 11, &reader, &status, NULL, NULL);
    assert_int_equal(egg_ledger_append(&ledger, scratch_path("append.egg"), &reader, NULL), EGG_OK);
    for (uint64_t i = 5; i < RECORDS; i++) add(ledger, i);
    egg_ledger_close(ledger);
    again = scratch_read("append.egg", &all);
    assert_int_equal(all, bytes);
    assert_memory_equal(again, data, bytes);
    free(again);

    assert_int_equal(egg_ledger_begin(&reader, data, 3, "three", NULL), EGG_OK);   /* not even the name: begun anew */
    assert_int_equal(egg_ledger_append(&ledger, scratch_path("append.egg"), &reader, NULL), EGG_OK);
    add(ledger, 0);
    egg_ledger_close(ledger);
    again = scratch_read("append.egg", &all);
    assert_int_equal(read_all(again, all, &reader, &status, NULL, NULL), 1);
    free(again);
    free(data);
}

/* A full disk: the record is not there, and once there is room the next one follows the last whole one. */
static void test_full_disk(void **state)
{
    (void)state;
    size_t bytes;
    egg_status status;
    egg_error error = {0};
    egg_ledger *ledger;
    egg_ledger_reader reader;
    assert_int_equal(egg_ledger_create(&ledger, scratch_path("full.egg"), NULL), EGG_OK);
    add(ledger, 0);
    add(ledger, 1);
    scratch_limit_files(8 + 32 + 32 + length_of(1) + 40);
    uint8_t record[64];
    fill(2, record);
    status = egg_ledger_add(ledger, 2, 102, record, length_of(2), &error);
    scratch_unlimit_files();
    assert_int_equal(status, EGG_ERR_IO);
    assert_non_null(strstr(error.text, "full.egg"));
    add(ledger, 2);
    egg_ledger_close(ledger);
    uint8_t *data = scratch_read("full.egg", &bytes);
    assert_int_equal(read_all(data, bytes, &reader, &status, NULL, NULL), 3);
    assert_int_equal(status, EGG_OK);
    assert_int_equal(egg_ledger_torn(&reader), 0);
    free(data);
}

static void test_zero_tail(void **state)
{
    (void)state;
    size_t bytes;
    egg_status status;
    egg_ledger_reader reader;
    uint8_t *data = make("zeros.egg", &bytes);
    data = realloc(data, bytes + 100);
    memset(data + bytes, 0, 100);
    assert_int_equal(read_all(data, bytes + 100, &reader, &status, NULL, NULL), RECORDS);
    assert_int_equal(status, EGG_OK);
    assert_int_equal(egg_ledger_torn(&reader), 100);
    free(data);
}

/* ----------------------------------------------------------------------------------------------------------- epochs */

static void test_ternary(void **state)
{
    (void)state;
    int8_t values[23], signs[23];
    uint8_t packed[5];
    assert_int_equal(egg_ternary_bytes(0), 0);
    assert_int_equal(egg_ternary_bytes(5), 1);
    assert_int_equal(egg_ternary_bytes(23), 5);
    for (int i = 0; i < 23; i++) values[i] = (int8_t)((i * 7 % 3 - 1) * (1 + 5 * i));
    egg_ternary_pack(values, 23, packed);
    assert_true(egg_ternary_unpack(packed, 23, signs));
    for (int i = 0; i < 23; i++) assert_int_equal(signs[i], (values[i] > 0) - (values[i] < 0));
    for (int byte = 0; byte < 256; byte++)   /* every byte is five digits or refused */
        assert_int_equal(egg_ternary_unpack(&(uint8_t){(uint8_t)byte}, 5, signs), byte < 243);
    packed[4] = (uint8_t)(packed[4] + 81);   /* a digit behind the last one */
    assert_false(egg_ternary_unpack(packed, 23, signs));
}

/* Writes an epoch of these weights, reads it back and compares; returns its bytes. */
static size_t check_weights(egg_dtype dtype, const void *weights, uint32_t pairs, egg_journal_form form)
{
    static uint8_t record[1 << 16];
    uint8_t back[4 * 4096];
    const uint8_t extra[5] = {1, 2, 3, 4, 5};
    egg_journal_epoch read, epoch = {.epoch = 9, .position = 1ull << 50, .seconds = 1.5, .score = -2, .rate = 0x1p-24,
                                     .pairs = pairs, .weights = weights, .extra = extra, .extra_bytes = sizeof extra};
    size_t bytes = egg_journal_epoch_write(&epoch, dtype, record), size = dtype == EGG_I8 ? 1 : 4;
    assert_true(bytes <= egg_journal_epoch_bytes(dtype, pairs, sizeof extra));
    assert_true(pairs * size <= sizeof back);
    egg_ledger_record whole = {.kind = EGG_JOURNAL_EPOCH, .epoch = 9, .data = record, .bytes = bytes};
    assert_int_equal(egg_journal_epoch_read(&read, &whole, "some.egg", NULL), EGG_OK);
    assert_int_equal(read.form, form);
    assert_true(read.epoch == 9 && read.position == epoch.position && read.seconds == 1.5 && read.score == -2);
    assert_true(read.rate == 0x1p-24 && read.extra_bytes == sizeof extra);
    assert_memory_equal(read.extra, extra, sizeof extra);
    memset(back, 0x55, sizeof back);
    assert_int_equal(egg_journal_weights(&read, dtype, back, pairs, "some.egg", NULL), EGG_OK);
    assert_memory_equal(back, weights, pairs * size);
    assert_int_equal(egg_journal_weights(&read, dtype, back, pairs + 1, "some.egg", NULL), EGG_ERR_FORMAT);
    if (form != EGG_JOURNAL_TERNARY)
        assert_int_equal(egg_journal_weights(&read, dtype == EGG_I8 ? EGG_F32 : EGG_I8, back, pairs, "x", NULL),
                         EGG_ERR_FORMAT);
    for (size_t cut = 0; cut < bytes; cut++) {
        whole.bytes = cut;
        assert_int_equal(egg_journal_epoch_read(&read, &whole, "some.egg", NULL), EGG_ERR_FORMAT);
    }
    return bytes;
}

static void test_epochs(void **state)
{
    (void)state;
    static int8_t votes[4096], integers[4096];
    static float signs[4096], floats[4096];
    for (int i = 0; i < 4096; i++) {
        votes[i] = (int8_t)(64 * (i * 2654435761u >> 13 & 1) - 64 * (i % 3 == 0));
        integers[i] = (int8_t)(i * 37 % 255 - 127);
        signs[i] = (float)(i % 3 - 1) * 0.044194173f;
        floats[i] = sinf((float)i);
    }
    size_t overhead = 48 + 5;
    assert_int_equal(check_weights(EGG_I8, votes, 4096, EGG_JOURNAL_TERNARY), overhead + 820);
    assert_int_equal(check_weights(EGG_I8, votes, 1, EGG_JOURNAL_TERNARY), overhead + 1);
    check_weights(EGG_I8, integers, 4001, EGG_JOURNAL_I8);
    check_weights(EGG_F32, signs, 2000, EGG_JOURNAL_TERNARY);
    check_weights(EGG_F32, floats, 2000, EGG_JOURNAL_F32);
    memset(signs, 0, sizeof signs);
    check_weights(EGG_F32, signs, 1281, EGG_JOURNAL_TERNARY);   /* nothing but ties */
    signs[7] = -0.0f;                                           /* comes back with its sign */
    check_weights(EGG_F32, signs, 9, EGG_JOURNAL_F32);
    signs[8] = INFINITY;
    check_weights(EGG_F32, signs, 9, EGG_JOURNAL_F32);
    assert_int_equal(signbit(signs[7]) != 0, 1);
}

static void test_facts(void **state)
{
    (void)state;
    static const char text[] = "command=rl\nkernels=avx2\nenvironment=a=b\nempty=\nlast=1";
    egg_ledger_record run = {.data = (const uint8_t *)text, .bytes = sizeof text - 1};
    char value[8];
    assert_true(egg_journal_fact(&run, "command", value, sizeof value));
    assert_string_equal(value, "rl");
    assert_true(egg_journal_fact(&run, "environment", value, sizeof value));
    assert_string_equal(value, "a=b");
    assert_true(egg_journal_fact(&run, "empty", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(egg_journal_fact(&run, "last", value, sizeof value));
    assert_string_equal(value, "1");
    assert_false(egg_journal_fact(&run, "comm", value, sizeof value));
    assert_false(egg_journal_fact(&run, "kernels", value, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cut_short), cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_append),    cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_zero_tail),  cmocka_unit_test(test_ternary),   cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_facts),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
