/* SPDX-License-Identifier: MIT */
/*
 * A ledger: a file of records that only grows, each with a checksum that also covers all before it. What is in a record
 * is the caller's affair. docs/journal.md gives the format.
 *
 * A process that dies leaves whole records and at most one cut short, which reading tells apart from damage: any
 * changed bit, and any record that was removed, moved or put in, is found and named.
 */
#ifndef EGG_DATA_LEDGER_H
#define EGG_DATA_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_ledger_record {
    uint32_t kind;             /* the caller's: what 'data' is */
    uint64_t epoch;            /* the caller's: where in a run it belongs; named where something is wrong */
    const uint8_t *data;       /* (bytes) aligned to nothing */
    size_t bytes;
    uint64_t number;           /* from 0 */
    uint64_t offset;           /* of its first byte in the file */
} egg_ledger_record;

/* -------------------------------------------------------------------------------------------------------- reading */

/* A place in a ledger; may be copied, to return to it. */
typedef struct egg_ledger_reader {
    const uint8_t *data;
    size_t bytes;
    const char *name;          /* for error messages; the caller's */
    size_t offset;             /* of the next record; at the end what lies behind is a record cut short */
    uint64_t number, epoch;    /* of the next record; of the last one read */
    uint64_t chain;
} egg_ledger_reader;

/* 'data' must outlive the reader. An empty file is a ledger without records. EGG_ERR_FORMAT: not a ledger. */
egg_status egg_ledger_begin(egg_ledger_reader *reader, const void *data, size_t bytes, const char *name,
                            egg_error *error);

/*
 * The next record; '*found' false: there is no further one. EGG_ERR_FORMAT: the record is not as it was written; the
 * error says which, of which epoch, and its 'offset' is where it begins.
 */
egg_status egg_ledger_next(egg_ledger_reader *reader, egg_ledger_record *record, bool *found, egg_error *error);

/* Bytes of a record cut short behind the last whole one, after next found no more. */
static inline size_t egg_ledger_torn(const egg_ledger_reader *reader)
{
    return reader->bytes - reader->offset;
}

/* -------------------------------------------------------------------------------------------------------- writing */

typedef struct egg_ledger egg_ledger;

egg_status egg_ledger_create(egg_ledger **ledger, const char *path, egg_error *error);

/* Goes on behind what 'at' has read of the file at 'path'; all that lies there is cut off. */
egg_status egg_ledger_append(egg_ledger **ledger, const char *path, const egg_ledger_reader *at, egg_error *error);
void egg_ledger_close(egg_ledger *ledger);   /* NULL is fine */

/*
 * Adds one record in one write, so that it outlives the process, though not the machine. On failure it is as if nothing
 * had been added. Allocates nothing.
 */
egg_status egg_ledger_add(egg_ledger *ledger, uint32_t kind, uint64_t epoch, const void *data, size_t bytes,
                          egg_error *error);

/* All that was added outlives the machine. */
egg_status egg_ledger_sync(egg_ledger *ledger, egg_error *error);

#endif
