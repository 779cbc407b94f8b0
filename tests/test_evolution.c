/* SPDX-License-Identifier: MIT */
/* The update of float parameters against sums of whole matrices in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "es/evolution.h"

enum { PARAMS = 5, FROZEN = 2, PAIRS = 150, POPULATION = 2 * PAIRS };

/* More rows than a task holds, lengths that need padding, one number alone, and what must not move. */
static const struct {
    egg_param_kind kind;
    uint32_t out, in;
} shapes[PARAMS] = {{EGG_PARAM_MATRIX, 150, 33}, {EGG_PARAM_VECTOR, 1, 150}, {EGG_PARAM_MATRIX, 20, 20},
                    {EGG_PARAM_MATRIX, 1, 64},   {EGG_PARAM_VECTOR, 1, 1}};

static egg_kernels kernels;

static void open_params(egg_param params[PARAMS])
{
    for (uint32_t p = 0; p < PARAMS; p++) {
        assert_int_equal(egg_param_open(&params[p], &kernels, p, shapes[p].kind, EGG_F32, shapes[p].out, shapes[p].in,
                                        "p", NULL),
                         EGG_OK);
        params[p].frozen = p == FROZEN;
        egg_param_init_normal_f32(&params[p], 11, 0.5f);
        egg_param_pack(&params[p], &kernels);
    }
}

static void close_params(egg_param params[PARAMS])
{
    for (uint32_t p = 0; p < PARAMS; p++) egg_param_close(&params[p]);
}

/* Adds weight * sigma * E of one pair to G (out, in; with padding), from noise at its addresses alone. */
static void add_noise(const egg_param *param, const egg_perturb *law, double sigma, uint32_t rank, uint32_t pair,
                      double weight, double *G)
{
    size_t out = param->out, in = param->in;
    bool dense = law->dense || param->kind == EGG_PARAM_VECTOR;
    egg_noise_at a = {.epoch = law->epoch, .param = param->id, .side = EGG_A, .pair = pair}, b = a;
    b.side = EGG_B;
    float *A = malloc((out * in + rank * out) * sizeof *A), *B = malloc(rank * in * sizeof *B);
    egg_noise_f32(law->key, a, 0, dense ? out * in : rank * out, A);
    egg_noise_f32(law->key, b, 0, rank * in, B);
    for (size_t o = 0; o < param->used_out; o++)
        for (size_t i = 0; i < param->used_in; i++) {
            double E = dense ? A[o * in + i] : 0;
            for (size_t k = 0; !dense && k < rank; k++) E += (double)A[k * out + o] * B[k * in + i] / sqrt(rank);
            G[o * in + i] += weight * sigma * E;
        }
    free(A);
    free(B);
}

static float weight_of(uint32_t pair)
{
    return (float)sin(3.0 * pair) / 4;
}

static void check_padding(const egg_param *param)
{
    const float *W = param->data;
    for (uint32_t o = 0; o < param->out; o++)
        for (uint32_t i = 0; i < param->in; i++)
            if (o >= param->used_out || i >= param->used_in) assert_true(W[(size_t)o * param->in + i] == 0);
}

/* One step of SGD with lr 1 is the gradient itself. */
static void check_gradient(uint32_t rank, bool dense, float clip)
{
    egg_param params[PARAMS], before[PARAMS];
    egg_update_f32 *update;
    float weight[PAIRS];
    const egg_perturb law = dense ? egg_perturb_dense(5, 3, 0.1f) : egg_perturb_f32(5, 3, rank, 0.1f);
    const egg_update_shape shape = {.optimizer = {.kind = EGG_OPTIMIZER_SGD, .clip = clip},
                                    .rank = rank,
                                    .dense = dense,
                                    .threads = 1};
    double *G[PARAMS], squares = 0;
    for (uint32_t p = 0; p < PAIRS; p++) weight[p] = weight_of(p);
    open_params(params);
    open_params(before);
    for (uint32_t i = 0; i < PARAMS; i++) {
        size_t n = egg_param_elements(&params[i]);
        G[i] = calloc(n, sizeof *G[i]);
        for (uint32_t p = 0; !params[i].frozen && p < PAIRS; p++)
            add_noise(&params[i], &law, 0.1f, rank, p, weight[p], G[i]);
        for (size_t e = 0; e < n; e++) squares += G[i][e] * G[i][e];
    }
    double norm = sqrt(squares), shortened = clip > 0 && norm > clip ? clip / norm : 1;
    assert_int_equal(egg_update_f32_open(&update, params, PARAMS, &shape, NULL), EGG_OK);
    egg_update_stats stats = egg_update_f32_run(update, &kernels, NULL, &law, weight, PAIRS, 1, 1);
    assert_true(fabs(stats.gradient_norm - norm) < 1e-4 * norm);
    for (uint32_t i = 0; i < PARAMS; i++) {
        const float *W = params[i].data, *W0 = before[i].data;
        for (size_t e = 0; e < egg_param_elements(&params[i]); e++)
            if (fabs(W[e] - (W0[e] + shortened * G[i][e])) > 1e-5)
                fail_msg("rank %u, parameter %u at %zu: %g, expected %g", rank, i, e, W[e],
                         W0[e] + shortened * G[i][e]);
        check_padding(&params[i]);
        if (params[i].frozen) assert_memory_equal(W, W0, egg_param_elements(&params[i]) * sizeof *W);
        free(G[i]);
    }
    egg_update_f32_close(update);
    close_params(params);
    close_params(before);
}

static void test_gradient(void **state)
{
    (void)state;
    check_gradient(1, false, 0);
    check_gradient(2, false, 0);
    check_gradient(5, false, 0);
    check_gradient(1, true, 0);
}

static void test_clipping(void **state)
{
    (void)state;
    check_gradient(2, false, 0.01f);
    check_gradient(1, true, 0.01f);
    check_gradient(2, false, 1e9f);   /* never reached */
}

/* What is packed is what the update left in 'data'. */
static void test_packed(void **state)
{
    (void)state;
    egg_param params[PARAMS];
    egg_update_f32 *update;
    float weight[2] = {1, -0.5f};
    const egg_perturb law = egg_perturb_f32(5, 0, 1, 0.1f);
    const egg_update_shape shape = {.rank = 1, .threads = 1};
    open_params(params);
    assert_int_equal(egg_update_f32_open(&update, params, PARAMS, &shape, NULL), EGG_OK);
    egg_update_f32_run(update, &kernels, NULL, &law, weight, 2, 1, 1);
    size_t bytes = kernels.packed_bytes_f32(params[0].out, params[0].in);
    void *packed = egg_alloc(bytes);
    kernels.pack_f32(params[0].data, params[0].out, params[0].in, packed);
    assert_memory_equal(packed, params[0].packed, bytes);
    egg_free(packed);
    egg_update_f32_close(update);
    close_params(params);
}

/* ------------------------------------------------------------------------------------------------------- evolution */

static egg_evolution_shape shape_of(egg_optimizer_kind kind, bool dense, float clip, uint32_t threads)
{
    return (egg_evolution_shape){
        .seed = 9,
        .population = POPULATION,
        .rank = dense ? 1 : 2,
        .dense = dense,
        .sigma = 0.05,
        .sigma_decay = 0.9,
        .rate = 0.1,
        .rate_decay = 0.8,
        .noise_reuse = 1,
        .shaping = {.antithetic = true},
        .optimizer =
            {.kind = kind, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f, .weight_decay = 0.01f, .clip = clip},
        .threads = threads,
    };
}

static void run(const egg_evolution_shape *shape, egg_param params[PARAMS], uint64_t epochs)
{
    egg_evolution *evolution;
    egg_pool *pool;
    float fitness[POPULATION];
    open_params(params);
    assert_int_equal(egg_pool_open(&pool, shape->threads, NULL), EGG_OK);
    assert_int_equal(egg_evolution_open(&evolution, shape, params, PARAMS, NULL), EGG_OK);
    for (uint64_t t = 0; t < epochs; t++) {
        for (int m = 0; m < POPULATION; m++) fitness[m] = (float)sin(1.7 * m * m * (double)(t + 1));
        egg_evolution_tell(evolution, &kernels, pool, t, fitness);
    }
    egg_evolution_close(evolution);
    egg_pool_close(pool);
}

static void test_threads(void **state)
{
    (void)state;
    for (int kind = EGG_OPTIMIZER_SGD; kind <= EGG_OPTIMIZER_ADAMW; kind++)
        for (int dense = 0; dense < 2; dense++)
            for (int clip = 0; clip < 2; clip++) {
                egg_param one[PARAMS];
                egg_evolution_shape shape = shape_of((egg_optimizer_kind)kind, dense, clip ? 0.1f : 0, 1);
                run(&shape, one, 3);
                for (uint32_t threads = 2; threads <= 3; threads++) {
                    egg_param many[PARAMS];
                    shape.threads = threads;
                    run(&shape, many, 3);
                    for (uint32_t i = 0; i < PARAMS; i++) {
                        size_t n = egg_param_elements(&one[i]);
                        assert_memory_equal(one[i].data, many[i].data, n * sizeof(float));
                        check_padding(&many[i]);
                    }
                    close_params(many);
                }
                close_params(one);
            }
}

static void test_laws(void **state)
{
    (void)state;
    egg_evolution_shape shape = shape_of(EGG_OPTIMIZER_SGD, false, 0, 1);
    egg_perturb law = egg_evolution_law(&shape, 7);
    assert_true(law.epoch == 7 && law.rank == 2 && law.sigma == (float)(0.05 * pow(0.9, 7)));
    assert_true(law.c == law.sigma / sqrtf(2) && !law.dense);
    shape.noise_reuse = 3;
    assert_int_equal(egg_evolution_law(&shape, 8).epoch, 2);
    shape.noise_reuse = 0;
    assert_int_equal(egg_evolution_law(&shape, 8).epoch, 0);
    shape.dense = true;
    assert_true(egg_evolution_law(&shape, 0).dense && egg_evolution_law(&shape, 0).sigma == 0.05f);
    assert_true(egg_evolution_rate(&shape, 2) == 0.1 * pow(0.8, 2));
}

/* With sigma and the learning rate as they are, z-scored SGD without a signal moves weights by rate * sigma. */
static void test_rate_is_in_units_of_sigma(void **state)
{
    (void)state;
    egg_param params[PARAMS], before[PARAMS];
    egg_evolution_shape shape = shape_of(EGG_OPTIMIZER_SGD, false, 0, 1);
    shape.optimizer.weight_decay = 0;
    run(&shape, params, 1);
    open_params(before);
    double squares = 0, n = shapes[0].out * shapes[0].in;
    for (size_t e = 0; e < egg_param_elements(&params[0]); e++)
        squares += pow(((float *)params[0].data)[e] - ((float *)before[0].data)[e], 2);
    double moved = sqrt(squares / n);
    assert_true(fabs(moved / (0.1 * 0.05) - 1) < 0.2);
    close_params(params);
    close_params(before);
}

static void test_reschedule(void **state)
{
    (void)state;
    egg_param params[PARAMS];
    egg_evolution *evolution;
    float fitness[POPULATION] = {1};
    egg_evolution_shape shape = shape_of(EGG_OPTIMIZER_SGD, false, 0, 1);
    open_params(params);
    assert_int_equal(egg_evolution_open(&evolution, &shape, params, PARAMS, NULL), EGG_OK);
    shape.sigma = 2;
    shape.sigma_epoch = 4;
    shape.rate = 3;
    shape.rate_epoch = 5;
    egg_evolution_reschedule(evolution, &shape);
    egg_evolution_stats stats = egg_evolution_tell(evolution, &kernels, NULL, 5, fitness);
    assert_true(stats.sigma == (float)(2 * 0.9) && stats.rate == 3);
    egg_evolution_close(evolution);
    close_params(params);
}

static void test_memory(void **state)
{
    (void)state;
    egg_param params[PARAMS];
    egg_evolution_shape shape = shape_of(EGG_OPTIMIZER_ADAM, false, 1, 2);
    for (uint64_t n = 1;; n++) {
        egg_evolution *evolution = NULL;
        open_params(params);
        egg_alloc_fail_at(n);
        egg_status status = egg_evolution_open(&evolution, &shape, params, PARAMS, NULL);
        egg_alloc_fail_at(0);
        egg_evolution_close(evolution);
        close_params(params);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_true(n < 100);
    }
}

int main(void)
{
    egg_kernels_init(&kernels, egg_cpu_levels(&(const char *){0}));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_packed),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_laws),     cmocka_unit_test(test_rate_is_in_units_of_sigma),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_reschedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
