/* SPDX-License-Identifier: MIT */
/*
 * What a population costs beside plain inference, in one linear layer whose rows are a member each (the paper's own
 * measurement: 8192 x 8192, bf16): with the factors stored, with the factors drawn when they are needed, and with dense
 * noise as other evolution strategies have it, drawn in turn, since nothing could store it.
 *
 * Once through the kernel table, whose activations are float32, and on a device again with everything in bf16 on tensor
 * cores, where factors are drawn inside of the product. A device is timed by its own clock.
 */
#include <math.h>
#include <stdio.h>

#include "base/compiler.h"
#include "bench/calls.h"
#include "es/device_memory.h"
#include "kernels/cuda/cuda_level.h"
#include "kernels/cuda/tensor.h"

enum { PLAIN, STORED, DRAWN, DENSE, PEER, WAYS };   /* PEER: plain inference by the vendor's library */

typedef struct linear_bench {
    const egg_kernels *kernels;
    uint32_t rows, pairs, n;          /* n: inputs and outputs */
    float *X, *Y, *t, *A, *B, *E;     /* (rows, n), (rows, n), (rows), (pairs, n), (pairs, n), (n, n) */
    void *W;                          /* packed */
    egg_tensor_args tensor;           /* without noise */
} linear_bench;

/* One contender. */
typedef struct linear_way {
    const linear_bench *bench;
    void (*run)(const linear_bench *bench, int way);
    int way;
} linear_way;

static const float SIGMA = 0.01f;

/* ----------------------------------------------------------------------------------------------------------- memory */

/* The noise of parameter 'param', one stream a pair. */
static void draw(const linear_bench *bench, uint32_t param, egg_side side, uint32_t first, uint32_t pairs, size_t n,
                 float *out)
{
    bench->kernels->noise_f32(&(egg_noise_args){.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION),
                                                .at = {.param = param, .side = side, .pair = first}, .n = n,
                                                .pairs = pairs, .out = out, .out_stride = n});
}

/* In bf16, on the device. */
static uint16_t *rounded(const linear_bench *bench, const float *from, size_t n)
{
    uint16_t *to = egg_device_alloc(bench->kernels->device, n * sizeof *to);
    if (to) egg_cuda_tensor_round(from, n, to);
    return to;
}

enum { LAYER = 1, INPUTS, WEIGHTS };   /* parameters, as streams of noise go */

static bool open_tensor(linear_bench *bench)
{
    const size_t cells = (size_t)bench->rows * bench->n, factors = (size_t)bench->pairs * bench->n;
    bench->tensor = (egg_tensor_args){
        .X = rounded(bench, bench->X, cells), .W = rounded(bench, bench->E, (size_t)bench->n * bench->n),
        .Y = egg_device_alloc(bench->kernels->device, cells * sizeof(uint16_t)), .A = rounded(bench, bench->A, factors),
        .B = rounded(bench, bench->B, factors), .key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .param = LAYER,
        .t = bench->t, .c = SIGMA, .rows = bench->rows, .out = bench->n, .in = bench->n, .rank = 1,
    };
    const egg_tensor_args *t = &bench->tensor;
    return t->X && t->W && t->Y && t->A && t->B;
}

static bool open_bench(linear_bench *bench, const egg_kernels *kernels, uint32_t rows, uint32_t n)
{
    const size_t cells = (size_t)rows * n * sizeof(float), weights = (size_t)n * n * sizeof(float);
    *bench = (linear_bench){.kernels = kernels, .rows = rows, .pairs = (rows + 1) / 2, .n = n};
    const size_t factors = (size_t)bench->pairs * n * sizeof(float);
    bench->X = egg_device_alloc(kernels->device, cells);
    bench->Y = egg_device_alloc(kernels->device, cells);
    bench->t = egg_device_alloc(kernels->device, rows * sizeof(float));
    bench->A = egg_device_alloc(kernels->device, factors);
    bench->B = egg_device_alloc(kernels->device, factors);
    bench->E = egg_device_alloc(kernels->device, weights);
    bench->W = egg_device_alloc(kernels->device, kernels->packed_bytes_bf16(n, n));
    if (!bench->X || !bench->Y || !bench->t || !bench->A || !bench->B || !bench->E || !bench->W) return false;
    draw(bench, INPUTS, EGG_A, 0, 1, (size_t)rows * n, bench->X);
    draw(bench, WEIGHTS, EGG_A, 0, 1, (size_t)n * n, bench->E);
    draw(bench, LAYER, EGG_A, 0, bench->pairs, n, bench->A);
    draw(bench, LAYER, EGG_B, 0, bench->pairs, n, bench->B);
    kernels->pack_bf16(bench->E, n, n, bench->W);
    return !kernels->device || open_tensor(bench);
}

static void close_bench(linear_bench *bench)
{
    const egg_tensor_args *t = &bench->tensor;
    void *const taken[] = {bench->X, bench->Y, bench->t, bench->A, bench->B, bench->E, bench->W,
                           (void *)t->X, (void *)t->W, t->Y, (void *)t->A, (void *)t->B};
    for (size_t i = 0; bench->kernels && i < EGG_COUNT(taken); i++) egg_device_free(bench->kernels->device, taken[i]);
}

/* ------------------------------------------------------------------------------------------------------------- ways */

static void multiply(const linear_bench *bench, const float *A)
{
    bench->kernels->linear_bf16(&(egg_linear_args){.X = bench->X, .x_stride = bench->n, .W = bench->W, .A = A,
                                                   .t = bench->t, .Y = bench->Y, .y_stride = bench->n,
                                                   .rows = bench->rows, .steps = 1, .out = bench->n, .in = bench->n,
                                                   .rank = 1});
}

/* One pair's noise at a time. */
static void add_dense(const linear_bench *bench)
{
    for (uint32_t p = 0; p < bench->pairs; p++) {
        const size_t at = (size_t)2 * p * bench->n;
        const uint32_t left = bench->rows - 2 * p;
        draw(bench, LAYER, EGG_A, p, 1, (size_t)bench->n * bench->n, bench->E);
        bench->kernels->dense_f32(&(egg_dense_args){.X = bench->X + at, .x_stride = bench->n, .E = bench->E,
                                                    .Y = bench->Y + at, .y_stride = bench->n,
                                                    .rows = left < 2 ? left : 2, .steps = 1, .out = bench->n,
                                                    .in = bench->n, .c = SIGMA});
    }
}

static void run_table(const linear_bench *bench, int way)
{
    if (way == DRAWN) {
        draw(bench, LAYER, EGG_A, 0, bench->pairs, bench->n, bench->A);
        draw(bench, LAYER, EGG_B, 0, bench->pairs, bench->n, bench->B);
    }
    if (way == STORED || way == DRAWN)
        bench->kernels->shrink_f32(&(egg_shrink_args){.X = bench->X, .x_stride = bench->n, .B = bench->B,
                                                      .t = bench->t, .rows = bench->rows, .steps = 1,
                                                      .in = bench->n, .rank = 1, .c = SIGMA});
    multiply(bench, way == STORED || way == DRAWN ? bench->A : NULL);
    if (way == DENSE) add_dense(bench);
}

static void run_tensor(const linear_bench *bench, int way)
{
    static const egg_tensor_noise noises[WAYS] = {[STORED] = EGG_TENSOR_STORED, [DRAWN] = EGG_TENSOR_DRAWN};
    egg_tensor_args args = bench->tensor;
    args.noise = noises[way];
    if (way == PEER) {
        egg_cuda_cublas_linear(&args);
        return;
    }
    if (args.noise != EGG_TENSOR_NO_NOISE) egg_cuda_tensor_shrink(&args);
    egg_cuda_tensor_linear(&args);
    if (way == DENSE) egg_cuda_tensor_dense(&args);
}

/* ------------------------------------------------------------------------------------------------------ measurement */

static void run_way(const egg_kernels *kernels, const void *args)
{
    (void)kernels;
    const linear_way *way = args;
    way->run(way->bench, way->way);
}

/* The sooner of two. */
static const egg_contender *faster(const egg_contender *a, const egg_contender *b, uint32_t repetitions)
{
    const double seconds_a = egg_median(a->seconds, repetitions), seconds_b = egg_median(b->seconds, repetitions);
    return a->work / seconds_a >= b->work / seconds_b ? a : b;
}

/* Ratios are to the best plain inference there is: ours, or that of the vendor's library, where 'peer' names it. */
static void report_ways(const egg_bench_setting *setting, const char *size, const egg_contender contenders[WAYS],
                        bool peer)
{
    static const char *const ratios[WAYS] = {[STORED] = "stored_vs_plain", [DRAWN] = "drawn_vs_plain",
                                             [DENSE] = "dense_vs_plain"};
    const uint32_t repetitions = setting->repetitions;
    const egg_contender *plain = &contenders[PLAIN];
    for (int i = 0; i < (peer ? WAYS : PEER); i++) egg_report_rate(&setting->report, size, &contenders[i], repetitions);
    if (peer) plain = faster(plain, &contenders[PEER], repetitions);
    for (int i = STORED; i <= DENSE; i++)
        egg_report_ratio(&setting->report, size, ratios[i], &contenders[i], plain, repetitions);
}

static void describe(const linear_bench *bench, const char *what, char size[80])
{
    snprintf(size, 80, "%ux%ux%u, %s", bench->rows, bench->n, bench->n, what);
}

/* 'peer': the name of the vendor's library, or NULL. */
static egg_status measure(const egg_bench_setting *setting, const linear_bench *bench,
                          void (*run)(const linear_bench *bench, int way), const char *what, const char *peer,
                          egg_error *error)
{
    const char *const names[WAYS] = {"plain inference", "EGGROLL, factors stored", "EGGROLL, factors drawn",
                                     "dense noise", peer};
    egg_status status = EGG_OK;
    egg_contender contenders[WAYS];
    egg_call calls[WAYS];
    linear_way ways[WAYS];
    const int count = peer ? WAYS : PEER;
    char size[80];
    describe(bench, what, size);
    for (int i = 0; i < count; i++) {
        ways[i] = (linear_way){.bench = bench, .run = run, .way = i};
        calls[i] = (egg_call){.kernels = bench->kernels, .args = &ways[i], .run = run_way};
        contenders[i] = (egg_contender){.name = names[i], .unit = "GFLOP/s",
                                        .work = 2e-9 * bench->rows * bench->n * bench->n,
                                        .stopwatch = egg_bench_stopwatch(bench->kernels)};
        egg_call_calibrate(&contenders[i], &calls[i]);
    }
    EGG_TRY(egg_contest(contenders, (size_t)count, setting->repetitions, error));
    EGG_TRY(egg_device_wait(bench->kernels->device, error));
    report_ways(setting, size, contenders, peer != NULL);
out:
    return status;
}

/* On tensor cores, and by the vendor's library on the same operands. */
static egg_status measure_tensor(const egg_bench_setting *setting, const linear_bench *bench, egg_error *error)
{
    char what[64], peer[400];
    const char *why, *library = egg_cuda_cublas(&why);
    egg_status status = EGG_OK;
    const egg_tensor_args args = {.noise = EGG_TENSOR_STORED, .rank = 1};
    if (!egg_cuda_tensor_fits(&args))
        return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s gives a block too little shared memory for products in bf16",
                        setting->kernels.device->name);
    snprintf(what, sizeof what, "bf16 on tensor cores by %s", egg_cuda_products());
    snprintf(peer, sizeof peer, "plain inference, %s", library ? library : "cuBLAS: not found");
    EGG_TRY(measure(setting, bench, run_tensor, what, library ? peer : NULL, error));
    if (!library) {
        char size[80];
        describe(bench, what, size);
        egg_report_value(&setting->report, size, peer, "GFLOP/s", 0);
    }
out:
    return status;
}

/* The paper's size on a device, one that takes seconds on a processor, or as wide as --width says. */
egg_status egg_bench_linear(const egg_bench_setting *setting, egg_error *error)
{
    const bool device = setting->kernels.device;
    const uint32_t most = device ? 1024 : 128;
    const uint32_t n = setting->one_size ? (uint32_t)setting->settings->width : device ? 8192 : 1024;
    const uint32_t rows = n < most ? n : most;
    egg_status status = EGG_OK;
    linear_bench bench = {0};
    if (!open_bench(&bench, &setting->kernels, rows, n)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a layer of %u outputs and %u rows", n, rows);
        goto out;
    }
    EGG_TRY(measure(setting, &bench, run_table, "float32 activations", NULL, error));
    if (device) EGG_TRY(measure_tensor(setting, &bench, error));
out:
    close_bench(&bench);
    return status;
}
