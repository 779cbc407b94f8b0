/* SPDX-License-Identifier: MIT */
/* Single int8 kernels on one thread: each level against the reference and the register-only peak of the same run. */
#include <stdio.h>

#include "base/memory.h"
#include "bench/bench.h"
#include "bench/calls.h"
#include "bench/onednn.h"

static void fill(int8_t *data, size_t n, uint32_t stream)
{
    egg_noise_i8(egg_key_make(1, EGG_DOMAIN_SAMPLING), (egg_noise_at){.param = stream}, 0, n, data);
}

/* ------------------------------------------------------------------------------------------------------------- peak */

static void run_peak(const egg_kernels *kernels, const void *args)
{
    (void)args;
    kernels->peak_i8(4096);
}

enum { PEAK_ROUNDS = 1 << 20 };

static void peak_range(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end, (void)thread;
    const egg_bench_setting *setting = context;
    setting->kernels.peak_i8(PEAK_ROUNDS);
}

static egg_status run_peak_on_all(void *context, egg_error *error)
{
    (void)error;
    const egg_bench_setting *setting = context;
    egg_parallel_for(setting->pool, egg_pool_threads(setting->pool), 1, peak_range, context);
    return EGG_OK;
}

egg_contender egg_bench_peak(const egg_bench_setting *setting)
{
    double macs = (double)setting->kernels.peak_i8(1) * PEAK_ROUNDS * egg_pool_threads(setting->pool);
    return (egg_contender){.name = "peak, registers only", .run = run_peak_on_all,
                           .context = (void *)(uintptr_t)setting,
                           .work = 1e-9 * macs, .unit = "GMAC/s"};
}

/* ---------------------------------------------------------------------------------------------------------- product */

typedef struct egg_product {
    uint32_t rows, out, in;
    int8_t *X, *W, *A, *Y;
    int32_t *t;
    void *packed[EGG_MAX_LEVELS];
} egg_product;

static void run_linear(const egg_kernels *kernels, const void *args)
{
    kernels->linear_i8(args);
}

static void close_product(egg_product *p)
{
    egg_free(p->X), egg_free(p->W), egg_free(p->A), egg_free(p->Y), egg_free(p->t);
    for (uint32_t l = 0; l < EGG_MAX_LEVELS; l++) egg_free(p->packed[l]);
}

static bool open_product(egg_product *p, const egg_levels *levels, uint32_t rows, uint32_t out, uint32_t in)
{
    *p = (egg_product){.rows = rows, .out = out, .in = in};
    p->X = egg_alloc((size_t)rows * in);
    p->W = egg_alloc((size_t)out * in);
    p->A = egg_alloc((size_t)rows * out);
    p->Y = egg_alloc((size_t)rows * out);
    p->t = egg_alloc((size_t)rows * sizeof *p->t);
    if (!p->X || !p->W || !p->A || !p->Y || !p->t) return false;
    fill(p->X, (size_t)rows * in, 0);
    fill(p->W, (size_t)out * in, 1);
    fill(p->A, (size_t)rows * out, 2);
    for (uint32_t b = 0; b < rows; b++) p->t[b] = (int32_t)(b * 7919 % 60000) - 30000;
    for (uint32_t l = 0; l < levels->count; l++) {
        p->packed[l] = egg_alloc(levels->table[l].packed_bytes_i8(out, in));
        if (!p->packed[l]) return false;
        levels->table[l].pack_i8(p->W, out, in, p->packed[l]);
    }
    return true;
}

/* Plain and perturbed product on every level, the peak of the strongest, and oneDNN where the build has it. */
static egg_status bench_product(const egg_bench_setting *setting, const egg_levels *levels, uint32_t rows, uint32_t out,
                                uint32_t in, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_product p;
    egg_onednn *onednn = NULL;
    egg_contender contenders[2 * EGG_MAX_LEVELS + 2];
    egg_call calls[2 * EGG_MAX_LEVELS + 2];
    egg_linear_args args[2 * EGG_MAX_LEVELS];
    char names[2 * EGG_MAX_LEVELS][48], size[48];
    size_t count = 0;
    const egg_kernels *strongest = &levels->table[levels->count - 1];
    if (!open_product(&p, levels, rows, out, in)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a product of %u rows", rows);
        goto out;
    }
    for (uint32_t l = 0; l < levels->count; l++)
        for (int perturbed = 0; perturbed < 2; perturbed++, count++) {
            args[count] = (egg_linear_args){.X = p.X, .x_stride = in, .W = p.packed[l], .A = perturbed ? p.A : NULL,
                                            .t = perturbed ? p.t : NULL, .Y = p.Y, .y_stride = out, .rows = rows,
                                            .steps = 1, .out = out, .in = in, .rank = (uint32_t)perturbed, .shift = 8,
                                            .noise_shift = 8};
            calls[count] = (egg_call){.kernels = &levels->table[l], .args = &args[count], .run = run_linear};
            snprintf(names[count], sizeof names[count], "linear_i8 %s%s", levels->table[l].level,
                     perturbed ? ", rank 1" : "");
            contenders[count] = (egg_contender){.name = names[count], .work = 1e-9 * rows * out * in, .unit = "GMAC/s"};
            egg_call_calibrate(&contenders[count], &calls[count]);
        }
    size_t peak = count++;
    calls[peak] = (egg_call){.kernels = strongest, .run = run_peak};
    contenders[peak] = (egg_contender){.name = "peak, registers only", .work = 1e-9 * (double)strongest->peak_i8(4096),
                                       .unit = "GMAC/s"};
    egg_call_calibrate(&contenders[peak], &calls[peak]);
    size_t peer = count;
    EGG_TRY(egg_onednn_open(&onednn, p.X, p.W, rows, out, in, error));
    if (onednn) {
        contenders[count++] = (egg_contender){.name = "oneDNN u8s8s32, no epilogue", .run = egg_onednn_run,
                                              .context = onednn,
                                              .work = 1e-9 * rows * out * in, .unit = "GMAC/s"};
    }
    EGG_TRY(egg_contest(contenders, count, setting->repetitions, error));
    snprintf(size, sizeof size, "%ux%ux%u", rows, out, in);
    for (size_t i = 0; i < count; i++) egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    const egg_contender *plain = &contenders[2 * (levels->count - 1)];
    egg_report_ratio(&setting->report, size, "gemm_share_of_peak", plain, &contenders[peak], setting->repetitions);
    if (onednn)
        egg_report_ratio(&setting->report, size, "gemm_vs_onednn", plain, &contenders[peer], setting->repetitions);
out:
    egg_onednn_close(onednn);
    close_product(&p);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ other slots */

static void run_shrink(const egg_kernels *kernels, const void *args)
{
    kernels->shrink_i8(args);
}

static void run_layer_norm(const egg_kernels *kernels, const void *args)
{
    kernels->layer_norm_i8(args);
}

static void run_loss(const egg_kernels *kernels, const void *args)
{
    kernels->loss_i8(args);
}

static void run_gate(const egg_kernels *kernels, const void *args)
{
    kernels->gru_gate_i8(args);
}

static void run_blend(const egg_kernels *kernels, const void *args)
{
    kernels->gru_blend_i8(args);
}

static void run_noise(const egg_kernels *kernels, const void *args)
{
    kernels->noise_i8(args);
}

static void run_outer(const egg_kernels *kernels, const void *args)
{
    kernels->outer_i8(args);
}

static void run_embed(const egg_kernels *kernels, const void *args)
{
    kernels->embed_i8(args);
}

static void run_perturb_vector(const egg_kernels *kernels, const void *args)
{
    kernels->perturb_vector_i8(args);
}

/* The slots that take no struct of arguments share this one: ROWS x N bytes each. */
typedef struct egg_buffers {
    int8_t *x, *y, *z, *F;
    int16_t *V;
    int32_t *Z;
} egg_buffers;

enum { ROWS = 1024, N = 256 };

static void run_add(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->add_i8(b->y, b->x, ROWS * N);
}

static void run_pack(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->pack_i8(b->x, ROWS, N, b->Z);   /* Z has the four bytes a weight that no level needs more of */
}

static void run_weigh(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->weigh_i8(b->x, b->F, ROWS, N, b->y);
}

static void run_diagonal(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    kernels->diagonal_i8(b->x, b->z, ROWS, N, b->Z);
}

static void run_step_vote(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    uint64_t changed = 0;
    kernels->step_vote_i8(b->y, b->Z, ROWS * N, 1 << 30, &changed);
}

static void run_step_fractional(const egg_kernels *kernels, const void *args)
{
    const egg_buffers *b = args;
    uint64_t changed = 0;
    kernels->step_fractional_i8(b->y, b->V, b->Z, ROWS * N, 1, 1 << 30, &changed);
}

static bool open_buffers(egg_buffers *b)
{
    *b = (egg_buffers){.x = egg_alloc(ROWS * N), .y = egg_alloc(ROWS * N), .z = egg_alloc(ROWS * N),
                       .F = egg_alloc(ROWS),
                       .V = egg_alloc(ROWS * N * sizeof *b->V), .Z = egg_alloc(ROWS * N * sizeof *b->Z)};
    if (!b->x || !b->y || !b->z || !b->F || !b->V || !b->Z) return false;
    fill(b->x, ROWS * N, 3);
    fill(b->z, ROWS * N, 4);
    fill(b->F, ROWS, 5);
    return true;
}

static void close_buffers(egg_buffers *b)
{
    egg_free(b->x), egg_free(b->y), egg_free(b->z), egg_free(b->F), egg_free(b->V), egg_free(b->Z);
}

static egg_status bench_slots(const egg_bench_setting *setting, const egg_levels *levels, egg_error *error)
{
    enum { STEPS = 8, PAIRS = ROWS / STEPS / 2 };
    egg_status status = EGG_OK;
    egg_buffers b;
    void *scratch = egg_alloc(EGG_OUTER_SCRATCH(N, N, ROWS));
    if (!open_buffers(&b) || !scratch) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
        goto out;
    }
    const egg_shrink_args shrink = {.X = b.x, .x_stride = N, .B = b.z, .t = b.Z, .rows = ROWS, .steps = STEPS, .in = N,
                                    .rank = 1, .scale = 256};
    const egg_embed_args embed = {.W = b.x, .tokens = (const uint8_t *)b.x, .A = b.z, .B = b.z, .Y = b.y, .rows = ROWS,
                                  .steps = STEPS, .vocabulary = 256, .n = N, .rank = 1, .scale = 256, .noise_shift = 8};
    const egg_perturb_vector_args vector = {.w = b.x, .A = b.z, .B = b.x, .out = b.y, .pairs = ROWS / 2, .n = N,
                                            .rank = 1,
                                            .scale = 256, .noise_shift = 8};
    const egg_layer_norm_args norm = {.X = b.x, .x_stride = N, .w = b.z, .w_stride = N, .Y = b.y, .y_stride = N,
                                      .rows = ROWS, .steps = STEPS, .n = N};
    const egg_gru_args gru = {.a = b.x, .a_stride = N, .b = b.z, .bias = b.z, .state = b.y, .state_stride = N,
                              .f = (int8_t *)b.Z, .g = (int8_t *)b.V, .Y = (int8_t *)b.V, .y_stride = N, .rows = ROWS,
                              .n = N};
    const egg_loss_args loss = {.logits = b.x, .stride = N, .targets = (const uint8_t *)b.z, .loss = b.Z, .rows = ROWS};
    const egg_noise_args noise_i8 = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = N, .pairs = ROWS, .out = b.y,
                                     .out_stride = N};
    const egg_outer_args outer = {.A = b.x, .B = b.z, .Z = b.Z, .count = ROWS, .m = N, .n = N, .scratch = scratch};
    const double bytes = 1e-9 * ROWS * N;
    const char *size = "1024x256";
    const egg_slot_bench benches[] = {
        {"noise_i8", size, "G/s", run_noise, &noise_i8, bytes},
        {"pack_i8", size, "G/s", run_pack, &b, bytes},
        {"shrink_i8", size, "GMAC/s", run_shrink, &shrink, bytes},
        {"embed_i8", size, "G/s", run_embed, &embed, bytes},
        {"perturb_vector_i8", size, "G/s", run_perturb_vector, &vector, bytes},
        {"layer_norm_i8", size, "G/s", run_layer_norm, &norm, bytes},
        {"gru_gate_i8", size, "G/s", run_gate, &gru, bytes},
        {"gru_blend_i8", size, "G/s", run_blend, &gru, bytes},
        {"add_i8", size, "G/s", run_add, &b, bytes},
        {"loss_i8", size, "G/s", run_loss, &loss, bytes},
        {"weigh_i8", size, "G/s", run_weigh, &b, bytes},
        {"outer_i8", "256x256, 1024 pairs", "GMAC/s", run_outer, &outer, bytes * N},
        {"diagonal_i8", size, "GMAC/s", run_diagonal, &b, bytes},
        {"step_vote_i8", size, "G/s", run_step_vote, &b, bytes},
        {"step_fractional_i8", size, "G/s", run_step_fractional, &b, bytes},
    };
    for (size_t i = 0; i < EGG_COUNT(benches); i++) EGG_TRY(egg_bench_slot(setting, levels, &benches[i], NULL, error));
out:
    close_buffers(&b);
    egg_free(scratch);
    return status;
}

egg_status egg_bench_kernels(const egg_bench_setting *setting, egg_error *error)
{
    static const uint32_t shapes[][3] = {{4096, 64, 64}, {4096, 256, 64}, {4096, 128, 128}, {1024, 256, 256},
                                         {4096, 256, 256}, {4096, 1024, 256}, {4096, 256, 1024}};
    egg_status status = EGG_OK;
    egg_levels levels = egg_bench_levels(setting->levels);
    if (setting->kernels.device) return egg_bench_kernels_device(setting, error);
    for (size_t i = 0; i < EGG_COUNT(shapes); i++)
        EGG_TRY(bench_product(setting, &levels, shapes[i][0], shapes[i][1], shapes[i][2], error));
    EGG_TRY(bench_slots(setting, &levels, error));
    EGG_TRY(egg_bench_kernels_f32(setting, &levels, error));
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------- update and noise */

/* The form it replaces: for every weight a dot product over the pairs, as the compiler vectorizes it. */
static void run_dots(const egg_kernels *kernels, const void *context)
{
    (void)kernels;
    const egg_outer_args *args = context;
    for (uint32_t i = 0; i < args->m; i++)
        for (uint32_t j = 0; j < args->n; j++) {
            const int8_t *a = args->A + (size_t)i * args->count, *b = args->B + (size_t)j * args->count;
            int32_t sum = 0;
            for (uint32_t q = 0; q < args->count; q++) sum += a[q] * b[q];
            args->Z[(size_t)i * args->n + j] += sum;
        }
}

egg_status egg_bench_update(const egg_bench_setting *setting, egg_error *error)
{
    enum { M = 256, COUNT = 1024 };
    egg_status status = EGG_OK;
    egg_levels levels = egg_bench_levels(setting->levels);
    int8_t *A = egg_alloc(M * COUNT), *B = egg_alloc(N * COUNT);
    int32_t *Z = egg_alloc(M * N * sizeof *Z);
    void *scratch = egg_alloc(EGG_OUTER_SCRATCH(M, N, COUNT));
    if (!A || !B || !Z || !scratch) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
        goto out;
    }
    fill(A, M * COUNT, 5);
    fill(B, N * COUNT, 6);
    const egg_outer_args args = {.A = A, .B = B, .Z = Z, .count = COUNT, .m = M, .n = N, .scratch = scratch};
    const double work = 1e-9 * M * N * COUNT;
    const char *size = "256x256, 1024 pairs";
    egg_call calls[2] = {{.kernels = &levels.table[levels.count - 1], .args = &args, .run = run_outer},
                         {.args = &args, .run = run_dots}};
    egg_contender contenders[2] = {{.name = "outer_i8", .work = work, .unit = "GMAC/s"},
                                   {.name = "a dot product a weight", .work = work, .unit = "GMAC/s"}};
    for (size_t i = 0; i < 2; i++) egg_call_calibrate(&contenders[i], &calls[i]);
    EGG_TRY(egg_contest(contenders, 2, setting->repetitions, error));
    for (size_t i = 0; i < 2; i++) egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    egg_report_ratio(&setting->report, size, "update_vs_dots", &contenders[0], &contenders[1], setting->repetitions);
out:
    egg_free(A), egg_free(B), egg_free(Z), egg_free(scratch);
    return status;
}

egg_status egg_bench_noise(const egg_bench_setting *setting, egg_error *error)
{
    enum { PAIRS = 64, LONGEST = 1024 };
    egg_status status = EGG_OK;
    egg_levels levels = egg_bench_levels(setting->levels);
    static const uint32_t lengths[] = {64, 256, LONGEST};
    int8_t *out = egg_alloc(PAIRS * LONGEST);
    if (!out) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a benchmark");
    for (size_t i = 0; i < EGG_COUNT(lengths); i++) {
        char size[48];
        uint32_t n = lengths[i];
        snprintf(size, sizeof size, "%d pairs x %u", PAIRS, n);
        const egg_noise_args args = {.key = egg_key_make(1, EGG_DOMAIN_PERTURBATION), .n = n, .pairs = PAIRS,
                                     .out = out,
                                     .out_stride = n};
        const egg_slot_bench bench = {"noise_i8", size, "G/s", run_noise, &args, 1e-9 * PAIRS * n};
        EGG_TRY(egg_bench_slot(setting, &levels, &bench, "noise_vs_reference", error));
    }
out:
    egg_free(out);
    return status;
}
