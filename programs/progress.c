/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
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

static void move_marks(struct progress *progress, const egg_epoch_stats *stats)
{
    const struct progress_mark now = {now_seconds(), stats->member_tokens, stats->text_bytes};
    if (progress->now.member_tokens == 0) {
        /* The first epoch began when the table was opened, a resumed one with what was done by then. */
        double before = (double)(stats->epoch - 1) / (double)stats->epoch;
        progress->earlier = (struct progress_mark){progress->now.clock, (uint64_t)((double)now.member_tokens * before),
                                            (uint64_t)((double)now.text_bytes * before)};
        progress->later = progress->earlier;
    }
    progress->now = now;
    if (now.clock - progress->later.clock < window_seconds) return;
    progress->earlier = progress->later;
    progress->later = now;
}

static double speed(const struct progress *progress, uint64_t earlier, uint64_t now)
{
    double seconds = progress->now.clock - progress->earlier.clock;
    return seconds > 0 ? (double)(now - earlier) / seconds : 0;
}

static int table_line(char *out, size_t size, const struct progress *progress, const egg_epoch_stats *stats)
{
    char valid[TEXT_BYTES], tokens[TEXT_BYTES], bytes[TEXT_BYTES], elapsed[TEXT_BYTES], left[TEXT_BYTES];
    text_bits(valid, stats->valid_bits_per_byte);
    text_scaled(tokens, speed(progress, progress->earlier.member_tokens, progress->now.member_tokens), "");
    text_scaled(bytes, speed(progress, progress->earlier.text_bytes, progress->now.text_bytes), "");
    text_duration(elapsed, stats->seconds);
    text_duration(left, stats->progress > 0 ? stats->seconds * (1 - stats->progress) / stats->progress : NAN);
    return snprintf(out, size, "%8llu %5.1f%% %8.4f %8s %9s %9s %8.2f%% %8s %8s", (unsigned long long)stats->epoch,
                    100 * stats->progress, stats->train_bits_per_byte, valid, tokens, bytes, 100 * stats->weights_moved,
                    elapsed, left);
}

static void print_title(struct progress *progress)
{
    if (progress->titled) return;
    progress->titled = true;
    puts("\n                    bits per byte    member      text   weights\n"
         "   epoch   done    train    valid  tokens/s   bytes/s     moved  elapsed     left");
}

void progress_clear(struct progress *progress)
{
    if (!progress->live) return;
    progress->live = false;
    fputs("\r\033[K", stdout);
    fflush(stdout);
}

void progress_epoch(struct progress *progress, const egg_epoch_stats *stats)
{
    char line[160];
    int columns = text_columns(stdout);
    move_marks(progress, stats);
    bool redraw = columns > 0 && progress->now.clock - progress->drawn >= redraw_seconds;
    if (progress->quiet || (!stats->validated && !redraw)) return;
    print_title(progress);
    table_line(line, sizeof line, progress, stats);
    progress_clear(progress);
    if (stats->validated) puts(line);
    if (columns == 0) return;
    /* A line as wide as the terminal would wrap, and could not be rewritten. */
    printf("%.*s", columns - 1, line);
    fflush(stdout);
    progress->live = true;
    progress->drawn = progress->now.clock;
}
