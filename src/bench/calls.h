/* SPDX-License-Identifier: MIT */
/* Kernel calls as contenders: the levels of this machine, and calls repeated until they are long enough to time. */
#ifndef EGG_BENCH_CALLS_H
#define EGG_BENCH_CALLS_H

#include "bench/bench.h"

enum { EGG_MAX_LEVELS = 4 };

/* All levels of 'found', from the reference up, each with those below it filled in. */
typedef struct egg_levels {
    egg_kernels table[EGG_MAX_LEVELS];
    uint32_t count;
} egg_levels;

egg_levels egg_bench_levels(uint32_t found);

typedef void egg_call_fn(const egg_kernels *kernels, const void *args);

typedef struct egg_call {
    const egg_kernels *kernels;
    const void *args;
    egg_call_fn *run;
    uint32_t calls;
} egg_call;

/* The clock of the place where the kernels work. */
egg_stopwatch egg_bench_stopwatch(const egg_kernels *kernels);

/* Doubles the calls of a contender until they take 20 ms by its clock; 'work' of one call becomes that of all. */
void egg_call_calibrate(egg_contender *contender, egg_call *call);

typedef struct egg_slot_bench {
    const char *slot, *size, *unit;
    egg_call_fn *run;
    const void *args;
    double work;
} egg_slot_bench;

/* One slot on every level; 'ratio' names the last level's rate over the reference's, or is NULL. */
egg_status egg_bench_slot(const egg_bench_setting *setting, const egg_levels *levels, const egg_slot_bench *bench,
                          const char *ratio, egg_error *error);

/* The suite 'kernels' on a device. */
egg_status egg_bench_kernels_device(const egg_bench_setting *setting, egg_error *error);

/* The float32 half of the suite 'kernels'. */
egg_status egg_bench_kernels_f32(const egg_bench_setting *setting, const egg_levels *levels, egg_error *error);

#endif
