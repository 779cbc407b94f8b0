/* SPDX-License-Identifier: MIT */
#include "data/jsonl.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "data/names.h"

enum { FIRST_CAPACITY = 1 << 12, NAMES_BYTES = 256 };

struct egg_jsonl {
    const char *name, *field;
    size_t max_line;
    egg_jsonl_fn *write;
    void *context;
    uint64_t line;             /* number of the current line, from 1 */
    char *begun;               /* (used of capacity) a line whose end has not come yet */
    size_t used, capacity;
};

egg_status egg_jsonl_open(egg_jsonl **out, const char *name, const char *field, size_t max_line, egg_jsonl_fn *write,
                          void *context, egg_error *error)
{
    egg_jsonl *reader = egg_alloc(sizeof *reader);
    *out = reader;
    if (!reader) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", name);
    *reader = (egg_jsonl){.name = name, .field = field, .max_line = max_line, .write = write, .context = context,
                          .line = 1};
    return EGG_OK;
}

void egg_jsonl_close(egg_jsonl *reader)
{
    if (!reader) return;
    egg_free(reader->begun);
    egg_free(reader);
}

/* ------------------------------------------------------------------------------------------------------- one line */

static egg_status fail_at_line(const egg_jsonl *reader, egg_error *error)
{
    if (error) error->offset = (size_t)reader->line;
    return EGG_ERR_FORMAT;
}

static egg_status fail_json(const egg_jsonl *reader, const json_error_t *failure, egg_error *error)
{
    enum json_error_code code = json_error_code(failure);
    if (code == json_error_out_of_memory)
        return egg_fail(error, EGG_ERR_NOMEM, "%s: line %" PRIu64 ": no memory for it", reader->name, reader->line);
    /* The parser's own words for this case speak of one of its flags. */
    const char *what = code == json_error_null_character ? "a string holds \\u0000, which would end the document"
                                                         : failure->text;
    egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 ", column %d: %s", reader->name, reader->line, failure->column,
             what);
    return fail_at_line(reader, error);
}

static egg_status fail_field(const egg_jsonl *reader, const json_t *value, const json_t *object, egg_error *error)
{
    static const char *const types[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    if (!json_is_object(object)) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 " is %s, expected an object with the field '%s'",
                 reader->name, reader->line, types[json_typeof(object)], reader->field);
    } else if (value) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 ": field '%s' is %s, expected a string", reader->name,
                 reader->line, reader->field, types[json_typeof(value)]);
    } else {
        char names[NAMES_BYTES] = "";
        for (void *at = json_object_iter((json_t *)object); at; at = json_object_iter_next((json_t *)object, at))
            egg_names_add(names, sizeof names, json_object_iter_key(at));
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 " has no field '%s'; its fields are: %s", reader->name,
                 reader->line, reader->field, *names ? names : "none");
    }
    return fail_at_line(reader, error);
}

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

static egg_status read_line(egg_jsonl *reader, const char *text, size_t bytes, egg_error *error)
{
    static const char byte_order_mark[] = {'\xef', '\xbb', '\xbf'};
    json_error_t failure;
    size_t mark_bytes = sizeof byte_order_mark;
    if (reader->line == 1 && bytes >= mark_bytes && memcmp(text, byte_order_mark, mark_bytes) == 0) {
        text += mark_bytes;
        bytes -= mark_bytes;
    }
    if (is_blank(text, bytes)) return EGG_OK;
    /* Integers as floats: a field that nobody asked for may hold one of any size. */
    json_t *object = json_loadb(text, bytes, JSON_DECODE_INT_AS_REAL, &failure);
    if (!object) return fail_json(reader, &failure, error);
    const json_t *value = json_object_get(object, reader->field);
    egg_status status = json_is_string(value)
                            ? reader->write(reader->context, json_string_value(value), json_string_length(value), error)
                            : fail_field(reader, value, object, error);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- lines */

static egg_status keep(egg_jsonl *reader, const char *text, size_t bytes, egg_error *error)
{
    if (bytes > reader->capacity - reader->used) {
        size_t capacity = reader->capacity ? reader->capacity : FIRST_CAPACITY;
        while (capacity - reader->used < bytes) capacity *= 2;
        char *grown = egg_alloc(capacity);
        if (!grown)
            return egg_fail(error, EGG_ERR_NOMEM, "%s: line %" PRIu64 ": no memory for %zu bytes", reader->name,
                            reader->line, capacity);
        if (reader->used) memcpy(grown, reader->begun, reader->used);
        egg_free(reader->begun);
        reader->begun = grown;
        reader->capacity = capacity;
    }
    if (bytes) memcpy(reader->begun + reader->used, text, bytes);
    reader->used += bytes;
    return EGG_OK;
}

egg_status egg_jsonl_push(egg_jsonl *reader, const void *data, size_t bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *text = data;
    while (bytes) {
        const char *newline = memchr(text, '\n', bytes);
        size_t n = newline ? (size_t)(newline - text) : bytes;
        if (n > reader->max_line - reader->used) {
            egg_fail(error, EGG_ERR_FORMAT, "%s: line %" PRIu64 " is longer than %zu bytes", reader->name, reader->line,
                     reader->max_line);
            return fail_at_line(reader, error);
        }
        if (!newline) return keep(reader, text, n, error);
        if (reader->used == 0) {   /* the usual line lies in 'data' as a whole and is read in place */
            EGG_TRY(read_line(reader, text, n, error));
        } else {
            EGG_TRY(keep(reader, text, n, error));
            EGG_TRY(read_line(reader, reader->begun, reader->used, error));
            reader->used = 0;
        }
        reader->line++;
        text += n + 1;
        bytes -= n + 1;
    }
out:
    return status;
}

egg_status egg_jsonl_finish(egg_jsonl *reader, egg_error *error)
{
    return reader->used ? read_line(reader, reader->begun, reader->used, error) : EGG_OK;
}
