/* SPDX-License-Identifier: MIT */
/* Floating types as float32; models of one file and of several; indexes that are wrong. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "data/shards.h"
#include "scratch.h"

static const float first_values[3] = {1, -2, 0.5f}, second_values[2] = {7, 8};

static void write_file(const char *name, const char *tensor, size_t n, const float *values)
{
    egg_safetensors_writer *writer;
    assert_int_equal(egg_safetensors_writer_open(&writer, scratch_path(name), NULL), EGG_OK);
    egg_safetensors_writer_metadata(writer, "format", "pt");
    egg_safetensors_writer_tensor(writer, tensor, EGG_TENSOR_F32, 1, (uint64_t[]){n}, values);
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
}

static void write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

/* ---------------------------------------------------------------------------------------------------------- types */

/* The value of sign, exponent and fraction, by the definition of the two formats. */
static double definition(uint16_t bits, int exponent_bits)
{
    int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1), fraction = bits & ((1 << fraction_bits) - 1);
    double sign = bits >> 15 ? -1 : 1, part = ldexp(fraction, -fraction_bits);
    if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(1 + part, exponent - bias) : sign * ldexp(part, 1 - bias);
}

static void test_every_half_of_both_kinds(void **state)
{
    (void)state;
    static uint16_t halves[1 << 16];
    static float values[1 << 16];
    for (size_t i = 0; i < EGG_COUNT(halves); i++) halves[i] = (uint16_t)i;
    egg_tensor tensor = {.name = "all", .type = EGG_TENSOR_F16, .data = halves, .bytes = sizeof halves};
    for (int bits = 5; bits <= 8; bits += 3) {
        tensor.type = bits == 5 ? EGG_TENSOR_F16 : EGG_TENSOR_BF16;
        assert_true(egg_tensor_is_float(&tensor));
        egg_tensor_read_f32(&tensor, 0, EGG_COUNT(values), values);
        for (size_t i = 0; i < EGG_COUNT(halves); i++) {
            double expected = definition(halves[i], bits);
            assert_true(isnan(expected) ? isnan(values[i])
                                        : values[i] == expected && !signbit(values[i]) == !(i >> 15));
        }
    }
    tensor.type = EGG_TENSOR_I16;
    assert_false(egg_tensor_is_float(&tensor));
}

static void test_a_range_at_an_odd_address(void **state)
{
    (void)state;
    uint8_t bytes[1 + sizeof first_values];
    float values[2];
    memcpy(bytes + 1, first_values, sizeof first_values);
    egg_tensor tensor = {.name = "odd", .type = EGG_TENSOR_F32, .data = bytes + 1, .bytes = sizeof first_values};
    egg_tensor_read_f32(&tensor, 1, 2, values);
    assert_memory_equal(values, first_values + 1, sizeof values);
    egg_tensor_read_f32(&tensor, 3, 0, NULL);
}

/* --------------------------------------------------------------------------------------------------------- models */

static const char index_text[] = "{\"metadata\": {\"total_size\": 20}, \"weight_map\": {\"b\": \"two.safetensors\", "
                                 "\"a\": \"one.safetensors\"}}";

static void write_model(void)
{
    write_file("one.safetensors", "a", 3, first_values);
    write_file("two.safetensors", "b", 2, second_values);
    write_text("model.safetensors.index.json", index_text);
}

static void assert_both(const char *path)
{
    egg_shards *shards;
    egg_error error = {0};
    if (egg_shards_open(&shards, path, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_string_equal(egg_shards_name(shards), path);
    assert_int_equal(egg_shards_count(shards), 2);
    assert_string_equal(egg_shards_at(shards, 0)->name, "a");
    assert_string_equal(egg_shards_at(shards, 1)->name, "b");
    assert_memory_equal(egg_shards_find(shards, "a")->data, first_values, sizeof first_values);
    assert_memory_equal(egg_shards_find(shards, "b")->data, second_values, sizeof second_values);
    assert_null(egg_shards_find(shards, "c"));
    assert_string_equal(egg_shards_metadata(shards, "format"), "pt");
    assert_null(egg_shards_metadata(shards, "other"));
    egg_shards_close(shards);
}

static void test_several_files(void **state)
{
    (void)state;
    write_model();
    assert_both(scratch_path("model.safetensors.index.json"));
    assert_both(scratch_folder());
}

static void test_one_file(void **state)
{
    (void)state;
    egg_shards *shards;
    write_file("one.safetensors", "a", 3, first_values);
    assert_int_equal(egg_shards_open(&shards, scratch_path("one.safetensors"), NULL), EGG_OK);
    assert_int_equal(egg_shards_count(shards), 1);
    assert_memory_equal(egg_shards_find(shards, "a")->data, first_values, sizeof first_values);
    egg_shards_close(shards);
}

static void assert_refused(const char *text, const char *reason)
{
    egg_shards *shards;
    egg_error error = {0};
    write_text("wrong.index.json", text);
    assert_int_equal(egg_shards_open(&shards, scratch_path("wrong.index.json"), &error), EGG_ERR_FORMAT);
    assert_null(shards);
    if (!strstr(error.text, reason)) fail_msg("'%s' lacks '%s'", error.text, reason);
}

static void test_wrong_indexes(void **state)
{
    (void)state;
    write_model();
    assert_refused("", "line 1, column 0");
    assert_refused("{\n\"weight_map\": {]}", "line 2, column 16");
    assert_refused("[]", "weight_map is missing");
    assert_refused("{}", "weight_map is missing");
    assert_refused("{\"weight_map\": {}}", "weight_map is empty");
    assert_refused("{\"weight_map\": []}", "weight_map is no object");
    assert_refused("{\"weight_map\": {\"a\": 3}}", "tensor 'a' is in 3, expected the name of a file");
    assert_refused("{\"weight_map\": {\"a\": \"../one.safetensors\"}}", "expected the name of a file beside the index");
    assert_refused("{\"weight_map\": {\"a\": \"..\"}}", "expected the name of a file beside the index");
    assert_refused("{\"weight_map\": {\"a\": \"\"}}", "expected the name of a file beside the index");
    assert_refused("{\"weight_map\": {\"a\": \"two.safetensors\"}}", "tensor 'a' is not in 'two.safetensors'");
    assert_refused("{\"weight_map\": {\"a\": \"one.safetensors\", \"a\": \"two.safetensors\"}}", "duplicate");
}

static void test_missing_files(void **state)
{
    (void)state;
    egg_shards *shards;
    egg_error error = {0};
    write_text("wrong.index.json", "{\"weight_map\": {\"a\": \"absent.safetensors\"}}");
    assert_int_equal(egg_shards_open(&shards, scratch_path("wrong.index.json"), &error), EGG_ERR_IO);
    assert_non_null(strstr(error.text, "absent.safetensors: cannot open"));
    assert_int_equal(egg_shards_open(&shards, scratch_path("absent.index.json"), &error), EGG_ERR_IO);
}

static void test_missing_memory(void **state)
{
    (void)state;
    write_model();
    egg_status status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_shards *shards;
        egg_error error = {0};
        egg_alloc_fail_at(nth);
        status = egg_shards_open(&shards, scratch_path("model.safetensors.index.json"), &error);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK || (status == EGG_ERR_NOMEM && !shards && strstr(error.text, "no memory")));
        assert_true(status != EGG_OK || nth > 6);
        egg_shards_close(shards);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_of_both_kinds), cmocka_unit_test(test_a_range_at_an_odd_address),
        cmocka_unit_test(test_several_files),            cmocka_unit_test(test_one_file),
        cmocka_unit_test(test_wrong_indexes),            cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_missing_memory),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
