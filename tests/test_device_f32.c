/* SPDX-License-Identifier: MIT */
/* Float models on the device, if there is one: what they compute and how they are updated, against the processor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/cpu.h"
#include "es/device_memory.h"
#include "es/update_f32.h"
#include "kernels/cuda/cuda_level.h"
#include "models/mlp.h"

enum { SLOTS = 3, ROWS = 11, INPUTS = 32, COLUMNS = 16 };

static const egg_device *device;

/* Rows in no order; slot 1 holds no perturbation, and one member has no row. */
static const uint32_t members[ROWS] = {5, 0, 1, 1, 3, 2, 0, 5, 3, 3, 2};

/* Y (ROWS, COLUMNS) of a network whose weights and noise follow from the seed. */
static void forward(const egg_kernels *kernels, const egg_mlp_shape *shape, const egg_perturb *law, const float *X,
                    float *Y)
{
    egg_mlp mlp;
    egg_bank bank;
    egg_arena arena;
    assert_int_equal(egg_mlp_open(&mlp, shape, kernels, NULL), EGG_OK);
    egg_mlp_init_weights(&mlp, 3, 1, 0);
    egg_params_send(mlp.params, mlp.param_count);
    egg_mlp_pack(&mlp, kernels);
    assert_int_equal(egg_bank_open(&bank, mlp.params, mlp.param_count, SLOTS, law->rank, law->dense, NULL), EGG_OK);
    for (uint32_t slot = 0; slot < SLOTS; slot++) egg_bank_draw(&bank, kernels, law, slot, 7 * slot, slot == 1);
    egg_bank_flush(&bank, kernels);
    const size_t scratch = egg_mlp_scratch_bytes(&mlp, ROWS, law->rank) + 3 * EGG_CACHE_LINE +
                           sizeof(float) * ROWS * (INPUTS + COLUMNS) + sizeof members;
    assert_int_equal(egg_device_arena_open(kernels->device, &arena, scratch, NULL), EGG_OK);
    uint32_t *row_member = egg_arena_take(&arena, sizeof members);
    float *x = egg_arena_take(&arena, sizeof(float) * ROWS * INPUTS);
    float *y = egg_arena_take(&arena, sizeof(float) * ROWS * COLUMNS);
    egg_device_upload(kernels->device, row_member, members, sizeof members);
    egg_device_upload(kernels->device, x, X, sizeof(float) * ROWS * INPUTS);
    egg_pass pass = egg_pass_begin_rows(kernels, &arena, &bank, row_member, ROWS);
    egg_mlp_forward(&pass, &mlp, (egg_mat){.data = x, .stride = INPUTS, .steps = 1, .cols = INPUTS},
                    (egg_mat){.data = y, .stride = COLUMNS, .steps = 1, .cols = COLUMNS});
    assert_false(pass.failed);
    egg_device_download(kernels->device, Y, y, sizeof(float) * ROWS * COLUMNS);
    assert_int_equal(egg_device_wait(kernels->device, NULL), EGG_OK);
    egg_device_arena_close(kernels->device, &arena);
    egg_bank_close(&bank);
    egg_mlp_close(&mlp);
}

/*
 * Four layers of sums of at most 64 terms, of activations and weights of about 1: 64 * 2^-24 * 4 each, and layer norm
 * divides by a deviation of about 1. Ten times that is ample; a wrong member or factor is off by sigma = 0.1.
 */
static void test_bank_and_model(void **state)
{
    (void)state;
    float X[ROWS * INPUTS], expected[ROWS * COLUMNS], found[ROWS * COLUMNS];
    egg_kernels reference, there;
    egg_kernels_init(&reference, 0);
    egg_kernels_cuda(&there, device);
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_SAMPLING), (egg_noise_at){0}, 0, ROWS * INPUTS, X);
    const egg_perturb laws[] = {egg_perturb_f32(5, 2, 1, 0.1f), egg_perturb_f32(5, 2, 3, 0.1f),
                                egg_perturb_dense(5, 2, 0.1f)};
    for (int activation = EGG_ACTIVATION_PQN; activation <= EGG_ACTIVATION_TANH; activation++)
        for (size_t i = 0; i < EGG_COUNT(laws); i++) {
            const egg_mlp_shape shape = {.inputs = INPUTS, .outputs = COLUMNS, .width = 64, .layers = 2,
                                         .activation = (egg_activation)activation};
            forward(&reference, &shape, &laws[i], X, expected);
            forward(&there, &shape, &laws[i], X, found);
            for (size_t j = 0; j < EGG_COUNT(found); j++)
                if (!(fabsf(found[j] - expected[j]) <= 6e-4f * (1 + fabsf(expected[j]))))
                    fail_msg("activation %d, law %zu, value %zu: %g, expected %g", activation, i, j, found[j],
                             expected[j]);
        }
}

/* ---------------------------------------------------------------------------------------------------------- update */

enum { PARAMS = 5, FROZEN = 2, PAIRS = 40, MOST_ELEMENTS = 304 * 48, MOST_PARTS = 3, UPDATES = 2 };

/* Several groups of rows, the last of them short; lengths that need padding. */
static const struct {
    egg_param_kind kind;
    uint32_t out, in;
} shapes[PARAMS] = {{EGG_PARAM_MATRIX, 300, 33}, {EGG_PARAM_VECTOR, 1, 150}, {EGG_PARAM_MATRIX, 20, 20},
                    {EGG_PARAM_MATRIX, 256, 16}, {EGG_PARAM_VECTOR, 1, 1}};

typedef struct update_case {
    egg_update_shape shape;
    egg_perturb law;
} update_case;

/* One rank: the rows of its shard are what it updates and keeps moments of. */
typedef struct update_rank {
    egg_param params[PARAMS];
    egg_update_f32 *update;
    egg_shard shard;
} update_rank;

static void open_rank(update_rank *rank, const update_case *kind, const egg_kernels *kernels, egg_shard shard)
{
    egg_update_shape shape = kind->shape;
    rank->shard = shape.shard = shard;
    for (uint32_t i = 0; i < PARAMS; i++) {
        egg_param *param = &rank->params[i];
        assert_int_equal(egg_param_open(param, kernels, i, shapes[i].kind, EGG_F32, shapes[i].out, shapes[i].in, "p",
                                        NULL), EGG_OK);
        param->frozen = i == FROZEN;
        egg_param_init_normal_f32(param, 11, 0.5f);
    }
    assert_int_equal(egg_update_f32_open(&rank->update, rank->params, PARAMS, &shape, NULL), EGG_OK);
    egg_params_send(rank->params, PARAMS);
    egg_update_f32_pack(rank->update, kernels, NULL);
    egg_update_f32_share(rank->update, shard);
}

static void close_rank(update_rank *rank)
{
    egg_update_f32_close(rank->update);
    for (uint32_t i = 0; i < PARAMS; i++) egg_param_close(&rank->params[i]);
}

/* What every rank leaves of its groups, to the others. */
static void exchange_squares(update_rank *ranks, uint32_t parts)
{
    for (uint32_t r = 0; r < parts; r++) {
        const egg_rows own = egg_update_f32_groups(ranks[r].update, ranks[r].shard);
        for (uint32_t o = 0; o < parts; o++)
            if (o != r) memcpy(egg_update_f32_squares(ranks[o].update) + own.first,
                               egg_update_f32_squares(ranks[r].update) + own.first, own.count * sizeof(double));
    }
}

/* Weights and moments (3) as all ranks together have them, and the norms. */
typedef struct updated {
    float kept[PARAMS][3][MOST_ELEMENTS];
    double norm[UPDATES];
} updated;

static void collect(update_rank *rank, updated *out)
{
    egg_params_fetch(rank->params, PARAMS);
    for (uint32_t i = 0; i < PARAMS; i++) {
        const egg_param *param = &rank->params[i];
        const egg_rows own = egg_shard_rows(rank->params, PARAMS, i, rank->shard);
        const size_t first = (size_t)own.first * param->in, bytes = (size_t)own.count * param->in * sizeof(float);
        memcpy(out->kept[i][0] + first, (const float *)param->data + first, bytes);
        for (uint32_t k = 0; k < 2; k++)
            if (param->moment[k] && own.count) memcpy(out->kept[i][1 + k] + first, param->moment[k], bytes);
    }
}

static void run_updates(const egg_kernels *kernels, const update_case *kind, uint32_t parts, updated *out)
{
    static update_rank ranks[MOST_PARTS];
    float weight[PAIRS];
    memset(out, 0, sizeof *out);
    for (uint32_t r = 0; r < parts; r++) open_rank(&ranks[r], kind, kernels, (egg_shard){r, parts});
    for (uint32_t step = 1; step <= UPDATES; step++) {
        for (uint32_t p = 0; p < PAIRS; p++) weight[p] = (float)sin(3.0 * p + step) / 4;
        for (uint32_t r = 0; r < parts; r++)
            egg_update_f32_estimate(ranks[r].update, kernels, NULL, &kind->law, weight, PAIRS, step, 0.1);
        exchange_squares(ranks, parts);
        for (uint32_t r = 0; r < parts; r++) {
            const double norm = egg_update_f32_step(ranks[r].update, NULL).gradient_norm;
            assert_true(r == 0 || norm == out->norm[step - 1]);
            out->norm[step - 1] = norm;
        }
    }
    for (uint32_t r = 0; r < parts; r++) collect(&ranks[r], out);
    for (uint32_t r = 0; r < parts; r++) close_rank(&ranks[r]);
}

/*
 * A gradient is a sum of 80 products, each at most 0.25 * 4.5^2 in size, times 0.07: where one level fuses what another
 * rounds, sums differ by less than 80 * 2^-24 * 80 * 5 * 0.07 < 2e-4. A step is 0.1 of that; Adam's divides by at least
 * epsilon = 0.1; momentum has it twice. A missing pair is off by about 0.01.
 */
static void check_near(const updated *found, const updated *expected)
{
    for (uint32_t i = 0; i < PARAMS; i++)
        for (uint32_t k = 0; k < 3; k++)
            for (size_t e = 0; e < MOST_ELEMENTS; e++)
                if (!(fabsf(found->kept[i][k][e] - expected->kept[i][k][e]) <= 4e-4f))
                    fail_msg("parameter %u, copy %u at %zu: %g, expected %g", i, k, e, found->kept[i][k][e],
                             expected->kept[i][k][e]);
    for (uint32_t s = 0; s < UPDATES; s++)
        assert_true(fabs(found->norm[s] - expected->norm[s]) <= 1e-4 * expected->norm[s]);
}

static void check_update(const update_case *kind, const egg_kernels *there)
{
    static updated expected, whole, shared;
    egg_kernels reference, here;
    egg_kernels_init(&reference, 0);
    egg_kernels_init(&here, egg_cpu_detect());
    run_updates(&reference, kind, 1, &expected);
    run_updates(there, kind, 1, &whole);
    check_near(&whole, &expected);
    for (uint32_t parts = 2; parts <= MOST_PARTS; parts++) {
        run_updates(there, kind, parts, &shared);
        assert_memory_equal(&shared, &whole, sizeof whole);
    }
    if (strcmp(here.level, "ref") == 0) return;
    run_updates(&here, kind, 1, &shared);   /* levels that fuse multiplications and additions, as the device does */
    assert_memory_equal(&shared, &whole, sizeof whole);
}

static void test_update(void **state)
{
    (void)state;
    egg_kernels there;
    egg_kernels_cuda(&there, device);
    const egg_perturb laws[] = {egg_perturb_f32(5, 2, 2, 0.1f), egg_perturb_dense(5, 2, 0.05f)};
    for (int kind = EGG_OPTIMIZER_SGD; kind <= EGG_OPTIMIZER_ADAMW; kind++)
        for (uint32_t l = 0; l < EGG_COUNT(laws); l++)
            for (int clips = 0; clips < 2; clips++)
                check_update(&(update_case){
                    .shape = {.optimizer = {.kind = (egg_optimizer_kind)kind, .beta1 = 0.9f, .beta2 = 0.99f,
                                            .epsilon = 0.1f, .weight_decay = 0.01f, .clip = clips ? 0.5f : 0},
                              .rank = laws[l].rank, .dense = laws[l].dense, .pairs = PAIRS, .threads = 1},
                    .law = laws[l]}, &there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bank_and_model), cmocka_unit_test(test_update)};
    const char *why;
    device = egg_cuda_open(0, &why);
    if (!device) {
        print_message("no device: %s\n", why);
        return 77;   /* skipped */
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    egg_cuda_close();
    return failed;
}
