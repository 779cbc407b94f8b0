/* SPDX-License-Identifier: MIT */
/*
 * Timing that survives a noisy machine: contenders take turns within each repetition, so that slow seconds meet all of
 * them, and ratios are taken repetition by repetition.
 */
#ifndef EGG_BENCH_CONTEST_H
#define EGG_BENCH_CONTEST_H

#include "base/status.h"

enum { EGG_CONTEST_MAX_REPETITIONS = 64, EGG_CONTEST_MAX_CONTENDERS = 12 };

/* Does its work once. */
typedef egg_status egg_contender_fn(void *context, egg_error *error);

/* Another clock than the host's: stop() gives the seconds since start(). NULL, NULL: the host's. */
typedef struct egg_stopwatch {
    void (*start)(void);
    double (*stop)(void);
} egg_stopwatch;

typedef struct egg_contender {
    const char *name;
    egg_contender_fn *run;
    void *context;
    double work;               /* units of work of one run */
    const char *unit;          /* of work a second */
    egg_stopwatch stopwatch;
    double seconds[EGG_CONTEST_MAX_REPETITIONS];
} egg_contender;

/* Each contender once to warm up, then 'repetitions' rounds. */
egg_status egg_contest(egg_contender *contenders, size_t count, uint32_t repetitions, egg_error *error);

/* Where rows go: 'size' is what was measured ("6x256", "4096x256x256", ...). */
typedef struct egg_bench_report {
    egg_bench_fn *row;
    void *context;
} egg_bench_report;

/* Rate of a contender: median and best. */
void egg_report_rate(const egg_bench_report *report, const char *size, const egg_contender *contender,
                     uint32_t repetitions);

/* Rate of 'left' over rate of 'right': median over repetitions, and best over best. */
void egg_report_ratio(const egg_bench_report *report, const char *size, const char *name, const egg_contender *left,
                      const egg_contender *right, uint32_t repetitions);

/* A single figure. */
void egg_report_value(const egg_bench_report *report, const char *size, const char *name, const char *unit,
                      double value);

double egg_median(const double *values, uint32_t count);

#endif
