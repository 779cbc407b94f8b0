/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "data/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"

/*
 * The file: 8 bytes that name it, then records. A record: kind (4), bytes of the data (4), epoch (8), check of the data
 * (8), check of these 24 bytes and of the check of the record before (8), the data. Little-endian; checks are the low
 * half of XXH3's 128 bits.
 */
static const uint8_t ledger_name[8] = {'E', 'G', 'G', 'L', 'E', 'D', 'G', '1'};

enum { CHECKED_BYTES = 24, HEAD_BYTES = 32, PATH_BYTES = 4096 };

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static uint64_t check_of(const void *data, size_t bytes)
{
    return egg_hash_bytes(data, bytes).low;
}

static uint64_t first_chain(void)
{
    return check_of(ledger_name, sizeof ledger_name);
}

static uint64_t head_check(const uint8_t head[HEAD_BYTES], uint64_t chain)
{
    uint8_t bytes[HEAD_BYTES];
    memcpy(bytes, head, CHECKED_BYTES);
    put(bytes + CHECKED_BYTES, chain, 8);
    return check_of(bytes, sizeof bytes);
}

/* -------------------------------------------------------------------------------------------------------- reading */

egg_status egg_ledger_begin(egg_ledger_reader *reader, const void *data, size_t bytes, const char *name,
                            egg_error *error)
{
    *reader = (egg_ledger_reader){.data = data, .bytes = bytes, .name = name, .chain = first_chain()};
    size_t known = bytes < sizeof ledger_name ? bytes : sizeof ledger_name;
    if (known && memcmp(data, ledger_name, known) != 0)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: not a journal: expected 'EGGLEDG1' at byte 0", name);
    if (known == sizeof ledger_name) reader->offset = known;
    return EGG_OK;
}

static bool is_zeros(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i]) return false;
    return true;
}

/* 'place': before the number of an epoch. */
static egg_status damaged(const egg_ledger_reader *reader, const char *place, uint64_t epoch, const char *what,
                          egg_error *error)
{
    egg_status status = egg_fail(error, EGG_ERR_FORMAT,
                                 "%s: record %" PRIu64 " %s epoch %" PRIu64 ", at byte %zu, is damaged: its %s does "
                                 "not match its checksum",
                                 reader->name, reader->number, place, epoch, reader->offset, what);
    if (error) error->offset = reader->offset;
    return status;
}

egg_status egg_ledger_next(egg_ledger_reader *reader, egg_ledger_record *record, bool *found, egg_error *error)
{
    size_t left = reader->bytes - reader->offset;
    *found = false;
    if (reader->offset == 0 || left < HEAD_BYTES) return EGG_OK;
    const uint8_t *head = reader->data + reader->offset;
    uint64_t check = get(head + CHECKED_BYTES, 8), epoch = get(head + 8, 8);
    if (check != head_check(head, reader->chain)) {
        if (is_zeros(head, left)) return EGG_OK;   /* a power cut may leave a file longer than what was written */
        return damaged(reader, "behind", reader->epoch, "head", error);   /* which may hold any epoch itself */
    }
    size_t bytes = (size_t)get(head + 4, 4);
    if (bytes > left - HEAD_BYTES) return EGG_OK;
    *record = (egg_ledger_record){.kind = (uint32_t)get(head, 4), .epoch = epoch, .data = head + HEAD_BYTES,
                                  .bytes = bytes,
                                  .number = reader->number, .offset = reader->offset};
    if (check_of(record->data, bytes) != get(head + 16, 8)) return damaged(reader, "of", epoch, "data", error);
    reader->offset += HEAD_BYTES + bytes;
    reader->number++;
    reader->epoch = epoch;
    reader->chain = check;
    *found = true;
    return EGG_OK;
}

/* -------------------------------------------------------------------------------------------------------- writing */

struct egg_ledger {
    int fd;
    bool broken;               /* a record cut short is at the end and could not be taken away */
    uint64_t offset, chain;
    char path[PATH_BYTES];
};

static egg_status open_file(egg_ledger **out, const char *path, int flags, egg_error *error)
{
    *out = NULL;
    egg_ledger *ledger = egg_alloc(sizeof *ledger);
    if (!ledger) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to write it", path);
    snprintf(ledger->path, sizeof ledger->path, "%s", path);
    ledger->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (ledger->fd < 0) {
        egg_status status = egg_fail_errno(error, "%s: cannot open", path);
        egg_free(ledger);
        return status;
    }
    *out = ledger;
    return EGG_OK;
}

/* At the ledger's end, in one call where the system takes it whole. */
static egg_status write_end(egg_ledger *ledger, struct iovec *parts, int count, egg_error *error)
{
    uint64_t at = ledger->offset;
    while (count) {
        ssize_t written = pwritev(ledger->fd, parts, count, (off_t)at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            if (written == 0) errno = EIO;
            egg_status status = egg_fail_errno(error, "%s: cannot write", ledger->path);
            ledger->broken = ftruncate(ledger->fd, (off_t)ledger->offset) != 0;
            return status;
        }
        at += (uint64_t)written;
        for (size_t rest = (size_t)written; count;) {
            size_t part = rest < parts->iov_len ? rest : parts->iov_len;
            parts->iov_base = (char *)parts->iov_base + part;
            parts->iov_len -= part;
            rest -= part;
            if (parts->iov_len) break;
            parts++, count--;
        }
    }
    ledger->offset = at;
    return EGG_OK;
}

static egg_status write_name(egg_ledger *ledger, egg_error *error)
{
    uint8_t name[sizeof ledger_name];
    memcpy(name, ledger_name, sizeof name);
    ledger->chain = first_chain();
    return write_end(ledger, &(struct iovec){.iov_base = name, .iov_len = sizeof name}, 1, error);
}

egg_status egg_ledger_create(egg_ledger **out, const char *path, egg_error *error)
{
    egg_status status = open_file(out, path, O_TRUNC, error);
    if (status == EGG_OK) status = write_name(*out, error);
    if (status != EGG_OK && *out) {
        egg_ledger_close(*out);
        *out = NULL;
    }
    return status;
}

egg_status egg_ledger_append(egg_ledger **out, const char *path, const egg_ledger_reader *at, egg_error *error)
{
    egg_status status = EGG_OK;
    if (at->offset == 0) return egg_ledger_create(out, path, error);
    EGG_TRY(open_file(out, path, 0, error));
    (*out)->offset = at->offset;
    (*out)->chain = at->chain;
    if (ftruncate((*out)->fd, (off_t)at->offset) != 0) {
        status = egg_fail_errno(error, "%s: cannot go on with it", path);
        egg_ledger_close(*out);
        *out = NULL;
    }
out:
    return status;
}

void egg_ledger_close(egg_ledger *ledger)
{
    if (!ledger) return;
    close(ledger->fd);
    egg_free(ledger);
}

egg_status egg_ledger_add(egg_ledger *ledger, uint32_t kind, uint64_t epoch, const void *data, size_t bytes,
                          egg_error *error)
{
    uint8_t head[HEAD_BYTES];
    if (bytes > UINT32_MAX)
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: a record of %zu bytes, expected less than 4 GiB", ledger->path,
                        bytes);
    if (ledger->broken && ftruncate(ledger->fd, (off_t)ledger->offset) != 0)
        return egg_fail_errno(error, "%s: cannot take away a record cut short", ledger->path);
    ledger->broken = false;
    put(head, kind, 4);
    put(head + 4, bytes, 4);
    put(head + 8, epoch, 8);
    put(head + 16, check_of(data, bytes), 8);
    uint64_t check = head_check(head, ledger->chain);
    put(head + CHECKED_BYTES, check, 8);
    struct iovec parts[2] = {{.iov_base = head, .iov_len = sizeof head},
                             {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes}};
    egg_status status = write_end(ledger, parts, bytes ? 2 : 1, error);
    if (status == EGG_OK) ledger->chain = check;
    return status;
}

egg_status egg_ledger_sync(egg_ledger *ledger, egg_error *error)
{
    /* EINVAL: this file system cannot, or need not. */
    if (fdatasync(ledger->fd) == 0 || errno == EINVAL) return EGG_OK;
    return egg_fail_errno(error, "%s: cannot write", ledger->path);
}
