/* SPDX-License-Identifier: MIT */
#include "bench/bench.h"

#include <string.h>

#include "base/cpu.h"
#include "train/machine.h"

static const struct {
    const char *name;
    egg_status (*run)(const egg_bench_setting *setting, egg_error *error);
} suites[] = {
    {"kernels", egg_bench_kernels}, {"population", egg_bench_population}, {"update", egg_bench_update},
    {"noise", egg_bench_noise},     {"scaling", egg_bench_scaling},
};

egg_status egg_bench_run(const char *suite, const egg_options *options, const egg_bench_report *report, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *unknown;
    const egg_settings *settings = egg_options_values(options);
    egg_bench_setting setting = {
        .settings = settings,
        .one_size = egg_options_is_set(options, "width") || egg_options_is_set(options, "layers"),
        .levels = egg_cpu_levels(&unknown),
        .report = *report,
        .repetitions = (uint32_t)settings->repetitions,
    };
    size_t i = 0;
    while (i < EGG_COUNT(suites) && strcmp(suites[i].name, suite) != 0) i++;
    if (i == EGG_COUNT(suites))
        return egg_fail(error, EGG_ERR_ARGUMENT, "'%s' is no suite; expected kernels, population, update, noise or scaling",
                        suite);
    EGG_TRY(egg_machine_kernels(&setting.kernels, error));
    EGG_TRY(egg_pool_open(&setting.pool, (uint32_t)settings->threads, error));
    EGG_TRY(suites[i].run(&setting, error));
out:
    egg_pool_close(setting.pool);
    return status;
}
