/* SPDX-License-Identifier: MIT */
/* JSON lines as records: one object a line, of which some fields are wanted as texts. The file stays mapped. */
#ifndef EGG_DATA_RECORDS_H
#define EGG_DATA_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { EGG_RECORD_FIELDS = 4 };

typedef struct egg_record {
    const char *text[EGG_RECORD_FIELDS];   /* in the order in which the fields were asked for; UTF-8 without NUL */
    const char *row;                       /* (row_bytes) the line itself, without its newline */
    size_t row_bytes;
    uint64_t line;                         /* from 1 */
} egg_record;

typedef struct egg_records egg_records;

/*
 * Reads all lines; blank ones are left out. Every record has all 'fields' (count, at most EGG_RECORD_FIELDS) as
 * strings. EGG_ERR_FORMAT names file, line and field, and what was found; also a file without a record. 'offset' is the
 * line.
 */
egg_status egg_records_open(egg_records **records, const char *path, const char *const *fields, size_t count,
                            egg_error *error);
void egg_records_close(egg_records *records);   /* NULL is fine */

size_t egg_records_count(const egg_records *records);
const egg_record *egg_records_at(const egg_records *records, size_t index);

#endif
