/* SPDX-License-Identifier: MIT */
/*
 * Plain decoding on one thread with the weights held as float32, as bfloat16 and as int8, and what memory they take.
 * The model has the shapes of RWKV-7 0.1B with the World vocabulary, and random weights.
 */
#include <math.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "bench/bench.h"
#include "tasks/decode.h"

enum { STORAGES = 3, PART_FLOATS = 1 << 20 };

static const char *const storage_names[STORAGES] = {"f32", "bf16", "int8"};   /* in the order of egg_storage */

typedef struct decode_bench {
    egg_decoder *decoder;
    uint32_t rows, steps;
} decode_bench;

/* Rows of a parameter: matrices of deviation 1/sqrt(in), the rest about one half. */
static void draw_rows(const egg_param *param, uint32_t first, uint32_t rows, float *W)
{
    const bool matrix = param->kind == EGG_PARAM_MATRIX;
    const float deviation = matrix ? 1 / sqrtf((float)param->in) : 0.1f, mean = matrix ? 0 : 0.5f;
    const size_t n = (size_t)rows * param->in;
    const egg_noise_at at = {.param = param->id};
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_INITIAL_WEIGHTS), at, (uint64_t)first * param->in, n, W);
    for (size_t i = 0; i < n; i++) W[i] = mean + deviation * W[i];
}

static egg_status open_models(egg_rwkv7 *models[STORAGES], const egg_bench_setting *setting, float *W, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = setting->settings;
    const uint32_t width = setting->one_size ? (uint32_t)s->width : 768;
    const egg_rwkv7_shape shape = {.vocabulary = 65536, .width = width, .head_size = width < 64 ? width : 64,
                                   .layers = setting->one_size ? (uint32_t)s->layers : 12, .hidden = 4 * width,
                                   .w_rank = 64, .a_rank = 64, .v_rank = 32, .g_rank = 128};
    for (uint32_t i = 0; i < STORAGES; i++) EGG_TRY(egg_rwkv7_open(&models[i], &shape, NULL, error));
    for (uint32_t id = 0; id < models[0]->param_count; id++) {
        const egg_param *param = &models[0]->params[id];
        for (uint32_t i = 0; i < STORAGES; i++)
            EGG_TRY(egg_rwkv7_open_param(models[i], id, &setting->kernels, (egg_storage)i, true, error));
        const uint32_t most = PART_FLOATS / param->in / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
        for (uint32_t first = 0, rows; first < param->out; first += rows) {
            rows = param->out - first < most ? param->out - first : most;
            draw_rows(param, first, rows, W);
            for (uint32_t i = 0; i < STORAGES; i++)
                EGG_TRY(egg_param_store(&models[i]->params[id], &setting->kernels, first, rows, W, error));
        }
    }
out:
    return status;
}

/* Every sequence reads 'steps' tokens, one a step. */
static egg_status run(void *context, egg_error *error)
{
    decode_bench *bench = context;
    for (uint32_t step = 0; step < bench->steps; step++) {
        egg_decoder_step(bench->decoder, NULL, NULL);
        if (egg_decoder_failed(bench->decoder))
            return egg_fail(error, EGG_ERR_NOMEM, "decoding outgrew its scratch memory");
        for (uint32_t slot = 0; slot < bench->rows; slot++)
            egg_decoder_push(bench->decoder, slot, 1 + (slot * 7919 + step * 31) % 1000);
    }
    return EGG_OK;
}

static egg_status measure(const egg_bench_setting *setting, egg_rwkv7 *const models[STORAGES], uint32_t rows,
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
        benches[i] = (decode_bench){.rows = rows, .steps = steps};
        EGG_TRY(egg_decoder_open(&benches[i].decoder, models[i], &setting->kernels,
                                 &(egg_decoder_shape){.slots = rows, .rows = rows}, error));
        for (uint32_t slot = 0; slot < rows; slot++) egg_decoder_start(benches[i].decoder, slot, 0, &start, 1);
        contenders[i] = (egg_contender){.name = storage_names[i], .run = run, .context = &benches[i],
                                        .work = (double)rows * steps, .unit = "tokens/s"};
    }
    EGG_TRY(egg_contest(contenders, STORAGES, setting->repetitions, error));
    for (uint32_t i = 0; i < STORAGES; i++)
        egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    egg_report_ratio(&setting->report, size, "bf16_vs_f32", &contenders[1], &contenders[0], setting->repetitions);
    egg_report_ratio(&setting->report, size, "int8_vs_f32", &contenders[2], &contenders[0], setting->repetitions);
out:
    for (uint32_t i = 0; i < STORAGES; i++) egg_decoder_close(benches[i].decoder);
    return status;
}

egg_status egg_bench_decode(const egg_bench_setting *setting, egg_error *error)
{
    static const struct {
        uint32_t rows, steps;
    } sizes[] = {{1, 8}, {2, 4}, {4, 4}, {8, 2}, {16, 2}, {64, 1}};
    egg_status status = EGG_OK;
    egg_rwkv7 *models[STORAGES] = {0};
    float *W = egg_alloc_array(PART_FLOATS, sizeof *W);
    if (!W) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
    EGG_TRY(open_models(models, setting, W, error));
    for (uint32_t i = 0; i < STORAGES; i++)
        egg_report_value(&setting->report, "weights in memory", storage_names[i], "MiB",
                         (double)egg_rwkv7_bytes(models[i], &setting->kernels) / (1 << 20));
    for (size_t i = 0; i < EGG_COUNT(sizes); i++)
        EGG_TRY(measure(setting, models, sizes[i].rows, sizes[i].steps, error));
out:
    for (uint32_t i = 0; i < STORAGES; i++) egg_rwkv7_close(models[i]);
    egg_free(W);
    return status;
}
