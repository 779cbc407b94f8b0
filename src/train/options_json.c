/* SPDX-License-Identifier: MIT */
/* Options as a JSON object: configuration files, and the record of a run. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/option_text.h"
#include "train/options.h"

/* --------------------------------------------------------------------------------------------------------- reading */

static egg_status fail_at(egg_error *error, egg_status status, const char *name, size_t line, const char *reason)
{
    if (error) error->offset = line;
    return egg_fail(error, status, "%.200s:%zu: %s", name, line, reason);
}

static const char *json_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a text";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "something else";
}

/* Parses an object; '*object' is NULL on failure. */
static egg_status parse_object(json_t **object, const char *text, size_t bytes, const char *name, egg_error *error)
{
    json_error_t reason;
    *object = json_loadb(text ? text : "", bytes, JSON_REJECT_DUPLICATES, &reason);
    if (!*object) {
        bool no_memory = json_error_code(&reason) == json_error_out_of_memory;
        return fail_at(error, no_memory ? EGG_ERR_NOMEM : EGG_ERR_FORMAT, name,
                       reason.line > 0 ? (size_t)reason.line : 1, reason.text);
    }
    if (json_is_object(*object)) return EGG_OK;
    json_decref(*object);
    *object = NULL;
    return fail_at(error, EGG_ERR_FORMAT, name, 1, "expected a JSON object");
}

/* A walk over text known to be a JSON object, key by key of its top level: jansson does not tell where a key stood. */
typedef struct key_walk {
    const char *at, *end;
    size_t line;
    int depth;
    bool value;                    /* past the colon, so strings are no keys */
} key_walk;

/* '*at' is a quotation mark; leaves it on the one that closes the string. */
static void skip_string(key_walk *walk)
{
    for (walk->at++; walk->at < walk->end && *walk->at != '"'; walk->at++)
        if (*walk->at == '\\') walk->at++;
}

/* The line of the next key. */
static size_t next_key_line(key_walk *walk)
{
    for (; walk->at < walk->end; walk->at++) {
        switch (*walk->at) {
        case '\n': walk->line++; break;
        case '{': case '[': walk->depth++; break;
        case '}': case ']': walk->depth--; break;
        case ':': walk->value = true; break;
        case ',': walk->value = walk->depth > 1; break;
        case '"': {
            bool key = walk->depth == 1 && !walk->value;
            skip_string(walk);
            if (!key) break;
            walk->at++;
            return walk->line;
        }
        default: break;
        }
    }
    return walk->line;
}

static bool is_text_array(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_string(json_array_get(value, i))) return false;
    return json_is_array(value);
}

static bool option_type(const egg_options *options, const char *name, egg_option_type *type)
{
    for (size_t i = 0; i < egg_options_count(options); i++) {
        egg_option_info info = egg_options_describe(options, i);
        *type = info.type;
        if (strcmp(info.name, name) == 0) return true;
    }
    return false;
}

/* What a value of the type is in JSON; NULL if 'value' is one. */
static const char *missing_type(const json_t *value, egg_option_type type)
{
    switch (type) {
    case EGG_OPTION_BOOL: return json_is_boolean(value) ? NULL : "true or false";
    case EGG_OPTION_INTEGER: return json_is_number(value) ? NULL : "an integer";
    case EGG_OPTION_NUMBER: return json_is_number(value) ? NULL : "a number";
    case EGG_OPTION_CHOICE:
    case EGG_OPTION_TEXT: break;
    }
    return json_is_string(value) ? NULL : "a text";
}

/* A value as a user would write it on the command line. */
static const char *json_text(const json_t *value, char number[EGG_NUMBER_BYTES])
{
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        snprintf(number, EGG_NUMBER_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        egg_number_format(number, json_real_value(value));
    return number;
}

/* Errors begin with "--key", as those of egg_options_set do; the caller knows file and line. */
static egg_status set_key(egg_options *options, const char *key, const json_t *value, egg_error *error)
{
    egg_option_type type;
    char number[EGG_NUMBER_BYTES];
    if (strcmp(key, "command") == 0 || strcmp(key, "version") == 0) return EGG_OK;
    if (strcmp(key, "data") == 0 && !option_type(options, key, &type)) {   /* the paths of a run, no option */
        if (is_text_array(value)) return EGG_OK;
        return egg_fail(error, EGG_ERR_ARGUMENT, "--data: expected an array of paths, found %s",
                        json_is_array(value) ? "another array" : json_type_name(value));
    }
    const char *missing = option_type(options, key, &type) ? missing_type(value, type) : NULL;
    if (missing)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: expected %s, found %s", key, missing, json_type_name(value));
    return egg_options_set(options, key, json_text(value, number), error);
}

egg_status egg_options_parse_json(egg_options *options, const char *text, size_t bytes, const char *name,
                                  egg_error *error)
{
    json_t *object, *value;
    const char *key;
    egg_status status = parse_object(&object, text, bytes, name, error);
    if (status != EGG_OK) return status;
    key_walk walk = {.at = text, .end = text + bytes, .line = 1};
    json_object_foreach(object, key, value) {      /* in the order of the text */
        egg_error reason;
        size_t line = next_key_line(&walk);
        status = set_key(options, key, value, &reason);
        if (status == EGG_OK) continue;
        /* A value that does not fit makes a malformed file; a key is written without the dashes of a flag. */
        if (status == EGG_ERR_ARGUMENT) status = EGG_ERR_FORMAT;
        fail_at(error, status, name, line, reason.text + strlen("--"));
        break;
    }
    json_decref(object);
    return status;
}

egg_status egg_options_load(egg_options *options, const char *path, egg_error *error)
{
    egg_mapping file;
    if (!options || !path) return egg_fail(error, EGG_ERR_ARGUMENT, "egg_options_load: options or path is NULL");
    egg_status status = egg_mapping_open(&file, path, error);
    if (status != EGG_OK) return status;
    status = egg_options_parse_json(options, (const char *)file.data, file.bytes, path, error);
    egg_mapping_close(&file);
    return status;
}

/* The paths of an array of strings; '*count' are valid on failure too. */
static egg_status copy_paths(const json_t *array, char **paths, size_t *count, egg_error *error)
{
    for (*count = 0; *count < json_array_size(array); ++*count) {
        paths[*count] = egg_strdup(json_string_value(json_array_get(array, *count)));
        if (!paths[*count]) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the paths of the data");
    }
    return EGG_OK;
}

egg_status egg_options_load_data(const char *path, char ***data, size_t *count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_mapping file;
    json_t *object = NULL;
    char **paths = NULL;
    *data = NULL;
    *count = 0;
    EGG_TRY(egg_mapping_open(&file, path, error));
    EGG_TRY(parse_object(&object, (const char *)file.data, file.bytes, path, error));
    const json_t *array = json_object_get(object, "data");
    if (!is_text_array(array)) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: data: expected an array of paths, found %s", path,
                          !array ? "nothing" : json_is_array(array) ? "another array" : json_type_name(array));
        goto out;
    }
    paths = egg_alloc_array(json_array_size(array), sizeof *paths);
    if (!paths) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the paths of the data");
        goto out;
    }
    EGG_TRY(copy_paths(array, paths, count, error));
    *data = paths;
    paths = NULL;
out:
    if (paths) {
        while (*count) egg_free(paths[--*count]);
        egg_free(paths);
    }
    json_decref(object);
    egg_mapping_close(&file);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- writing */

/* A text that grows. The first failure to allocate sticks and leaves 'data' NULL. */
typedef struct text_buffer {
    char *data;
    size_t used, size;
    bool failed;
} text_buffer;

static void append(text_buffer *buffer, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (!buffer->failed && buffer->size - buffer->used < bytes) {
        size_t size = 2 * (buffer->used + bytes) + 1024;
        char *larger = egg_alloc(size);
        if (larger && buffer->used) memcpy(larger, buffer->data, buffer->used);
        egg_free(buffer->data);
        buffer->data = larger;
        buffer->size = size;
        buffer->failed = !larger;
    }
    if (buffer->failed) return;
    memcpy(buffer->data + buffer->used, text, bytes);
    buffer->used += bytes - 1;
}

static egg_status append_quoted(text_buffer *buffer, const char *name, const char *text, egg_error *error)
{
    json_t *value = json_string(text);             /* NULL where it is not UTF-8, the only text JSON can hold */
    if (!value) return egg_fail(error, EGG_ERR_ARGUMENT, "%s: '%.60s' is not UTF-8 and cannot be recorded", name, text);
    char *quoted = json_dumps(value, JSON_ENCODE_ANY);
    json_decref(value);
    if (!quoted) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to record it", name);
    append(buffer, quoted);
    free(quoted);
    return EGG_OK;
}

static egg_status append_data(text_buffer *buffer, const char *const *data, size_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    append(buffer, "  \"data\": [");
    for (size_t i = 0; i < count; i++) {
        if (i) append(buffer, ", ");
        EGG_TRY(append_quoted(buffer, "data", data[i], error));
    }
    append(buffer, "],\n");
out:
    return status;
}

static egg_status append_option(text_buffer *buffer, egg_options *options, const egg_option_info *info,
                                egg_error *error)
{
    append(buffer, "  \"");
    append(buffer, info->name);
    append(buffer, "\": ");
    const char *value = egg_options_get(options, info->name);
    if (info->type == EGG_OPTION_TEXT || info->type == EGG_OPTION_CHOICE)
        return append_quoted(buffer, info->name, value, error);
    append(buffer, value);
    return EGG_OK;
}

egg_status egg_options_write_json(const egg_options *given, const char *const *data, size_t data_count, char **json,
                                  egg_error *error)
{
    egg_status status = EGG_OK;
    text_buffer buffer = {0};
    egg_options *options = egg_options_copy(given);   /* reading a value as text needs an owner for the text */
    *json = NULL;
    if (!options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the record of options");
    append(&buffer, "{\n");
    if (data) EGG_TRY(append_data(&buffer, data, data_count, error));
    for (size_t i = 0; i < egg_options_count(options); i++) {
        egg_option_info info = egg_options_describe(options, i);
        if (i) append(&buffer, ",\n");
        EGG_TRY(append_option(&buffer, options, &info, error));
    }
    append(&buffer, "\n}\n");
    if (buffer.failed) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the record of options");
        goto out;
    }
    *json = buffer.data;
    buffer.data = NULL;
out:
    egg_free(buffer.data);
    egg_options_free(options);
    return status;
}
