/* SPDX-License-Identifier: MIT */
/* The operations that both arithmetics share: the law of the perturbation, inference without one, chunks and ranks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "nn/layers.h"

enum { OUT = 48, IN = 32, STEPS = 3, PAIRS = 4, MEMBERS = 2 * PAIRS, ROWS = MEMBERS * STEPS, FIRST_PAIR = 5 };

typedef struct fixture {
    egg_kernels kernels;
    egg_arena arena;
    egg_param matrix, embedding, vector;
    float X[ROWS * IN];
    uint32_t tokens[ROWS];
} fixture;

static void fill(egg_param *param, uint32_t stream)
{
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_INITIAL_WEIGHTS), (egg_noise_at){.param = stream}, 0,
                  egg_param_elements(param), param->data);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const char *unknown;
    egg_kernels_init(&f->kernels, egg_cpu_levels(&unknown));
    egg_arena_open(&f->arena, 1 << 20, NULL);
    egg_param_open(&f->matrix, &f->kernels, 0, EGG_PARAM_MATRIX, EGG_F32, OUT, IN, "matrix", NULL);
    egg_param_open(&f->embedding, &f->kernels, 1, EGG_PARAM_EMBEDDING, EGG_F32, OUT, IN, "embedding", NULL);
    egg_param_open(&f->vector, &f->kernels, 2, EGG_PARAM_VECTOR, EGG_F32, 1, IN, "vector", NULL);
    fill(&f->matrix, 0);
    fill(&f->embedding, 1);
    fill(&f->vector, 2);
    egg_param_pack(&f->matrix, &f->kernels);
    egg_noise_f32(egg_key_make(2, EGG_DOMAIN_SAMPLING), (egg_noise_at){0}, 0, ROWS * IN, f->X);
    for (int i = 0; i < ROWS; i++) f->tokens[i] = (uint32_t)(i * 11 % OUT);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    egg_param_close(&f->matrix);
    egg_param_close(&f->embedding);
    egg_param_close(&f->vector);
    egg_arena_close(&f->arena);
    free(f);
    return 0;
}

/*
 * Entry (o, i) of s * sigma / sqrt(r) * A B^T of a parameter for a member, or element i of s * sigma times a vector's
 * dense noise, in double precision.
 */
static double perturbation(const egg_perturb *law, const egg_param *param, uint32_t member, uint32_t o, uint32_t i)
{
    uint32_t a_length = egg_param_factor_length(param, EGG_A), pair = FIRST_PAIR + member / 2;
    double sum = 0, sign = member % 2 ? -1.0 : 1.0;
    egg_noise_at at = {.epoch = law->epoch, .param = param->id, .pair = pair};
    if (egg_perturb_is_dense(law, param)) {
        float noise;
        egg_noise_f32(law->key, at, i, 1, &noise);
        return sign * (double)law->sigma * noise;
    }
    for (uint32_t k = 0; k < law->rank; k++) {
        float a, b;
        at.side = EGG_A;
        egg_noise_f32(law->key, at, (uint64_t)k * a_length + o, 1, &a);
        at.side = EGG_B;
        egg_noise_f32(law->key, at, (uint64_t)k * param->in + i, 1, &b);
        sum += (double)a * b;
    }
    return sign * (double)law->c * sum;
}

static const float *run_linear(fixture *f, const egg_perturb *law, uint32_t first_pair, uint32_t members,
                               const float *X)
{
    egg_pass pass = egg_pass_begin(&f->kernels, &f->arena, law, first_pair, members);
    egg_mat Y = egg_mat_f32(&pass, STEPS, OUT);
    egg_linear_f32(&pass, &f->matrix, (egg_mat){.data = (void *)(uintptr_t)X, .stride = IN, .steps = STEPS, .cols = IN},
                   Y);
    assert_false(pass.failed);
    return Y.data;
}

/*
 * Sums of n products of numbers of magnitude m differ from exact ones by at most about n * 2^-24 * sum of magnitudes;
 * here n <= 32 + rank, magnitudes add up to less than 200: 32 * 6e-8 * 200 = 4e-4 in the worst case.
 */
static const double tolerance = 4e-4;

static void test_linear_law(void **state)
{
    fixture *f = *state;
    for (uint32_t rank = 1; rank <= 4; rank++) {
        egg_perturb law = egg_perturb_f32(9, 3, rank, 0.25f);
        egg_arena_release(&f->arena, 0);
        const float *Y = run_linear(f, &law, FIRST_PAIR, MEMBERS, f->X), *W = f->matrix.data;
        for (uint32_t b = 0; b < ROWS; b++)
            for (uint32_t o = 0; o < OUT; o++) {
                double expected = 0;
                for (uint32_t i = 0; i < IN; i++) {
                    double w = W[o * IN + i] + perturbation(&law, &f->matrix, b / STEPS, o, i);
                    expected += (double)f->X[b * IN + i] * w;
                }
                assert_true(fabs(Y[b * OUT + o] - expected) < tolerance);
            }
    }
}

static void test_no_law_is_inference(void **state)
{
    fixture *f = *state;
    egg_perturb nothing = egg_perturb_f32(9, 3, 1, 0);
    egg_arena_release(&f->arena, 0);
    const float *plain = run_linear(f, NULL, 0, MEMBERS, f->X),
                 *silent = run_linear(f, &nothing, FIRST_PAIR, MEMBERS, f->X);
    for (uint32_t i = 0; i < ROWS * OUT; i++) assert_true(plain[i] == silent[i]);
    const float *odd = run_linear(f, NULL, 0, 3, f->X);   /* any number of rows */
    assert_memory_equal(odd, plain, 3 * STEPS * OUT * sizeof(float));
}

/* A row's result does not depend on its neighbours: chunks of one pair give the bits of the whole. */
static void test_chunks(void **state)
{
    fixture *f = *state;
    egg_perturb law = egg_perturb_f32(9, 3, 2, 0.25f);
    egg_arena_release(&f->arena, 0);
    const float *whole = run_linear(f, &law, FIRST_PAIR, MEMBERS, f->X);
    for (uint32_t p = 0; p < PAIRS; p++) {
        const float *part = run_linear(f, &law, FIRST_PAIR + p, 2, f->X + 2 * p * STEPS * IN);
        assert_memory_equal(part, whole + 2 * p * STEPS * OUT, 2 * STEPS * OUT * sizeof(float));
    }
}

static void test_lookup_law(void **state)
{
    fixture *f = *state;
    egg_perturb law = egg_perturb_f32(9, 3, 2, 0.25f);
    egg_arena_release(&f->arena, 0);
    egg_pass pass = egg_pass_begin(&f->kernels, &f->arena, &law, FIRST_PAIR, MEMBERS);
    egg_mat Y = egg_mat_f32(&pass, STEPS, IN);
    egg_lookup_f32(&pass, &f->embedding, f->tokens, Y);
    assert_false(pass.failed);
    for (uint32_t b = 0; b < ROWS; b++)
        for (uint32_t i = 0; i < IN; i++) {
            double expected = ((float *)f->embedding.data)[f->tokens[b] * IN + i] +
                              perturbation(&law, &f->embedding, b / STEPS, f->tokens[b], i);
            assert_true(fabs(((float *)Y.data)[b * IN + i] - expected) < tolerance);
        }
}

static void test_layer_norm_law(void **state)
{
    fixture *f = *state;
    egg_perturb law = egg_perturb_f32(9, 3, 1, 0.25f);
    egg_arena_release(&f->arena, 0);
    egg_pass pass = egg_pass_begin(&f->kernels, &f->arena, &law, FIRST_PAIR, MEMBERS);
    egg_mat X = {.data = f->X, .stride = IN, .steps = STEPS, .cols = IN}, Y = egg_mat_f32(&pass, STEPS, IN);
    egg_layer_norm_f32(&pass, &f->vector, X, Y);
    assert_false(pass.failed);
    for (uint32_t b = 0; b < ROWS; b++) {
        double mean = 0, variance = 0;
        for (uint32_t i = 0; i < IN; i++) mean += f->X[b * IN + i] / (double)IN;
        for (uint32_t i = 0; i < IN; i++) variance += pow(f->X[b * IN + i] - mean, 2) / IN;
        for (uint32_t i = 0; i < IN; i++) {
            double w = ((float *)f->vector.data)[i] + perturbation(&law, &f->vector, b / STEPS, i, i);
            double expected = (f->X[b * IN + i] - mean) / sqrt(variance + 1e-5) * w;
            assert_true(fabs(((float *)Y.data)[b * IN + i] - expected) < tolerance);
        }
    }
}

static void test_add(void **state)
{
    fixture *f = *state;
    egg_arena_release(&f->arena, 0);
    egg_pass pass = egg_pass_begin(&f->kernels, &f->arena, NULL, 0, MEMBERS);
    egg_mat X = {.data = f->X, .stride = IN, .steps = STEPS, .cols = IN}, Y = egg_mat_f32(&pass, STEPS, IN);
    memcpy(Y.data, f->X, sizeof f->X);
    egg_add_f32(&pass, X, Y);
    for (uint32_t i = 0; i < ROWS * IN; i++) assert_true(((float *)Y.data)[i] == f->X[i] + f->X[i]);
}

static void test_frozen(void **state)
{
    fixture *f = *state;
    egg_perturb law = egg_perturb_f32(9, 3, 1, 0.25f);
    egg_arena_release(&f->arena, 0);
    const float *plain = run_linear(f, NULL, 0, MEMBERS, f->X);
    f->matrix.frozen = true;
    const float *frozen = run_linear(f, &law, FIRST_PAIR, MEMBERS, f->X);
    f->matrix.kind = EGG_PARAM_MATRIX;
    assert_memory_equal(frozen, plain, ROWS * OUT * sizeof(float));
}

/* Scratch that runs out is remembered, not walked past. */
static void test_exhausted_scratch(void **state)
{
    fixture *f = *state;
    egg_arena tiny;
    egg_perturb law = egg_perturb_f32(9, 3, 1, 0.25f);
    for (size_t bytes = 0; bytes < 6000; bytes += 64) {
        assert_int_equal(egg_arena_open(&tiny, bytes, NULL), EGG_OK);
        egg_pass pass = egg_pass_begin(&f->kernels, &tiny, &law, FIRST_PAIR, MEMBERS);
        egg_mat X = {.data = f->X, .stride = IN, .steps = STEPS, .cols = IN}, Y = egg_mat_f32(&pass, STEPS, OUT);
        egg_linear_f32(&pass, &f->matrix, X, Y);
        egg_layer_norm_f32(&pass, &f->vector, X, X);
        egg_add_f32(&pass, Y, Y);
        assert_true(pass.failed);
        egg_arena_close(&tiny);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_law),      cmocka_unit_test(test_no_law_is_inference),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_lookup_law),       cmocka_unit_test(test_layer_norm_law),      cmocka_unit_test(test_add),
        cmocka_unit_test(test_frozen),          cmocka_unit_test(test_exhausted_scratch),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
