/* SPDX-License-Identifier: MIT */
/*
 * A population of policies against one shared policy on the same rows (inference) and against OpenES, whose members
 * have full-rank noise: drawn once for a chunk that fits the caches and used for all its steps, the best that it can
 * do.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "base/memory.h"
#include "bench/bench.h"
#include "models/mlp.h"
#include "nn/bank.h"

enum { CHUNK_PAIRS = 64, DENSE_PAIRS = 2, INPUTS = 16, OUTPUTS = 16 };

/* What a thread works with. */
typedef struct policy_scratch {
    egg_arena arena;
    egg_bank bank;
    float *X, *Y;               /* (2 * CHUNK_PAIRS, columns) */
    uint32_t *member;           /* (2 * CHUNK_PAIRS) */
} policy_scratch;

typedef struct policy_bench {
    const egg_bench_setting *setting;
    const egg_mlp *policy;
    policy_scratch *scratch;    /* (threads) */
    uint32_t threads, chunk, pairs, steps;
    egg_perturb law;
    bool perturbed;
    atomic_bool failed;
} policy_bench;

static void close_bench(policy_bench *bench)
{
    for (uint32_t i = 0; bench->scratch && i < bench->threads; i++) {
        policy_scratch *scratch = &bench->scratch[i];
        egg_arena_close(&scratch->arena);
        egg_bank_close(&scratch->bank);
        egg_free(scratch->X);
        egg_free(scratch->Y);
        egg_free(scratch->member);
    }
    egg_free(bench->scratch);
}

static egg_status open_scratch(const policy_bench *bench, policy_scratch *scratch, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_mlp *policy = bench->policy;
    uint32_t rows = 2 * bench->chunk;
    scratch->X = egg_alloc_array((size_t)rows * INPUTS, sizeof *scratch->X);
    scratch->Y = egg_alloc_array((size_t)rows * OUTPUTS, sizeof *scratch->Y);
    scratch->member = egg_alloc_array(rows, sizeof *scratch->member);
    if (!scratch->X || !scratch->Y || !scratch->member) return egg_fail(error, EGG_ERR_NOMEM, "no memory for rows");
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_SAMPLING), (egg_noise_at){0}, 0, (size_t)rows * INPUTS, scratch->X);
    for (uint32_t i = 0; i < rows; i++) scratch->member[i] = i;
    EGG_TRY(egg_arena_open(&scratch->arena, egg_mlp_scratch_bytes(policy, rows, bench->law.rank), error));
    EGG_TRY(egg_bank_open(&scratch->bank, policy->params, policy->param_count, bench->chunk, bench->law.rank,
                          bench->law.dense, error));
out:
    return status;
}

static egg_status open_bench(policy_bench *bench, const egg_bench_setting *setting, const egg_mlp *policy,
                             egg_perturb law, bool perturbed, uint32_t pairs, uint32_t steps, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t threads = egg_pool_threads(setting->pool);
    *bench = (policy_bench){.setting = setting, .policy = policy, .threads = threads, .law = law,
                            .perturbed = perturbed,
                            .chunk = law.dense ? DENSE_PAIRS : CHUNK_PAIRS, .pairs = pairs, .steps = steps,
                            .scratch = egg_alloc_array(threads, sizeof *bench->scratch)};
    if (!bench->scratch) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
    for (uint32_t i = 0; i < threads; i++) EGG_TRY(open_scratch(bench, &bench->scratch[i], error));
out:
    return status;
}

static void run_chunk(void *context, size_t begin, size_t end, uint32_t thread)
{
    policy_bench *bench = context;
    policy_scratch *scratch = &bench->scratch[thread];
    const egg_kernels *kernels = &bench->setting->kernels;
    uint32_t pairs = (uint32_t)(end - begin);
    for (uint32_t p = 0; bench->perturbed && p < pairs; p++)
        egg_bank_draw(&scratch->bank, kernels, &bench->law, p, (uint32_t)begin + p, false);
    egg_bank_flush(&scratch->bank, kernels);
    egg_mat X = {.data = scratch->X, .stride = INPUTS, .steps = 1, .cols = INPUTS};
    egg_mat Y = {.data = scratch->Y, .stride = OUTPUTS, .steps = 1, .cols = OUTPUTS};
    for (uint32_t t = 0; t < bench->steps; t++) {
        egg_pass pass = egg_pass_begin_rows(kernels, &scratch->arena, bench->perturbed ? &scratch->bank : NULL,
                                            scratch->member, 2 * pairs);
        egg_mlp_forward(&pass, bench->policy, X, Y);
        if (pass.failed) atomic_store(&bench->failed, true);
    }
}

static egg_status run(void *context, egg_error *error)
{
    policy_bench *bench = context;
    egg_parallel_for(bench->setting->pool, bench->pairs, bench->chunk, run_chunk, bench);
    return atomic_load(&bench->failed) ? egg_fail(error, EGG_ERR_NOMEM, "a pass outgrew its memory") : EGG_OK;
}

static egg_status measure(const egg_bench_setting *setting, const egg_mlp *policy, uint32_t steps, egg_error *error)
{
    enum { POPULATION, INFERENCE, OPENES, CONTENDERS };
    egg_status status = EGG_OK;
    const egg_settings *s = setting->settings;
    uint32_t pairs = (uint32_t)s->population / 2, few = pairs < 64 ? pairs : 64, n = setting->repetitions;
    egg_perturb low = egg_perturb_f32(1, 0, (uint32_t)s->rank, 0.05f), dense = egg_perturb_dense(1, 0, 0.05f);
    policy_bench benches[CONTENDERS] = {{0}};
    const egg_bench_report *report = &setting->report;
    char size[64];
    snprintf(size, sizeof size, "policy %ux%u N=%u, %u step%s", policy->shape.layers, policy->shape.width, 2 * pairs,
             steps, steps == 1 ? "" : "s");
    EGG_TRY(open_bench(&benches[POPULATION], setting, policy, low, true, pairs, steps, error));
    EGG_TRY(open_bench(&benches[INFERENCE], setting, policy, low, false, pairs, steps, error));
    EGG_TRY(open_bench(&benches[OPENES], setting, policy, dense, true, few, steps, error));
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population", .work = 2.0 * pairs * steps},
        [INFERENCE] = {.name = "inference, one shared policy", .work = 2.0 * pairs * steps},
        [OPENES] = {.name = "OpenES, dense noise", .work = 2.0 * few * steps},
    };
    for (size_t i = 0; i < CONTENDERS; i++) {
        contenders[i].run = run;
        contenders[i].context = &benches[i];
        contenders[i].unit = "rows/s";
    }
    EGG_TRY(egg_contest(contenders, CONTENDERS, n, error));
    for (size_t i = 0; i < CONTENDERS; i++) egg_report_rate(report, size, &contenders[i], n);
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_report_ratio(report, size, "population_vs_openes", &contenders[POPULATION], &contenders[OPENES], n);
out:
    for (size_t i = 0; i < CONTENDERS; i++) close_bench(&benches[i]);
    return status;
}

egg_status egg_bench_policies(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    static const uint32_t steps[] = {1, 10, 100};
    const egg_settings *s = setting->settings;
    const egg_mlp_shape shape = {.inputs = INPUTS, .outputs = OUTPUTS, .width = (uint32_t)s->policy_width,
                                 .layers = (uint32_t)s->policy_layers, .activation = EGG_ACTIVATION_PQN};
    egg_mlp policy;
    EGG_TRY(egg_mlp_open(&policy, &shape, &setting->kernels, error));
    egg_mlp_init_weights(&policy, 1, 1, 0);
    egg_mlp_pack(&policy, &setting->kernels);
    for (size_t i = 0; i < EGG_COUNT(steps); i++) EGG_TRY(measure(setting, &policy, steps[i], error));
out:
    egg_mlp_close(&policy);
    return status;
}
