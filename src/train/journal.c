/* SPDX-License-Identifier: MIT */
#include "train/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/describe.h"
#include "train/run.h"

/* Hashing the state takes at most this share of the time of a run; the first and those of saves are not asked. */
static const double hash_share = 0.005;

struct egg_journal {
    egg_journal_run run;
    egg_ledger *ledger;
    uint8_t *record;                 /* of an epoch */
    uint64_t epoch, hashed;          /* the last recorded; the last whose state is */
    bool any_hashed;
    double opened, hash_seconds, last_hash_seconds;
    egg_error failure;               /* the first since the last save; status EGG_OK for none */
    char path[EGG_PATH_BYTES];
};

/* ------------------------------------------------------------------------------------------------------------ begin */

static egg_status open_journal(egg_journal **out, const egg_journal_run *run, egg_error *error)
{
    *out = egg_alloc(sizeof **out);
    if (*out) (*out)->record = egg_alloc(egg_journal_epoch_bytes(run->dtype, run->pairs, run->extra_bytes));
    if (!*out || !(*out)->record) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the journal");
    (*out)->run = *run;
    (*out)->opened = egg_clock_seconds();
    return egg_run_path(run->folder, EGG_RUN_JOURNAL, (*out)->path, error);
}

void egg_journal_close(egg_journal *journal)
{
    if (!journal) return;
    egg_ledger_close(journal->ledger);
    egg_free(journal->record);
    egg_free(journal);
}

static egg_status add_text(egg_journal *journal, uint32_t kind, const char *text, egg_error *error)
{
    return egg_ledger_add(journal->ledger, kind, journal->epoch, text, strlen(text), error);
}

/* Who writes what follows, and how. */
static egg_status add_introduction(egg_journal *journal, egg_error *error)
{
    enum { TEXT_BYTES = 4096 };
    egg_status status = EGG_OK;
    const egg_journal_run *run = &journal->run;
    char *build = NULL, *options = NULL, text[TEXT_BYTES];
    int length = snprintf(text, sizeof text, "command=%s\nkernels=%s\n%s", egg_options_command(run->options),
                          run->kernels, run->facts);
    if (length < 0 || length >= TEXT_BYTES)
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: %d bytes of facts, expected less than %d", journal->path, length,
                        TEXT_BYTES);
    EGG_TRY(egg_describe_build(&build, false, error));
    EGG_TRY(egg_options_write_json(run->options, run->data, run->data_count, &options, error));
    EGG_TRY(add_text(journal, EGG_JOURNAL_RUN, text, error));
    EGG_TRY(add_text(journal, EGG_JOURNAL_BUILD, build, error));
    EGG_TRY(add_text(journal, EGG_JOURNAL_OPTIONS, options, error));
out:
    egg_free(build);
    egg_free(options);
    return status;
}

static void to_bytes(uint8_t *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t from_bytes(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static egg_status add_state(egg_journal *journal, egg_error *error)
{
    uint8_t bytes[16];
    double begun = egg_clock_seconds();
    egg_hash hash = egg_params_state(journal->run.params, journal->run.param_count);
    to_bytes(bytes, hash.high);
    to_bytes(bytes + 8, hash.low);
    egg_status status = egg_ledger_add(journal->ledger, EGG_JOURNAL_STATE, journal->epoch, bytes, sizeof bytes, error);
    if (status != EGG_OK) return status;
    journal->hashed = journal->epoch;
    journal->any_hashed = true;
    journal->last_hash_seconds = egg_clock_seconds() - begun;
    journal->hash_seconds += journal->last_hash_seconds;
    return EGG_OK;
}

/* Epochs up to 'epoch' were done, but are not in the journal. */
static egg_status add_gap(egg_journal *journal, uint64_t epoch, egg_error *error)
{
    uint8_t first[8];
    if (epoch <= journal->epoch) return EGG_OK;
    to_bytes(first, journal->epoch + 1);
    egg_status status = egg_ledger_add(journal->ledger, EGG_JOURNAL_GAP, epoch, first, sizeof first, error);
    if (status == EGG_OK) journal->epoch = epoch;
    return status;
}

static egg_status begin(egg_journal *journal, const egg_ledger_reader *behind, uint64_t epoch, egg_error *error)
{
    egg_status status = EGG_OK;
    if (behind) {
        journal->epoch = epoch < behind->epoch ? epoch : behind->epoch;
        EGG_TRY(egg_ledger_append(&journal->ledger, journal->path, behind, error));
    } else {
        EGG_TRY(egg_ledger_create(&journal->ledger, journal->path, error));
    }
    EGG_TRY(add_introduction(journal, error));
    EGG_TRY(add_gap(journal, epoch, error));
    EGG_TRY(add_state(journal, error));
out:
    return status;
}

egg_status egg_journal_begin(egg_journal **out, const egg_journal_run *run, egg_error *error)
{
    egg_journal *journal;
    egg_status status = open_journal(&journal, run, error);
    *out = NULL;
    if (status == EGG_OK) status = begin(journal, NULL, 0, error);
    if (status == EGG_OK) *out = journal;
    else egg_journal_close(journal);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- resume */

static egg_status check_state(const egg_journal_run *run, const egg_ledger_record *record,
                              const egg_ledger_reader *reader, const char *whose, egg_error *error)
{
    egg_hash hash = egg_params_state(run->params, run->param_count);
    if (record->bytes == 16 && from_bytes(record->data) == hash.high && from_bytes(record->data + 8) == hash.low)
        return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT,
                    "%s: after epoch %" PRIu64 " the run had another state than %s; --journal off goes on without a "
                    "journal",
                    reader->name, record->epoch, whose);
}

/* Float epochs that another kernel level did may give other bits here than those that the records speak of. */
static void follow_kernels(const egg_journal_run *run, const egg_ledger_record *record, egg_journal_tail *tail)
{
    char level[32] = "";
    if (run->dtype == EGG_I8) return;
    egg_journal_fact(record, "kernels", level, sizeof level);
    tail->usable = tail->usable && strcmp(level, run->kernels) == 0;
}

/*
 * Reads on until the end or a record that cannot be used, where 'reader' stays: behind the checkpoint only the records
 * that follow epoch by epoch can be.
 */
static egg_status read_tail(const egg_journal_run *run, egg_ledger_reader *reader, egg_journal_tail *tail,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    const uint64_t saved = tail->epoch;
    const bool usable = tail->usable;
    for (;;) {
        egg_ledger_reader before = *reader;
        egg_ledger_record record;
        egg_journal_epoch epoch;
        bool found;
        EGG_TRY(egg_ledger_next(reader, &record, &found, error));
        if (!found) break;
        if (record.kind == EGG_JOURNAL_RUN) {
            tail->usable = usable;
            follow_kernels(run, &record, tail);
        }
        bool behind = record.epoch > saved, is_epoch = record.kind == EGG_JOURNAL_EPOCH;
        if (behind && is_epoch && (!tail->usable || record.epoch != tail->epoch + 1)) {
            *reader = before;
            return EGG_OK;
        }
        if (behind && is_epoch) {
            EGG_TRY(egg_journal_epoch_read(&epoch, &record, reader->name, error));
            EGG_TRY(tail->apply(tail->context, &epoch, reader->name, error));
            tail->epoch = epoch.epoch;
            tail->applied++;
        } else if (record.kind == EGG_JOURNAL_STATE && record.epoch == tail->epoch) {
            EGG_TRY(check_state(run, &record, reader, behind ? "replaying gives" : "the checkpoint", error));
        } else if (behind && record.kind == EGG_JOURNAL_GAP) {
            *reader = before;
            return EGG_OK;
        }
    }
    tail->torn_bytes = egg_ledger_torn(reader);
out:
    return status;
}

egg_status egg_journal_resume(egg_journal **out, const egg_journal_run *run, egg_journal_tail *tail, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_mapping file = {0};
    egg_ledger_reader reader;
    egg_journal *journal = NULL;
    if (out) *out = NULL;
    EGG_TRY(egg_run_path(run->folder, EGG_RUN_JOURNAL, path, error));
    bool there = egg_path_exists(path);
    if (there) {
        EGG_TRY(egg_mapping_open(&file, path, error));
        EGG_TRY(egg_ledger_begin(&reader, file.data, file.bytes, path, error));
        EGG_TRY(read_tail(run, &reader, tail, error));
    }
    if (out) {
        EGG_TRY(open_journal(&journal, run, error));
        EGG_TRY(begin(journal, there ? &reader : NULL, tail->epoch, error));
        *out = journal;
        journal = NULL;
    }
out:
    egg_mapping_close(&file);
    egg_journal_close(journal);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- epochs */

static bool hash_due(const egg_journal *journal)
{
    double spent = journal->hash_seconds + journal->last_hash_seconds;
    return !journal->any_hashed || spent <= hash_share * (egg_clock_seconds() - journal->opened);
}

static egg_status add_epoch(egg_journal *journal, const egg_journal_epoch *epoch, egg_error *error)
{
    egg_status status = EGG_OK;
    size_t bytes = egg_journal_epoch_write(epoch, journal->run.dtype, journal->record);
    EGG_TRY(add_gap(journal, epoch->epoch - 1, error));
    EGG_TRY(egg_ledger_add(journal->ledger, EGG_JOURNAL_EPOCH, epoch->epoch, journal->record, bytes, error));
    journal->epoch = epoch->epoch;
    if (!epoch->partial && hash_due(journal)) EGG_TRY(add_state(journal, error));
out:
    return status;
}

void egg_journal_add(egg_journal *journal, const egg_journal_epoch *epoch)
{
    egg_error error = {0};
    if (!journal) return;
    if (add_epoch(journal, epoch, &error) != EGG_OK && journal->failure.status == EGG_OK) journal->failure = error;
}

egg_status egg_journal_save(egg_journal *journal, uint64_t epoch, egg_error *error)
{
    egg_status status = EGG_OK;
    if (!journal) return EGG_OK;
    if (journal->failure.status != EGG_OK) {
        status = journal->failure.status;
        if (error) *error = journal->failure;
        journal->failure = (egg_error){0};   /* a disk that was full may have room again */
        return status;
    }
    EGG_TRY(add_gap(journal, epoch, error));
    if (journal->hashed != epoch) EGG_TRY(add_state(journal, error));
    EGG_TRY(egg_ledger_sync(journal->ledger, error));
out:
    return status;
}

bool egg_journal_fact(const egg_ledger_record *run, const char *name, char *value, size_t size)
{
    const char *at = (const char *)run->data, *end = at + run->bytes;
    size_t length = strlen(name);
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((line_end ? line_end : end) - at);
        if (line > length && memcmp(at, name, length) == 0 && at[length] == '=') {
            size_t n = line - length - 1;
            if (n >= size) return false;
            memcpy(value, at + length + 1, n);
            value[n] = '\0';
            return true;
        }
        at += line + 1;
    }
    return false;
}
