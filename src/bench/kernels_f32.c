/* SPDX-License-Identifier: MIT */
/* Single float32 kernels on one thread, the product also against the register-only peak and OpenBLAS. */
#include <stdio.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "bench/calls.h"
#include "bench/openblas.h"

static void fill(float *data, size_t n, uint32_t stream)
{
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_SAMPLING), (egg_noise_at){.param = stream}, 0, n, data);
}

/* ---------------------------------------------------------------------------------------------------------- product */

typedef struct egg_product {
    uint32_t rows, out, in;
    float *X, *W, *A, *t, *Y;
    void *packed[EGG_MAX_LEVELS];
} egg_product;

static void run_linear(const egg_kernels *kernels, const void *args)
{
    kernels->linear_f32(args);
}

static void run_peak(const egg_kernels *kernels, const void *args)
{
    (void)args;
    kernels->peak_f32(4096);
}

static void run_openblas(const egg_kernels *kernels, const void *args)
{
    (void)kernels;
    const egg_product *p = args;
    egg_openblas_linear(p->X, p->W, p->Y, p->rows, p->out, p->in);
}

static void close_product(egg_product *p)
{
    egg_free(p->X), egg_free(p->W), egg_free(p->A), egg_free(p->t), egg_free(p->Y);
    for (uint32_t l = 0; l < EGG_MAX_LEVELS; l++) egg_free(p->packed[l]);
}

static bool open_product(egg_product *p, const egg_levels *levels, uint32_t rows, uint32_t out, uint32_t in)
{
    *p = (egg_product){.rows = rows, .out = out, .in = in};
    const uint32_t pairs = (rows + 1) / 2;
    p->X = egg_alloc_array((size_t)rows * in, sizeof(float));
    p->W = egg_alloc_array((size_t)out * in, sizeof(float));
    p->A = egg_alloc_array((size_t)pairs * out, sizeof(float));
    p->t = egg_alloc_array((size_t)rows + 3, sizeof(float));
    p->Y = egg_alloc_array((size_t)rows * out, sizeof(float));
    if (!p->X || !p->W || !p->A || !p->t || !p->Y) return false;
    fill(p->X, (size_t)rows * in, 0);
    fill(p->W, (size_t)out * in, 1);
    fill(p->A, (size_t)pairs * out, 2);
    fill(p->t, (rows + 3) / 4 * 4, 3);
    for (uint32_t l = 0; l < levels->count; l++) {
        p->packed[l] = egg_alloc(levels->table[l].packed_bytes_f32(out, in));
        if (!p->packed[l]) return false;
        levels->table[l].pack_f32(p->W, out, in, p->packed[l]);
    }
    return true;
}

enum { PLAIN, PERTURBED, PRODUCTS };

/*
 * Plain and perturbed product on the levels above the reference (it alone where there is no other), the peak of the
 * strongest, and OpenBLAS where the build has it.
 */
static egg_status bench_product(const egg_bench_setting *setting, const egg_levels *levels, uint32_t rows, uint32_t out,
                                uint32_t in, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_product p;
    egg_contender contenders[PRODUCTS * EGG_MAX_LEVELS + 2];
    egg_call calls[PRODUCTS * EGG_MAX_LEVELS + 2];
    egg_linear_args args[PRODUCTS * EGG_MAX_LEVELS];
    char names[PRODUCTS * EGG_MAX_LEVELS][48], size[48];
    size_t count = 0;
    const egg_kernels *strongest = &levels->table[levels->count - 1];
    const double work = 1e-9 * rows * out * in;
    if (!open_product(&p, levels, rows, out, in)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a product of %u rows", rows);
        goto out;
    }
    for (uint32_t l = levels->count > 1; l < levels->count; l++)
        for (int kind = PLAIN; kind < PRODUCTS; kind++, count++) {
            args[count] = (egg_linear_args){.X = p.X, .x_stride = in, .W = p.packed[l], .A = kind ? p.A : NULL,
                                            .t = p.t, .Y = p.Y, .y_stride = out, .rows = rows, .steps = 1, .out = out,
                                            .in = in, .rank = 1};
            calls[count] = (egg_call){.kernels = &levels->table[l], .args = &args[count], .run = run_linear};
            snprintf(names[count], sizeof names[count], "linear_f32 %s%s", levels->table[l].level,
                     kind ? ", rank 1" : "");
            contenders[count] = (egg_contender){.name = names[count], .work = work, .unit = "GMAC/s"};
        }
    const size_t plain = count - PRODUCTS, perturbed = plain + PERTURBED, peak = count++;
    calls[peak] = (egg_call){.kernels = strongest, .run = run_peak};
    contenders[peak] = (egg_contender){.name = "peak_f32, registers only", .unit = "GMAC/s",
                                       .work = 1e-9 * (double)strongest->peak_f32(4096)};
    const size_t peer = count;
    if (egg_openblas_open()) {
        calls[peer] = (egg_call){.args = &p, .run = run_openblas};
        contenders[count++] = (egg_contender){.name = "OpenBLAS sgemm", .work = work, .unit = "GMAC/s"};
    }
    for (size_t i = 0; i < count; i++) egg_call_calibrate(&contenders[i], &calls[i]);
    EGG_TRY(egg_contest(contenders, count, setting->repetitions, error));
    snprintf(size, sizeof size, "%ux%ux%u", rows, out, in);
    const egg_bench_report *report = &setting->report;
    const uint32_t repetitions = setting->repetitions;
    for (size_t i = 0; i < count; i++) egg_report_rate(report, size, &contenders[i], repetitions);
    egg_report_ratio(report, size, "sgemm_share_of_peak", &contenders[plain], &contenders[peak], repetitions);
    if (peer == count) goto out;
    egg_report_ratio(report, size, "sgemm_vs_openblas", &contenders[plain], &contenders[peer], repetitions);
    egg_report_ratio(report, size, "rank1_vs_openblas", &contenders[perturbed], &contenders[peer], repetitions);
out:
    close_product(&p);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- storage */

static void run_linear_bf16(const egg_kernels *kernels, const void *args)
{
    kernels->linear_bf16(args);
}

static void run_linear_q8(const egg_kernels *kernels, const void *args)
{
    kernels->linear_q8(args);
}

enum { STORAGES = 3 };

/* The product on one level with its weights held in each way. */
static egg_status bench_storage(const egg_bench_setting *setting, const egg_kernels *kernels, uint32_t rows,
                                uint32_t out, uint32_t in, egg_error *error)
{
    const struct {
        const char *name, *ratio;
        egg_packed_bytes_fn *bytes;
        egg_pack_fn *pack;
        egg_call_fn *run;
    } storages[STORAGES] = {
        {"linear_f32", NULL, kernels->packed_bytes_f32, kernels->pack_f32, run_linear},
        {"linear_bf16", "linear_bf16_vs_f32", kernels->packed_bytes_bf16, kernels->pack_bf16, run_linear_bf16},
        {"linear_q8", "linear_q8_vs_f32", kernels->packed_bytes_q8, kernels->pack_q8, run_linear_q8},
    };
    egg_status status = EGG_OK;
    egg_contender contenders[STORAGES];
    egg_call calls[STORAGES];
    egg_linear_args args[STORAGES];
    char names[STORAGES][48], size[48];
    void *packed[STORAGES] = {0};
    float *X = egg_alloc_array((size_t)rows * in, sizeof *X), *W = egg_alloc_array((size_t)out * in, sizeof *W);
    float *Y = egg_alloc_array((size_t)rows * out, sizeof *Y);
    bool fits = X && W && Y;
    for (uint32_t i = 0; i < STORAGES; i++) fits = (packed[i] = egg_alloc(storages[i].bytes(out, in))) && fits;
    if (!fits) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a product of %u rows", rows);
        goto out;
    }
    fill(X, (size_t)rows * in, 0);
    fill(W, (size_t)out * in, 1);
    for (uint32_t i = 0; i < STORAGES; i++) {
        storages[i].pack(W, out, in, packed[i]);
        args[i] = (egg_linear_args){.X = X, .x_stride = in, .W = packed[i], .Y = Y, .y_stride = out, .rows = rows,
                                    .steps = 1, .out = out, .in = in};
        calls[i] = (egg_call){.kernels = kernels, .args = &args[i], .run = storages[i].run};
        snprintf(names[i], sizeof names[i], "%s %s", storages[i].name, kernels->level);
        contenders[i] = (egg_contender){.name = names[i], .work = 1e-9 * rows * out * in, .unit = "GMAC/s"};
        egg_call_calibrate(&contenders[i], &calls[i]);
    }
    EGG_TRY(egg_contest(contenders, STORAGES, setting->repetitions, error));
    snprintf(size, sizeof size, "%ux%ux%u", rows, out, in);
    for (uint32_t i = 0; i < STORAGES; i++)
        egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    for (uint32_t i = 1; i < STORAGES; i++)
        egg_report_ratio(&setting->report, size, storages[i].ratio, &contenders[i], &contenders[0],
                         setting->repetitions);
out:
    for (uint32_t i = 0; i < STORAGES; i++) egg_free(packed[i]);
    egg_free(X);
    egg_free(W);
    egg_free(Y);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ other slots */

static void run_noise(const egg_kernels *kernels, const void *args)
{
    kernels->noise_f32(args);
}

static void run_shrink(const egg_kernels *kernels, const void *args)
{
    kernels->shrink_f32(args);
}

static void run_dense(const egg_kernels *kernels, const void *args)
{
    kernels->dense_f32(args);
}

static void run_lookup(const egg_kernels *kernels, const void *args)
{
    kernels->lookup_f32(args);
}

static void run_perturb_vector(const egg_kernels *kernels, const void *args)
{
    kernels->perturb_vector_f32(args);
}

static void run_layer_norm(const egg_kernels *kernels, const void *args)
{
    kernels->layer_norm_f32(args);
}

static void run_outer(const egg_kernels *kernels, const void *args)
{
    kernels->outer_f32(args);
}

/* The slots that take no struct of arguments share this one: ROWS x N floats each. */
typedef struct egg_buffers {
    float *x, *y, *z, *F;
    uint32_t *tokens;
} egg_buffers;

enum { ROWS = 1024, N = 256 };

static void run_pack(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->pack_f32(b->x, ROWS, N, b->y);   /* as large as the weights on every level */
}

static void run_add(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->add_f32(b->y, b->x, ROWS * N);
}

static void run_relu(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->relu_f32(b->y, ROWS * N);
}

static void run_tanh(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->tanh_f32(b->y, ROWS * N);
}

static void run_weigh(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->weigh_f32(b->x, b->F, ROWS, N, b->y);
}

static void close_buffers(egg_buffers *b)
{
    egg_free(b->x), egg_free(b->y), egg_free(b->z), egg_free(b->F), egg_free(b->tokens);
}

static bool open_buffers(egg_buffers *b)
{
    const size_t bytes = ROWS * N * sizeof(float);
    *b = (egg_buffers){.x = egg_alloc(bytes), .y = egg_alloc(bytes), .z = egg_alloc(bytes),
                       .F = egg_alloc(ROWS * sizeof(float)), .tokens = egg_alloc(ROWS * sizeof *b->tokens)};
    if (!b->x || !b->y || !b->z || !b->F || !b->tokens) return false;
    fill(b->x, ROWS * N, 4);
    fill(b->y, ROWS * N, 5);
    fill(b->z, ROWS * N, 6);
    fill(b->F, ROWS, 7);
    for (uint32_t i = 0; i < ROWS; i++) b->tokens[i] = i * 167 % 256;
    return true;
}

static egg_status bench_slots(const egg_bench_setting *setting, const egg_levels *levels, egg_error *error)
{
    enum { DENSE_PAIRS = ROWS / N, DENSE_ROWS = 2 * DENSE_PAIRS };   /* z holds the noise of four whole matrices */
    egg_status status = EGG_OK;
    egg_buffers b;
    if (!open_buffers(&b)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
        goto out;
    }
    const egg_noise_args noise = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = N, .pairs = ROWS, .out = b.y,
                                  .out_stride = N};
    const egg_shrink_args shrink = {.X = b.x, .x_stride = N, .B = b.z, .t = b.F, .rows = ROWS, .steps = 1, .in = N,
                                    .rank = 1, .c = 0.1f};
    const egg_dense_args dense = {.X = b.x, .x_stride = N, .E = b.z, .Y = b.y, .y_stride = N, .rows = DENSE_ROWS,
                                  .steps = 1, .out = N, .in = N, .c = 1e-6f};
    const egg_lookup_args lookup = {.table = b.x, .tokens = b.tokens, .A = b.z, .B = b.z, .Y = b.y, .y_stride = N,
                                    .rows = ROWS, .steps = 1, .vocabulary = 256, .n = N, .rank = 1, .c = 0.1f};
    const egg_perturb_vector_args vector = {.w = b.x, .A = b.z, .a_stride = N, .out = b.y, .pairs = ROWS / 2,
                                            .n = N, .rank = 1, .c = 0.1f};
    const egg_layer_norm_args norm = {.X = b.x, .x_stride = N, .w = b.z, .w_stride = N, .bias = b.z, .bias_stride = N,
                                      .Y = b.y, .y_stride = N, .rows = ROWS, .steps = 1, .n = N, .epsilon = 1e-5f,
                                      .relu = true};
    const egg_outer_f32_args outer = {.A = b.x, .B = b.z, .Z = b.y, .count = ROWS, .m = N, .n = N};
    const double values = 1e-9 * ROWS * N;
    const char *size = "1024x256";
    const egg_slot_bench benches[] = {
        {"noise_f32", size, "G/s", run_noise, &noise, values},
        {"pack_f32", size, "G/s", run_pack, &b, values},
        {"shrink_f32", size, "GMAC/s", run_shrink, &shrink, values},
        {"dense_f32", "8x256x256", "GMAC/s", run_dense, &dense, 1e-9 * DENSE_ROWS * N * N},
        {"lookup_f32", size, "G/s", run_lookup, &lookup, values},
        {"perturb_vector_f32", size, "G/s", run_perturb_vector, &vector, values},
        {"layer_norm_f32", size, "G/s", run_layer_norm, &norm, values},
        {"add_f32", size, "G/s", run_add, &b, values},
        {"relu_f32", size, "G/s", run_relu, &b, values},
        {"tanh_f32", size, "G/s", run_tanh, &b, values},
        {"weigh_f32", size, "G/s", run_weigh, &b, values},
        {"outer_f32", "256x256, 1024 pairs", "GMAC/s", run_outer, &outer, values * N},
    };
    for (size_t i = 0; i < EGG_COUNT(benches); i++) EGG_TRY(egg_bench_slot(setting, levels, &benches[i], NULL, error));
out:
    close_buffers(&b);
    return status;
}

egg_status egg_bench_kernels_f32(const egg_bench_setting *setting, const egg_levels *levels, egg_error *error)
{
    static const uint32_t shapes[][3] = {{256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {4096, 256, 256},
                                         {4096, 64, 64}, {4096, 16, 256}, {1, 256, 256}, {8, 256, 256}};
    static const uint32_t stored[][3] = {{1, 768, 768}, {1, 4096, 4096}, {2, 768, 768}, {8, 768, 768}, {16, 768, 768},
                                         {64, 768, 768}, {256, 768, 768}};
    egg_status status = EGG_OK;
    for (size_t i = 0; i < EGG_COUNT(shapes); i++)
        EGG_TRY(bench_product(setting, levels, shapes[i][0], shapes[i][1], shapes[i][2], error));
    for (size_t i = 0; i < EGG_COUNT(stored); i++)
        for (uint32_t l = levels->count > 1; l < levels->count; l++)
            EGG_TRY(bench_storage(setting, &levels->table[l], stored[i][0], stored[i][1], stored[i][2], error));
    EGG_TRY(bench_slots(setting, levels, error));
out:
    return status;
}
