/* SPDX-License-Identifier: MIT */
#include "data/records.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "data/array.h"
#include "data/names.h"

enum { NAMES_BYTES = 200 };

typedef struct egg_kept {
    egg_record record;
    json_t *fields[EGG_RECORD_FIELDS];   /* own the texts */
} egg_kept;

struct egg_records {
    egg_mapping file;
    egg_kept *kept;              /* (count) of 'capacity' */
    size_t count, capacity;
};

static egg_status fail_at(uint64_t line, egg_error *error)
{
    if (error) error->offset = (size_t)line;
    return EGG_ERR_FORMAT;
}

static egg_status fail_field(const char *path, uint64_t line, const json_t *object, const char *field, egg_error *error)
{
    char names[NAMES_BYTES] = "";
    if (!json_is_object(object)) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 " is no object, expected one with the field '%s'", path,
                 line, field);
    } else if (json_object_get(object, field)) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 ": field '%s' is not a string", path, line, field);
    } else {
        for (void *at = json_object_iter((json_t *)(uintptr_t)object); at;
             at = json_object_iter_next((json_t *)(uintptr_t)object, at))
            egg_names_add(names, sizeof names, json_object_iter_key(at));
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 " has no field '%s'; its fields are: %s", path, line, field,
                 *names ? names : "none");
    }
    return fail_at(line, error);
}

static egg_status read_row(egg_records *records, const char *path, const egg_record *row, const char *const *fields,
                           size_t count, egg_error *error)
{
    json_error_t reason;
    egg_status status = EGG_OK;
    egg_kept *kept = egg_array_grow(records->kept, records->count, &records->capacity, sizeof *kept);
    if (!kept) return egg_fail(error, EGG_ERR_NOMEM, "%s: line %" PRIu64 ": no memory for it", path, row->line);
    records->kept = kept;
    kept += records->count;
    *kept = (egg_kept){.record = *row};
    json_t *object = json_loadb(row->row, row->row_bytes, JSON_DECODE_INT_AS_REAL, &reason);
    if (!object) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 ", column %d: %s", path, row->line, reason.column,
                 reason.text);
        return fail_at(row->line, error);
    }
    for (size_t i = 0; i < count && status == EGG_OK; i++) {
        json_t *value = json_object_get(object, fields[i]);
        if (!json_is_string(value)) {
            status = fail_field(path, row->line, object, fields[i], error);
            for (size_t k = 0; k < i; k++) json_decref(kept->fields[k]);
            break;
        }
        kept->fields[i] = json_incref(value);
        kept->record.text[i] = json_string_value(value);
    }
    json_decref(object);
    records->count += status == EGG_OK;
    return status;
}

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

static egg_status read_rows(egg_records *records, const char *path, const char *const *fields, size_t count,
                            egg_error *error)
{
    static const char byte_order_mark[] = {'\xef', '\xbb', '\xbf'};
    egg_status status = EGG_OK;
    const char *at = (const char *)records->file.data;
    size_t bytes = records->file.bytes, mark = sizeof byte_order_mark;
    if (bytes >= mark && memcmp(at, byte_order_mark, mark) == 0) at += mark, bytes -= mark;
    for (uint64_t line = 1; bytes; line++) {
        const char *newline = memchr(at, '\n', bytes);
        size_t n = newline ? (size_t)(newline - at) : bytes;
        const egg_record row = {.row = at, .row_bytes = n && at[n - 1] == '\r' ? n - 1 : n, .line = line};
        if (!is_blank(at, n)) EGG_TRY(read_row(records, path, &row, fields, count, error));
        n += newline != NULL;
        at += n;
        bytes -= n;
    }
    if (records->count == 0) status = egg_fail(error, EGG_ERR_FORMAT, "%s: holds no line, expected at least one", path);
out:
    return status;
}

egg_status egg_records_open(egg_records **out, const char *path, const char *const *fields, size_t count,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    egg_records *records = egg_alloc(sizeof *records);
    *out = NULL;
    if (!records) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", path);
    EGG_TRY(egg_mapping_open(&records->file, path, error));
    EGG_TRY(read_rows(records, path, fields, count, error));
    *out = records;
    records = NULL;
out:
    egg_records_close(records);
    return status;
}

void egg_records_close(egg_records *records)
{
    if (!records) return;
    for (size_t i = 0; i < records->count; i++)
        for (size_t k = 0; k < EGG_RECORD_FIELDS; k++) json_decref(records->kept[i].fields[k]);
    egg_free(records->kept);
    egg_mapping_close(&records->file);
    egg_free(records);
}

size_t egg_records_count(const egg_records *records)
{
    return records->count;
}

const egg_record *egg_records_at(const egg_records *records, size_t index)
{
    return &records->kept[index].record;
}
