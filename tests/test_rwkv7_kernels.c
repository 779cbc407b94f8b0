/* SPDX-License-Identifier: MIT */
/* The kernels of RWKV-7: every level against the reference, and rows that do not depend on who shares their call. */
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
#include "kernels/kernels.h"

enum { MAX_ROWS = 24, MAX_N = 192, MEMBERS = 4, CELLS = MAX_ROWS * MAX_N, STATE = MAX_N * 64 };

/* What all kernels read and write; filled alike for every run. */
typedef struct fixture {
    float r[CELLS], w[CELLS], k[CELLS], v[CELLS], a[CELLS], g[CELLS], kappa[CELLS], first[CELLS], mix[CELLS], Y[CELLS];
    float shifted[EGG_RWKV7_MIXES][CELLS];
    float vectors[EGG_RWKV7_MIXES][MEMBERS * MAX_N];
    float previous[MAX_ROWS][MAX_N], states[MAX_ROWS][STATE];
    float *previous_at[MAX_ROWS], *state_at[MAX_ROWS];
} fixture;

static void fill(float *values, size_t n, uint32_t stream, float scale)
{
    egg_noise_f32(egg_key_make(5, EGG_DOMAIN_SAMPLING), (egg_noise_at){.param = stream}, 0, n, values);
    for (size_t i = 0; i < n; i++) values[i] *= scale;
}

static fixture *new_fixture(void)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    float *const matrices[] = {f->r, f->w, f->k, f->v, f->a, f->g, f->kappa, f->first, f->mix, f->Y};
    for (uint32_t i = 0; i < 10; i++) fill(matrices[i], CELLS, i, 2);
    for (uint32_t i = 0; i < EGG_RWKV7_MIXES; i++) fill(f->vectors[i], MEMBERS * MAX_N, 20 + i, 0.5f);
    for (uint32_t i = 0; i < MAX_ROWS; i++) {
        fill(f->previous[i], MAX_N, 40 + i, 1);
        fill(f->states[i], STATE, 80 + i, 1);
        f->previous_at[i] = f->previous[i];
        f->state_at[i] = f->states[i];
    }
    return f;
}

typedef struct shape {
    uint32_t n, size, count;
    uint32_t first[MAX_ROWS + 1];
    bool members;
} shape;

static const shape shapes[] = {
    {64, 64, 1, {0, 1}, false},
    {192, 64, 3, {0, 5, 6, 20}, true},
    {96, 32, 4, {0, 1, 1, 2, 9}, true},      /* a sequence without rows */
    {48, 16, 2, {0, 3, 4}, false},
    {96, 48, 1, {0, 2}, true},
};

static const uint32_t member_of[MAX_ROWS] = {3, 3, 3, 3, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2};

static egg_rows_vector vector_of(fixture *f, const shape *s, uint32_t i)
{
    return (egg_rows_vector){.data = f->vectors[i], .stride = s->members ? MAX_N : 0};
}

/* All kernels in the model's order, on rows packed at n columns. */
static void run(const egg_rwkv7_kernels *kernels, fixture *f, const shape *s)
{
    const uint32_t *member = s->members ? member_of : NULL;
    egg_sequences sequences = {.first = s->first, .member = member, .count = s->count};
    uint32_t rows = egg_sequences_rows(sequences);
    egg_rwkv7_shift_args shift = {.sequences = sequences, .X = f->g, .state = f->previous_at, .n = s->n,
                                  .count = EGG_RWKV7_MIXES};
    for (uint32_t i = 0; i < EGG_RWKV7_MIXES; i++) {
        shift.mix[i] = vector_of(f, s, i);
        shift.Y[i] = f->shifted[i];
    }
    kernels->shift(&shift);
    kernels->gate(&(egg_rwkv7_gate_args){.member = member,
                                         .w = f->w,
                                         .k = f->k,
                                         .v = f->v,
                                         .a = f->a,
                                         .kappa = f->kappa,
                                         .v_first = s->count > 1 ? f->first : NULL,
                                         .mix = f->mix,
                                         .k_k = vector_of(f, s, 0),
                                         .k_a = vector_of(f, s, 1),
                                         .rows = rows,
                                         .n = s->n,
                                         .size = s->size});
    kernels->recur(&(egg_rwkv7_recur_args){.sequences = sequences, .r = f->r, .w = f->w, .k = f->k, .v = f->v,
                                           .kappa = f->kappa, .a = f->a, .state = f->state_at, .Y = f->Y, .n = s->n,
                                           .size = s->size});
    kernels->finish(&(egg_rwkv7_finish_args){.member = member, .Y = f->Y, .r = f->r, .k = f->k, .v = f->v, .g = f->g,
                                             .weight = vector_of(f, s, 2), .bias = vector_of(f, s, 3),
                                             .bonus = vector_of(f, s, 4), .rows = rows, .n = s->n, .size = s->size,
                                             .epsilon = 64e-5f});
    kernels->sigmoid(f->mix, (size_t)rows * s->n);
    kernels->relu_squared(f->first, (size_t)rows * s->n);
}

/* Largest difference, over the largest magnitude of the reference. */
static double distance(const float *found, const float *expected, size_t n)
{
    double worst = 0, largest = 1e-30;
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(found[i]));
        worst = fmax(worst, fabs((double)found[i] - expected[i]));
        largest = fmax(largest, fabs((double)expected[i]));
    }
    return worst / largest;
}

/*
 * Rounding is 2^-24 an operation. A chain of up to 14 rows of the recurrence multiplies an error by at most the norm of
 * diag(w) - kappa (kappa a)^T, which is below 2 here, and each adds sums of 64 terms: 14 * 64 * 2^-24 * 4 = 2e-4 at
 * worst.
 */
static void test_levels_agree(void **state)
{
    (void)state;
    const char *unknown;
    uint32_t levels = egg_cpu_levels(&unknown), tested = 0;
    egg_kernels reference;
    egg_kernels_init(&reference, 0);
    for (uint32_t bit = 1; bit; bit <<= 1) {
        if (!(levels & bit)) continue;
        egg_kernels level;
        egg_kernels_init(&level, levels & (bit | (bit - 1)));
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            fixture *expected = new_fixture(), *found = new_fixture();
            run(&reference.rwkv7, expected, &shapes[i]);
            run(&level.rwkv7, found, &shapes[i]);
            const float *const a[] = {expected->w, expected->k, expected->v, expected->a, expected->kappa, expected->Y,
                                      expected->mix, expected->first, expected->previous[0], expected->states[0],
                                      expected->states[2], expected->shifted[0], expected->shifted[5]};
            const float *const b[] = {found->w, found->k, found->v, found->a, found->kappa, found->Y, found->mix,
                                      found->first, found->previous[0], found->states[0], found->states[2],
                                      found->shifted[0], found->shifted[5]};
            for (size_t k = 0; k < sizeof a / sizeof *a; k++) {
                size_t n = k == 8 ? MAX_N : k == 9 || k == 10 ? STATE : CELLS;
                double d = distance(b[k], a[k], n);
                if (d > 2e-4) fail_msg("level %s, shape %zu, array %zu: %g", level.level, i, k, d);
            }
            tested++;
            free(expected);
            free(found);
        }
    }
    if (!tested) print_message("only the reference here\n");
}

/* Row by row, each a call of its own, gives the bits of the whole. */
static void test_rows_do_not_depend_on_the_call(void **state)
{
    (void)state;
    const char *unknown;
    egg_kernels kernels;
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    const shape *s = &shapes[1];
    fixture *whole = new_fixture(), *single = new_fixture();
    run(&kernels.rwkv7, whole, s);
    for (uint32_t q = 0; q < s->count; q++)
        for (uint32_t b = s->first[q]; b < s->first[q + 1]; b++) {
            uint32_t at = b * s->n;
            const uint32_t one[2] = {0, 1}, member = member_of[b];
            egg_sequences sequences = {.first = one, .member = &member, .count = 1};
            egg_rwkv7_shift_args shift = {.sequences = sequences, .X = single->g + at, .state = &single->previous_at[q],
                                          .n = s->n, .count = 1, .mix = {vector_of(single, s, 0)},
                                          .Y = {single->shifted[0] + at}};
            kernels.rwkv7.shift(&shift);
            kernels.rwkv7.gate(&(egg_rwkv7_gate_args){.member = &member, .w = single->w + at, .k = single->k + at,
                                                      .v = single->v + at, .a = single->a + at,
                                                      .kappa = single->kappa + at, .v_first = single->first + at,
                                                      .mix = single->mix + at, .k_k = vector_of(single, s, 0),
                                                      .k_a = vector_of(single, s, 1), .rows = 1, .n = s->n,
                                                      .size = s->size});
            kernels.rwkv7.recur(&(egg_rwkv7_recur_args){.sequences = sequences,
                                                        .r = single->r + at,
                                                        .w = single->w + at,
                                                        .k = single->k + at,
                                                        .v = single->v + at,
                                                        .kappa = single->kappa + at,
                                                        .a = single->a + at,
                                                        .state = &single->state_at[q],
                                                        .Y = single->Y + at,
                                                        .n = s->n,
                                                        .size = s->size});
            kernels.rwkv7.finish(&(egg_rwkv7_finish_args){.member = &member, .Y = single->Y + at, .r = single->r + at,
                                                          .k = single->k + at, .v = single->v + at, .g = single->g + at,
                                                          .weight = vector_of(single, s, 2),
                                                          .bias = vector_of(single, s, 3),
                                                          .bonus = vector_of(single, s, 4), .rows = 1, .n = s->n,
                                                          .size = s->size, .epsilon = 64e-5f});
        }
    size_t cells = (size_t)s->first[s->count] * s->n * sizeof(float);
    assert_memory_equal(single->Y, whole->Y, cells);
    assert_memory_equal(single->shifted[0], whole->shifted[0], cells);
    assert_memory_equal(single->states, whole->states, sizeof whole->states);
    assert_memory_equal(single->previous, whole->previous, sizeof whole->previous);
    free(whole);
    free(single);
}

/* A sum of 1024 exponentials below 1, each within 2^-22, then a logarithm: 1e-5 is ample. */
static void test_log_loss(void **state)
{
    (void)state;
    enum { ROWS = 3, N = 1024 };
    static float logits[ROWS * N];
    static const uint32_t target[ROWS] = {0, 500, N - 1};
    const char *unknown;
    float loss[ROWS];
    fill(logits, ROWS * N, 7, 8);
    logits[N + 17] = 200;   /* far above the rest */
    for (int level = 0; level < 2; level++) {
        egg_kernels kernels;
        egg_kernels_init(&kernels, level ? egg_cpu_levels(&unknown) : 0);
        kernels.rwkv7.log_loss(logits, target, ROWS, N, loss);
        for (uint32_t b = 0; b < ROWS; b++) {
            double sum = 0;
            for (uint32_t i = 0; i < N; i++) sum += exp((double)logits[b * N + i]);
            assert_true(fabs(loss[b] - (log(sum) - logits[b * N + target[b]])) < 1e-5 * (1 + fabs(loss[b])));
        }
    }
}

/* Far out the sigmoid is 0 and 1, without overflow. */
static void test_extremes(void **state)
{
    (void)state;
    const char *unknown;
    egg_kernels kernels;
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    float values[16] = {-1000, -100, -88, -20, -1, -0.0f, 0, 1, 20, 88, 100, 1000};
    kernels.rwkv7.sigmoid(values, 16);
    assert_true(values[0] >= 0 && values[0] < 1e-37f && values[1] < 1e-37f);
    assert_true(fabsf(values[4] - 0.26894142f) < 1e-7f && values[5] == 0.5f && values[6] == 0.5f);
    assert_true(values[9] == 1 && values[10] == 1 && values[11] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_rows_do_not_depend_on_the_call),
        cmocka_unit_test(test_log_loss),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
