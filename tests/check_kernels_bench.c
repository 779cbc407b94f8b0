/* SPDX-License-Identifier: MIT */
/*
 * check_kernels --bench: the speed of every slot on every level. The levels take turns within each repetition, so that
 * a machine's slow seconds meet all of them; the best is the ceiling, the median is what users get.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/cpu.h"
#include "check_kernels.h"

enum { REPETITIONS = 11 };
static const double REPETITION_SECONDS = 0.02;

/* One timed call; 'context' holds its operands. */
typedef void bench_fn(const egg_kernels *kernels, void *context);

typedef struct bench {
    const char *slot;
    char shape[48];
    double work;              /* units of one call */
    const char *unit;
    bench_fn *run;
    void *contexts[4];        /* per level, reference last */
} bench;

static double seconds_of(bench_fn *run, const egg_kernels *kernels, void *context, uint32_t calls)
{
    double start = egg_clock_seconds();
    for (uint32_t i = 0; i < calls; i++) run(kernels, context);
    return egg_clock_seconds() - start;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_run(const level_set *levels, const char *filter, bench *b)
{
    if (filter && !strstr(b->slot, filter)) return;
    double seconds[4][REPETITIONS];
    uint32_t calls[4] = {1, 1, 1, 1};
    for (uint32_t l = 0; l < levels->count; l++)   /* doubling also warms the caches */
        while (seconds_of(b->run, &levels->level[l], b->contexts[l], calls[l]) < REPETITION_SECONDS) calls[l] *= 2;
    for (uint32_t r = 0; r < REPETITIONS; r++)
        for (uint32_t l = 0; l < levels->count; l++)
            seconds[l][r] = seconds_of(b->run, &levels->level[l], b->contexts[l], calls[l]) / calls[l];
    double slow = seconds_of(b->run, &levels->ref, b->contexts[levels->count], 1);
    printf("%-19s %-30s", b->slot, b->shape);
    for (uint32_t l = 0; l < levels->count; l++) {
        qsort(seconds[l], REPETITIONS, sizeof(double), compare_doubles);
        printf("  %s %8.2f /%8.2f", levels->level[l].level, 1e-9 * b->work / seconds[l][REPETITIONS / 2],
               1e-9 * b->work / seconds[l][0]);
    }
    printf("  ref %6.2f  %s\n", 1e-9 * b->work / slow, b->unit);
    fflush(stdout);
}

/* ---------------------------------------------------------------------------------------------------- the ceiling */

enum { PEAK_ROUNDS = 10000 };

static void run_peak_i8(const egg_kernels *kernels, void *context)
{
    (void)context;
    kernels->peak_i8(PEAK_ROUNDS);
}

static void run_peak_f32(const egg_kernels *kernels, void *context)
{
    (void)context;
    kernels->peak_f32(PEAK_ROUNDS);
}

static void bench_level_peak(const egg_kernels *kernels, const char *slot, egg_peak_fn *peak, bench_fn *run)
{
    double seconds[REPETITIONS], work = 1e-9 * (double)peak(1) * PEAK_ROUNDS;
    for (uint32_t r = 0; r < REPETITIONS; r++) seconds[r] = seconds_of(run, kernels, NULL, 8) / 8;
    qsort(seconds, REPETITIONS, sizeof(double), compare_doubles);
    printf("%-50s  %s %8.2f /%8.2f  GMAC/s (registers only)\n", slot, kernels->level, work / seconds[REPETITIONS / 2],
           work / seconds[0]);
}

static void bench_peak(const level_set *levels)
{
    for (uint32_t l = 0; l < levels->count; l++) {
        const egg_kernels *kernels = &levels->level[l];
        bench_level_peak(kernels, "peak_i8", kernels->peak_i8, run_peak_i8);
        bench_level_peak(kernels, "peak_f32", kernels->peak_f32, run_peak_f32);
    }
}

/* ------------------------------------------------------------------------------------------------------ the slots */

static void *random_i8(size_t n, int limit)
{
    int8_t *values = take(n, 0);
    fill_i8(values, n, limit, RANDOM);
    return values;
}

static void run_linear(const egg_kernels *kernels, void *context)
{
    kernels->linear_i8(context);
}

static void bench_linear(const level_set *levels, const char *filter, uint32_t rows, uint32_t out, uint32_t in,
                         uint32_t rank, uint32_t steps, int heaviest)
{
    bench b = {.slot = "linear_i8", .work = (double)rows * out * in, .unit = "GMAC/s", .run = run_linear};
    snprintf(b.shape, sizeof b.shape, "%ux%ux%u rank %u |W|<%d", rows, out, in, rank, heaviest + 1);
    uint32_t pairs = (rows - 1) / steps / 2 + 1;
    int8_t *W = random_i8((size_t)out * in, heaviest);
    int32_t *t = take((size_t)rows * (rank + 1) * sizeof *t, 0);
    for (uint32_t i = 0; i < rows * rank; i++) t[i] = (int32_t)random_below(200000) - 100000;
    egg_linear_args args = {
        .X = random_i8((size_t)rows * in, 127), .x_stride = in, .t = t,
        .A = rank ? random_i8((size_t)pairs * rank * out, EGG_NORMAL_I8_MAX) : NULL, .Y = take((size_t)rows * out, 0),
        .y_stride = out, .rows = rows, .steps = steps, .out = out, .in = in, .rank = rank, .shift = 8, .noise_shift = 8,
    };
    egg_linear_args each[4];
    for (uint32_t l = 0; l <= levels->count; l++) {
        const egg_kernels *kernels = l < levels->count ? &levels->level[l] : &levels->ref;
        void *packed = take(kernels->packed_bytes_i8(out, in), 0);
        kernels->pack_i8(W, out, in, packed);
        each[l] = args;
        each[l].W = packed;
        b.contexts[l] = &each[l];
    }
    bench_run(levels, filter, &b);
    release_all();
}

static void *random_f32(size_t n)
{
    float *values = take(n * sizeof *values, 0);
    fill_f32(values, n);
    return values;
}

static void run_linear_f32(const egg_kernels *kernels, void *context)
{
    kernels->linear_f32(context);
}

static void bench_linear_f32(const level_set *levels, const char *filter, uint32_t rows, uint32_t out, uint32_t in,
                             uint32_t rank)
{
    bench b = {.slot = "linear_f32", .work = (double)rows * out * in, .unit = "GMAC/s", .run = run_linear_f32};
    if (filter && !strstr(b.slot, filter)) return;
    snprintf(b.shape, sizeof b.shape, "%ux%ux%u rank %u", rows, out, in, rank);
    const float *W = random_f32((size_t)out * in);
    egg_linear_args args = {
        .X = random_f32((size_t)rows * in), .x_stride = in, .t = random_f32((size_t)rows * (rank + 1)),
        .A = rank ? random_f32((size_t)(rows + 1) / 2 * rank * out) : NULL, .bias = random_f32(out),
        .Y = random_f32((size_t)rows * out), .y_stride = out, .rows = rows, .steps = 1, .out = out, .in = in,
        .rank = rank,
    };
    egg_linear_args each[4];
    for (uint32_t l = 0; l <= levels->count; l++) {
        const egg_kernels *kernels = l < levels->count ? &levels->level[l] : &levels->ref;
        void *packed = take(kernels->packed_bytes_f32(out, in), 0);
        kernels->pack_f32(W, out, in, packed);
        each[l] = args;
        each[l].W = packed;
        b.contexts[l] = &each[l];
    }
    bench_run(levels, filter, &b);
    release_all();
}

static void same_context(bench *b, void *context)
{
    for (size_t l = 0; l < EGG_COUNT(b->contexts); l++) b->contexts[l] = context;
}

static void run_pack(const egg_kernels *kernels, void *context)
{
    void **operands = context;
    kernels->pack_i8(operands[0], 1024, 256, operands[1]);
}

static void bench_pack(const level_set *levels, const char *filter)
{
    void *operands[2] = {random_i8(1024 * 256, 127), take(4 * 1024 * 256, 0)};
    bench b = {.slot = "pack_i8", .shape = "1024x256", .work = 1024 * 256, .unit = "GB/s", .run = run_pack};
    same_context(&b, operands);
    bench_run(levels, filter, &b);
    release_all();
}

static void run_shrink(const egg_kernels *kernels, void *context)
{
    kernels->shrink_i8(context);
}

static void bench_shrink(const level_set *levels, const char *filter, uint32_t rows, uint32_t in, uint32_t rank,
                         uint32_t steps)
{
    uint32_t pairs = (rows - 1) / steps / 2 + 1;
    bench b = {.slot = "shrink_i8", .work = (double)rows * in * rank, .unit = "GMAC/s", .run = run_shrink};
    snprintf(b.shape, sizeof b.shape, "%ux%u rank %u steps %u", rows, in, rank, steps);
    egg_shrink_args args = {
        .X = random_i8((size_t)rows * in, 127), .x_stride = in,
        .B = random_i8((size_t)pairs * rank * in, EGG_NORMAL_I8_MAX), .t = take((size_t)rows * rank * 4, 0),
        .rows = rows, .steps = steps, .in = in, .rank = rank, .scale = 256,
    };
    same_context(&b, &args);
    bench_run(levels, filter, &b);
    release_all();
}

static void run_noise_i8(const egg_kernels *kernels, void *context)
{
    kernels->noise_i8(context);
}

static void run_noise_f32(const egg_kernels *kernels, void *context)
{
    kernels->noise_f32(context);
}

static void bench_noise(const level_set *levels, const char *filter, uint32_t pairs, size_t n, int is_float)
{
    egg_noise_args args = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = n, .pairs = pairs, .out_stride = n,
                           .out = take(pairs * n * (is_float ? 4 : 1), 0)};
    bench b = {.slot = is_float ? "noise_f32" : "noise_i8", .work = (double)pairs * (double)n, .unit = "G/s",
               .run = is_float ? run_noise_f32 : run_noise_i8};
    snprintf(b.shape, sizeof b.shape, "%u x %zu", pairs, n);
    same_context(&b, &args);
    bench_run(levels, filter, &b);
    release_all();
}

static void run_outer(const egg_kernels *kernels, void *context)
{
    kernels->outer_i8(context);
}

static void bench_outer(const level_set *levels, const char *filter, uint32_t count, uint32_t m, uint32_t n)
{
    egg_outer_args args = {.A = random_i8((size_t)count * m, 95), .B = random_i8((size_t)count * n, EGG_NORMAL_I8_MAX),
                           .Z = take((size_t)m * n * 4, 0), .count = count, .m = m, .n = n,
                           .scratch = take(EGG_OUTER_SCRATCH(m, n, count), 0)};
    memset(args.Z, 0, (size_t)m * n * 4);
    bench b = {.slot = "outer_i8", .work = (double)count * m * n, .unit = "GMAC/s", .run = run_outer};
    snprintf(b.shape, sizeof b.shape, "%u: %ux%u", count, m, n);
    same_context(&b, &args);
    bench_run(levels, filter, &b);
    release_all();
}

static void run_shrink_f32(const egg_kernels *kernels, void *context)
{
    kernels->shrink_f32(context);
}

static void bench_shrink_f32(const level_set *levels, const char *filter, uint32_t rows, uint32_t in, uint32_t rank)
{
    bench b = {.slot = "shrink_f32", .work = (double)rows * in * rank, .unit = "GMAC/s", .run = run_shrink_f32};
    snprintf(b.shape, sizeof b.shape, "%ux%u rank %u", rows, in, rank);
    egg_shrink_args args = {
        .X = random_f32((size_t)rows * in), .x_stride = in, .B = random_f32((size_t)(rows + 1) / 2 * rank * in),
        .t = random_f32((size_t)rows * rank), .rows = rows, .steps = 1, .in = in, .rank = rank, .c = 0.1f,
    };
    same_context(&b, &args);
    bench_run(levels, filter, &b);
    release_all();
}

static void run_outer_f32(const egg_kernels *kernels, void *context)
{
    kernels->outer_f32(context);
}

static void bench_outer_f32(const level_set *levels, const char *filter, uint32_t count, uint32_t m, uint32_t n)
{
    bench b = {.slot = "outer_f32", .work = (double)count * m * n, .unit = "GMAC/s", .run = run_outer_f32};
    snprintf(b.shape, sizeof b.shape, "%u: %ux%u", count, m, n);
    egg_outer_f32_args args = {.A = random_f32((size_t)count * m), .B = random_f32((size_t)count * n),
                               .Z = random_f32((size_t)m * n), .count = count, .m = m, .n = n};
    same_context(&b, &args);
    bench_run(levels, filter, &b);
    release_all();
}

enum { ROWS = 512, WIDTH = 256, PAIRS = 256 };   /* of the elementwise slots */

typedef struct operands {
    int8_t *X, *Y, *w, *A, *B;
    uint8_t *tokens;
    int32_t *Z;
    int16_t *V;
} operands;

static void run_embed(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->embed_i8(&(egg_embed_args){.W = o->w, .tokens = o->tokens, .A = o->A, .B = o->B, .Y = o->Y, .rows = ROWS,
                                        .steps = 1, .vocabulary = 256, .n = WIDTH, .rank = 1, .scale = 256,
                                        .noise_shift = 8});
}

static void run_perturb_vector(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->perturb_vector_i8(&(egg_perturb_vector_args){.w = o->w, .A = o->A, .B = o->B, .out = o->Y, .pairs = PAIRS,
                                                          .n = WIDTH, .rank = 1, .scale = 256, .noise_shift = 8});
}

static void run_layer_norm(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->layer_norm_i8(&(egg_layer_norm_args){.X = o->X, .x_stride = WIDTH, .w = o->w, .w_stride = WIDTH, .Y = o->Y,
                                                  .y_stride = WIDTH, .rows = ROWS, .steps = 1, .n = WIDTH});
}

static void run_add(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->add_i8(o->Y, o->X, ROWS * WIDTH);
}

static egg_gru_args gru_args(operands *o)
{
    return (egg_gru_args){.a = o->X, .a_stride = WIDTH, .b = o->w, .bias = o->A, .bias_stride = 0, .state = o->B,
                          .state_stride = WIDTH, .f = o->Y, .g = (int8_t *)o->Z, .Y = (int8_t *)o->Z,
                          .y_stride = WIDTH, .rows = ROWS, .n = WIDTH};
}

static void run_gru_gate(const egg_kernels *kernels, void *context)
{
    egg_gru_args args = gru_args(context);
    kernels->gru_gate_i8(&args);
}

static void run_gru_blend(const egg_kernels *kernels, void *context)
{
    egg_gru_args args = gru_args(context);
    kernels->gru_blend_i8(&args);
}

static void run_loss(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->loss_i8(&(egg_loss_args){.logits = o->X, .stride = 256, .targets = o->tokens, .loss = o->Z, .rows = ROWS});
}

static void run_weigh(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->weigh_i8(o->A, o->X, PAIRS, WIDTH, o->Y);
}

static void run_diagonal(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    kernels->diagonal_i8(o->A, o->B, PAIRS, WIDTH, o->Z);
}

static void run_step_vote(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    uint64_t changed = 0;
    kernels->step_vote_i8(o->w, o->Z, ROWS * WIDTH, 1000, &changed);
}

static void run_step_fractional(const egg_kernels *kernels, void *context)
{
    operands *o = context;
    uint64_t changed = 0;
    kernels->step_fractional_i8(o->w, o->V, o->Z, ROWS * WIDTH, 100, 100000, &changed);
}

static void bench_elementwise(const level_set *levels, const char *filter)
{
    static const struct { const char *slot; bench_fn *run; double elements; } list[] = {
        {"embed_i8", run_embed, ROWS * WIDTH}, {"perturb_vector_i8", run_perturb_vector, 2 * PAIRS * WIDTH},
        {"layer_norm_i8", run_layer_norm, ROWS * WIDTH}, {"add_i8", run_add, ROWS * WIDTH},
        {"gru_gate_i8", run_gru_gate, ROWS * WIDTH}, {"gru_blend_i8", run_gru_blend, ROWS * WIDTH},
        {"loss_i8", run_loss, ROWS * WIDTH}, {"weigh_i8", run_weigh, PAIRS * WIDTH},
        {"diagonal_i8", run_diagonal, PAIRS * WIDTH}, {"step_vote_i8", run_step_vote, ROWS * WIDTH},
        {"step_fractional_i8", run_step_fractional, ROWS * WIDTH},
    };
    for (size_t i = 0; i < EGG_COUNT(list); i++) {
        size_t n = ROWS * WIDTH;
        operands o = {.X = random_i8(n, 127), .Y = random_i8(n, 127), .w = random_i8(n, 127),
                      .A = random_i8(n, EGG_NORMAL_I8_MAX), .B = random_i8(n, EGG_NORMAL_I8_MAX),
                      .tokens = take(n, 0), .Z = take(n * 4, 0), .V = take(n * 2, 0)};
        for (size_t j = 0; j < n; j++) {
            o.tokens[j] = (uint8_t)random_below(256);
            o.Z[j] = (int32_t)random_below(4000) - 2000;
            o.V[j] = (int16_t)(256 * o.w[j]);
        }
        bench b = {.slot = list[i].slot, .shape = "512x256", .work = list[i].elements, .unit = "G/s",
                   .run = list[i].run};
        same_context(&b, &o);
        bench_run(levels, filter, &b);
        release_all();
    }
}

typedef struct float_operands {
    float *X, *Y, *w, *A;
    uint32_t *tokens;
} float_operands;

static void run_dense_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;   /* A holds the noise of two matrices */
    kernels->dense_f32(&(egg_dense_args){.X = o->X, .x_stride = WIDTH, .E = o->A, .Y = o->Y, .y_stride = WIDTH,
                                         .rows = 4, .steps = 1, .out = WIDTH, .in = WIDTH, .c = 1e-6f});
}

static void run_lookup_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->lookup_f32(&(egg_lookup_args){.table = o->w, .tokens = o->tokens, .A = o->A, .B = o->A, .Y = o->Y,
                                           .y_stride = WIDTH, .rows = ROWS, .steps = 1, .vocabulary = 256, .n = WIDTH,
                                           .rank = 1, .c = 0.1f});
}

static void run_perturb_vector_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->perturb_vector_f32(&(egg_perturb_vector_args){.w = o->w, .A = o->A, .a_stride = WIDTH, .out = o->Y, .pairs = PAIRS,
                                                           .n = WIDTH, .rank = 1, .c = 0.1f});
}

static void run_layer_norm_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->layer_norm_f32(&(egg_layer_norm_args){.X = o->X, .x_stride = WIDTH, .w = o->w, .bias = o->w, .Y = o->Y,
                                                   .y_stride = WIDTH, .rows = ROWS, .steps = 1, .n = WIDTH,
                                                   .epsilon = 1e-5f, .relu = true});
}

static void run_add_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->add_f32(o->Y, o->X, ROWS * WIDTH);
}

static void run_relu_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->relu_f32(o->Y, ROWS * WIDTH);
}

static void run_tanh_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->tanh_f32(o->Y, ROWS * WIDTH);
}

static void run_weigh_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->weigh_f32(o->A, o->X, PAIRS, WIDTH, o->Y);
}

static void run_pack_f32(const egg_kernels *kernels, void *context)
{
    float_operands *o = context;
    kernels->pack_f32(o->X, ROWS, WIDTH, o->Y);
}

static void bench_elementwise_f32(const level_set *levels, const char *filter)
{
    static const struct { const char *slot; bench_fn *run; double elements; } list[] = {
        {"dense_f32", run_dense_f32, 4 * WIDTH * WIDTH}, {"lookup_f32", run_lookup_f32, ROWS * WIDTH},
        {"perturb_vector_f32", run_perturb_vector_f32, 2 * PAIRS * WIDTH},
        {"layer_norm_f32", run_layer_norm_f32, ROWS * WIDTH}, {"add_f32", run_add_f32, ROWS * WIDTH},
        {"relu_f32", run_relu_f32, ROWS * WIDTH}, {"tanh_f32", run_tanh_f32, ROWS * WIDTH},
        {"weigh_f32", run_weigh_f32, PAIRS * WIDTH}, {"pack_f32", run_pack_f32, ROWS * WIDTH},
    };
    for (size_t i = 0; i < EGG_COUNT(list); i++) {
        const size_t n = ROWS * WIDTH;
        float_operands o = {.X = random_f32(n), .Y = random_f32(n), .w = random_f32(n), .A = random_f32(n),
                            .tokens = take(ROWS * sizeof *o.tokens, 0)};
        for (size_t j = 0; j < ROWS; j++) o.tokens[j] = random_below(256);
        bench b = {.slot = list[i].slot, .shape = "512x256", .work = list[i].elements, .unit = "G/s",
                   .run = list[i].run};
        same_context(&b, &o);
        bench_run(levels, filter, &b);
        release_all();
    }
}

void bench_kernels(const level_set *levels, const char *filter)
{
    static const uint32_t shapes[][3] = {   /* rows, out, in */
        {1024, 256, 256}, {4096, 256, 256}, {4096, 1024, 256}, {4096, 256, 1024}, {4096, 64, 64}, {4096, 256, 64},
        {4096, 16, 64}, {1, 256, 256}, {1, 1024, 256}, {8, 256, 256},
    };
    static const uint32_t shapes_f32[][3] = {
        {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {1024, 256, 256}, {1024, 64, 64}, {1024, 32, 32},
        {1024, 16, 16}, {1024, 16, 256}, {1024, 48, 256}, {1, 64, 64}, {1, 256, 256}, {2, 256, 256}, {3, 256, 256},
        {4, 256, 256}, {8, 256, 256}, {16, 256, 256}, {1, 1024, 1024}, {8, 1024, 1024},
    };
    printf("%-50s  median / best of %d, interleaved\n", "", REPETITIONS);
    bench_peak(levels);
    for (size_t s = 0; s < EGG_COUNT(shapes); s++)
        for (uint32_t rank = 0; rank <= 4; rank += rank ? rank : 1)
            bench_linear(levels, filter, shapes[s][0], shapes[s][1], shapes[s][2], rank, 1, 63);
    bench_linear(levels, filter, 1024, 256, 256, 1, 1, 127);   /* the speed of one level depends on the weights */
    bench_pack(levels, filter);
    bench_shrink(levels, filter, 1024, 256, 1, 1);
    bench_shrink(levels, filter, 1024, 256, 1, 16);
    bench_shrink(levels, filter, 1024, 256, 4, 1);
    bench_shrink(levels, filter, 256, 1024, 1, 1);
    bench_noise(levels, filter, 256, 256, 0);
    bench_noise(levels, filter, 256, 64, 0);
    bench_noise(levels, filter, 1, 65536, 0);
    bench_noise(levels, filter, 256, 256, 1);
    bench_outer(levels, filter, 512, 256, 256);
    bench_outer(levels, filter, 2048, 256, 256);
    bench_outer(levels, filter, 4096, 256, 1024);
    bench_outer(levels, filter, 2048, 64, 64);
    for (size_t s = 0; s < EGG_COUNT(shapes_f32); s++)
        for (uint32_t rank = 0; rank <= 4; rank += rank ? 3 : 1)
            bench_linear_f32(levels, filter, shapes_f32[s][0], shapes_f32[s][1], shapes_f32[s][2], rank);
    bench_shrink_f32(levels, filter, 1024, 256, 1);
    bench_shrink_f32(levels, filter, 1024, 256, 4);
    bench_shrink_f32(levels, filter, 256, 1024, 1);
    bench_shrink_f32(levels, filter, 1024, 32, 1);
    bench_outer_f32(levels, filter, 1024, 256, 256);
    bench_outer_f32(levels, filter, 1024, 1024, 1024);
    bench_outer_f32(levels, filter, 64, 256, 256);
    bench_outer_f32(levels, filter, 1024, 64, 64);
    bench_elementwise(levels, filter);
    bench_elementwise_f32(levels, filter);
    bench_peak(levels);
}
