/* SPDX-License-Identifier: MIT */
/* The options of options.def as a table: set from text, read as text or by type. */
#include "train/options.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/option_text.h"

/* ---------------------------------------------------------------------------------------------------------- table */

/* The letters of options.def; plan takes all that pretrain takes, and more. */
enum { PRETRAIN = 1, L = 2, P = PRETRAIN | L, E = 4, G = 8, I = 16, B = 32, R = 64, Y = 128, X = 256, S = 512, N = 1024,
       V = 2048, F = 4096, M = 8192, C = 16384, O = 32768 };

typedef struct option_row {
    const char *field;
    egg_option_type type;
    size_t offset;                 /* in egg_settings */
    double initial;                /* of every type but TEXT; integers stay below 2^53, so a double holds them */
    const char *initial_text;      /* of TEXT */
    double low, high;
    const char *choices;
    uint32_t commands;
    const char *argument, *group, *help;
} option_row;

static const option_row rows[] = {
#define ROW(field, ...) {#field, .offset = offsetof(egg_settings, field), __VA_ARGS__},
#define INTEGER(field, first, l, h, who, argument_, group_, help_)                                                     \
    ROW(field, .type = EGG_OPTION_INTEGER, .initial = first, .low = l, .high = h, .commands = who,                     \
        .argument = argument_, .group = group_, .help = help_)
#define NUMBER(field, first, l, h, who, argument_, group_, help_)                                                      \
    ROW(field, .type = EGG_OPTION_NUMBER, .initial = first, .low = l, .high = h, .commands = who,                      \
        .argument = argument_, .group = group_, .help = help_)
#define BOOL(field, who, group_, help_)                                                                                \
    ROW(field, .type = EGG_OPTION_BOOL, .commands = who, .group = group_, .help = help_)
#define CHOICE(field, first, words, who, group_, help_)                                                                \
    ROW(field, .type = EGG_OPTION_CHOICE, .initial = first, .choices = words, .commands = who, .argument = words,      \
        .group = group_, .help = help_)
#define TEXT(field, first, who, argument_, group_, help_)                                                              \
    ROW(field, .type = EGG_OPTION_TEXT, .initial_text = first, .commands = who, .argument = argument_,                 \
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
} commands[] = {{"pretrain", PRETRAIN}, {"plan", L}, {"rl", R}, {"eval", E}, {"generate", G}, {"play", Y},
                {"export", X},
              {"patch", X}, {"replay", N}, {"verify", V}, {"info", I}, {"envs", I}, {"version", I}, {"bench", B},
              {"strategy", S}, {"finetune", F}, {"simulate", M}};

enum { ROW_COUNT = EGG_COUNT(rows), NAME_BYTES = 32, VALUE_BYTES = EGG_NUMBER_BYTES };

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

/* A value as text: the option's own, or written to 'buffer'. */
static const char *value_text(const egg_options *options, const option_row *row, char buffer[VALUE_BYTES])
{
    const void *value = value_of(options, row);
    size_t length;
    const char *word;
    switch (row->type) {
    case EGG_OPTION_BOOL: return *(const bool *)value ? "true" : "false";
    case EGG_OPTION_INTEGER: snprintf(buffer, VALUE_BYTES, "%" PRIu64, *(const uint64_t *)value); break;
    case EGG_OPTION_NUMBER: egg_number_format(buffer, *(const double *)value); break;
    case EGG_OPTION_CHOICE:
        word = egg_choice_word(row->choices, *(const uint32_t *)value, &length);
        snprintf(buffer, VALUE_BYTES, "%.*s", (int)length, word);
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

/*
 * What a command begins with in place of the list's defaults; the text is known to be valid. Fine-tuning: as the paper,
 * which tunes models of billions of parameters.
 */
static const struct {
    const char *command, *name, *value;
} own_defaults[] = {
    {"finetune", "temperature", "0"}, {"finetune", "population", "256"}, {"finetune", "sigma", "0.001"},
    {"finetune", "optimizer", "sgd"}, {"finetune", "rate", "0.125"},     {"finetune", "valid-fraction", "0.05"},
};

static void set_own_defaults(egg_options *options)
{
    for (size_t i = 0; i < EGG_COUNT(own_defaults); i++) {
        if (strcmp(own_defaults[i].command, options->command) != 0) continue;
        size_t r = find_row(options, own_defaults[i].name);
        egg_options_prefer(options, own_defaults[i].name, own_defaults[i].value, NULL);
        snprintf(options->defaults[r], VALUE_BYTES, "%s", own_defaults[i].value);
    }
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
    set_own_defaults(options);
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

/* ------------------------------------------------------------------------------------------------------ suggesting */

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
            bool swapped = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
            if (swapped) line[k] = minimum(line[k], above[k - 2] + 1);
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

/* The command that has an option of this name, or NULL. */
static const char *other_command(const char *name)
{
    char known[NAME_BYTES];
    for (size_t r = 0; r < ROW_COUNT; r++) {
        name_option(known, rows[r].field);
        if (strcmp(name, known) != 0) continue;
        for (size_t i = 0; i < EGG_COUNT(commands); i++)
            if (rows[r].commands & commands[i].letter) return commands[i].name;
    }
    return NULL;
}

static egg_status fail_unknown(const egg_options *options, const char *name, egg_error *error)
{
    const char *other = other_command(name), *nearest = nearest_name(options, name);
    if (other)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: an option of '%s', not of '%s'", name, other, options->command);
    return egg_fail(error, EGG_ERR_ARGUMENT, "--%.60s: unknown option of '%s'%s%s%s", name, options->command,
                    nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static egg_status fail_value(const option_row *row, const char *name, const char *value, egg_error *error)
{
    if (row->type == EGG_OPTION_TEXT) return egg_fail(error, EGG_ERR_NOMEM, "--%s: no memory for its value", name);
    if (row->type == EGG_OPTION_INTEGER)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: expected an integer from %.0f to %.0f, found '%.60s'", name,
                        row->low, row->high, value);
    if (row->type == EGG_OPTION_NUMBER)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: expected a number from %.15g to %.15g, found '%.60s'", name,
                        row->low, row->high, value);
    return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: expected %s%s, found '%.60s'", name,
                    row->choices ? "one of " : "true or false", row->choices ? row->choices : "", value);
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

static bool store_text(egg_options *options, const option_row *row, const char *text)
{
    uint64_t integer;
    double number;
    bool truth;
    uint32_t choice;
    switch (row->type) {
    case EGG_OPTION_INTEGER: return egg_integer_parse(text, &integer) && store_number(options, row, (double)integer);
    case EGG_OPTION_NUMBER: return egg_number_parse(text, &number) && store_number(options, row, number);
    case EGG_OPTION_BOOL:
        if (!egg_bool_parse(text, &truth)) return false;
        *(bool *)field_of(options, row) = truth;
        return true;
    case EGG_OPTION_CHOICE:
        if (!egg_choice_parse(text, row->choices, &choice)) return false;
        *(uint32_t *)field_of(options, row) = choice;
        return true;
    case EGG_OPTION_TEXT: break;
    }
    return replace_text(options, row, text);
}

egg_status egg_options_set(egg_options *options, const char *name, const char *value, egg_error *error)
{
    if (!options || !name || !value)
        return egg_fail(error, EGG_ERR_ARGUMENT, "egg_options_set: options, name or value is NULL");
    size_t r = find_row(options, name);
    if (r == ROW_COUNT) return fail_unknown(options, name, error);
    if (!store_text(options, &rows[r], value)) return fail_value(&rows[r], name, value, error);
    options->set[r] = true;
    return EGG_OK;
}

egg_status egg_options_prefer(egg_options *options, const char *name, const char *value, egg_error *error)
{
    if (egg_options_is_set(options, name)) return EGG_OK;
    egg_status status = egg_options_set(options, name, value, error);
    size_t r = find_row(options, name);
    if (r < ROW_COUNT) options->set[r] = false;
    return status;
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

const char *egg_options_command(const egg_options *options)
{
    return options->command;
}

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

bool egg_options_may_change(const egg_options *options, size_t index)
{
    return index < options->count && rows[options->listed[index]].commands & C;
}

bool egg_options_matter(const egg_options *options, size_t index)
{
    return index < options->count && !(rows[options->listed[index]].commands & O);
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
