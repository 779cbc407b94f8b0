/* SPDX-License-Identifier: MIT */
#include "bench/calls.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"

egg_levels egg_bench_levels(uint32_t found)
{
    egg_levels levels = {0};
    for (uint32_t mask = 0; mask <= 0xff && levels.count < EGG_MAX_LEVELS; mask = 2 * mask + 1) {
        egg_kernels *table = &levels.table[levels.count];
        egg_kernels_init(table, found & mask);
        if (levels.count == 0 || strcmp(table->level, table[-1].level) != 0) levels.count++;
    }
    return levels;
}

static egg_status run_calls(void *context, egg_error *error)
{
    (void)error;
    const egg_call *call = context;
    for (uint32_t i = 0; i < call->calls; i++) call->run(call->kernels, call->args);
    return EGG_OK;
}

egg_stopwatch egg_bench_stopwatch(const egg_kernels *kernels)
{
    const egg_device *device = kernels->device;
    return device ? (egg_stopwatch){device->start_timer, device->stop_timer} : (egg_stopwatch){NULL, NULL};
}

static double seconds_of(const egg_stopwatch *stopwatch, egg_call *call)
{
    const double begun = egg_clock_seconds();
    if (stopwatch->start) stopwatch->start();
    run_calls(call, NULL);
    return stopwatch->stop ? stopwatch->stop() : egg_clock_seconds() - begun;
}

void egg_call_calibrate(egg_contender *contender, egg_call *call)
{
    enum { MOST_CALLS = 1 << 20 };
    const double enough = 0.02;
    call->calls = 1;
    if (contender->stopwatch.start) run_calls(call, NULL);   /* the first call of a kernel loads it onto the device */
    for (; call->calls < MOST_CALLS; call->calls *= 2) {
        const double seconds = seconds_of(&contender->stopwatch, call);
        if (seconds < 0 || seconds > enough) break;
    }
    contender->work *= call->calls;
    contender->run = run_calls;
    contender->context = call;
}

egg_status egg_bench_slot(const egg_bench_setting *setting, const egg_levels *levels, const egg_slot_bench *bench,
                          const char *ratio, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_contender contenders[EGG_MAX_LEVELS];
    egg_call calls[EGG_MAX_LEVELS];
    char names[EGG_MAX_LEVELS][48];
    for (uint32_t l = 0; l < levels->count; l++) {
        snprintf(names[l], sizeof names[l], "%s %s", bench->slot, levels->table[l].level);
        contenders[l] = (egg_contender){.name = names[l], .work = bench->work, .unit = bench->unit};
        calls[l] = (egg_call){.kernels = &levels->table[l], .args = bench->args, .run = bench->run};
        egg_call_calibrate(&contenders[l], &calls[l]);
    }
    EGG_TRY(egg_contest(contenders, levels->count, setting->repetitions, error));
    for (uint32_t l = 0; l < levels->count; l++)
        egg_report_rate(&setting->report, bench->size, &contenders[l], setting->repetitions);
    if (ratio)
        egg_report_ratio(&setting->report, bench->size, ratio, &contenders[levels->count - 1], &contenders[0],
                         setting->repetitions);
out:
    return status;
}
