/* SPDX-License-Identifier: MIT */
/*
 * Plain decoding with the weights held as float32, as bfloat16 and as int8, and what memory they take, on one thread
 * of the processor or on a device; there also a population that decodes, against plain decoding of the same rows. The
 * models have the shapes of published ones with the World vocabulary, and random weights.
 */
#include <stdio.h>

#include "base/compiler.h"
#include "bench/calls.h"
#include "bench/language_model.h"
#include "nn/bank.h"
#include "tasks/decode.h"

enum { STORAGES = 3 };

static const char *const storage_names[STORAGES] = {"f32", "bf16", "int8"};   /* in the order of egg_storage */

typedef struct decode_bench {
    egg_decoder *decoder;
    const egg_bank *bank;        /* NULL: unperturbed */
    uint32_t rows, steps, vocabulary;
} decode_bench;

/* Every sequence reads 'steps' tokens, one a step. */
static egg_status run(void *context, egg_error *error)
{
    decode_bench *bench = context;
    const uint32_t words = bench->vocabulary - 1 < 1000 ? bench->vocabulary - 1 : 1000;
    for (uint32_t step = 0; step < bench->steps; step++) {
        egg_decoder_step(bench->decoder, bench->bank, NULL);
        if (egg_decoder_failed(bench->decoder))
            return egg_fail(error, EGG_ERR_NOMEM, "decoding outgrew its scratch memory");
        for (uint32_t slot = 0; slot < bench->rows; slot++)
            egg_decoder_push(bench->decoder, slot, 1 + (slot * 7919 + step * 31) % words);
    }
    return EGG_OK;
}

/* A device has merely been asked when run() returns, and is timed by its own clock. */
static egg_contender contender_of(const egg_bench_setting *setting, const char *name, decode_bench *bench)
{
    return (egg_contender){.name = name, .run = run, .context = bench, .work = (double)bench->rows * bench->steps,
                           .unit = "tokens/s", .stopwatch = egg_bench_stopwatch(&setting->kernels)};
}

/* ----------------------------------------------------------------------------------------------- weights by storage */

static egg_status measure_storages(const egg_bench_setting *setting, egg_rwkv7 *const models[STORAGES], uint32_t rows,
                                   uint32_t steps, egg_error *error)
{
    static const uint32_t start = 1;
    egg_status status = EGG_OK;
    decode_bench benches[STORAGES] = {{0}};
    egg_contender contenders[STORAGES];
    char size[64];
    const egg_rwkv7_shape *shape = &models[0]->shape;
    snprintf(size, sizeof size, "RWKV-7 %ux%u, %u text%s", shape->layers, shape->width, rows, rows > 1 ? "s" : "");
    for (uint32_t i = 0; i < STORAGES; i++) {
        benches[i] = (decode_bench){.rows = rows, .steps = steps, .vocabulary = shape->vocabulary};
        EGG_TRY(egg_decoder_open(&benches[i].decoder, models[i], &setting->kernels,
                                 &(egg_decoder_shape){.slots = rows, .rows = rows}, error));
        for (uint32_t slot = 0; slot < rows; slot++) egg_decoder_start(benches[i].decoder, slot, 0, &start, 1);
        contenders[i] = contender_of(setting, storage_names[i], &benches[i]);
    }
    EGG_TRY(egg_contest(contenders, STORAGES, setting->repetitions, error));
    EGG_TRY(egg_device_wait(setting->kernels.device, error));
    for (uint32_t i = 0; i < STORAGES; i++)
        egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    egg_report_ratio(&setting->report, size, "bf16_vs_f32", &contenders[1], &contenders[0], setting->repetitions);
    egg_report_ratio(&setting->report, size, "int8_vs_f32", &contenders[2], &contenders[0], setting->repetitions);
out:
    for (uint32_t i = 0; i < STORAGES; i++) egg_decoder_close(benches[i].decoder);
    return status;
}

static egg_status bench_storages(const egg_bench_setting *setting, const egg_rwkv7_shape *shape, egg_error *error)
{
    static const struct {
        uint32_t rows, steps;
    } sizes[] = {{1, 8}, {2, 4}, {4, 4}, {8, 2}, {16, 2}, {64, 1}};   /* steps that a processor has time for */
    static const egg_storage storages[STORAGES] = {EGG_STORAGE_F32, EGG_STORAGE_BF16, EGG_STORAGE_Q8};
    const bool device = setting->kernels.device;
    egg_status status = EGG_OK;
    egg_rwkv7 *models[STORAGES] = {0};
    char size[64] = "weights in memory";
    if (device)
        snprintf(size, sizeof size, "RWKV-7 %ux%u, weights in the device's memory", shape->layers, shape->width);
    EGG_TRY(egg_bench_rwkv7_open(models, storages, STORAGES, shape, setting, error));
    for (uint32_t i = 0; i < STORAGES; i++) {
        const uint64_t bytes = device ? egg_rwkv7_device_bytes(models[i], &setting->kernels)
                                      : egg_rwkv7_bytes(models[i], &setting->kernels);
        egg_report_value(&setting->report, size, storage_names[i], "MiB", (double)bytes / (1 << 20));
    }
    for (size_t i = 0; i < EGG_COUNT(sizes); i++) {
        if (device && sizes[i].rows > 2 * egg_bench_pairs(setting) * EGG_BENCH_PROMPTS) break;
        EGG_TRY(measure_storages(setting, models, sizes[i].rows,
                                 device ? (uint32_t)setting->settings->seq_len : sizes[i].steps, error));
    }
out:
    for (uint32_t i = 0; i < STORAGES; i++) egg_rwkv7_close(models[i]);
    return status;
}

/* ------------------------------------------------------------------------------------- a population, rows by member */

static egg_decoder_shape decoder_of(const egg_bench_setting *setting, uint32_t pairs)
{
    const uint32_t rows = 2 * pairs * EGG_BENCH_PROMPTS;
    return (egg_decoder_shape){.slots = rows, .rows = rows, .rank = (uint32_t)setting->settings->rank};
}

/* Of the device's memory: weights, decoder and noise. */
static uint64_t planned_bytes(const egg_bench_setting *setting, const egg_rwkv7 *model, uint32_t pairs)
{
    const egg_decoder_shape shape = decoder_of(setting, pairs);
    return egg_rwkv7_device_bytes(model, &setting->kernels) + egg_decoder_bytes(model, &shape).device +
           egg_bank_bytes(model->params, model->param_count, pairs, shape.rank, false).device;
}

/* Before anything is measured. */
static egg_status check_population(const egg_bench_setting *setting, const egg_rwkv7_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    EGG_TRY(egg_bench_rwkv7_plan(&model, EGG_STORAGE_BF16, shape, setting, error));
    EGG_TRY(egg_bench_device_check(setting, planned_bytes(setting, model, egg_bench_pairs(setting)), error));
out:
    egg_rwkv7_close(model);
    return status;
}

/* Both contenders have the same decoder, whose states are most of the memory. */
static egg_status measure_population(const egg_bench_setting *setting, egg_rwkv7 *model, uint32_t pairs,
                                     uint64_t free_before, egg_error *error)
{
    enum { POPULATION, PLAIN, CONTENDERS };
    static const uint32_t start = 1;
    egg_status status = EGG_OK;
    const egg_kernels *kernels = &setting->kernels;
    const egg_decoder_shape shape = decoder_of(setting, pairs);
    const egg_perturb law = egg_perturb_f32(1, 0, shape.rank, 1e-3f);
    egg_bank bank = {0};
    egg_decoder *decoder = NULL;
    char size[64];
    snprintf(size, sizeof size, "RWKV-7 %ux%u bf16, %ux%u texts", model->shape.layers, model->shape.width, 2 * pairs,
             EGG_BENCH_PROMPTS);
    EGG_TRY(egg_decoder_open(&decoder, model, kernels, &shape, error));
    EGG_TRY(egg_bank_open(&bank, model->params, model->param_count, pairs, shape.rank, false, error));
    for (uint32_t pair = 0; pair < pairs; pair++) egg_bank_draw(&bank, kernels, &law, pair, pair, false);
    egg_bank_flush(&bank, kernels);
    for (uint32_t slot = 0; slot < shape.slots; slot++)
        egg_decoder_start(decoder, slot, slot / EGG_BENCH_PROMPTS, &start, 1);
    decode_bench perturbed = {.decoder = decoder, .bank = &bank, .rows = shape.rows,
                              .steps = (uint32_t)setting->settings->seq_len, .vocabulary = model->shape.vocabulary},
                 plain = perturbed;
    plain.bank = NULL;
    egg_contender contenders[CONTENDERS] = {[POPULATION] = contender_of(setting, "population", &perturbed),
                                            [PLAIN] = contender_of(setting, "plain, one shared model", &plain)};
    EGG_TRY(egg_contest(contenders, CONTENDERS, setting->repetitions, error));
    EGG_TRY(egg_device_wait(kernels->device, error));
    for (int i = 0; i < CONTENDERS; i++)
        egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    egg_report_ratio(&setting->report, size, "population_vs_plain", &contenders[POPULATION], &contenders[PLAIN],
                     setting->repetitions);
    egg_bench_report_memory(setting, size, free_before, planned_bytes(setting, model, pairs));
out:
    egg_bank_close(&bank);
    egg_decoder_close(decoder);
    return status;
}

/* Few members, whose noise is read for few rows, and all of them. */
static egg_status bench_population(const egg_bench_setting *setting, const egg_rwkv7_shape *shape, egg_error *error)
{
    enum { FEW_PAIRS = 8 };
    static const egg_storage storage = EGG_STORAGE_BF16;
    const uint64_t free_before = egg_bench_device_free(setting);
    const uint32_t pairs = egg_bench_pairs(setting);
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    EGG_TRY(egg_bench_rwkv7_open(&model, &storage, 1, shape, setting, error));
    if (pairs > FEW_PAIRS) EGG_TRY(measure_population(setting, model, FEW_PAIRS, free_before, error));
    EGG_TRY(measure_population(setting, model, pairs, free_before, error));
out:
    egg_rwkv7_close(model);
    return status;
}

egg_status egg_bench_decode(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7_shape shapes[EGG_BENCH_RWKV7_SHAPES];
    const uint32_t count = egg_bench_rwkv7_shapes(setting, shapes);
    for (uint32_t i = 0; i < count; i++) {
        if (setting->kernels.device) EGG_TRY(check_population(setting, &shapes[i], error));
        EGG_TRY(bench_storages(setting, &shapes[i], error));
        if (setting->kernels.device) EGG_TRY(bench_population(setting, &shapes[i], error));
    }
out:
    return status;
}
