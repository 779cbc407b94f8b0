/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a journal: whole records and then an end or an error that names a place, never a step beyond them. Then
 * the same bytes as the record of an epoch, which checksums would otherwise keep out of reach.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "train/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static void read_epoch(const egg_ledger_record *record)
{
    enum { MOST_PAIRS = 1 << 16 };
    static float weights[MOST_PAIRS];
    egg_journal_epoch epoch;
    egg_error error = {0};
    if (egg_journal_epoch_read(&epoch, record, "input", &error) != EGG_OK) {
        check(error.status == EGG_ERR_FORMAT && error.text[0]);
        return;
    }
    const uint8_t *end = (const uint8_t *)epoch.extra + epoch.extra_bytes;
    check(end == record->data + record->bytes);
    if (epoch.pairs > MOST_PAIRS) return;
    for (int dtype = EGG_I8; dtype <= EGG_F32; dtype++) {
        egg_status status = egg_journal_weights(&epoch, (egg_dtype)dtype, weights, epoch.pairs, "input", &error);
        check(status == EGG_OK || status == EGG_ERR_FORMAT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    egg_ledger_reader reader;
    egg_ledger_record record;
    egg_error error = {0};
    bool found = true;
    char value[32];
    egg_status status = egg_ledger_begin(&reader, data, size, "input", &error);
    while (status == EGG_OK && found) {
        size_t before = reader.offset;
        status = egg_ledger_next(&reader, &record, &found, &error);
        if (status != EGG_OK || !found) break;
        check(record.offset == before && record.data + record.bytes == data + reader.offset && reader.offset <= size);
        if (record.kind == EGG_JOURNAL_EPOCH) read_epoch(&record);
        egg_journal_fact(&record, "kernels", value, sizeof value);
    }
    check(status == EGG_OK ? reader.offset <= size : status == EGG_ERR_FORMAT && error.text[0]);

    record = (egg_ledger_record){.kind = EGG_JOURNAL_EPOCH, .epoch = 1, .data = data, .bytes = size};
    read_epoch(&record);
    egg_journal_fact(&record, "kernels", value, sizeof value);
    return 0;
}
