/* SPDX-License-Identifier: MIT */
/* Safetensors: what is written is read back, by us and by others; what is malformed is refused with a reason. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/safetensors.h"
#include "scratch.h"

static const float floats[2][3] = {{1, 2, 3}, {-4, 0.5f, -0.25f}};
static const int8_t bytes[3] = {-127, 0, 127};
static const int16_t scalar = -12345;

/* A file in memory, exactly as long as its block so that a sanitizer sees what reads beyond it. */
typedef struct image {
    uint8_t *data;
    size_t bytes;
} image;

/* header (header_bytes), or NULL for zeros. */
static image image_of(const char *header, size_t header_bytes, size_t data_bytes)
{
    image file = {.bytes = 8 + header_bytes + data_bytes};
    file.data = calloc(1, file.bytes);
    assert_non_null(file.data);
    for (int i = 0; i < 8; i++) file.data[i] = (uint8_t)((uint64_t)header_bytes >> 8 * i);
    if (header) memcpy(file.data + 8, header, header_bytes);
    return file;
}

static egg_safetensors *open_file(const char *path)
{
    egg_safetensors *file;
    egg_error error = {0};
    if (egg_safetensors_open(&file, path, &error) != EGG_OK) fail_msg("%s", error.text);
    return file;
}

static void assert_tensor(const egg_safetensors *file, const char *name, egg_tensor_type type, uint32_t dims,
                          const uint64_t *shape, const void *data, size_t data_bytes)
{
    const egg_tensor *tensor;
    egg_error error = {0};
    if (egg_safetensors_expect(file, name, type, dims, shape, &tensor, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_string_equal(tensor->name, name);
    assert_int_equal(tensor->bytes, data_bytes);
    if (data_bytes) assert_memory_equal(tensor->data, data, data_bytes);
}

/* ---------------------------------------------------------------------------------------------------------- types */

static void test_types(void **state)
{
    (void)state;
    static const struct {
        egg_tensor_type type;
        const char *name;
        size_t bytes;
    } expected[] = {
        {EGG_TENSOR_BOOL, "BOOL", 1}, {EGG_TENSOR_U8, "U8", 1},     {EGG_TENSOR_I8, "I8", 1},
        {EGG_TENSOR_I16, "I16", 2},   {EGG_TENSOR_U16, "U16", 2},   {EGG_TENSOR_F16, "F16", 2},
        {EGG_TENSOR_BF16, "BF16", 2}, {EGG_TENSOR_I32, "I32", 4},   {EGG_TENSOR_U32, "U32", 4},
        {EGG_TENSOR_F32, "F32", 4},   {EGG_TENSOR_I64, "I64", 8},   {EGG_TENSOR_U64, "U64", 8},
        {EGG_TENSOR_F64, "F64", 8},
    };
    for (size_t i = 0; i < EGG_COUNT(expected); i++) {
        char header[128];
        egg_safetensors *file;
        assert_string_equal(egg_tensor_type_name(expected[i].type), expected[i].name);
        assert_int_equal(egg_tensor_type_bytes(expected[i].type), expected[i].bytes);
        int length = snprintf(header, sizeof header,
                              "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}", expected[i].name,
                              3 * expected[i].bytes);
        image memory = image_of(header, (size_t)length, 3 * expected[i].bytes);
        assert_int_equal(egg_safetensors_parse(&file, memory.data, memory.bytes, "memory", NULL), EGG_OK);
        assert_int_equal(egg_safetensors_at(file, 0)->type, expected[i].type);
        egg_safetensors_close(file);
        free(memory.data);
    }
}

/* ----------------------------------------------------------------------------------------------------- round trip */

static egg_status write_some(const char *path, egg_error *error)
{
    egg_safetensors_writer *writer;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    egg_safetensors_writer_metadata(writer, "maker", "a test");
    egg_safetensors_writer_tensor(writer, "byte", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
    egg_safetensors_writer_metadata(writer, "a \"quoted\" key", "\xc3\xa9\n\\");
    egg_safetensors_writer_tensor(writer, "float", EGG_TENSOR_F32, 2, (uint64_t[]){2, 3}, floats);
    egg_safetensors_writer_tensor(writer, "none", EGG_TENSOR_F64, 2, (uint64_t[]){0, 4}, NULL);
    egg_safetensors_writer_tensor(writer, "scalar", EGG_TENSOR_I16, 0, NULL, &scalar);
    return egg_safetensors_writer_commit(writer, error);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    egg_error error = {0};
    if (write_some(scratch_path("some"), &error) != EGG_OK) fail_msg("%s", error.text);
    egg_safetensors *file = open_file(scratch_path("some"));
    assert_int_equal(egg_safetensors_count(file), 4);
    assert_string_equal(egg_safetensors_at(file, 0)->name, "byte");
    assert_string_equal(egg_safetensors_at(file, 1)->name, "float");
    assert_tensor(file, "byte", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes, sizeof bytes);
    assert_tensor(file, "float", EGG_TENSOR_F32, 2, (uint64_t[]){2, 3}, floats, sizeof floats);
    assert_tensor(file, "none", EGG_TENSOR_F64, 2, (uint64_t[]){0, 4}, NULL, 0);
    assert_tensor(file, "scalar", EGG_TENSOR_I16, 0, NULL, &scalar, sizeof scalar);
    assert_null(egg_safetensors_find(file, "__metadata__"));
    assert_null(egg_safetensors_find(file, ""));

    assert_string_equal(egg_safetensors_metadata(file, "maker"), "a test");
    assert_string_equal(egg_safetensors_metadata(file, "a \"quoted\" key"), "\xc3\xa9\n\\");
    assert_null(egg_safetensors_metadata(file, "byte"));
    assert_string_equal(egg_safetensors_metadata_key(file, 0), "maker");
    assert_string_equal(egg_safetensors_metadata_key(file, 1), "a \"quoted\" key");
    assert_null(egg_safetensors_metadata_key(file, 2));
    assert_null(egg_safetensors_metadata_key(file, SIZE_MAX));
    egg_safetensors_close(file);
}

static void test_the_bytes_are_laid_down(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"z\":\"1\",\"a\":\"2\"},"
                                 "\"w\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                                 "\"b\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[3,5]}}";
    egg_safetensors_writer *writer;
    assert_int_equal(egg_safetensors_writer_open(&writer, scratch_path("layout"), NULL), EGG_OK);
    egg_safetensors_writer_metadata(writer, "z", "0");
    egg_safetensors_writer_metadata(writer, "a", "2");
    egg_safetensors_writer_metadata(writer, "z", "1");
    egg_safetensors_writer_tensor(writer, "w", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
    egg_safetensors_writer_tensor(writer, "b", EGG_TENSOR_I16, 0, NULL, &scalar);
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);

    size_t size;
    uint8_t *found = scratch_read("layout", &size);
    size_t data_at = (8 + sizeof header - 1 + 63) / 64 * 64;
    assert_int_equal(size, data_at + 5);
    assert_int_equal(found[0] + 256 * found[1], data_at - 8);
    assert_memory_equal(found + 2, "\0\0\0\0\0\0", 6);
    assert_memory_equal(found + 8, header, sizeof header - 1);
    for (size_t i = 8 + sizeof header - 1; i < data_at; i++) assert_int_equal(found[i], ' ');
    assert_memory_equal(found + data_at, "\x81\x00\x7f\xc7\xcf", 5);
    free(found);
}

static void test_data_begins_at_a_multiple_of_64(void **state)
{
    (void)state;
    char value[66] = "";
    for (size_t length = 0; length < 65; length++) {   /* every remainder of the header's length */
        egg_safetensors_writer *writer;
        assert_int_equal(egg_safetensors_writer_open(&writer, scratch_path("aligned"), NULL), EGG_OK);
        egg_safetensors_writer_metadata(writer, "text", value);
        egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
        assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
        egg_safetensors *file = open_file(scratch_path("aligned"));
        assert_int_equal((uintptr_t)egg_safetensors_at(file, 0)->data % 64, 0);   /* the mapping begins at a page */
        assert_tensor(file, "t", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes, sizeof bytes);
        egg_safetensors_close(file);
        value[length] = 'x';
    }
}

static void test_many_tensors(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static uint32_t values[COUNT];
    char name[16];
    egg_safetensors_writer *writer;
    assert_int_equal(egg_safetensors_writer_open(&writer, scratch_path("many"), NULL), EGG_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        values[i] = i * i;
        snprintf(name, sizeof name, "t%u", i);
        egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_U32, 1, (uint64_t[]){1}, &values[i]);
    }
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
    egg_safetensors *file = open_file(scratch_path("many"));
    assert_int_equal(egg_safetensors_count(file), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_string_equal(egg_safetensors_at(file, i)->name, name);
        assert_tensor(file, name, EGG_TENSOR_U32, 1, (uint64_t[]){1}, &values[i], 4);
    }
    assert_null(egg_safetensors_find(file, "t1000"));
    egg_safetensors_close(file);
}

static void test_nothing_at_all(void **state)
{
    (void)state;
    egg_safetensors_writer *writer;
    assert_int_equal(egg_safetensors_writer_open(&writer, scratch_path("nothing"), NULL), EGG_OK);
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
    egg_safetensors *file = open_file(scratch_path("nothing"));
    assert_int_equal(egg_safetensors_count(file), 0);
    assert_null(egg_safetensors_find(file, "x"));
    assert_null(egg_safetensors_metadata_key(file, 0));
    egg_safetensors_close(file);
    egg_safetensors_close(NULL);

    image memory = image_of("{}", 2, 0);   /* no metadata either */
    assert_int_equal(egg_safetensors_parse(&file, memory.data, memory.bytes, "memory", NULL), EGG_OK);
    assert_null(egg_safetensors_metadata(file, "x"));
    assert_null(egg_safetensors_metadata_key(file, 0));
    egg_safetensors_close(file);
    free(memory.data);
}

/* ----------------------------------------------------------------------------------------------- files of others */

/* tests/gen/safetensors_numpy.py */
static void test_a_file_by_numpy(void **state)
{
    (void)state;
    egg_safetensors *file = open_file(EGG_TEST_SOURCE_DIR "/fuzz/corpus/safetensors/numpy.safetensors");
    assert_int_equal(egg_safetensors_count(file), 6);
    assert_tensor(file, "float", EGG_TENSOR_F32, 2, (uint64_t[]){2, 3}, floats, sizeof floats);
    assert_tensor(file, "byte", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes, sizeof bytes);
    assert_tensor(file, "scalar", EGG_TENSOR_I16, 0, NULL, &scalar, sizeof scalar);
    assert_tensor(file, "none", EGG_TENSOR_F64, 2, (uint64_t[]){0, 4}, NULL, 0);
    assert_tensor(file, "flags", EGG_TENSOR_BOOL, 1, (uint64_t[]){2}, "\1", 2);
    assert_tensor(file, "large", EGG_TENSOR_U64, 1, (uint64_t[]){1}, &(uint64_t){UINT64_MAX}, 8);
    assert_string_equal(egg_safetensors_metadata(file, "maker"), "numpy");
    egg_safetensors_close(file);
}

static const char *data_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("EGGROLL_TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : EGG_TEST_DATA_DIR, name);
    return path;
}

static void assert_as_listed(const egg_safetensors *file, const char *name, json_t *entry, const uint8_t *data)
{
    const egg_tensor *tensor = egg_safetensors_find(file, name);
    json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    assert_non_null(tensor);
    assert_string_equal(egg_tensor_type_name(tensor->type), json_string_value(json_object_get(entry, "dtype")));
    assert_int_equal(tensor->dims, json_array_size(shape));
    for (uint32_t i = 0; i < tensor->dims; i++)
        assert_int_equal(tensor->shape[i], json_integer_value(json_array_get(shape, i)));
    uint64_t begin = (uint64_t)json_integer_value(json_array_get(offsets, 0));
    assert_int_equal(begin + tensor->bytes, json_integer_value(json_array_get(offsets, 1)));
    assert_memory_equal(tensor->data, data + begin, tensor->bytes);
}

static void test_a_trained_model_opens(void **state)
{
    (void)state;
    const char *path = data_path("rwkv7-tiny-834k.safetensors"), *name;
    egg_mapping mapping;
    json_t *entry;
    if (!egg_path_exists(path)) {
        print_message("%s is absent\n", path);
        skip();
    }
    egg_safetensors *file = open_file(path);
    assert_int_equal(egg_mapping_open(&mapping, path, NULL), EGG_OK);
    size_t length = mapping.data[0] + 256u * mapping.data[1] + 65536u * mapping.data[2];
    json_t *header = json_loadb((const char *)mapping.data + 8, length, 0, NULL);
    assert_int_equal(egg_safetensors_count(file), json_object_size(header));
    json_object_foreach(header, name, entry) assert_as_listed(file, name, entry, mapping.data + 8 + length);
    const egg_tensor *embedding;
    egg_error error = {0};
    assert_int_equal(egg_safetensors_count(file), 399);
    assert_int_equal(egg_safetensors_expect(file, "emb.weight", EGG_TENSOR_F32, 2, (uint64_t[]){256, 64}, &embedding,
                                            &error), EGG_OK);
    json_decref(header);
    egg_mapping_close(&mapping);
    egg_safetensors_close(file);
}

/* ----------------------------------------------------------------------------------------------- malformed files */

#define ENTRY(type, shape, offsets) "{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(type, shape, offsets) "{\"t\":" ENTRY(type, shape, offsets) "}"

/* After "column" the JSON library has its say, and each of its versions its own words. */
static const struct {
    const char *header;
    size_t data_bytes;
    const char *expected;
} malformed[] = {
    /* the header */
    {"", 0, "the header does not begin with '{'; not a safetensors file"},
    {"[]", 0, "the header does not begin with '{'; not a safetensors file"},
    {" {}", 0, "the header does not begin with '{'; not a safetensors file"},
    {"{", 0, "header, line 1, column "},
    {"{} x", 0, "header, line 1, column "},
    {"{\"t\\u0000\":1}", 0, "header, line 1, column "},
    {"{\"\xff\":1}", 0, "header, line 1, column "},
    {"{\"t\":{\"x\":1,\"x\":1}}", 0, "header, line 1, column "},
    {"{\"t\":" ENTRY("\"I8\"", "[0]", "[0,0]") ",\"t\":" ENTRY("\"I8\"", "[0]", "[0,0]") "}", 0,
     "header, line 1, column "},
    {"{\"t\":7}", 0, "tensor 't' is 7, expected a JSON object"},
    /* metadata */
    {"{\"__metadata__\":[1]}", 0, "__metadata__ is [1], expected a JSON object"},
    {"{\"__metadata__\":{\"epoch\":12}}", 0, "metadata 'epoch' is 12, expected a text"},
    {"{\"__metadata__\":{\"epoch\":{\"at\":null}}}", 0, "metadata 'epoch' is {\"at\":null}, expected a text"},
    /* types */
    {"{\"t\":{}}", 0, "tensor 't': dtype is nothing, expected one of BOOL, U8 ... F64"},
    {ONE("8", "[1]", "[0,1]"), 1, "tensor 't': dtype is 8, expected one of BOOL, U8 ... F64"},
    {ONE("\"i8\"", "[1]", "[0,1]"), 1, "tensor 't': dtype is \"i8\", expected one of BOOL, U8 ... F64"},
    {ONE("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "tensor 't': dtype is \"F8_E4M3\", expected one of BOOL, U8 ... F64"},
    /* shapes */
    {"{\"t\":{\"dtype\":\"I8\"}}", 0, "tensor 't': shape is nothing, expected a list of at most 8 sizes"},
    {ONE("\"I8\"", "3", "[0,3]"), 3, "tensor 't': shape is 3, expected a list of at most 8 sizes"},
    {ONE("\"I8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1,
     "tensor 't': shape is [1,1,1,1,1,1,1,1,1], expected a list of at most 8 sizes"},
    {ONE("\"I8\"", "[-1]", "[0,1]"), 1, "tensor 't': shape is [-1], expected sizes of 0 or more"},
    {ONE("\"I8\"", "[1.0]", "[0,1]"), 1, "tensor 't': shape is [1.0], expected sizes of 0 or more"},
    {ONE("\"I8\"", "[\"1\"]", "[0,1]"), 1, "tensor 't': shape is [\"1\"], expected sizes of 0 or more"},
    {ONE("\"I8\"", "[99999999999999999999]", "[0,1]"), 1,
     "header, line 1, column "},
    {ONE("\"F64\"", "[9223372036854775807]", "[0,8]"), 8,
     "tensor 't': shape is [9223372036854775807], expected fewer than 2^64 bytes"},
    {ONE("\"I8\"", "[4294967296,4294967296]", "[0,0]"), 0,
     "tensor 't': shape is [4294967296,4294967296], expected fewer than 2^64 bytes"},
    {ONE("\"I8\"", "[4294967296,4294967296,0]", "[0,0]"), 0,
     "tensor 't': shape is [4294967296,4294967296,0], expected fewer than 2^64 bytes"},
    /* places */
    {"{\"t\":{\"dtype\":\"I8\",\"shape\":[1]}}", 1, "tensor 't': data_offsets is nothing, expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "1"), 1, "tensor 't': data_offsets is 1, expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "[1]"), 1, "tensor 't': data_offsets is [1], expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "[0,1,2]"), 1, "tensor 't': data_offsets is [0,1,2], expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "[-1,0]"), 1, "tensor 't': data_offsets is [-1,0], expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "[1,0]"), 1, "tensor 't': data_offsets is [1,0], expected [begin, end]"},
    {ONE("\"I8\"", "[1]", "[0,1.0]"), 1, "tensor 't': data_offsets is [0,1.0], expected [begin, end]"},
    {ONE("\"I8\"", "[5]", "[0,5]"), 4, "tensor 't' ends at byte 5 of the data, which has 4; is the file truncated?"},
    {ONE("\"I8\"", "[1]", "[9223372036854775806,9223372036854775807]"), 1,
     "tensor 't' ends at byte 9223372036854775807 of the data, which has 1; is the file truncated?"},
    {ONE("\"I16\"", "[2]", "[0,3]"), 3, "tensor 't' has 3 bytes, its shape needs 4"},
    {ONE("\"I16\"", "[0]", "[0,2]"), 2, "tensor 't' has 2 bytes, its shape needs 0"},
    /* the cover */
    {"{}", 1, "the data has 1 bytes, its tensors have 0"},
    {ONE("\"I8\"", "[3]", "[0,3]"), 4, "the data has 4 bytes, its tensors have 3"},
    {ONE("\"I8\"", "[3]", "[1,4]"), 4, "tensor 't' begins at byte 1 of the data, expected 0"},
    {"{\"a\":" ENTRY("\"I8\"", "[2]", "[0,2]") ",\"b\":" ENTRY("\"I8\"", "[2]", "[3,5]") "}", 5,
     "tensor 'b' begins at byte 3 of the data, expected 2"},
    {"{\"b\":" ENTRY("\"I8\"", "[2]", "[1,3]") ",\"a\":" ENTRY("\"I8\"", "[2]", "[0,2]") "}", 3,
     "tensor 'b' begins at byte 1 of the data, expected 2"},
    {"{\"a\":" ENTRY("\"I8\"", "[2]", "[0,2]") ",\"b\":" ENTRY("\"I8\"", "[2]", "[0,2]") "}", 2,
     "tensor 'b' begins at byte 0 of the data, expected 2"},
    {"{\"a\":" ENTRY("\"I8\"", "[2]", "[0,2]") ",\"b\":" ENTRY("\"I8\"", "[0]", "[1,1]") "}", 2,
     "tensor 'b' begins at byte 1 of the data, expected 2"},
};

static void assert_text(const char *text, const char *expected)
{
    size_t length = strlen(expected);
    if (expected[length - 1] == ' ') assert_memory_equal(text, expected, length);
    else assert_string_equal(text, expected);
}

static void assert_refused(image file, const char *expected)
{
    egg_safetensors *parsed = (egg_safetensors *)&file;
    egg_error error = {0};
    assert_int_equal(egg_safetensors_parse(&parsed, file.data, file.bytes, "m", &error), EGG_ERR_FORMAT);
    assert_null(parsed);
    assert_int_equal(error.status, EGG_ERR_FORMAT);
    assert_text(error.text, expected);
    assert_int_equal(egg_safetensors_parse(&parsed, file.data, file.bytes, "m", NULL), EGG_ERR_FORMAT);
}

static void test_malformed_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(malformed); i++) {
        char expected[512];
        image file = image_of(malformed[i].header, strlen(malformed[i].header), malformed[i].data_bytes);
        snprintf(expected, sizeof expected, "m: %s", malformed[i].expected);
        assert_refused(file, expected);
        free(file.data);
    }
}

static void test_malformed_lengths_are_refused(void **state)
{
    (void)state;
    image file = image_of("{}", 2, 0);
    assert_refused((image){file.data, 0}, "m: has 0 bytes, expected a safetensors file of at least 8");
    assert_refused((image){file.data, 7}, "m: has 7 bytes, expected a safetensors file of at least 8");
    assert_refused((image){file.data, 9},
                   "m: a header of 2 bytes in a file of 9; not a safetensors file, or truncated");
    memset(file.data, 0xff, 8);
    assert_refused(file, "m: a header of 18446744073709551615 bytes in a file of 10; not a safetensors file, or "
                         "truncated");
    free(file.data);
}

/* One byte more than the format allows, in a file that has them all. */
static void test_an_oversized_header_is_refused(void **state)
{
    (void)state;
    image file = image_of(NULL, 100 * 1000 * 1000 + 1, 0);
    assert_refused(file, "m: a header of 100000001 bytes in a file of 100000009; not a safetensors file, or truncated");
    free(file.data);
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1000 * 1000 };
    static char header[DEPTH + 8] = "{\"t\":";
    memset(header + 5, '[', DEPTH);
    image file = image_of(header, 5 + DEPTH, 0);
    egg_error error = {0};
    egg_safetensors *parsed;
    assert_int_equal(egg_safetensors_parse(&parsed, file.data, file.bytes, "m", &error), EGG_ERR_FORMAT);
    assert_non_null(strstr(error.text, "maximum parsing depth reached"));
    free(file.data);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    assert_int_equal(write_some(scratch_path("whole"), NULL), EGG_OK);
    uint8_t *whole = scratch_read("whole", &size);
    for (size_t length = 0; length < size; length++) {
        egg_safetensors *file;
        uint8_t *part = malloc(length + !length);
        assert_non_null(part);
        memcpy(part, whole, length);
        assert_int_equal(egg_safetensors_parse(&file, part, length, "m", NULL), EGG_ERR_FORMAT);
        free(part);
    }
    free(whole);
}

static void test_files_that_cannot_be_opened(void **state)
{
    (void)state;
    egg_safetensors *file = (egg_safetensors *)state;
    egg_error error = {0};
    char expected[5000];
    const char *path = scratch_path("absent");
    assert_int_equal(egg_safetensors_open(&file, path, &error), EGG_ERR_IO);
    snprintf(expected, sizeof expected, "%s: cannot open: No such file or directory", path);
    assert_string_equal(error.text, expected);
    assert_null(file);
    scratch_write("empty", "", 0);
    assert_int_equal(egg_safetensors_open(&file, scratch_path("empty"), &error), EGG_ERR_FORMAT);
}

static void test_expectations_are_explained(void **state)
{
    (void)state;
    static const char header[] = "{\"t\":" ENTRY("\"I8\"", "[2,3]", "[0,6]") "}";
    image memory = image_of(header, sizeof header - 1, 6);
    egg_safetensors *file;
    const egg_tensor *tensor;
    egg_error error = {0};
    assert_int_equal(egg_safetensors_parse(&file, memory.data, memory.bytes, "m", NULL), EGG_OK);
    assert_int_equal(egg_safetensors_expect(file, "u", EGG_TENSOR_I8, 2, (uint64_t[]){2, 3}, &tensor, &error),
                     EGG_ERR_FORMAT);
    assert_string_equal(error.text, "m: tensor 'u' is missing");
    assert_int_equal(egg_safetensors_expect(file, "t", EGG_TENSOR_U8, 2, (uint64_t[]){2, 3}, &tensor, &error),
                     EGG_ERR_FORMAT);
    assert_string_equal(error.text, "m: tensor 't' is of type I8, expected U8");
    assert_int_equal(egg_safetensors_expect(file, "t", EGG_TENSOR_I8, 2, (uint64_t[]){3, 2}, &tensor, &error),
                     EGG_ERR_FORMAT);
    assert_string_equal(error.text, "m: tensor 't' has shape [2, 3], expected [3, 2]");
    assert_int_equal(egg_safetensors_expect(file, "t", EGG_TENSOR_I8, 1, (uint64_t[]){2}, &tensor, &error),
                     EGG_ERR_FORMAT);
    assert_string_equal(error.text, "m: tensor 't' has shape [2, 3], expected [2]");
    assert_int_equal(egg_safetensors_expect(file, "t", EGG_TENSOR_I8, 0, NULL, &tensor, &error), EGG_ERR_FORMAT);
    assert_string_equal(error.text, "m: tensor 't' has shape [2, 3], expected []");
    egg_safetensors_close(file);
    free(memory.data);
}

/* ------------------------------------------------------------------------------------------------ failing writers */

typedef void declare_fn(egg_safetensors_writer *writer);

static void declare_twice(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
    egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
    egg_safetensors_writer_metadata(writer, "\xff", "only the first failure is told");
}

static void declare_the_reserved_name(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "__metadata__", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
}

static void declare_a_size_that_overflows(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I16, 2, (uint64_t[]){1ull << 32, 1ull << 31}, NULL);
}

static void declare_an_empty_giant(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I8, 2, (uint64_t[]){0, 1ull << 63}, NULL);
}

static void declare_nine_dimensions(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "t", EGG_TENSOR_I8, 9, (uint64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, bytes);
}

static void declare_latin1_metadata(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_metadata(writer, "city", "K\xf6ln");
}

static void declare_a_latin1_name(egg_safetensors_writer *writer)
{
    egg_safetensors_writer_tensor(writer, "\xf6", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
}

static void test_impossible_declarations_are_refused(void **state)
{
    (void)state;
    static const struct {
        declare_fn *declare;
        const char *expected;
    } cases[] = {
        {declare_twice, "the name 't' of a tensor is taken"},
        {declare_the_reserved_name, "the name '__metadata__' of a tensor is taken"},
        {declare_a_size_that_overflows, "the shape of tensor 't' is too large"},
        {declare_an_empty_giant, "the shape of tensor 't' is too large"},
        {declare_nine_dimensions, "the shape of tensor 't' is too large"},
        {declare_latin1_metadata, "metadata 'city' is not UTF-8, or there is no memory for it"},
        {declare_a_latin1_name, "the name '\xf6' of a tensor is not UTF-8, or there is no memory for it"},
    };
    scratch_write("kept", "old", 3);
    size_t count = scratch_count();
    for (size_t i = 0; i < EGG_COUNT(cases); i++) {
        egg_safetensors_writer *writer;
        egg_error error = {0};
        char expected[5000];
        const char *path = scratch_path("kept");
        assert_int_equal(egg_safetensors_writer_open(&writer, path, NULL), EGG_OK);
        cases[i].declare(writer);
        egg_safetensors_writer_tensor(writer, "fine", EGG_TENSOR_I8, 1, (uint64_t[]){3}, bytes);
        assert_int_equal(egg_safetensors_writer_commit(writer, &error), EGG_ERR_ARGUMENT);
        snprintf(expected, sizeof expected, "%s: %s", path, cases[i].expected);
        assert_string_equal(error.text, expected);
        size_t size;
        uint8_t *kept = scratch_read("kept", &size);
        assert_string_equal((char *)kept, "old");
        free(kept);
        assert_int_equal(scratch_count(), count);
    }
}

static void test_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    egg_error error = {0};
    char expected[5000];
    const char *path = scratch_path("full");
    scratch_write("full", "old", 3);
    size_t count = scratch_count(), size;
    scratch_limit_files(100);
    egg_status status = write_some(path, &error);
    scratch_unlimit_files();
    assert_int_equal(status, EGG_ERR_IO);
    snprintf(expected, sizeof expected, "%s: cannot write: File too large", path);
    assert_string_equal(error.text, expected);
    uint8_t *kept = scratch_read("full", &size);
    assert_string_equal((char *)kept, "old");
    free(kept);
    assert_int_equal(scratch_count(), count);
}

static void test_missing_memory_is_reported(void **state)
{
    (void)state;
    assert_int_equal(write_some(scratch_path("source"), NULL), EGG_OK);
    egg_status status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_error error = {0};
        egg_alloc_fail_at(nth);
        status = write_some(scratch_path("memory"), &error);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK || (status == EGG_ERR_NOMEM && strstr(error.text, "memory: no memory")));
        assert_true(status == EGG_OK ? nth > 3 : !egg_path_exists(scratch_path("memory")));
    }
    status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_error error = {0};
        egg_safetensors *file;
        egg_alloc_fail_at(nth);
        status = egg_safetensors_open(&file, scratch_path("source"), &error);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK || (status == EGG_ERR_NOMEM && strstr(error.text, "source: no memory")));
        assert_true(status == EGG_OK ? nth > 3 : !file);
        egg_safetensors_close(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_the_bytes_are_laid_down),
        cmocka_unit_test(test_data_begins_at_a_multiple_of_64),
        cmocka_unit_test(test_many_tensors),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_a_file_by_numpy),
        cmocka_unit_test(test_a_trained_model_opens),
        cmocka_unit_test(test_malformed_headers_are_refused),
        cmocka_unit_test(test_malformed_lengths_are_refused),
        cmocka_unit_test(test_an_oversized_header_is_refused),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_files_that_cannot_be_opened),
        cmocka_unit_test(test_expectations_are_explained),
        cmocka_unit_test(test_impossible_declarations_are_refused),
        cmocka_unit_test(test_a_full_disk_leaves_the_old_file),
        cmocka_unit_test(test_missing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
