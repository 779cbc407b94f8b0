/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "data/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum { BUFFER_BYTES = 1 << 18, PATH_BYTES = 4096 };

struct egg_spool {
    const char *folder;
    const char *advice;        /* for the person whose disk is full */
    int fd;
    uint64_t written;
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

egg_status egg_spool_open(egg_spool **out, const char *folder, egg_error *error)
{
    char path[PATH_BYTES];
    const char *advice = "";
    *out = NULL;
    if (!folder) {
        folder = getenv("TMPDIR");
        if (!folder || !*folder) folder = "/tmp";
        advice = " (set TMPDIR to use another folder)";
    }
    egg_status status = egg_path_join(path, sizeof path, folder, "eggroll-text-XXXXXX", error);
    if (status != EGG_OK) return status;
    egg_spool *spool = egg_alloc(sizeof *spool);
    if (!spool) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a write buffer of %d bytes", BUFFER_BYTES);
    spool->folder = folder;
    spool->advice = advice;
    spool->fd = mkostemp(path, O_CLOEXEC);
    if (spool->fd < 0) {
        status = egg_fail_errno(error, "%s: cannot create a temporary file for decoded text%s", folder, advice);
        egg_free(spool);
        return status;
    }
    unlink(path);
    *out = spool;
    return EGG_OK;
}

static egg_status write_all(egg_spool *spool, const uint8_t *data, size_t bytes, egg_error *error)
{
    while (bytes) {
        ssize_t written = write(spool->fd, data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0)
            return egg_fail_errno(error, "%s: cannot hold more than %" PRIu64 " bytes of decoded text%s", spool->folder,
                                  spool->written, spool->advice);
        spool->written += (uint64_t)written;
        data += written;
        bytes -= (size_t)written;
    }
    return EGG_OK;
}

static egg_status flush(egg_spool *spool, egg_error *error)
{
    egg_status status = write_all(spool, spool->buffer, spool->used, error);
    spool->used = 0;
    return status;
}

egg_status egg_spool_write(egg_spool *spool, const void *data, size_t bytes, egg_error *error)
{
    if (bytes > BUFFER_BYTES - spool->used) {
        egg_status status = flush(spool, error);
        if (status != EGG_OK) return status;
    }
    if (bytes > BUFFER_BYTES) return write_all(spool, data, bytes, error);
    memcpy(spool->buffer + spool->used, data, bytes);
    spool->used += bytes;
    return EGG_OK;
}

egg_status egg_spool_map(egg_spool *spool, egg_mapping *mapping, egg_error *error)
{
    *mapping = (egg_mapping){0};
    egg_status status = flush(spool, error);
    return status == EGG_OK ? egg_mapping_open_fd(mapping, spool->fd, spool->folder, error) : status;
}

void egg_spool_close(egg_spool *spool)
{
    if (!spool) return;
    close(spool->fd);
    egg_free(spool);
}
