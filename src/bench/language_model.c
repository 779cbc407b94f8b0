/* SPDX-License-Identifier: MIT */
#include "bench/language_model.h"

#include <math.h>

#include "base/memory.h"

/* ----------------------------------------------------------------------------------------------------------- shapes */

enum { WORLD_VOCABULARY = 65536, HEAD_SIZE = 64, WIDTH_1_5B = 2048, NARROW = 512 };

static egg_rwkv7_shape shape_of(uint32_t width, uint32_t layers)
{
    egg_rwkv7_shape shape = {.vocabulary = width < NARROW ? 16 * width : WORLD_VOCABULARY, .width = width,
                             .layers = layers, .head_size = width < HEAD_SIZE ? width : HEAD_SIZE, .hidden = 4 * width,
                             .w_rank = 64, .a_rank = 64, .v_rank = 32, .g_rank = 128};
    if (width >= WIDTH_1_5B) shape.w_rank = shape.a_rank = 96, shape.v_rank = 64, shape.g_rank = 256;
    return shape;
}

uint32_t egg_bench_rwkv7_shapes(const egg_bench_setting *setting, egg_rwkv7_shape shapes[EGG_BENCH_RWKV7_SHAPES])
{
    const egg_settings *s = setting->settings;
    shapes[0] = setting->one_size ? shape_of((uint32_t)s->width, (uint32_t)s->layers) : shape_of(768, 12);
    if (setting->one_size || !setting->kernels.device) return 1;
    shapes[1] = shape_of(WIDTH_1_5B, 24);
    return 2;
}

uint32_t egg_bench_pairs(const egg_bench_setting *setting)
{
    return (setting->population_named ? (uint32_t)setting->settings->population : EGG_BENCH_MEMBERS) / 2;
}

/* ---------------------------------------------------------------------------------------------------------- weights */

enum { PART_FLOATS = 1 << 20 };

/* Rows of a parameter: matrices of deviation 1/sqrt(in), vectors around one half, embeddings small. */
static void draw_rows(const egg_kernels *host, const egg_param *param, uint32_t first, uint32_t rows, float *W)
{
    const float deviation = param->kind == EGG_PARAM_MATRIX ? 1 / sqrtf((float)param->in) : 0.1f;
    const float mean = param->kind == EGG_PARAM_VECTOR ? 0.5f : 0;
    const size_t n = (size_t)rows * param->in;
    host->noise_f32(&(egg_noise_args){.key = egg_key_make(1, EGG_DOMAIN_INITIAL_WEIGHTS), .at = {.param = param->id},
                                      .first = (uint64_t)first * param->in, .n = n, .pairs = 1, .out = W,
                                      .out_stride = n});
    for (size_t i = 0; i < n; i++) W[i] = mean + deviation * W[i];
}

static egg_status fill_param(egg_rwkv7 *const *models, uint32_t count, uint32_t id, const egg_kernels *host,
                             const egg_kernels *kernels, float *W, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_param *param = &models[0]->params[id];
    const uint32_t most = PART_FLOATS / param->in / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
    for (uint32_t first = 0, rows; first < param->out; first += rows) {
        rows = param->out - first < most ? param->out - first : most;
        draw_rows(host, param, first, rows, W);
        for (uint32_t i = 0; i < count; i++)
            EGG_TRY(egg_param_store(&models[i]->params[id], kernels, first, rows, W, error));
    }
out:
    return status;
}

egg_status egg_bench_rwkv7_open(egg_rwkv7 **models, const egg_storage *storages, uint32_t count,
                                const egg_rwkv7_shape *shape, const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_kernels host;   /* draws what a device is sent */
    float *W = egg_alloc_array(PART_FLOATS, sizeof *W);
    if (!W) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
    egg_kernels_init(&host, setting->levels);
    for (uint32_t i = 0; i < count; i++) EGG_TRY(egg_rwkv7_open(&models[i], shape, NULL, error));
    for (uint32_t id = 0; id < models[0]->param_count; id++) {
        for (uint32_t i = 0; i < count; i++)
            EGG_TRY(egg_rwkv7_open_param(models[i], id, &setting->kernels, storages[i], true, error));
        EGG_TRY(fill_param(models, count, id, &host, &setting->kernels, W, error));
    }
    for (uint32_t i = 0; i < count; i++) egg_rwkv7_set_thaw(models[i], (egg_rwkv7_thaw){0});
out:
    egg_free(W);
    return status;
}

egg_status egg_bench_rwkv7_plan(egg_rwkv7 **model, egg_storage storage, const egg_rwkv7_shape *shape,
                                const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_rwkv7_open(model, shape, NULL, error));
    for (uint32_t id = 0; id < (*model)->param_count; id++)
        EGG_TRY(egg_rwkv7_open_param(*model, id, NULL, storage, true, error));
    egg_params_plan_for((*model)->params, (*model)->param_count, &setting->kernels);
    egg_rwkv7_set_thaw(*model, (egg_rwkv7_thaw){0});
out:
    return status;
}

/* ---------------------------------------------------------------------------------------------- the device's memory */

uint64_t egg_bench_device_free(const egg_bench_setting *setting)
{
    return setting->kernels.device ? setting->kernels.device->memory().free_bytes : 0;
}

egg_status egg_bench_device_check(const egg_bench_setting *setting, uint64_t needed, egg_error *error)
{
    const uint64_t left = egg_bench_device_free(setting);
    if (!setting->kernels.device || needed <= left) return EGG_OK;
    return egg_fail(error, EGG_ERR_NOMEM,
                    "the answers of %u members need %.1f MiB of the device's memory and %.1f MiB are free; "
                    "--population names fewer",
                    2 * egg_bench_pairs(setting), (double)needed / 0x1p20, (double)left / 0x1p20);
}

void egg_bench_report_memory(const egg_bench_setting *setting, const char *size, uint64_t free_before,
                             uint64_t planned)
{
    const double taken = (double)free_before - (double)egg_bench_device_free(setting);
    egg_report_value(&setting->report, size, "device memory", "MiB", taken / 0x1p20);
    egg_report_value(&setting->report, size, "device memory, planned", "MiB", (double)planned / 0x1p20);
    egg_report_value(&setting->report, size, "memory_vs_plan", "x", taken / (double)planned);
}
