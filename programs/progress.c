/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <time.h>

#include "text.h"

static const double redraw_seconds = 0.2, window_seconds = 4;

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_open(struct progress *progress, bool quiet)
{
    *progress = (struct progress){.quiet = quiet, .now = {.clock = now_seconds()}};
}

static void move_marks(struct progress *progress, uint64_t epoch)
{
    if (progress->now.epoch == 0) {   /* the first one, perhaps of a resumed run, began at progress_open */
        progress->now.epoch = epoch - 1;
        progress->earlier = progress->later = progress->now;
    }
    progress->now = (struct progress_mark){now_seconds(), epoch};
    if (progress->now.clock - progress->later.clock < window_seconds) return;
    progress->earlier = progress->later;
    progress->later = progress->now;
}

double progress_rate(const struct progress *progress, uint64_t total)
{
    double seconds = progress->now.clock - progress->earlier.clock;
    double epochs = (double)(progress->now.epoch - progress->earlier.epoch);
    return seconds > 0 ? (double)total / (double)progress->now.epoch * epochs / seconds : 0;
}

void progress_clear(struct progress *progress)
{
    if (progress->live) fputs("\r\033[K", stdout);
    progress->live = false;
}

bool progress_due(struct progress *progress, uint64_t epoch, bool kept)
{
    move_marks(progress, epoch);
    bool redraw = text_columns(stdout) > 0 && progress->now.clock - progress->drawn >= redraw_seconds;
    return !progress->quiet && (kept || redraw);
}

void progress_show(struct progress *progress, const char *title, const char *line, bool kept)
{
    if (!progress->titled) fputs(title, stdout);
    progress->titled = true;
    progress_clear(progress);
    progress->drawn = progress->now.clock;
    progress->live = !kept;
    if (kept)
        puts(line);
    else
        printf("%.*s", text_columns(stdout) - 1, line);   /* a full line would wrap, and could not be rewritten */
    fflush(stdout);
}
