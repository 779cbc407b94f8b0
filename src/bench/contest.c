/* SPDX-License-Identifier: MIT */
#include "bench/contest.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double egg_median(const double *values, uint32_t count)
{
    double sorted[EGG_CONTEST_MAX_REPETITIONS];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double least(const double *values, uint32_t count)
{
    double best = values[0];
    for (uint32_t i = 1; i < count; i++)
        if (values[i] < best) best = values[i];
    return best;
}

egg_status egg_contest(egg_contender *contenders, size_t count, uint32_t repetitions, egg_error *error)
{
    egg_status status = EGG_OK;
    for (size_t i = 0; i < count; i++) EGG_TRY(contenders[i].run(contenders[i].context, error));
    for (uint32_t r = 0; r < repetitions; r++)
        for (size_t i = 0; i < count; i++) {
            const egg_stopwatch *stopwatch = &contenders[i].stopwatch;
            const double begun = egg_clock_seconds();
            if (stopwatch->start) stopwatch->start();
            EGG_TRY(contenders[i].run(contenders[i].context, error));
            contenders[i].seconds[r] = stopwatch->stop ? stopwatch->stop() : egg_clock_seconds() - begun;
        }
out:
    return status;
}

static void report_row(const egg_bench_report *report, const char *size, const char *name, const char *unit,
                       double median, double best)
{
    const egg_bench_row row = {.size = size, .name = name, .unit = unit, .value = median, .median = median,
                               .best = best};
    report->row(report->context, &row);
}

void egg_report_rate(const egg_bench_report *report, const char *size, const egg_contender *contender,
                     uint32_t repetitions)
{
    report_row(report, size, contender->name, contender->unit,
               contender->work / egg_median(contender->seconds, repetitions),
               contender->work / least(contender->seconds, repetitions));
}

void egg_report_ratio(const egg_bench_report *report, const char *size, const char *name, const egg_contender *left,
                      const egg_contender *right, uint32_t repetitions)
{
    double ratios[EGG_CONTEST_MAX_REPETITIONS], work = left->work / right->work;
    for (uint32_t r = 0; r < repetitions; r++) ratios[r] = work * right->seconds[r] / left->seconds[r];
    report_row(report, size, name, "x", egg_median(ratios, repetitions),
               work * least(right->seconds, repetitions) / least(left->seconds, repetitions));
}

void egg_report_value(const egg_bench_report *report, const char *size, const char *name, const char *unit,
                      double value)
{
    report_row(report, size, name, unit, value, value);
}
