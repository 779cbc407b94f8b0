/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "train/tfevents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/run.h"

enum { MAX_TAG_BYTES = 64, FRAME_BYTES = 12 };

struct egg_tfevents {
    int fd;
    int failure;       /* errno of the first failed write since the last flush */
    off_t bytes;       /* of whole records in the file */
    char path[EGG_PATH_BYTES];
};

/* CRC-32C (Castagnoli), bit by bit: a few hundred bytes a second need no table. */
static uint32_t crc32c(const uint8_t *data, size_t bytes)
{
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
    }
    return ~crc;
}

/* TFRecord stores checksums rotated and offset, so that a checksum of checksums is not degenerate. */
static uint32_t masked_crc(const uint8_t *data, size_t bytes)
{
    uint32_t crc = crc32c(data, bytes);
    return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

static size_t put_little_endian(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(value >> 8 * i);
    return bytes;
}

/* Record: length (8), its checksum (4), payload, its checksum (4). The payload lies at out + FRAME_BYTES already. */
static size_t frame(uint8_t *out, size_t payload)
{
    put_little_endian(out, payload, 8);
    put_little_endian(out + 8, masked_crc(out, 8), 4);
    put_little_endian(out + FRAME_BYTES + payload, masked_crc(out + FRAME_BYTES, payload), 4);
    return FRAME_BYTES + payload + 4;
}

/* -------------------------------------------------------------------------------------- protocol buffers, as needed */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    for (; value > 127; value >>= 7) out[n++] = (uint8_t)(value | 128);
    out[n++] = (uint8_t)value;
    return n;
}

static size_t put_key(uint8_t *out, uint32_t field, uint32_t wire)
{
    return put_varint(out, field << 3 | wire);
}

static size_t put_bytes(uint8_t *out, uint32_t field, const void *data, size_t bytes)
{
    size_t n = put_key(out, field, WIRE_BYTES);
    n += put_varint(out + n, bytes);
    memcpy(out + n, data, bytes);
    return n + bytes;
}

static size_t put_wall_time(uint8_t *out, double seconds)
{
    uint64_t bits;
    memcpy(&bits, &seconds, sizeof bits);
    size_t n = put_key(out, 1, WIRE_FIXED64);
    return n + put_little_endian(out + n, bits, 8);
}

/* Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } } */
size_t egg_tfevents_encode_scalar(double seconds, int64_t step, const char *tag, float value,
                                  uint8_t out[EGG_TFEVENTS_RECORD_BYTES])
{
    uint8_t entry[MAX_TAG_BYTES + 16], summary[MAX_TAG_BYTES + 24], *event = out + FRAME_BYTES;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    size_t n = put_bytes(entry, 1, tag, strnlen(tag, MAX_TAG_BYTES));
    n += put_key(entry + n, 2, WIRE_FIXED32);
    n += put_little_endian(entry + n, bits, 4);
    size_t summary_bytes = put_bytes(summary, 1, entry, n);

    n = put_wall_time(event, seconds);
    n += put_key(event + n, 2, WIRE_VARINT);
    n += put_varint(event + n, (uint64_t)step);
    n += put_bytes(event + n, 5, summary, summary_bytes);
    return frame(out, n);
}

/* Event { wall_time = 1, file_version = 3 }: how every file begins. */
static size_t encode_version(double seconds, uint8_t *out)
{
    static const char version[] = "brain.Event:2";
    size_t n = put_wall_time(out + FRAME_BYTES, seconds);
    n += put_bytes(out + FRAME_BYTES + n, 3, version, sizeof version - 1);
    return frame(out, n);
}

/* ----------------------------------------------------------------------------------------------------------- file */

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/*
 * Half a record, as a full disk leaves it, would make all that follows unreadable; it is cut off again. Unbuffered, for
 * the file is there to be watched.
 */
static void append(egg_tfevents *events, const uint8_t *record, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = write(events->fd, record + done, bytes - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            if (!events->failure) events->failure = written < 0 ? errno : EIO;
            if (ftruncate(events->fd, events->bytes) == 0) return;
            break;   /* the half stays and counts: never cut off what another record may stand behind */
        }
        done += (size_t)written;
    }
    events->bytes += (off_t)done;
}

egg_status egg_tfevents_open(egg_tfevents **out, const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    char name[160], host[64] = "localhost";
    uint8_t record[EGG_TFEVENTS_RECORD_BYTES];
    double now = wall_seconds();
    egg_tfevents *events = egg_alloc(sizeof *events);
    *out = NULL;
    if (!events) return egg_fail(error, EGG_ERR_NOMEM, "no memory for an event file");
    events->fd = -1;
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "events.out.tfevents.%lld.%s.%ld", (long long)now, host, (long)getpid());
    EGG_TRY(egg_path_join(events->path, sizeof events->path, folder, name, error));
    events->fd = open(events->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (events->fd < 0 || (events->bytes = lseek(events->fd, 0, SEEK_END)) < 0) {
        status = egg_fail_errno(error, "%s: cannot write", events->path);
        goto out;
    }
    append(events, record, encode_version(now, record));
    EGG_TRY(egg_tfevents_flush(events, error));
    *out = events;
    events = NULL;
out:
    egg_tfevents_close(events);
    return status;
}

void egg_tfevents_close(egg_tfevents *events)
{
    if (!events) return;
    if (events->fd >= 0) close(events->fd);
    egg_free(events);
}

void egg_tfevents_scalar(egg_tfevents *events, int64_t step, const char *tag, float value)
{
    uint8_t record[EGG_TFEVENTS_RECORD_BYTES];
    append(events, record, egg_tfevents_encode_scalar(wall_seconds(), step, tag, value, record));
}

egg_status egg_tfevents_flush(egg_tfevents *events, egg_error *error)
{
    if (!events->failure) return EGG_OK;
    errno = events->failure;
    events->failure = 0;   /* a disk that was full may have room again */
    return egg_fail_errno(error, "%s: cannot write", events->path);
}
