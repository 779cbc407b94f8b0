/* SPDX-License-Identifier: MIT */
/*
 * Single kernels of a device, by its own clock, each against what bounds it in the same run: products against
 * multiply-adds on registers alone, the rest against an elementwise sum, which does nothing but move memory.
 *
 * int8 kernels have the shapes of the paper's model, float32 ones those of RWKV-7 1.5B while it decodes 1536 answers.
 */
#include <stdio.h>

#include "base/compiler.h"
#include "bench/calls.h"
#include "es/device_memory.h"

typedef struct device_bench {
    const egg_bench_setting *setting;
    const egg_kernels *kernels;
    uint32_t members, steps, n, terms;   /* of the int8 model, and pairs of an update's call */
    uint32_t rows, width;                /* of the float32 model */
    uint32_t rounds;                     /* of a peak */
    void *a, *b, *c, *d, *weights;       /* (bytes) each: two inputs, scratch, a result */
    size_t bytes;
} device_bench;

/* ----------------------------------------------------------------------------------------------------------- bounds */

enum { BOUND_BY_I8, BOUND_BY_F32, BOUND_BY_BF16, BOUND_BY_MEMORY, BOUNDS };

static void run_peak_i8(const egg_kernels *kernels, const void *args)
{
    kernels->peak_i8(((const device_bench *)args)->rounds);
}

static void run_peak_f32(const egg_kernels *kernels, const void *args)
{
    kernels->peak_f32(((const device_bench *)args)->rounds);
}

static void run_peak_bf16(const egg_kernels *kernels, const void *args)
{
    kernels->peak_bf16(((const device_bench *)args)->rounds);
}

static void run_stream(const egg_kernels *kernels, const void *args)
{
    const device_bench *bench = args;
    kernels->add_f32(bench->d, bench->a, bench->bytes / sizeof(float));
}

/* The contender that a kernel is measured against. */
static egg_contender bound_of(const device_bench *bench, int bound, egg_call *call)
{
    const egg_kernels *k = bench->kernels;
    egg_contender contender = {.stopwatch = egg_bench_stopwatch(k), .unit = "GMAC/s"};
    *call = (egg_call){.kernels = k, .args = bench};
    if (bound == BOUND_BY_I8) {
        call->run = run_peak_i8;
        contender.work = 1e-9 * (double)k->peak_i8(bench->rounds);
    } else if (bound == BOUND_BY_F32) {
        call->run = run_peak_f32;
        contender.work = 1e-9 * (double)k->peak_f32(bench->rounds);
    } else if (bound == BOUND_BY_BF16) {
        call->run = run_peak_bf16;
        contender.work = 1e-9 * (double)k->peak_bf16(bench->rounds);
    } else {
        call->run = run_stream;
        contender.work = 3e-9 * (double)bench->bytes;
        contender.unit = "GB/s";
    }
    return contender;
}

/* ------------------------------------------------------------------------------------------------------ measurement */

typedef struct device_row {
    const char *slot;
    char size[64];
    egg_call_fn *run;
    const void *args;
    int bound;
    double work;               /* multiply-adds or, bounded by memory, bytes of one call */
} device_row;

static egg_status measure(const device_bench *bench, const device_row *row, egg_error *error)
{
    static const char *const bounds[BOUNDS] = {"peak_i8", "peak_f32", "peak_bf16", "the memory's rate"};
    egg_status status = EGG_OK;
    const egg_bench_setting *setting = bench->setting;
    egg_call calls[2];
    egg_contender contenders[2];
    char ratio[64];
    contenders[0] = bound_of(bench, row->bound, &calls[0]);
    contenders[1] = (egg_contender){.name = row->slot, .work = 1e-9 * row->work, .unit = contenders[0].unit,
                                    .stopwatch = contenders[0].stopwatch};
    calls[1] = (egg_call){.kernels = bench->kernels, .args = row->args, .run = row->run};
    for (size_t i = 0; i < 2; i++) egg_call_calibrate(&contenders[i], &calls[i]);
    EGG_TRY(egg_contest(contenders, 2, setting->repetitions, error));
    EGG_TRY(egg_device_wait(bench->kernels->device, error));
    egg_report_rate(&setting->report, row->size, &contenders[1], setting->repetitions);
    snprintf(ratio, sizeof ratio, "%s of %s", row->slot, bounds[row->bound]);
    egg_report_ratio(&setting->report, row->size, ratio, &contenders[1], &contenders[0], setting->repetitions);
out:
    return status;
}

/* Kernels that memory bounds, over 'rows' rows of n elements. */
static egg_status measure_moves(const device_bench *bench, device_row *list, size_t count, uint32_t rows, uint32_t n,
                                egg_error *error)
{
    egg_status status = EGG_OK;
    for (size_t i = 0; i < count; i++) {
        snprintf(list[i].size, sizeof list[i].size, "%ux%u", rows, n);
        list[i].bound = BOUND_BY_MEMORY;
        EGG_TRY(measure(bench, &list[i], error));
    }
out:
    return status;
}

static egg_status report_bounds(const device_bench *bench, egg_error *error)
{
    static const char *const names[BOUNDS] = {"peak_i8, registers only", "peak_f32, registers only",
                                               "peak_bf16, registers only", "add_f32, memory"};
    egg_status status = EGG_OK;
    const egg_bench_setting *setting = bench->setting;
    for (int bound = 0; bound < BOUNDS; bound++) {
        egg_call call;
        egg_contender contender = bound_of(bench, bound, &call);
        contender.name = names[bound];
        egg_call_calibrate(&contender, &call);
        EGG_TRY(egg_contest(&contender, 1, setting->repetitions, error));
        egg_report_rate(&setting->report, "bounds", &contender, setting->repetitions);
    }
out:
    return status;
}

#define RUN(slot, type)                                                      \
    static void run_##slot(const egg_kernels *kernels, const void *args)     \
    {                                                                        \
        kernels->slot((const type *)args);                                   \
    }

RUN(noise_i8, egg_noise_args)
RUN(noise_f32, egg_noise_args)
RUN(shrink_i8, egg_shrink_args)
RUN(shrink_f32, egg_shrink_args)
RUN(linear_i8, egg_linear_args)
RUN(linear_f32, egg_linear_args)
RUN(linear_bf16, egg_linear_args)
RUN(linear_q8, egg_linear_args)
RUN(embed_i8, egg_embed_args)
RUN(layer_norm_i8, egg_layer_norm_args)
RUN(layer_norm_f32, egg_layer_norm_args)
RUN(gru_sequence_i8, egg_gru_sequence_args)
RUN(loss_i8, egg_loss_args)
RUN(outer_i8, egg_outer_args)
RUN(outer_f32, egg_outer_f32_args)
RUN(optimize_f32, egg_optimize_args)

#undef RUN

/* noise_i8 and noise_f32 fill a buffer with values as they occur. */
static void fill(const device_bench *bench, egg_noise_fn *noise, uint32_t stream, size_t element_bytes, void *buffer)
{
    noise(&(egg_noise_args){.key = egg_key_make(1, EGG_DOMAIN_SAMPLING), .at = {.param = stream},
                            .n = bench->bytes / element_bytes, .pairs = 1, .out = buffer,
                            .out_stride = bench->bytes / element_bytes});
}

/* ----------------------------------------------------------------------------------------------------- int8 kernels */

/* Shrinking and the product, in one where the device can. */
typedef struct whole_product {
    egg_shrink_args shrink;
    egg_linear_args linear;
} whole_product;

static void run_whole_product(const egg_kernels *kernels, const void *args)
{
    const whole_product *whole = args;
    kernels->perturbed_i8(&whole->shrink, &whole->linear);
}

/* 'row': that of the product alone. */
static egg_status measure_whole_product(const device_bench *bench, device_row row, const egg_linear_args *linear,
                                        egg_error *error)
{
    const whole_product whole = {
        .linear = *linear,
        .shrink = {.X = linear->X, .x_stride = linear->x_stride, .B = bench->b, .t = bench->c, .rows = linear->rows,
                   .steps = linear->steps, .in = linear->in, .rank = linear->rank, .scale = 256},
    };
    row.slot = "shrink and linear_i8, rank 1";
    row.run = run_whole_product;
    row.args = &whole;
    return measure(bench, &row, error);
}

/* Of every row of the population, perturbed, or plain with rank 0. The shrunk rows are in 'c'. */
static egg_status measure_linear_i8(const device_bench *bench, uint32_t out, uint32_t in, uint32_t rank,
                                    egg_error *error)
{
    const uint32_t rows = bench->members * bench->steps;
    egg_status status = EGG_OK;
    const egg_linear_args args = {.X = bench->a, .x_stride = in, .W = bench->weights, .A = rank ? bench->b : NULL,
                                  .t = bench->c, .Y = bench->d, .y_stride = out, .rows = rows, .steps = bench->steps,
                                  .out = out, .in = in, .rank = rank, .shift = 8, .noise_shift = 8};
    device_row row = {.slot = rank ? "linear_i8, rank 1" : "linear_i8, plain", .run = run_linear_i8, .args = &args,
                      .bound = BOUND_BY_I8, .work = (double)rows * out * in};
    bench->kernels->pack_i8(bench->b, out, in, bench->weights);
    snprintf(row.size, sizeof row.size, "%ux%ux%u", rows, out, in);
    EGG_TRY(measure(bench, &row, error));
    if (rank && bench->kernels->perturbed_i8) EGG_TRY(measure_whole_product(bench, row, &args, error));
out:
    return status;
}

static egg_status measure_products_i8(const device_bench *bench, egg_error *error)
{
    egg_status status = EGG_OK;
    const uint32_t n = bench->n, shapes[][2] = {{n, n}, {4 * n, n}, {n, 4 * n}};
    for (size_t i = 0; i < EGG_COUNT(shapes); i++)
        for (uint32_t rank = 0; rank < 2; rank++)
            EGG_TRY(measure_linear_i8(bench, shapes[i][0], shapes[i][1], rank, error));
out:
    return status;
}

/* Writes over 'c'. */
static egg_status measure_gru(const device_bench *bench, egg_error *error)
{
    const uint32_t n = bench->n;
    const int8_t *noise = bench->b;
    const egg_gru_sequence_args args = {
        .gate_in = bench->a, .blend_in = bench->a, .in_stride = n, .tokens = bench->b, .Uf = bench->weights,
        .Uh = bench->weights, .Uf_A = noise, .Uf_B = noise, .Uh_A = noise, .Uh_B = noise, .bf = noise, .bh = noise,
        .state = bench->c, .state_stride = n, .Y = bench->d, .y_stride = n, .members = bench->members,
        .steps = bench->steps, .n = n, .rank = 1, .scale = 256, .shift = 8, .noise_shift = 8,
    };
    device_row row = {.slot = "gru_sequence_i8, rank 1", .run = run_gru_sequence_i8, .args = &args,
                      .bound = BOUND_BY_I8, .work = 2.0 * bench->members * bench->steps * n * n};
    bench->kernels->pack_i8(bench->b, n, n, bench->weights);
    snprintf(row.size, sizeof row.size, "%u members, %u steps, %u", bench->members, bench->steps, n);
    return bench->kernels->gru_sequence_i8 ? measure(bench, &row, error) : EGG_OK;
}

static egg_status measure_outer_i8(const device_bench *bench, egg_error *error)
{
    const uint32_t n = bench->n;
    const egg_outer_args args = {.A = bench->a, .B = bench->b, .Z = bench->d, .count = bench->terms, .m = n, .n = n,
                                 .scratch = bench->c};
    device_row row = {.slot = "outer_i8", .run = run_outer_i8, .args = &args, .bound = BOUND_BY_I8,
                      .work = (double)n * n * bench->terms};
    snprintf(row.size, sizeof row.size, "%ux%u, %u pairs", n, n, bench->terms);
    return measure(bench, &row, error);
}

static egg_status measure_rows_i8(const device_bench *bench, egg_error *error)
{
    const uint32_t n = bench->n, rows = bench->members * bench->steps, steps = bench->steps;
    const double cells = (double)rows * n;
    const egg_shrink_args shrink = {.X = bench->a, .x_stride = n, .B = bench->b, .t = bench->c, .rows = rows,
                                    .steps = steps, .in = n, .rank = 1, .scale = 256};
    const egg_embed_args embed = {.W = bench->b, .tokens = bench->a, .A = bench->b, .B = bench->b, .Y = bench->d,
                                  .rows = rows, .steps = steps, .vocabulary = 256, .n = n, .rank = 1, .scale = 256,
                                  .noise_shift = 8};
    const egg_layer_norm_args norm = {.X = bench->a, .x_stride = n, .w = bench->b, .Y = bench->d, .y_stride = n,
                                      .rows = rows, .steps = steps, .n = n};
    const egg_loss_args loss = {.logits = bench->a, .stride = 256, .targets = bench->b, .loss = bench->d,
                                .rows = (uint32_t)(cells / 256)};
    const egg_noise_args noise = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = n, .pairs = rows,
                                  .out = bench->d, .out_stride = n};
    device_row list[] = {
        {.slot = "noise_i8", .run = run_noise_i8, .args = &noise, .work = cells},
        {.slot = "embed_i8", .run = run_embed_i8, .args = &embed, .work = cells},
        {.slot = "layer_norm_i8", .run = run_layer_norm_i8, .args = &norm, .work = 2 * cells},
        {.slot = "loss_i8", .run = run_loss_i8, .args = &loss, .work = cells},
        {.slot = "shrink_i8", .run = run_shrink_i8, .args = &shrink, .work = cells},   /* leaves what products read */
    };
    return measure_moves(bench, list, EGG_COUNT(list), rows, n, error);
}

static egg_status measure_i8(device_bench *bench, egg_error *error)
{
    egg_status status = EGG_OK;
    fill(bench, bench->kernels->noise_i8, 0, 1, bench->a);
    fill(bench, bench->kernels->noise_i8, 1, 1, bench->b);
    EGG_TRY(measure_rows_i8(bench, error));
    EGG_TRY(measure_products_i8(bench, error));
    EGG_TRY(measure_gru(bench, error));
    EGG_TRY(measure_outer_i8(bench, error));
out:
    return status;
}

/* -------------------------------------------------------------------------------------------------- float32 kernels */

/*
 * A member a row, as decoding has it; the weights are packed from 'b'. Held weights are multiplied on tensor cores,
 * three times where activations are not 'rounded': of their peak it can then be a third.
 */
static egg_status measure_linear(const device_bench *bench, egg_storage storage, bool rounded, uint32_t rows,
                                 uint32_t out, egg_error *error)
{
    static const char *const names[][2] = {{"linear_f32, rank 1", NULL},
                                           {"linear_bf16, rank 1", "linear_bf16, rounded"},
                                           {"linear_q8, rank 1", "linear_q8, rounded"}};
    egg_call_fn *const runs[] = {run_linear_f32, run_linear_bf16, run_linear_q8};
    egg_pack_fn *const packs[] = {bench->kernels->pack_f32, bench->kernels->pack_bf16, bench->kernels->pack_q8};
    const egg_linear_args args = {.X = bench->a, .x_stride = bench->width, .W = bench->weights, .A = bench->b,
                                  .t = bench->b, .Y = bench->d, .y_stride = out, .rows = rows, .steps = 1, .out = out,
                                  .in = bench->width, .rank = 1, .bf16_activations = rounded};
    device_row row = {.slot = names[storage][rounded], .run = runs[storage], .args = &args,
                      .bound = storage == EGG_STORAGE_F32 ? BOUND_BY_F32 : BOUND_BY_BF16,
                      .work = (double)rows * out * bench->width};
    packs[storage](bench->b, out, bench->width, bench->weights);
    snprintf(row.size, sizeof row.size, "%ux%ux%u", rows, out, bench->width);
    return measure(bench, &row, error);
}

static egg_status measure_products_f32(const device_bench *bench, egg_error *error)
{
    egg_status status = EGG_OK;
    const uint32_t few = 16, w = bench->width, shapes[][2] = {{bench->rows, w}, {bench->rows, 4 * w}, {few, 4 * w}};
    for (size_t i = 0; i < EGG_COUNT(shapes); i++)
        for (int storage = EGG_STORAGE_F32; storage <= EGG_STORAGE_Q8; storage++)
            for (int rounded = 0; rounded <= (storage != EGG_STORAGE_F32); rounded++)
                EGG_TRY(measure_linear(bench, (egg_storage)storage, rounded, shapes[i][0], shapes[i][1], error));
out:
    return status;
}

static egg_status measure_outer_f32(const device_bench *bench, egg_error *error)
{
    const uint32_t w = bench->width, count = bench->rows;
    const egg_outer_f32_args args = {.A = bench->a, .B = bench->b, .Z = bench->d, .count = count, .m = w, .n = w};
    device_row row = {.slot = "outer_f32", .run = run_outer_f32, .args = &args, .bound = BOUND_BY_F32,
                      .work = (double)w * w * count};
    snprintf(row.size, sizeof row.size, "%ux%u, %u pairs", w, w, count);
    return measure(bench, &row, error);
}

static egg_status measure_rows_f32(const device_bench *bench, egg_error *error)
{
    egg_status status = EGG_OK;
    const uint32_t w = bench->width, rows = bench->rows;
    const size_t weights = (size_t)w * w;
    const double bytes = (double)sizeof(float) * rows * w;
    const egg_noise_args noise = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = w, .pairs = rows,
                                  .out = bench->d, .out_stride = w};
    const egg_shrink_args shrink = {.X = bench->a, .x_stride = w, .B = bench->b, .t = bench->d, .rows = rows,
                                    .steps = 1, .in = w, .rank = 1, .c = 1e-3f};
    const egg_layer_norm_args norm = {.X = bench->a, .x_stride = w, .Y = bench->d, .y_stride = w, .rows = rows,
                                      .steps = 1, .n = w, .epsilon = 1e-5f};
    const egg_optimize_args adam = {.kind = EGG_OPTIMIZER_ADAM, .G = bench->a, .W = bench->d, .m = bench->c,
                                    .v = (float *)bench->c + weights, .n = weights, .lr = 1e-6f, .scale = 1,
                                    .decay = 1, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f, .correction = 1};
    device_row list[] = {
        {.slot = "noise_f32", .run = run_noise_f32, .args = &noise, .work = bytes},
        {.slot = "shrink_f32", .run = run_shrink_f32, .args = &shrink, .work = 1.5 * bytes},
        {.slot = "layer_norm_f32", .run = run_layer_norm_f32, .args = &norm, .work = 2 * bytes},
    };
    device_row step = {.slot = "optimize_f32, adam", .run = run_optimize_f32, .args = &adam,
                       .work = 7.0 * sizeof(float) * (double)weights};
    EGG_TRY(measure_moves(bench, list, EGG_COUNT(list), rows, w, error));
    EGG_TRY(measure_moves(bench, &step, 1, w, w, error));
out:
    return status;
}

static egg_status measure_f32(device_bench *bench, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_kernels *k = bench->kernels;
    fill(bench, k->noise_f32, 0, sizeof(float), bench->a);
    fill(bench, k->noise_f32, 1, sizeof(float), bench->b);
    k->device->fill(bench->c, 0, bench->bytes);
    EGG_TRY(measure_rows_f32(bench, error));
    EGG_TRY(measure_products_f32(bench, error));
    EGG_TRY(measure_outer_f32(bench, error));
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ suite */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What the largest operand takes. */
static size_t bytes_of(const device_bench *bench)
{
    const size_t cells = (size_t)bench->members * bench->steps * bench->n, n = bench->n, w = bench->width;
    size_t bytes = larger(4 * cells, EGG_OUTER_SCRATCH(n, n, bench->terms));
    bytes = larger(bytes, larger((size_t)bench->members * bench->steps, n * n) * sizeof(int32_t));
    bytes = larger(bytes, 4 * (size_t)larger(bench->rows, w) * w * sizeof(float));
    return (bytes + 255) / 256 * 256;
}

/* The paper's model and 1.5B, or small shapes of the width that --width names. */
static device_bench shapes_of(const egg_bench_setting *setting)
{
    const bool one = setting->one_size;
    const uint32_t width = (uint32_t)setting->settings->width;
    device_bench bench = {.setting = setting, .kernels = &setting->kernels, .members = one ? 64 : 8192,
                          .steps = one ? 4 : 100, .n = one ? width : 256, .terms = one ? 128 : 1 << 14,
                          .rounds = one ? 16 : 4096,
                          .rows = one ? 64 : 1536, .width = one ? width : 2048};
    bench.bytes = bytes_of(&bench);
    return bench;
}

egg_status egg_bench_kernels_device(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    device_bench bench = shapes_of(setting);
    void **const buffers[] = {&bench.a, &bench.b, &bench.c, &bench.d, &bench.weights};
    const egg_device *device = setting->kernels.device;
    for (size_t i = 0; i < EGG_COUNT(buffers); i++)
        if (!(*buffers[i] = device->take(bench.bytes)))
            status = egg_fail(error, EGG_ERR_NOMEM, "no memory on %s for a benchmark", device->name);
    EGG_TRY(status);
    EGG_TRY(report_bounds(&bench, error));
    EGG_TRY(measure_i8(&bench, error));
    EGG_TRY(measure_f32(&bench, error));
out:
    for (size_t i = 0; i < EGG_COUNT(buffers); i++) device->give(*buffers[i]);
    return status;
}
