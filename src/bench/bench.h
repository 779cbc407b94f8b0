/* SPDX-License-Identifier: MIT */
/* The suites of `eggroll bench`. */
#ifndef EGG_BENCH_BENCH_H
#define EGG_BENCH_BENCH_H

#include "base/threads.h"
#include "bench/contest.h"
#include "kernels/kernels.h"
#include "train/options.h"

/* What every suite is given. */
typedef struct egg_bench_setting {
    const egg_settings *settings;
    bool one_size;               /* width or layers were named: measure that model only */
    bool population_named;       /* its default does not suit every suite */
    uint32_t levels;             /* egg_cpu_level bits to measure */
    egg_kernels kernels;         /* the strongest of them */
    egg_pool *pool;
    egg_bench_report report;
    uint32_t repetitions;
} egg_bench_setting;

egg_status egg_bench_run(const char *suite, const egg_options *options, const egg_bench_report *report,
                         egg_error *error);

egg_status egg_bench_kernels(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_population(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_policies(const egg_bench_setting *setting, egg_error *error);   /* population, of model mlp */
egg_status egg_bench_update(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_noise(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_scaling(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_envs(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_finetune(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_decode(const egg_bench_setting *setting, egg_error *error);
egg_status egg_bench_linear(const egg_bench_setting *setting, egg_error *error);

/*
 * A contender that does nothing but multiply-adds on registers, on all threads of the pool; 'context' is the setting.
 */
egg_contender egg_bench_peak(const egg_bench_setting *setting);

#endif
