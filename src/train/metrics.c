/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "train/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/run.h"
#include "train/tfevents.h"

enum { BUFFER_BYTES = 1 << 16 };

struct egg_metrics {
    FILE *lines;
    char *buffer;              /* of 'lines', so that stdio allocates nothing while a run runs */
    char path[EGG_PATH_BYTES];
    egg_tfevents *events;
    double events_at;          /* when the event file was last written to; it is for eyes, once a second will do */
    int failure;               /* errno of the first failed write to 'lines' */
};

/* Cuts 'lines' behind its last whole line of an epoch up to 'epoch'. */
static egg_status drop_later_lines(egg_metrics *metrics, uint64_t epoch, egg_error *error)
{
    char *line = NULL;
    size_t size = 0;
    off_t keep = 0;
    ssize_t length;
    while ((length = getline(&line, &size, metrics->lines)) > 0) {
        uint64_t number;
        if (line[length - 1] != '\n' || sscanf(line, "{\"epoch\": %" SCNu64, &number) != 1 || number > epoch) break;
        keep += length;
    }
    free(line);
    if (ftruncate(fileno(metrics->lines), keep) != 0 || fseeko(metrics->lines, keep, SEEK_SET) != 0)
        return egg_fail_errno(error, "%s: cannot go on with the metrics", metrics->path);
    return EGG_OK;
}

egg_status egg_metrics_open(egg_metrics **out, const char *folder, uint64_t epoch, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_metrics *metrics = egg_alloc(sizeof *metrics);
    *out = NULL;
    if (metrics) metrics->buffer = egg_alloc(BUFFER_BYTES);
    if (!metrics || !metrics->buffer) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for metrics");
        goto out;
    }
    EGG_TRY(egg_path_join(metrics->path, sizeof metrics->path, folder, EGG_RUN_METRICS, error));
    metrics->lines = fopen(metrics->path, epoch ? "r+e" : "w+e");
    if (!metrics->lines && errno == ENOENT) metrics->lines = fopen(metrics->path, "w+e");
    if (!metrics->lines) {
        status = egg_fail_errno(error, "%s: cannot open", metrics->path);
        goto out;
    }
    setvbuf(metrics->lines, metrics->buffer, _IOFBF, BUFFER_BYTES);
    EGG_TRY(drop_later_lines(metrics, epoch, error));
    EGG_TRY(egg_tfevents_open(&metrics->events, folder, error));
    *out = metrics;
    metrics = NULL;
out:
    egg_metrics_close(metrics);
    return status;
}

void egg_metrics_close(egg_metrics *metrics)
{
    if (!metrics) return;
    if (metrics->lines) fclose(metrics->lines);
    egg_tfevents_close(metrics->events);
    egg_free(metrics->buffer);
    egg_free(metrics);
}

static void add_events(egg_metrics *metrics, uint64_t epoch, const egg_metric *figures, size_t count, bool important)
{
    double now = egg_clock_seconds();
    if (!important && now - metrics->events_at < 1) return;
    metrics->events_at = now;
    for (size_t i = 0; i < count; i++)
        if (figures[i].tag && isfinite(figures[i].value))
            egg_tfevents_scalar(metrics->events, (int64_t)epoch, figures[i].tag, (float)figures[i].value);
}

void egg_metrics_add(egg_metrics *metrics, uint64_t epoch, const egg_metric *figures, size_t count, bool important)
{
    const double exact = 0x1p53;   /* whole numbers up to here are written as such */
    if (!metrics) return;
    FILE *lines = metrics->lines;
    errno = 0;
    fprintf(lines, "{\"epoch\": %" PRIu64, epoch);
    for (size_t i = 0; i < count; i++) {
        double value = figures[i].value;
        if (!isfinite(value)) continue;
        bool whole = value == floor(value) && fabs(value) < exact;
        fprintf(lines, whole ? ", \"%s\": %.0f" : ", \"%s\": %.9g", figures[i].key, value);
    }
    fputs("}\n", lines);
    if (ferror(lines) && !metrics->failure) metrics->failure = errno ? errno : EIO;
    add_events(metrics, epoch, figures, count, important);
}

void egg_metrics_push(egg_metrics *metrics)
{
    if (!metrics) return;
    errno = 0;
    if (fflush(metrics->lines) != 0 && !metrics->failure) metrics->failure = errno ? errno : EIO;
}

egg_status egg_metrics_flush(egg_metrics *metrics, egg_error *error)
{
    if (!metrics) return EGG_OK;
    errno = 0;
    if (fflush(metrics->lines) != 0 && !metrics->failure) metrics->failure = errno ? errno : EIO;
    if (metrics->failure) {
        errno = metrics->failure;
        metrics->failure = 0;   /* a disk that was full may have room again */
        clearerr(metrics->lines);
        return egg_fail_errno(error, "%s: cannot write", metrics->path);
    }
    return egg_tfevents_flush(metrics->events, error);
}
