/* SPDX-License-Identifier: MIT */
#include "bench/bench.h"

#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "train/machine.h"
#include "train/settings.h"

static const struct {
    const char *name;
    egg_status (*run)(const egg_bench_setting *setting, egg_error *error);
    bool on_device;              /* works with option "device", too */
} suites[] = {
    {"kernels", egg_bench_kernels, true}, {"population", egg_bench_population, true},
    {"update", egg_bench_update, false},   {"noise", egg_bench_noise, false},
    {"scaling", egg_bench_scaling, false}, {"envs", egg_bench_envs, false},
    {"finetune", egg_bench_finetune, true}, {"decode", egg_bench_decode, true},
    {"linear", egg_bench_linear, true},
};

/* What a run would refuse is refused here too; the paper's segments of 100 tokens are the default. */
static egg_status resolve(egg_options **resolved, const egg_options *options, egg_error *error)
{
    enum { DEFAULT_STEPS = 100 };
    *resolved = egg_options_copy(options);
    if (!*resolved) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    if (egg_options_values(*resolved)->seq_len == 0) egg_options_resolve_integer(*resolved, "seq-len", DEFAULT_STEPS);
    return egg_settings_resolve(*resolved, error);
}

egg_status egg_bench_run(const char *suite, const egg_options *options, const egg_bench_report *report,
                         egg_error *error)
{
    egg_status status = EGG_OK;
    const char *unknown;
    egg_options *resolved = NULL;
    egg_bench_setting setting = {
        .one_size = egg_options_is_set(options, "width") || egg_options_is_set(options, "layers"),
        .population_named = egg_options_is_set(options, "population"),
        .levels = egg_cpu_levels(&unknown),
        .report = *report,
    };
    size_t i = 0;
    while (i < EGG_COUNT(suites) && strcmp(suites[i].name, suite) != 0) i++;
    if (i == EGG_COUNT(suites))
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "'%s' is no suite; expected kernels, population, update, noise, scaling, envs, finetune, "
                        "decode or linear",
                        suite);
    EGG_TRY(resolve(&resolved, options, error));
    setting.settings = egg_options_values(resolved);
    setting.repetitions = (uint32_t)setting.settings->repetitions;
    EGG_TRY(egg_machine_open(&setting.kernels, setting.settings->device, 0, error));
    if (setting.kernels.device && (!suites[i].on_device || setting.settings->model == EGG_BENCH_MLP)) {
        status = egg_fail(error, EGG_ERR_UNSUPPORTED, "--device: of this suite only the processor can be measured");
        goto out;
    }
    EGG_TRY(egg_pool_open(&setting.pool, egg_machine_threads(&setting.kernels, setting.settings->threads), error));
    EGG_TRY(egg_machine_explain(&setting.kernels, suites[i].run(&setting, error), error));
out:
    egg_pool_close(setting.pool);
    egg_machine_close(&setting.kernels);
    egg_options_free(resolved);
    return status;
}
