/* SPDX-License-Identifier: MIT */
#include "data/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/safetensors_format.h"

enum { FOUND_BYTES = 64 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [EGG_TENSOR_BOOL] = {"BOOL", 1}, [EGG_TENSOR_U8] = {"U8", 1},     [EGG_TENSOR_I8] = {"I8", 1},
    [EGG_TENSOR_I16] = {"I16", 2},   [EGG_TENSOR_U16] = {"U16", 2},   [EGG_TENSOR_F16] = {"F16", 2},
    [EGG_TENSOR_BF16] = {"BF16", 2}, [EGG_TENSOR_I32] = {"I32", 4},   [EGG_TENSOR_U32] = {"U32", 4},
    [EGG_TENSOR_F32] = {"F32", 4},   [EGG_TENSOR_I64] = {"I64", 8},   [EGG_TENSOR_U64] = {"U64", 8},
    [EGG_TENSOR_F64] = {"F64", 8},
};

const char *egg_tensor_type_name(egg_tensor_type type)
{
    return types[type].name;
}

size_t egg_tensor_type_bytes(egg_tensor_type type)
{
    return types[type].bytes;
}

/* -------------------------------------------------------------------------------------------------------- reading */

struct egg_safetensors {
    egg_mapping mapping;      /* empty for bytes in memory */
    char *name;
    json_t *header;           /* owns all strings */
    egg_tensor *tensors;      /* (count) sorted by their place in the file */
    egg_tensor **by_name;     /* (count) sorted by name */
    size_t count;
};

static int compare_places(const void *left, const void *right)
{
    const egg_tensor *a = left, *b = right;
    const char *p = a->data, *q = b->data;
    if (p != q) return p < q ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;   /* empty tensors share their place with the next */
    return strcmp(a->name, b->name);
}

static int compare_names(const void *left, const void *right)
{
    const egg_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

typedef char egg_found_text[FOUND_BYTES];

/* 'value' as JSON, for an error text; cut where it is long. */
static const char *found_text(const json_t *value, egg_found_text text)
{
    memset(text, 0, FOUND_BYTES);
    if (!value) return "nothing";
    json_dumpb(value, text, FOUND_BYTES - 1, JSON_COMPACT | JSON_ENCODE_ANY);
    return text;
}

static egg_status parse_type(const egg_safetensors *file, const json_t *entry, egg_tensor *tensor, egg_error *error)
{
    egg_found_text found;
    const json_t *type = json_object_get(entry, "dtype");
    const char *name = json_string_value(type);
    for (size_t i = 0; name && i < EGG_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0) {
            tensor->type = (egg_tensor_type)i;
            return EGG_OK;
        }
    return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s': dtype is %s, expected one of BOOL, U8 ... F64", file->name,
                    tensor->name, found_text(type, found));
}

/* Sets dims and shape; '*bytes' becomes the size that they imply. */
static egg_status parse_shape(const egg_safetensors *file, const json_t *entry, egg_tensor *tensor, uint64_t *bytes,
                              egg_error *error)
{
    egg_found_text found;
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > EGG_TENSOR_MAX_DIMS)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s': shape is %s, expected a list of at most %d sizes",
                        file->name, tensor->name, found_text(shape, found), EGG_TENSOR_MAX_DIMS);
    tensor->dims = (uint32_t)json_array_size(shape);
    *bytes = egg_tensor_type_bytes(tensor->type);
    for (uint32_t i = 0; i < tensor->dims; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s': shape is %s, expected sizes of 0 or more",
                            file->name, tensor->name, found_text(shape, found));
        tensor->shape[i] = (uint64_t)json_integer_value(size);
        if (__builtin_mul_overflow(*bytes, tensor->shape[i], bytes))
            return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s': shape is %s, expected fewer than 2^64 bytes",
                            file->name, tensor->name, found_text(shape, found));
    }
    return EGG_OK;
}

/* Sets data and bytes. 'data': all 'size' bytes behind the header; 'expected': what the shape needs of them. */
static egg_status parse_place(const egg_safetensors *file, const json_t *entry, const char *data, uint64_t size,
                              uint64_t expected, egg_tensor *tensor, egg_error *error)
{
    egg_found_text found;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s': data_offsets is %s, expected [begin, end]", file->name,
                        tensor->name, found_text(offsets, found));
    uint64_t begin = (uint64_t)json_integer_value(first), end = (uint64_t)json_integer_value(last);
    if (end > size)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: tensor '%s' ends at byte %" PRIu64 " of the data, which has %" PRIu64
                        "; is the file truncated?",
                        file->name, tensor->name, end, size);
    if (end - begin != expected)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' has %" PRIu64 " bytes, its shape needs %" PRIu64,
                        file->name, tensor->name, end - begin, expected);
    tensor->data = data + begin;
    tensor->bytes = expected;
    return EGG_OK;
}

static egg_status parse_tensors(egg_safetensors *file, const char *data, uint64_t size, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *name;
    json_t *entry;
    size_t entries = json_object_size(file->header);
    file->tensors = egg_alloc_array(entries, sizeof *file->tensors);
    file->by_name = egg_alloc_array(entries, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for %zu tensors", file->name, entries);
    json_object_foreach(file->header, name, entry) {
        if (strcmp(name, METADATA_KEY) == 0) continue;
        egg_tensor *tensor = &file->tensors[file->count];
        uint64_t bytes = 0;
        egg_found_text found;
        if (!json_is_object(entry))
            return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is %s, expected a JSON object", file->name, name,
                            found_text(entry, found));
        tensor->name = name;
        EGG_TRY(parse_type(file, entry, tensor, error));
        EGG_TRY(parse_shape(file, entry, tensor, &bytes, error));
        EGG_TRY(parse_place(file, entry, data, size, bytes, tensor, error));
        file->count++;
    }
out:
    return status;
}

/* The format wants the data covered without holes and without overlaps. */
static egg_status check_cover(egg_safetensors *file, const char *data, uint64_t size, egg_error *error)
{
    uint64_t at = 0;
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    for (size_t i = 0; i < file->count; i++) {
        const egg_tensor *tensor = &file->tensors[i];
        uint64_t begin = (uint64_t)((const char *)tensor->data - data);
        if (begin != at)
            return egg_fail(error, EGG_ERR_FORMAT,
                            "%s: tensor '%s' begins at byte %" PRIu64 " of the data, expected %" PRIu64, file->name,
                            tensor->name, begin, at);
        at += tensor->bytes;
        file->by_name[i] = &file->tensors[i];
    }
    if (file->count) qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    if (at == size) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: the data has %" PRIu64 " bytes, its tensors have %" PRIu64, file->name,
                    size, at);
}

static egg_status check_metadata(const egg_safetensors *file, egg_error *error)
{
    json_t *metadata = json_object_get(file->header, METADATA_KEY), *value;
    const char *key;
    egg_found_text found;
    if (!metadata) return EGG_OK;
    if (!json_is_object(metadata))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: %s is %s, expected a JSON object", file->name, METADATA_KEY,
                        found_text(metadata, found));
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is %s, expected a text", file->name, key,
                            found_text(value, found));
    return EGG_OK;
}

static egg_status parse(egg_safetensors *file, const uint8_t *bytes, size_t size, egg_error *error)
{
    egg_status status = EGG_OK;
    json_error_t reason;
    uint64_t length = 0;
    if (size < LENGTH_BYTES)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: has %zu bytes, expected a safetensors file of at least %d",
                        file->name, size, LENGTH_BYTES);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > MAX_HEADER_BYTES || length > size - LENGTH_BYTES)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: a header of %" PRIu64 " bytes in a file of %zu; not a safetensors file, or truncated",
                        file->name, length, size);
    const char *header = (const char *)bytes + LENGTH_BYTES, *data = header + length;
    uint64_t data_bytes = size - LENGTH_BYTES - length;
    if (length == 0 || header[0] != '{')
        return egg_fail(error, EGG_ERR_FORMAT, "%s: the header does not begin with '{'; not a safetensors file",
                        file->name);
    file->header = json_loadb(header, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
    if (!file->header)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: header, line %d, column %d: %s", file->name, reason.line,
                        reason.column, reason.text);
    EGG_TRY(check_metadata(file, error));
    EGG_TRY(parse_tensors(file, data, data_bytes, error));
    EGG_TRY(check_cover(file, data, data_bytes, error));
out:
    return status;
}

static egg_status open_named(egg_safetensors **out, const char *name, egg_error *error)
{
    egg_safetensors *file = egg_alloc(sizeof *file);
    *out = file;
    if (file) file->name = egg_strdup(name);
    if (file && file->name) return EGG_OK;
    egg_free(file);
    *out = NULL;
    return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", name);
}

egg_status egg_safetensors_parse(egg_safetensors **out, const void *data, size_t bytes, const char *name,
                                 egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    *out = NULL;
    EGG_TRY(open_named(&file, name, error));
    EGG_TRY(parse(file, data, bytes, error));
    *out = file;
    file = NULL;
out:
    egg_safetensors_close(file);
    return status;
}

egg_status egg_safetensors_open(egg_safetensors **out, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    *out = NULL;
    EGG_TRY(open_named(&file, path, error));
    EGG_TRY(egg_mapping_open(&file->mapping, path, error));
    EGG_TRY(parse(file, file->mapping.data, file->mapping.bytes, error));
    *out = file;
    file = NULL;
out:
    egg_safetensors_close(file);
    return status;
}

void egg_safetensors_close(egg_safetensors *file)
{
    if (!file) return;
    json_decref(file->header);
    egg_mapping_close(&file->mapping);
    egg_free(file->tensors);
    egg_free(file->by_name);
    egg_free(file->name);
    egg_free(file);
}

size_t egg_safetensors_count(const egg_safetensors *file)
{
    return file->count;
}

const egg_tensor *egg_safetensors_at(const egg_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const egg_tensor *egg_safetensors_find(const egg_safetensors *file, const char *name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(file->by_name[middle]->name, name);
        if (order == 0) return file->by_name[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

const char *egg_safetensors_metadata(const egg_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key));
}

const char *egg_safetensors_metadata_key(const egg_safetensors *file, size_t index)
{
    json_t *metadata = json_object_get(file->header, METADATA_KEY);
    void *at = json_object_iter(metadata);
    while (at && index--) at = json_object_iter_next(metadata, at);
    return json_object_iter_key(at);
}

static bool same_shape(const egg_tensor *tensor, uint32_t dims, const uint64_t *shape)
{
    if (tensor->dims != dims) return false;
    for (uint32_t i = 0; i < dims; i++)
        if (tensor->shape[i] != shape[i]) return false;
    return true;
}

void egg_tensor_shape_text(char *text, size_t size, uint32_t dims, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i ? ", " : "", shape[i]);
    if (used < size) snprintf(text + used, size - used, "]");
}

egg_status egg_safetensors_expect(const egg_safetensors *file, const char *name, egg_tensor_type type, uint32_t dims,
                                  const uint64_t *shape, const egg_tensor **tensor, egg_error *error)
{
    const egg_tensor *found = *tensor = egg_safetensors_find(file, name);
    if (!found) return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is missing", file->name, name);
    if (found->type != type)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is of type %s, expected %s", file->name, name,
                        egg_tensor_type_name(found->type), egg_tensor_type_name(type));
    if (same_shape(found, dims, shape)) return EGG_OK;
    char has[200], wants[200];
    egg_tensor_shape_text(has, sizeof has, found->dims, found->shape);
    egg_tensor_shape_text(wants, sizeof wants, dims, shape);
    return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' has shape %s, expected %s", file->name, name, has, wants);
}

bool egg_tensor_is_float(const egg_tensor *tensor)
{
    return tensor->type == EGG_TENSOR_F32 || tensor->type == EGG_TENSOR_BF16 || tensor->type == EGG_TENSOR_F16;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half precision: 5 bits of exponent with bias 15, 10 of fraction. */
static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float size = (float)fraction * 0x1p-24f;   /* subnormal */
    return sign ? -size : size;
}

void egg_tensor_read_f32(const egg_tensor *tensor, uint64_t first, size_t n, float *out)
{
    const uint8_t *at = (const uint8_t *)tensor->data + first * egg_tensor_type_bytes(tensor->type);
    if (tensor->type == EGG_TENSOR_F32) {
        if (n) memcpy(out, at, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, at + 2 * i, sizeof bits);
        out[i] = tensor->type == EGG_TENSOR_BF16 ? from_bits((uint32_t)bits << 16) : from_half(bits);
    }
}
