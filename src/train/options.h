/* SPDX-License-Identifier: MIT */
/* Typed values of the options that options.def lists, and the checks that no single option can express. */
#ifndef EGG_TRAIN_OPTIONS_H
#define EGG_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { EGG_STATE_CARRY = 0, EGG_STATE_RESET = 1 };         /* in the order of options.def */
enum { EGG_UPDATE_FRACTIONAL = 0, EGG_UPDATE_VOTE = 1 };
enum { EGG_BENCH_EGG = 0, EGG_BENCH_MLP = 1 };
enum { EGG_JOURNAL_ON = 0, EGG_JOURNAL_OFF = 1 };
enum { EGG_PRESET_AUTO = 0, EGG_PRESET_NONE = 1 };
enum { EGG_ALGORITHM_EGGROLL = 0, EGG_ALGORITHM_OPENES = 1 };

typedef struct egg_settings {
#define INTEGER(field, ...) uint64_t field;
#define NUMBER(field, ...) double field;
#define BOOL(field, ...) bool field;
#define CHOICE(field, ...) uint32_t field;
#define TEXT(field, ...) char *field;      /* never NULL; owned by the egg_options */
#include "train/options.def"
#undef INTEGER
#undef NUMBER
#undef BOOL
#undef CHOICE
#undef TEXT
} egg_settings;

const egg_settings *egg_options_values(const egg_options *options);

const char *egg_options_command(const egg_options *options);

/* Of option 'index' of the command: may a resumed run change it? Does it decide what a run computes? */
bool egg_options_may_change(const egg_options *options, size_t index);
bool egg_options_matter(const egg_options *options, size_t index);

/* A copy with a life of its own; NULL: no memory. */
egg_options *egg_options_copy(const egg_options *options);

/* Sets an option whose text is known to be valid, for values chosen by the library. */
void egg_options_resolve_integer(egg_options *options, const char *name, uint64_t value);
void egg_options_resolve_number(egg_options *options, const char *name, double value);

/* The same from text, which is checked; an option that was set or loaded keeps its value. */
egg_status egg_options_prefer(egg_options *options, const char *name, const char *value, egg_error *error);

/*
 * Every option of the command as the text of one JSON object, one option a line, in the order of the list; with
 * "data": [paths] first where 'data' is not NULL. Numbers are written so that reading them gives the same value.
 * Free with egg_free. egg_options_load() reads it back.
 */
egg_status egg_options_write_json(const egg_options *options, const char *const *data, size_t data_count, char **json,
                                  egg_error *error);

/* The array "data" of a configuration file, for resuming: '*data' (count) strings, both freed by egg_free. */
egg_status egg_options_load_data(const char *path, char ***data, size_t *count, egg_error *error);

/* Parses a configuration text; what egg_options_load does with a file's contents. 'name' is for error messages. */
egg_status egg_options_parse_json(egg_options *options, const char *text, size_t bytes, const char *name,
                                  egg_error *error);

#endif
