/* SPDX-License-Identifier: MIT */
/* The options of options.def as a table: set from text or JSON, read as text or by type, written as JSON. */
#define _GNU_SOURCE
#include "train/options.h"

#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

/* ---------------------------------------------------------------------------------------------------------- table */

/* The letters of options.def; plan takes all that pretrain takes, and more. */
enum { PRETRAIN = 1, L = 2, P = PRETRAIN | L, E = 4, G = 8, I = 16 };

typedef struct option_row {
    const char *field;
    egg_option_type type;
    size_t offset;                 /* in egg_settings */
    double initial;                /* of every type but TEXT; all limits are below 2^53, so a double holds them exactly */
    const char *initial_text;      /* of TEXT */
    double low, high;
    const char *choices;
    uint32_t commands;
    const char *argument, *group, *help;
} option_row;

static const option_row rows[] = {
#define ROW(field, ...) {#field, .offset = offsetof(egg_settings, field), __VA_ARGS__},
#define INTEGER(field, first, l, h, who, argument_, group_, help_)                                                   \
    ROW(field, .type = EGG_OPTION_INTEGER, .initial = first, .low = l, .high = h, .commands = who,                   \
        .argument = argument_, .group = group_, .help = help_)
#define NUMBER(field, first, l, h, who, argument_, group_, help_)                                                    \
    ROW(field, .type = EGG_OPTION_NUMBER, .initial = first, .low = l, .high = h, .commands = who,                    \
        .argument = argument_, .group = group_, .help = help_)
#define BOOL(field, who, group_, help_) ROW(field, .type = EGG_OPTION_BOOL, .commands = who, .group = group_, .help = help_)
#define CHOICE(field, first, words, who, group_, help_)                                                              \
    ROW(field, .type = EGG_OPTION_CHOICE, .initial = first, .choices = words, .commands = who, .argument = words,    \
        .group = group_, .help = help_)
#define TEXT(field, first, who, argument_, group_, help_)                                                            \
    ROW(field, .type = EGG_OPTION_TEXT, .initial_text = first, .commands = who, .argument = argument_,               \
        .group = group_, .help = help_)
#include "train/options.def"
#undef INTEGER
#undef NUMBER
#undef BOOL
#undef CHOICE
#undef TEXT
#undef ROW
};

static const struct {
    const char *name;
    uint32_t letter;
} commands[] = {{"pretrain", PRETRAIN}, {"plan", L}, {"eval", E}, {"generate", G}, {"info", I}, {"version", I}};

enum { ROW_COUNT = EGG_COUNT(rows), NAME_BYTES = 32, VALUE_BYTES = 40 };

struct egg_options {
    const char *command;
    egg_settings values;
    bool set[ROW_COUNT];
    size_t count;
    size_t listed[ROW_COUNT];                      /* (count) rows of the command, in the order of the table */
    char names[ROW_COUNT][NAME_BYTES];
    char defaults[ROW_COUNT][VALUE_BYTES];         /* as text; not of TEXT */
    char shown[VALUE_BYTES];                       /* what egg_options_get returned last */
};

static void *field_of(egg_options *options, const option_row *row)
{
    return (char *)&options->values + row->offset;
}

static const void *value_of(const egg_options *options, const option_row *row)
{
    return (const char *)&options->values + row->offset;
}

/* The row number of a name among the options of the command; ROW_COUNT: there is none. */
static size_t find_row(const egg_options *options, const char *name)
{
    for (size_t i = 0; i < options->count; i++)
        if (strcmp(options->names[options->listed[i]], name) == 0) return options->listed[i];
    return ROW_COUNT;
}

/* ------------------------------------------------------------------------------------------- values to and from text */

/* The program around the library may have set a locale with another decimal point. */
static locale_t enter_c_locale(locale_t *before)
{
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    *before = uselocale(c);
    return c;
}

static void leave_c_locale(locale_t c, locale_t before)
{
    uselocale(before);
    if (c) freelocale(c);
}

/* Digits, point and exponent only: no space, no hexadecimal, no "nan"; what is too large becomes infinite. */
static bool parse_decimal(const char *text, double *value)
{
    locale_t before, c = enter_c_locale(&before);
    char *end;
    *value = strtod(text, &end);
    leave_c_locale(c, before);
    return end != text && *end == '\0' && text[strspn(text, "+-.0123456789eE")] == '\0';
}

/* The shortest text that reads back as the same value. */
static void format_decimal(char text[VALUE_BYTES], double value)
{
    locale_t before, c = enter_c_locale(&before);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, VALUE_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    leave_c_locale(c, before);
}

static uint64_t suffix_scale(const char *suffix)
{
    static const struct {
        const char *text;
        uint64_t scale;
    } suffixes[] = {{"", 1},           {"k", 1000},     {"M", 1000000},   {"G", 1000000000},
                    {"Ki", 1 << 10},   {"Mi", 1 << 20}, {"Gi", 1 << 30}};
    for (size_t i = 0; i < EGG_COUNT(suffixes); i++)
        if (strcmp(suffix, suffixes[i].text) == 0) return suffixes[i].scale;
    return 0;
}

/*
 * "4096", "64k", "1.5M", "2Gi", "64e6": digits, a fraction, an exponent, a suffix, and exactly an integer below 2^53
 * in all. Counted in integers, because 4.35e2 in doubles is not 435.
 */
static bool parse_integer(const char *text, uint64_t *value)
{
    const uint64_t limit = UINT64_C(1) << 53;
    uint64_t mantissa = 0;
    long exponent = 0;
    bool point = false, digits = false;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        digits = true;
        mantissa = 10 * mantissa + (uint64_t)(*text - '0');
        exponent -= point;
        if (mantissa >= limit) return false;
    }
    if (!digits) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        size_t length = strspn(text, "0123456789");
        if (length < 1 || length > 3) return false;
        exponent += strtol(text, NULL, 10);
        text += length;
    }
    uint64_t scale = suffix_scale(text);
    if (!scale || (mantissa && scale > limit / mantissa)) return false;
    mantissa *= scale;
    for (; exponent > 0 && mantissa; exponent--) {
        mantissa *= 10;
        if (mantissa >= limit) return false;
    }
    for (; exponent < 0 && mantissa; exponent++) {
        if (mantissa % 10) return false;
        mantissa /= 10;
    }
    *value = mantissa;
    return true;
}

static bool parse_bool(const char *text, bool *value)
{
    static const char *const words[2][3] = {{"false", "no", "0"}, {"true", "yes", "1"}};
    for (size_t i = 0; i < 6; i++) {
        *value = i % 2;
        if (strcmp(text, words[i % 2][i / 2]) == 0) return true;
    }
    return false;
}

/* The length of word number 'index' of "a|b|c", which begins at '*word'; 0 past the last. */
static size_t choice_word(const char *choices, uint32_t index, const char **word)
{
    for (*word = choices; index && **word; index--) {
        *word += strcspn(*word, "|");
        if (**word) (*word)++;
    }
    return strcspn(*word, "|");
}

static bool parse_choice(const char *text, const char *choices, uint32_t *value)
{
    const char *word;
    size_t length;
    for (*value = 0; (length = choice_word(choices, *value, &word)) > 0; ++*value)
        if (strlen(text) == length && strncmp(text, word, length) == 0) return true;
    return false;
}

/* A value as text: the option's own, or written to 'buffer'. */
static const char *value_text(const egg_options *options, const option_row *row, char buffer[VALUE_BYTES])
{
    const void *value = value_of(options, row);
    const char *word;
    switch (row->type) {
    case EGG_OPTION_BOOL: return *(const bool *)value ? "true" : "false";
    case EGG_OPTION_INTEGER: snprintf(buffer, VALUE_BYTES, "%" PRIu64, *(const uint64_t *)value); break;
    case EGG_OPTION_NUMBER: format_decimal(buffer, *(const double *)value); break;
    case EGG_OPTION_CHOICE:
        snprintf(buffer, VALUE_BYTES, "%.*s", (int)choice_word(row->choices, *(const uint32_t *)value, &word), word);
        break;
    case EGG_OPTION_TEXT: return *(char *const *)value;
    }
    return buffer;
}

/* -------------------------------------------------------------------------------------------------- new, free, copy */

static bool replace_text(egg_options *options, const option_row *row, const char *text)
{
    char **field = field_of(options, row), *copy = egg_strdup(text);
    if (!copy) return false;
    egg_free(*field);
    *field = copy;
    return true;
}

static bool set_initial(egg_options *options, const option_row *row)
{
    void *field = field_of(options, row);
    switch (row->type) {
    case EGG_OPTION_BOOL: *(bool *)field = false; break;
    case EGG_OPTION_INTEGER: *(uint64_t *)field = (uint64_t)row->initial; break;
    case EGG_OPTION_NUMBER: *(double *)field = row->initial; break;
    case EGG_OPTION_CHOICE: *(uint32_t *)field = (uint32_t)row->initial; break;
    case EGG_OPTION_TEXT: return replace_text(options, row, row->initial_text);
    }
    return true;
}

static void name_option(char name[NAME_BYTES], const char *field)
{
    snprintf(name, NAME_BYTES, "%s", field);
    for (char *at = name; *at; at++)
        if (*at == '_') *at = '-';
}

egg_options *egg_options_new(const char *command)
{
    size_t which = 0;
    while (which < EGG_COUNT(commands) && command && strcmp(commands[which].name, command) != 0) which++;
    egg_options *options = command && which < EGG_COUNT(commands) ? egg_alloc(sizeof *options) : NULL;
    if (!options) return NULL;
    options->command = commands[which].name;
    for (size_t r = 0; r < ROW_COUNT; r++) {
        name_option(options->names[r], rows[r].field);
        if (rows[r].commands & commands[which].letter) options->listed[options->count++] = r;
        if (!set_initial(options, &rows[r])) {
            egg_options_free(options);
            return NULL;
        }
        if (rows[r].type != EGG_OPTION_TEXT)
            snprintf(options->defaults[r], VALUE_BYTES, "%s", value_text(options, &rows[r], options->shown));
    }
    return options;
}

void egg_options_free(egg_options *options)
{
    if (!options) return;
    for (size_t r = 0; r < ROW_COUNT; r++)
        if (rows[r].type == EGG_OPTION_TEXT) egg_free(*(char **)field_of(options, &rows[r]));
    egg_free(options);
}

static size_t value_bytes(egg_option_type type)
{
    switch (type) {
    case EGG_OPTION_BOOL: return sizeof(bool);
    case EGG_OPTION_INTEGER: return sizeof(uint64_t);
    case EGG_OPTION_NUMBER: return sizeof(double);
    case EGG_OPTION_CHOICE: return sizeof(uint32_t);
    case EGG_OPTION_TEXT: break;
    }
    return 0;
}

egg_options *egg_options_copy(const egg_options *options)
{
    egg_options *copy = egg_options_new(options->command);
    if (!copy) return NULL;
    memcpy(copy->set, options->set, sizeof copy->set);
    for (size_t r = 0; r < ROW_COUNT; r++) {
        const option_row *row = &rows[r];
        const void *value = value_of(options, row);
        memcpy(field_of(copy, row), value, value_bytes(row->type));
        if (row->type == EGG_OPTION_TEXT && !replace_text(copy, row, *(char *const *)value)) {
            egg_options_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* -------------------------------------------------------------------------------------------------------- suggesting */

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau's distance: insertions, deletions, substitutions and swaps of neighbors. 'b' is shorter than NAME_BYTES. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t lines[3][NAME_BYTES + 1], *above = lines[0], *last = lines[1], *line = lines[2], width = strlen(b);
    for (size_t k = 0; k <= width; k++) last[k] = k;
    for (size_t i = 1; a[i - 1]; i++) {
        line[0] = i;
        for (size_t k = 1; k <= width; k++) {
            line[k] = minimum(minimum(last[k], line[k - 1]) + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) line[k] = minimum(line[k], above[k - 2] + 1);
        }
        size_t *spare = above;
        above = last;
        last = line;
        line = spare;
    }
    return last[width];
}

/* The option that 'name' may have meant, or NULL: one that it begins, or one a few letters away. */
static const char *nearest_name(const egg_options *options, const char *name)
{
    size_t length = strlen(name), best = (length + 2) / 3 + 1;
    const char *nearest = NULL;
    if (length < 2 || length >= 2 * NAME_BYTES) return NULL;
    for (size_t i = 0; i < options->count; i++) {
        const char *known = options->names[options->listed[i]];
        size_t distance = strncmp(name, known, length) == 0 ? 1 : edit_distance(name, known);
        if (distance >= best) continue;
        best = distance;
        nearest = known;
    }
    return nearest;
}

/* ------------------------------------------------------------------------------------------------------------- set */

/* Where a value stands, for messages: '--name' on a command line, 'file:line: "name"' in a file. */
typedef struct place {
    const char *file;              /* NULL: a command line */
    size_t line;
} place;

typedef struct place_text {
    char text[256];
} place_text;

static place_text describe_place(const place *at, const char *name)
{
    place_text out;
    if (at->file)
        snprintf(out.text, sizeof out.text, "%.120s:%zu: \"%.60s\"", at->file, at->line, name);
    else
        snprintf(out.text, sizeof out.text, "--%.60s", name);
    return out;
}

static egg_status fail_unknown(const egg_options *options, const place *at, const char *name, egg_error *error)
{
    const char *nearest = nearest_name(options, name);
    place_text where = describe_place(at, name);
    if (!nearest) return egg_fail(error, EGG_ERR_ARGUMENT, "%s: no option of '%s'", where.text, options->command);
    return egg_fail(error, EGG_ERR_ARGUMENT, "%s: no option of '%s'; did you mean %s%s?", where.text, options->command,
                    at->file ? "" : "--", nearest);
}

/* 'found' is what stands there, quoted if it is text. */
static egg_status fail_value(const option_row *row, const place *at, const char *name, const char *found, egg_error *error)
{
    place_text where = describe_place(at, name);
    switch (row->type) {
    case EGG_OPTION_INTEGER:
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected an integer from %.0f to %.0f, found %.60s", where.text,
                        row->low, row->high, found);
    case EGG_OPTION_NUMBER:
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected a number from %.15g to %.15g, found %.60s", where.text,
                        row->low, row->high, found);
    case EGG_OPTION_BOOL:
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected true or false, found %.60s", where.text, found);
    case EGG_OPTION_CHOICE:
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected one of %s, found %.60s", where.text, row->choices, found);
    case EGG_OPTION_TEXT: break;
    }
    return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected a text, found %.60s", where.text, found);
}

/* Stores a number if it is in range. */
static bool store_number(egg_options *options, const option_row *row, double value)
{
    if (!(value >= row->low && value <= row->high)) return false;
    if (row->type == EGG_OPTION_INTEGER)
        *(uint64_t *)field_of(options, row) = (uint64_t)value;
    else
        *(double *)field_of(options, row) = value == 0 ? 0 : value;   /* no -0: it would be another text */
    return true;
}

/* Every type but TEXT. */
static bool store_text(egg_options *options, const option_row *row, const char *text)
{
    uint64_t integer;
    double number;
    bool truth;
    uint32_t choice;
    switch (row->type) {
    case EGG_OPTION_INTEGER: return parse_integer(text, &integer) && store_number(options, row, (double)integer);
    case EGG_OPTION_NUMBER: return parse_decimal(text, &number) && store_number(options, row, number);
    case EGG_OPTION_BOOL:
        if (!parse_bool(text, &truth)) return false;
        *(bool *)field_of(options, row) = truth;
        return true;
    case EGG_OPTION_CHOICE:
        if (!parse_choice(text, row->choices, &choice)) return false;
        *(uint32_t *)field_of(options, row) = choice;
        return true;
    case EGG_OPTION_TEXT: break;
    }
    return false;
}

egg_status egg_options_set(egg_options *options, const char *name, const char *value, egg_error *error)
{
    const place at = {0};
    if (!options || !name || !value)
        return egg_fail(error, EGG_ERR_ARGUMENT, "egg_options_set: options, name or value is NULL");
    size_t r = find_row(options, name);
    if (r == ROW_COUNT) return fail_unknown(options, &at, name, error);
    if (rows[r].type == EGG_OPTION_TEXT) {
        if (!replace_text(options, &rows[r], value))
            return egg_fail(error, EGG_ERR_NOMEM, "--%s: no memory for its value", name);
    } else if (!store_text(options, &rows[r], value)) {
        char found[64];
        snprintf(found, sizeof found, "'%.57s'", value);
        return fail_value(&rows[r], &at, name, found, error);
    }
    options->set[r] = true;
    return EGG_OK;
}

void egg_options_resolve_integer(egg_options *options, const char *name, uint64_t value)
{
    size_t r = find_row(options, name);
    if (r < ROW_COUNT && rows[r].type == EGG_OPTION_INTEGER) *(uint64_t *)field_of(options, &rows[r]) = value;
}

void egg_options_resolve_number(egg_options *options, const char *name, double value)
{
    size_t r = find_row(options, name);
    if (r < ROW_COUNT && rows[r].type == EGG_OPTION_NUMBER) *(double *)field_of(options, &rows[r]) = value;
}

/* ------------------------------------------------------------------------------------------------------------- get */

const egg_settings *egg_options_values(const egg_options *options)
{
    return &options->values;
}

const char *egg_options_get(egg_options *options, const char *name)
{
    size_t r = find_row(options, name);
    if (r == ROW_COUNT) return NULL;
    return value_text(options, &rows[r], options->shown);
}

bool egg_options_is_set(const egg_options *options, const char *name)
{
    size_t r = find_row(options, name);
    return r < ROW_COUNT && options->set[r];
}

size_t egg_options_count(const egg_options *options)
{
    return options->count;
}

egg_option_info egg_options_describe(const egg_options *options, size_t index)
{
    if (index >= options->count) return (egg_option_info){0};
    size_t r = options->listed[index];
    const option_row *row = &rows[r];
    return (egg_option_info){
        .name = options->names[r],
        .type = row->type,
        .default_text = row->type == EGG_OPTION_TEXT ? row->initial_text : options->defaults[r],
        .low = row->low,
        .high = row->high,
        .choices = row->choices,
        .argument = row->argument,
        .group = row->group,
        .help = row->help,
    };
}

/* ------------------------------------------------------------------------------------------------------- from JSON */

static egg_status at_line(egg_status status, size_t line, egg_error *error)
{
    if (error) error->offset = line;
    return status;
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
        size_t line = reason.line > 0 ? (size_t)reason.line : 1;
        egg_fail(error, EGG_ERR_FORMAT, "%.120s:%zu: %s", name, line, reason.text);
        return at_line(EGG_ERR_FORMAT, line, error);
    }
    if (json_is_object(*object)) return EGG_OK;
    egg_fail(error, EGG_ERR_FORMAT, "%.120s: expected a JSON object, found %s", name, json_type_name(*object));
    json_decref(*object);
    *object = NULL;
    return at_line(EGG_ERR_FORMAT, 1, error);
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

static egg_status set_json_text(egg_options *options, size_t r, const place *at, const char *value, egg_error *error)
{
    const option_row *row = &rows[r];
    char found[64];
    if (row->type == EGG_OPTION_TEXT) {
        if (replace_text(options, row, value)) return EGG_OK;
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its value", describe_place(at, options->names[r]).text);
    }
    if (row->type == EGG_OPTION_CHOICE && store_text(options, row, value)) return EGG_OK;
    snprintf(found, sizeof found, "the text \"%.48s\"", value);
    return fail_value(row, at, options->names[r], found, error);
}

static egg_status set_json_number(egg_options *options, size_t r, const place *at, const json_t *value, egg_error *error)
{
    const option_row *row = &rows[r];
    double number = json_number_value(value);
    bool fits = row->type == EGG_OPTION_NUMBER || (row->type == EGG_OPTION_INTEGER && number == floor(number));
    if (fits && store_number(options, row, number)) return EGG_OK;
    char found[VALUE_BYTES];
    if (json_is_integer(value))
        snprintf(found, sizeof found, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        format_decimal(found, number);
    return fail_value(row, at, options->names[r], found, error);
}

static egg_status set_json(egg_options *options, const char *name, const json_t *value, const place *at, egg_error *error)
{
    egg_status status = EGG_OK;
    if (strcmp(name, "command") == 0 || strcmp(name, "version") == 0) return EGG_OK;
    if (strcmp(name, "data") == 0) {
        if (is_text_array(value)) return EGG_OK;
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected an array of paths, found %s",
                        describe_place(at, name).text, json_is_array(value) ? "another array" : json_type_name(value));
    }
    size_t r = find_row(options, name);
    if (r == ROW_COUNT) return fail_unknown(options, at, name, error);
    if (json_is_string(value))
        status = set_json_text(options, r, at, json_string_value(value), error);
    else if (json_is_number(value))
        status = set_json_number(options, r, at, value, error);
    else if (json_is_boolean(value) && rows[r].type == EGG_OPTION_BOOL)
        *(bool *)field_of(options, &rows[r]) = json_is_true(value);
    else
        status = fail_value(&rows[r], at, name, json_type_name(value), error);
    if (status == EGG_OK) options->set[r] = true;
    return status;
}

egg_status egg_options_parse_json(egg_options *options, const char *text, size_t bytes, const char *name, egg_error *error)
{
    json_t *object, *value;
    const char *key;
    egg_status status = parse_object(&object, text, bytes, name, error);
    if (status != EGG_OK) return status;
    key_walk walk = {.at = text, .end = text + bytes, .line = 1};
    json_object_foreach(object, key, value) {      /* in the order of the text */
        const place at = {.file = name, .line = next_key_line(&walk)};
        status = set_json(options, key, value, &at, error);
        if (status == EGG_OK) continue;
        at_line(status, at.line, error);
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
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: \"data\": expected an array of paths, found %s", path,
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

/* --------------------------------------------------------------------------------------------------------- to JSON */

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

static egg_status append_option(text_buffer *buffer, const egg_options *options, size_t r, egg_error *error)
{
    char own[VALUE_BYTES];
    const char *value = value_text(options, &rows[r], own);
    append(buffer, "  \"");
    append(buffer, options->names[r]);
    append(buffer, "\": ");
    if (rows[r].type == EGG_OPTION_TEXT || rows[r].type == EGG_OPTION_CHOICE)
        return append_quoted(buffer, options->names[r], value, error);
    append(buffer, value);
    return EGG_OK;
}

egg_status egg_options_write_json(const egg_options *options, const char *const *data, size_t data_count, char **json,
                                  egg_error *error)
{
    egg_status status = EGG_OK;
    text_buffer buffer = {0};
    *json = NULL;
    append(&buffer, "{\n");
    if (data) EGG_TRY(append_data(&buffer, data, data_count, error));
    for (size_t i = 0; i < options->count; i++) {
        EGG_TRY(append_option(&buffer, options, options->listed[i], error));
        append(&buffer, i + 1 < options->count ? ",\n" : "\n");
    }
    append(&buffer, "}\n");
    if (buffer.failed) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the record of options");
        goto out;
    }
    *json = buffer.data;
    buffer.data = NULL;
out:
    egg_free(buffer.data);
    return status;
}
