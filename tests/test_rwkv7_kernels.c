/* SPDX-License-Identifier: MIT */
/*
 * The kernels of RWKV-7: every level, a device's too, against the reference, and rows that do not depend on who shares
 * their call.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/cpu.h"
#include "kernels/cuda/cuda_level.h"
#include "kernels/kernels.h"

enum { MAX_ROWS = 24, MAX_N = 192, MEMBERS = 4, CELLS = MAX_ROWS * MAX_N, STATE = MAX_N * 128 };

/* What all kernels read and write; filled alike for every run. */
typedef struct fixture {
    float r[CELLS], w[CELLS], k[CELLS], v[CELLS], a[CELLS], g[CELLS], kappa[CELLS], first[CELLS], mix[CELLS], Y[CELLS];
    float shifted[EGG_RWKV7_MIXES][CELLS];
    float vectors[EGG_RWKV7_MIXES][MEMBERS * MAX_N];
    float previous[MAX_ROWS][MAX_N], states[MAX_ROWS][STATE];
    float *previous_at[MAX_ROWS], *state_at[MAX_ROWS];
    uint32_t first_row[MAX_ROWS + 4], member[MAX_ROWS];   /* of the shape; every array begins at a multiple of 16 bytes */
} fixture;

/* Every level of this machine with those below it, and the device's. */
enum { MAX_LEVELS = 8 };

typedef struct level_set {
    egg_kernels level[MAX_LEVELS];
    uint32_t count;
} level_set;

static level_set find_levels(void)
{
    const char *unknown, *why;
    uint32_t levels = egg_cpu_levels(&unknown);
    level_set set = {0};
    for (uint32_t bit = 1; bit && set.count < MAX_LEVELS - 1; bit <<= 1)
        if (levels & bit) egg_kernels_init(&set.level[set.count++], levels & (bit | (bit - 1)));
    const egg_device *device = egg_cuda_open(0, &why);
    if (device) egg_kernels_cuda(&set.level[set.count++], device);
    return set;
}

/* Until what a device was told is done. */
static void finish(const egg_kernels *kernels)
{
    const char *error = kernels->device ? kernels->device->wait() : NULL;
    if (error) fail_msg("%s: %s", kernels->device->name, error);
}

static void fill(float *values, size_t n, uint32_t stream, float scale)
{
    egg_noise_f32(egg_key_make(5, EGG_DOMAIN_SAMPLING), (egg_noise_at){.param = stream}, 0, n, values);
    for (size_t i = 0; i < n; i++) values[i] *= scale;
}

/* In memory that the level reaches; a device's is gone with it. */
static void *new_memory(const egg_kernels *kernels, size_t bytes)
{
    void *memory = kernels->device ? egg_cuda_take_shared(bytes) : calloc(1, bytes);
    assert_non_null(memory);
    memset(memory, 0, bytes);
    return memory;
}

static void free_memory(const egg_kernels *kernels, void *memory)
{
    if (!kernels->device) free(memory);
}

static fixture *new_fixture(const egg_kernels *kernels)
{
    fixture *f = new_memory(kernels, sizeof *f);
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
    {128, 128, 2, {0, 2, 3}, false},
};

static const uint32_t member_of[MAX_ROWS] = {3, 3, 3, 3, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2};

static egg_rows_vector vector_of(fixture *f, const shape *s, uint32_t i)
{
    return (egg_rows_vector){.data = f->vectors[i], .stride = s->members ? MAX_N : 0};
}

/* One call of every kernel in the model's order, over rows packed at n columns, which begin at 'at' in the arrays. */
typedef struct call {
    egg_sequences sequences;
    uint32_t rows, at, sequence;   /* 'sequence': the first one's number */
    bool v_first;
} call;

static void run_call(const egg_kernels *table, fixture *f, const shape *s, const call *c)
{
    const egg_rwkv7_kernels *kernels = &table->rwkv7;
    const uint32_t *member = c->sequences.member, at = c->at;
    egg_rwkv7_shift_args shift = {.sequences = c->sequences, .X = f->g + at, .state = f->previous_at + c->sequence,
                                  .n = s->n, .count = EGG_RWKV7_MIXES};
    for (uint32_t i = 0; i < EGG_RWKV7_MIXES; i++) {
        shift.mix[i] = vector_of(f, s, i);
        shift.Y[i] = f->shifted[i] + at;
    }
    kernels->shift(&shift);
    kernels->gate(&(egg_rwkv7_gate_args){.member = member, .w = f->w + at, .k = f->k + at, .v = f->v + at,
                                         .a = f->a + at, .kappa = f->kappa + at,
                                         .v_first = c->v_first ? f->first + at : NULL, .mix = f->mix + at,
                                         .k_k = vector_of(f, s, 0), .k_a = vector_of(f, s, 1), .rows = c->rows,
                                         .n = s->n, .size = s->size});
    kernels->recur(&(egg_rwkv7_recur_args){.sequences = c->sequences, .r = f->r + at, .w = f->w + at, .k = f->k + at,
                                           .v = f->v + at, .kappa = f->kappa + at, .a = f->a + at,
                                           .state = f->state_at + c->sequence, .Y = f->Y + at, .n = s->n,
                                           .size = s->size});
    kernels->finish(&(egg_rwkv7_finish_args){.member = member, .Y = f->Y + at, .r = f->r + at, .k = f->k + at,
                                             .v = f->v + at, .g = f->g + at, .weight = vector_of(f, s, 2),
                                             .bias = vector_of(f, s, 3), .bonus = vector_of(f, s, 4), .rows = c->rows,
                                             .n = s->n, .size = s->size, .epsilon = 64e-5f});
    kernels->sigmoid(f->mix + at, (size_t)c->rows * s->n);
    kernels->relu_squared(f->first + at, (size_t)c->rows * s->n);
    finish(table);
}

/* All sequences of a shape in one call. */
static void run(const egg_kernels *table, fixture *f, const shape *s)
{
    memcpy(f->first_row, s->first, sizeof s->first);
    memcpy(f->member, member_of, sizeof member_of);
    const call whole = {.sequences = {.first = f->first_row, .member = s->members ? f->member : NULL,
                                      .count = s->count},
                        .rows = s->first[s->count], .v_first = s->count > 1};
    run_call(table, f, s, &whole);
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
    const level_set *set = *state;
    egg_kernels reference;
    egg_kernels_init(&reference, 0);
    for (uint32_t l = 0; l < set->count; l++)
        for (size_t i = 0; i < EGG_COUNT(shapes); i++) {
            const egg_kernels *level = &set->level[l];
            fixture *expected = new_fixture(&reference), *found = new_fixture(level);
            run(&reference, expected, &shapes[i]);
            run(level, found, &shapes[i]);
            const float *const a[] = {expected->w, expected->k, expected->v, expected->a, expected->kappa, expected->Y,
                                      expected->mix, expected->first, expected->previous[0], expected->states[0],
                                      expected->states[2], expected->shifted[0], expected->shifted[5]};
            const float *const b[] = {found->w, found->k, found->v, found->a, found->kappa, found->Y, found->mix,
                                      found->first, found->previous[0], found->states[0], found->states[2],
                                      found->shifted[0], found->shifted[5]};
            for (size_t k = 0; k < EGG_COUNT(a); k++) {
                size_t n = k == 8 ? MAX_N : k == 9 || k == 10 ? STATE : CELLS;
                double d = distance(b[k], a[k], n);
                if (d > 2e-4) fail_msg("level %s, shape %zu, array %zu: %g", level->level, i, k, d);
            }
            free_memory(&reference, expected);
            free_memory(level, found);
        }
    if (!set->count) print_message("only the reference here\n");
}

/* Row by row, each a call of its own, gives the bits of the whole. */
static void test_rows_do_not_depend_on_the_call(void **state)
{
    const level_set *set = *state;
    for (uint32_t l = 0; l < set->count; l++)
        for (size_t i = 0; i < EGG_COUNT(shapes); i++) {
            const egg_kernels *level = &set->level[l];
            const shape *s = &shapes[i];
            fixture *whole = new_fixture(level), *single = new_fixture(level);
            run(level, whole, s);
            for (uint32_t q = 0; q < s->count; q++)
                for (uint32_t b = s->first[q]; b < s->first[q + 1]; b++) {
                    single->first_row[1] = 1;
                    single->member[0] = member_of[b];
                    const call one = {.sequences = {.first = single->first_row,
                                                    .member = s->members ? single->member : NULL, .count = 1},
                                      .rows = 1, .at = b * s->n, .sequence = q, .v_first = s->count > 1};
                    run_call(level, single, s, &one);
                }
            size_t cells = (size_t)s->first[s->count] * s->n * sizeof(float);
            assert_memory_equal(single->Y, whole->Y, cells);
            for (uint32_t q = 0; q < EGG_RWKV7_MIXES; q++)
                assert_memory_equal(single->shifted[q], whole->shifted[q], cells);
            assert_memory_equal(single->states, whole->states, sizeof whole->states);
            assert_memory_equal(single->previous, whole->previous, sizeof whole->previous);
            free_memory(level, whole);
            free_memory(level, single);
        }
}

/* A sum of 1024 exponentials below 1, each within 2^-22, then a logarithm: 1e-5 is ample. */
static void test_log_loss(void **state)
{
    enum { ROWS = 3, N = 1024 };
    static const uint32_t target[4] = {0, 500, N - 1};
    typedef struct operands {
        float logits[ROWS * N], loss[4];
        uint32_t target[4];
    } operands;
    const level_set *set = *state;
    egg_kernels reference;
    egg_kernels_init(&reference, 0);
    for (uint32_t l = 0; l <= set->count; l++) {
        const egg_kernels *level = l ? &set->level[l - 1] : &reference;
        operands *o = new_memory(level, sizeof *o);
        fill(o->logits, ROWS * N, 7, 8);
        o->logits[N + 17] = 200;   /* far above the rest */
        memcpy(o->target, target, sizeof target);
        level->rwkv7.log_loss(o->logits, o->target, ROWS, N, o->loss);
        finish(level);
        for (uint32_t b = 0; b < ROWS; b++) {
            double sum = 0;
            for (uint32_t i = 0; i < N; i++) sum += exp((double)o->logits[b * N + i]);
            assert_true(fabs(o->loss[b] - (log(sum) - o->logits[b * N + target[b]])) < 1e-5 * (1 + fabs(o->loss[b])));
        }
        free_memory(level, o);
    }
}

/* Far out the sigmoid is 0 and 1, without overflow. */
static void test_extremes(void **state)
{
    static const float extremes[16] = {-1000, -100, -88, -20, -1, -0.0f, 0, 1, 20, 88, 100, 1000};
    const level_set *set = *state;
    for (uint32_t l = 0; l < set->count; l++) {
        float *values = new_memory(&set->level[l], sizeof extremes);
        memcpy(values, extremes, sizeof extremes);
        set->level[l].rwkv7.sigmoid(values, 16);
        finish(&set->level[l]);
        assert_true(values[0] >= 0 && values[0] < 1e-37f && values[1] < 1e-37f);
        assert_true(fabsf(values[4] - 0.26894142f) < 1e-7f && values[5] == 0.5f && values[6] == 0.5f);
        assert_true(values[9] == 1 && values[10] == 1 && values[11] == 1);
        free_memory(&set->level[l], values);
    }
}

int main(void)
{
    level_set set = find_levels();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_levels_agree, &set),
        cmocka_unit_test_prestate(test_rows_do_not_depend_on_the_call, &set),
        cmocka_unit_test_prestate(test_log_loss, &set),
        cmocka_unit_test_prestate(test_extremes, &set),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    egg_cuda_close();
    return failed;
}
