/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <math.h>
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

/* Of something of which there were 'total' in all epochs so far, equally many in each. */
static double per_second(const struct progress *progress, uint64_t total)
{
    double seconds = progress->now.clock - progress->earlier.clock;
    double epochs = (double)(progress->now.epoch - progress->earlier.epoch);
    return seconds > 0 ? (double)total / (double)progress->now.epoch * epochs / seconds : 0;
}

static void write_line(char *out, size_t size, const struct progress *progress, const egg_epoch_stats *stats)
{
    char valid[TEXT_BYTES], tokens[TEXT_BYTES], bytes[TEXT_BYTES], elapsed[TEXT_BYTES], left[TEXT_BYTES];
    text_bits(valid, stats->valid_bits_per_byte);
    text_scaled(tokens, per_second(progress, stats->member_tokens), "");
    text_scaled(bytes, per_second(progress, stats->text_bytes), "");
    text_duration(elapsed, stats->seconds);
    text_duration(left, stats->progress > 0 ? stats->seconds * (1 - stats->progress) / stats->progress : NAN);
    int written = snprintf(out, size, "%7llu %5.1f%% %7.4f %7s %8s %8s %6.2f%% %8s %8s",
                           (unsigned long long)stats->epoch, 100 * stats->progress, stats->train_bits_per_byte, valid,
                           tokens, bytes, 100 * stats->weights_moved, elapsed, left);
    if (written < 0) out[0] = '\0';
}

static void print_title(struct progress *progress)
{
    if (progress->titled) return;
    progress->titled = true;
    printf("\n%7s %6s %15s %8s %8s %7s\n", "", "", "bits per byte", "member", "text", "weights");
    printf("%7s %6s %7s %7s %8s %8s %7s %8s %8s\n", "epoch", "done", "train", "valid", "tokens/s", "bytes/s", "moved",
           "elapsed", "left");
}

void progress_clear(struct progress *progress)
{
    if (progress->live) fputs("\r\033[K", stdout);
    progress->live = false;
}

void progress_epoch(struct progress *progress, const egg_epoch_stats *stats)
{
    char line[160];
    int columns = text_columns(stdout);
    move_marks(progress, stats->epoch);
    bool redraw = columns > 0 && progress->now.clock - progress->drawn >= redraw_seconds;
    if (progress->quiet || (!stats->validated && !redraw)) return;
    print_title(progress);
    write_line(line, sizeof line, progress, stats);
    progress_clear(progress);
    progress->drawn = progress->now.clock;
    progress->live = !stats->validated;
    if (progress->live)
        printf("%.*s", columns - 1, line);   /* a full line would wrap, and could not be rewritten */
    else
        puts(line);
    fflush(stdout);
}
