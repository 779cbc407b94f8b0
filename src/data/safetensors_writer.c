/* SPDX-License-Identifier: MIT */
/* Writing safetensors files: the header grows in memory, the data of tensors stays where it is until the commit. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/safetensors.h"
#include "data/safetensors_format.h"

enum { DATA_ALIGNMENT = 64, MOST_JSON_BYTES = MAX_HEADER_BYTES - DATA_ALIGNMENT };

typedef struct egg_pending {
    const void *data;
    uint64_t bytes;
} egg_pending;

struct egg_safetensors_writer {
    char *path;
    json_t *header;
    json_t *metadata;         /* in 'header' */
    egg_pending *tensors;     /* (count) of 'capacity' */
    size_t count, capacity;
    uint64_t bytes;           /* of all tensors */
    egg_error failure;        /* the first one */
};

static void writer_free(egg_safetensors_writer *writer)
{
    if (!writer) return;
    json_decref(writer->header);
    egg_free(writer->tensors);
    egg_free(writer->path);
    egg_free(writer);
}

egg_status egg_safetensors_writer_open(egg_safetensors_writer **out, const char *path, egg_error *error)
{
    egg_safetensors_writer *writer = egg_alloc(sizeof *writer);
    *out = NULL;
    if (writer) {
        writer->path = egg_strdup(path);
        writer->header = json_object();
        json_object_set_new(writer->header, METADATA_KEY, json_object());
        writer->metadata = json_object_get(writer->header, METADATA_KEY);
    }
    if (!writer || !writer->path || !writer->metadata) {
        writer_free(writer);
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to write it", path);
    }
    *out = writer;
    return EGG_OK;
}

void egg_safetensors_writer_abort(egg_safetensors_writer *writer)
{
    writer_free(writer);
}

/* Where to describe a failure: only the first one counts. */
static egg_error *first_failure(egg_safetensors_writer *writer)
{
    return writer->failure.status == EGG_OK ? &writer->failure : NULL;
}

void egg_safetensors_writer_metadata(egg_safetensors_writer *writer, const char *key, const char *value)
{
    if (json_object_set_new(writer->metadata, key, json_string(value)) != 0)
        egg_fail(first_failure(writer), EGG_ERR_ARGUMENT,
                 "%s: metadata '%s' is not UTF-8, or there is no memory for it", writer->path, key);
}

static bool reserve(egg_safetensors_writer *writer)
{
    if (writer->count < writer->capacity) return true;
    size_t capacity = writer->capacity ? 2 * writer->capacity : 64;
    egg_pending *larger = egg_alloc_array(capacity, sizeof *larger);
    if (!larger) return false;
    if (writer->count) memcpy(larger, writer->tensors, writer->count * sizeof *larger);
    egg_free(writer->tensors);
    writer->tensors = larger;
    writer->capacity = capacity;
    return true;
}

/* The tensor's entry in the header, its data behind that of all others; NULL without memory. */
static json_t *new_entry(uint64_t begin, uint64_t end, egg_tensor_type type, uint32_t dims, const uint64_t *shape)
{
    json_t *sizes = json_array();
    for (uint32_t i = 0; i < dims; i++) json_array_append_new(sizes, json_integer((json_int_t)shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", egg_tensor_type_name(type), "shape", sizes, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

void egg_safetensors_writer_tensor(egg_safetensors_writer *writer, const char *name, egg_tensor_type type,
                                   uint32_t dims, const uint64_t *shape, const void *data)
{
    uint64_t bytes = egg_tensor_type_bytes(type), end = 0;
    bool fits = dims <= EGG_TENSOR_MAX_DIMS;
    for (uint32_t i = 0; fits && i < dims; i++)
        fits = shape[i] <= INT64_MAX && !__builtin_mul_overflow(bytes, shape[i], &bytes);
    if (!fits || __builtin_add_overflow(writer->bytes, bytes, &end) || end > INT64_MAX) {
        egg_fail(first_failure(writer), EGG_ERR_ARGUMENT, "%s: the shape of tensor '%s' is too large", writer->path,
                 name);
        return;
    }
    if (json_object_get(writer->header, name)) {
        egg_fail(first_failure(writer), EGG_ERR_ARGUMENT, "%s: the name '%s' of a tensor is taken", writer->path, name);
        return;
    }
    if (!reserve(writer)) {
        egg_fail(first_failure(writer), EGG_ERR_NOMEM, "%s: no memory for tensor '%s'", writer->path, name);
        return;
    }
    if (json_object_set_new(writer->header, name, new_entry(writer->bytes, end, type, dims, shape)) != 0) {
        egg_fail(first_failure(writer), EGG_ERR_ARGUMENT,
                 "%s: the name '%s' of a tensor is not UTF-8, or there is no memory for it", writer->path, name);
        return;
    }
    writer->tensors[writer->count++] = (egg_pending){.data = data, .bytes = bytes};
    writer->bytes = end;
}

/* The header behind its length, padded with spaces so that the data begins at a multiple of DATA_ALIGNMENT. */
static void write_header(egg_file_writer *file, const char *json)
{
    size_t length = strlen(json), over = (LENGTH_BYTES + length) % DATA_ALIGNMENT;
    size_t padding = over ? DATA_ALIGNMENT - over : 0;
    uint8_t prefix[LENGTH_BYTES];
    char spaces[DATA_ALIGNMENT];
    memset(spaces, ' ', sizeof spaces);
    for (int i = 0; i < LENGTH_BYTES; i++) prefix[i] = (uint8_t)((uint64_t)(length + padding) >> 8 * i);
    egg_file_writer_write(file, prefix, sizeof prefix);
    egg_file_writer_write(file, json, length);
    egg_file_writer_write(file, spaces, padding);
}

egg_status egg_safetensors_writer_commit(egg_safetensors_writer *writer, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_file_writer *file = NULL;
    char *json = json_dumps(writer->header, JSON_COMPACT);
    if (!json) egg_fail(first_failure(writer), EGG_ERR_NOMEM, "%s: no memory for its header", writer->path);
    else if (strlen(json) > MOST_JSON_BYTES)
        egg_fail(first_failure(writer), EGG_ERR_ARGUMENT, "%s: a header of %zu bytes, expected at most %d",
                 writer->path, strlen(json), MOST_JSON_BYTES);
    if (writer->failure.status != EGG_OK) {
        status = egg_fail(error, writer->failure.status, "%s", writer->failure.text);
        goto out;
    }
    EGG_TRY(egg_file_writer_open(&file, writer->path, error));
    write_header(file, json);
    for (size_t i = 0; i < writer->count; i++)
        egg_file_writer_write(file, writer->tensors[i].data, (size_t)writer->tensors[i].bytes);
    status = egg_file_writer_commit(file, error);
out:
    free(json);
    writer_free(writer);
    return status;
}
