/* SPDX-License-Identifier: MIT */
/* check_kernels, the slots of RWKV-7: close to the reference, and the same bits whether rows share a call or not. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "check_kernels.h"

enum { CASES = 40, MOST_SEQUENCES = 5, MOST_ROWS = 7, MEMBERS = 4 };

static const double EPSILON = 0x1p-24;   /* half a unit in the last place of 1: what rounding changes of a float */

/* ------------------------------------------------------------------------------------------------------- operands */

/* Sequences of a call, some without rows, each of one member. */
typedef struct batch {
    egg_sequences sequences;
    uint32_t rows, n, size;
    uint32_t *of_row;            /* the sequence of each row */
} batch;

static batch take_batch(void)
{
    uint32_t count = 1 + random_below(MOST_SEQUENCES), size = ONE_OF(16, 32, 48, 64, 64, 112, 128);
    uint32_t *first = take((count + 1) * sizeof *first, 0);
    uint32_t *member = take(MOST_SEQUENCES * MOST_ROWS * sizeof *member, 0);
    uint32_t *of_row = take(MOST_SEQUENCES * MOST_ROWS * sizeof *of_row, 0);
    batch b = {.n = size * ONE_OF(1, 2, 3), .size = size, .of_row = of_row};
    first[0] = 0;
    for (uint32_t s = 0; s < count; s++) {
        uint32_t owner = random_below(MEMBERS);
        first[s + 1] = first[s] + (s + 1 == count && first[s] == 0 ? 1 : 0) + random_below(MOST_ROWS);
        for (uint32_t r = first[s]; r < first[s + 1]; r++) {
            member[r] = owner;
            of_row[r] = s;
        }
    }
    b.rows = first[count];
    b.sequences = (egg_sequences){.first = first, .member = random_below(2) ? member : NULL, .count = count};
    return b;
}

static float *take_scaled(size_t n, float scale)
{
    float *values = take(n * sizeof *values, 4 * random_below(16));
    fill_f32(values, n);
    for (size_t i = 0; i < n; i++) values[i] *= scale;
    return values;
}

static egg_rows_vector take_vector(const batch *b)
{
    const size_t stride = b->sequences.member ? b->n + 16 * random_below(3) : 0;
    return (egg_rows_vector){.data = take_scaled(stride * (MEMBERS - 1) + b->n, 1), .stride = stride};
}

/* What a kernel writes, three times: by the reference, by the level at once, and by the level row by row. */
typedef struct output {
    twin both;
    float *by_row;
    size_t n;
} output;

static output take_output(size_t n, float scale)
{
    output o = {.both = take_twin(n * sizeof(float), 4 * random_below(16)), .n = n};
    o.by_row = take_scaled(n, scale);
    memcpy(o.both.expected, o.by_row, n * sizeof(float));
    memcpy(o.both.actual, o.by_row, n * sizeof(float));
    return o;
}

enum { REFERENCE, AT_ONCE, BY_ROW, WAYS };

static float *output_of(const output *o, int way)
{
    return way == REFERENCE ? o->both.expected : way == AT_ONCE ? o->both.actual : o->by_row;
}

/* 'tolerance' is in units of the largest magnitude that the reference has. */
static bool good(const output *o, double tolerance)
{
    const float *expected = o->both.expected, *actual = o->both.actual;
    double largest = 0, worst = 0;
    finish();
    for (size_t i = 0; i < o->n; i++) {
        if (!isfinite(expected[i]) || !isfinite(actual[i])) return false;
        largest = fmax(largest, fabs((double)expected[i]));
        worst = fmax(worst, fabs((double)expected[i] - actual[i]));
    }
    return worst <= tolerance * largest && memcmp(o->by_row, actual, o->n * sizeof(float)) == 0 &&
           memcmp((char *)o->both.expected - CANARY, (char *)o->both.actual - CANARY, CANARY) == 0 &&
           memcmp((char *)o->both.expected + o->both.bytes, (char *)o->both.actual + o->both.bytes, CANARY) == 0;
}

/* States of the sequences, in another order than they are. */
typedef struct states {
    output all;
    size_t n;
    uint32_t *slot;              /* (sequences) */
} states;

static states take_states(const batch *b, size_t n)
{
    const uint32_t count = b->sequences.count, first = random_below(count);
    states s = {.all = take_output(count * n, 1), .n = n, .slot = take(count * sizeof *s.slot, 0)};
    for (uint32_t i = 0; i < count; i++) s.slot[i] = (first + count - i) % count;
    return s;
}

/* From sequence 'first' on. */
static egg_states states_of(const states *s, int way, uint32_t first)
{
    return (egg_states){.data = output_of(&s->all, way), .stride = s->n, .slot = s->slot + first};
}

static const uint32_t *member_of(const batch *b, uint32_t row)
{
    return b->sequences.member ? b->sequences.member + row : NULL;
}

/* A row of a sequence as a call of its own. */
static egg_sequences one_row(const batch *b, uint32_t row)
{
    uint32_t *first = take(2 * sizeof *first, 0);
    first[0] = 0;
    first[1] = 1;
    return (egg_sequences){.first = first, .count = 1, .member = member_of(b, row)};
}

/* Counts the case, and lets go of its memory. */
static void verdict(const batch *b, bool good_case)
{
    count_case(good_case, "rows, sequences, n, size", b->rows, b->sequences.count, b->n, b->size);
    release_all();
}

/* ---------------------------------------------------------------------------------------------------------- shift */

void check_rwkv7_shift(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        batch b = take_batch();
        states s = take_states(&b, b.n);
        output Y[EGG_RWKV7_MIXES];
        egg_rwkv7_shift_args args = {.sequences = b.sequences, .X = take_scaled((size_t)b.rows * b.n, 1),
                                     .rows = b.rows, .n = b.n, .count = ONE_OF(1, EGG_RWKV7_MIXES)};
        for (uint32_t q = 0; q < args.count; q++) {
            args.mix[q] = take_vector(&b);
            Y[q] = take_output((size_t)b.rows * b.n, 1);
        }
        for (int way = REFERENCE; way <= AT_ONCE; way++) {
            for (uint32_t q = 0; q < args.count; q++) args.Y[q] = output_of(&Y[q], way);
            args.state = states_of(&s, way, 0);
            (way == REFERENCE ? ref : level)->rwkv7.shift(&args);
        }
        for (uint32_t r = 0; r < b.rows; r++) {
            egg_rwkv7_shift_args row = args;
            row.sequences = one_row(&b, r);
            row.rows = 1;
            row.X += (size_t)r * b.n;
            row.state = states_of(&s, BY_ROW, b.of_row[r]);
            for (uint32_t q = 0; q < args.count; q++) row.Y[q] = output_of(&Y[q], BY_ROW) + (size_t)r * b.n;
            level->rwkv7.shift(&row);
        }
        bool all = good(&s.all, 0);
        for (uint32_t q = 0; q < args.count; q++) all &= good(&Y[q], 16 * EPSILON);   /* three operations below 4 */
        verdict(&b, all);
    }
}

/* ----------------------------------------------------------------------------------------------------------- gate */

/*
 * Beside a handful of roundings there are exponentials of arguments that are off by two roundings, and of at most 8 in
 * size: 16 EPSILON; and a sum of 'size' squares below a root.
 */
void check_rwkv7_gate(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        batch b = take_batch();
        const size_t n = (size_t)b.rows * b.n;
        output w = take_output(n, 8), key = take_output(n, 2), v = take_output(n, 2), a = take_output(n, 8);
        output kappa = take_output(n, 1);
        egg_rwkv7_gate_args args = {.member = b.sequences.member, .mix = take_scaled(n, 4), .k_k = take_vector(&b),
                                    .k_a = take_vector(&b), .rows = b.rows, .n = b.n, .size = b.size,
                                    .v_first = random_below(3) ? take_scaled(n, 2) : NULL};
        for (int way = 0; way < WAYS; way++) {
            const uint32_t calls = way == BY_ROW ? b.rows : 1;
            for (uint32_t r = 0; r < calls; r++) {
                egg_rwkv7_gate_args call = args;
                const size_t at = (size_t)r * b.n;
                call.w = output_of(&w, way) + at;
                call.k = output_of(&key, way) + at;
                call.v = output_of(&v, way) + at;
                call.a = output_of(&a, way) + at;
                call.kappa = output_of(&kappa, way) + at;
                call.mix += at;
                if (call.v_first) call.v_first += at;
                if (way == BY_ROW) {
                    call.member = member_of(&b, r);
                    call.rows = 1;
                }
                (way == REFERENCE ? ref : level)->rwkv7.gate(&call);
            }
        }
        const double tolerance = (32 + b.size) * EPSILON;
        verdict(&b, good(&w, tolerance) && good(&key, tolerance) && good(&v, tolerance) && good(&a, tolerance) &&
                        good(&kappa, tolerance));
    }
}

/* ---------------------------------------------------------------------------------------------------------- recur */

/*
 * As gate leaves them: |kappa| = 1, a = kappa times a rate, 0 < w < 1. A row then multiplies an error of the state by
 * at most 2, and adds to it sums of 'size' terms, each with the rounding of some operations.
 */
static void fill_key(float *kappa, float *a, float *w, const batch *b)
{
    for (size_t head = 0; head < (size_t)b->rows * b->n; head += b->size) {
        double squares = 1e-30;
        for (uint32_t i = 0; i < b->size; i++) squares += (double)kappa[head + i] * kappa[head + i];
        for (uint32_t i = 0; i < b->size; i++) {
            kappa[head + i] = (float)(kappa[head + i] / sqrt(squares));
            a[head + i] = fabsf(a[head + i]) * kappa[head + i];
            w[head + i] = fabsf(w[head + i]);
        }
    }
}

void check_rwkv7_recur(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        batch b = take_batch();
        const size_t n = (size_t)b.rows * b.n;
        states s = take_states(&b, (size_t)b.n * b.size);
        output Y = take_output(n, 1);
        float *w = take_scaled(n, 1), *kappa = take_scaled(n, 1), *a = take_scaled(n, 1);
        fill_key(kappa, a, w, &b);
        const egg_rwkv7_recur_args args = {.sequences = b.sequences, .r = take_scaled(n, 1), .w = w,
                                           .k = take_scaled(n, 1), .v = take_scaled(n, 1), .kappa = kappa, .a = a,
                                           .n = b.n, .size = b.size};
        for (int way = 0; way < WAYS; way++) {
            const uint32_t calls = way == BY_ROW ? b.rows : 1;
            for (uint32_t r = 0; r < calls; r++) {
                egg_rwkv7_recur_args call = args;
                const size_t at = (size_t)r * b.n;
                const float **const inputs[] = {&call.r, &call.w, &call.k, &call.v, &call.kappa, &call.a};
                for (size_t i = 0; i < EGG_COUNT(inputs); i++) *inputs[i] += at;
                call.Y = output_of(&Y, way) + at;
                call.state = states_of(&s, way, way == BY_ROW ? b.of_row[r] : 0);
                if (way == BY_ROW) call.sequences = one_row(&b, r);
                (way == REFERENCE ? ref : level)->rwkv7.recur(&call);
            }
        }
        const double tolerance = (2 << MOST_ROWS) * (4 + b.size) * EPSILON;
        verdict(&b, good(&s.all, tolerance) && good(&Y, tolerance));
    }
}

/* --------------------------------------------------------------------------------------------------------- finish */

/* Three sums over a head, of which one is below a root, and some operations. */
void check_rwkv7_finish(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        batch b = take_batch();
        const size_t n = (size_t)b.rows * b.n;
        output Y = take_output(n, 2);
        const egg_rwkv7_finish_args args = {
            .member = b.sequences.member, .r = take_scaled(n, 1), .k = take_scaled(n, 1), .v = take_scaled(n, 1),
            .g = take_scaled(n, 1), .weight = take_vector(&b), .bias = take_vector(&b), .bonus = take_vector(&b),
            .rows = b.rows, .n = b.n, .size = b.size, .epsilon = 64e-5f,
        };
        for (int way = 0; way < WAYS; way++) {
            const uint32_t calls = way == BY_ROW ? b.rows : 1;
            for (uint32_t r = 0; r < calls; r++) {
                egg_rwkv7_finish_args call = args;
                const size_t at = (size_t)r * b.n;
                const float **const inputs[] = {&call.r, &call.k, &call.v, &call.g};
                for (size_t i = 0; i < EGG_COUNT(inputs); i++) *inputs[i] += at;
                call.Y = output_of(&Y, way) + at;
                if (way == BY_ROW) {
                    call.member = member_of(&b, r);
                    call.rows = 1;
                }
                (way == REFERENCE ? ref : level)->rwkv7.finish(&call);
            }
        }
        verdict(&b, good(&Y, 4 * (8 + b.size) * EPSILON));
    }
}

/* ------------------------------------------------------------------------------------------- activations, the loss */

static void check_activation(egg_rwkv7_activate_fn *ref, egg_rwkv7_activate_fn *level)
{
    static const float extremes[16] = {-1000, -100, -88, -20, -1, -0.0f, 0, 1, 20, 88, 100, 1000};
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        const batch b = {.rows = 1, .n = any_length(), .size = 16};
        output Y = take_output(b.n, 10);
        for (int way = 0; way < WAYS && k % 2; way++) memcpy(output_of(&Y, way), extremes, sizeof extremes);
        ref(output_of(&Y, REFERENCE), b.n);
        level(output_of(&Y, AT_ONCE), b.n);
        for (uint32_t i = 0; i < b.n; i += 16) level(output_of(&Y, BY_ROW) + i, 16);
        verdict(&b, good(&Y, 32 * EPSILON));
    }
}

void check_rwkv7_sigmoid(const egg_kernels *ref, const egg_kernels *level)
{
    check_activation(ref->rwkv7.sigmoid, level->rwkv7.sigmoid);
}

void check_rwkv7_relu_squared(const egg_kernels *ref, const egg_kernels *level)
{
    check_activation(ref->rwkv7.relu_squared, level->rwkv7.relu_squared);
}

/* A sum of n exponentials of at most 1, of arguments of 16 in size, and a logarithm. */
void check_rwkv7_log_loss(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t k = 0; k < rounds(CASES); k++) {
        const batch b = {.rows = 1 + random_below(MOST_ROWS), .n = any_length() * ONE_OF(1, 1, 4), .size = 16};
        float *X = take_scaled((size_t)b.rows * b.n, 8);
        uint32_t *target = take(b.rows * sizeof *target, 0);
        output loss = take_output(b.rows, 1);
        for (uint32_t r = 0; r < b.rows; r++) target[r] = random_below(b.n);
        if (k % 3 == 0) X[random_below(b.n)] = 200;   /* far above the rest */
        ref->rwkv7.log_loss(X, target, b.rows, b.n, output_of(&loss, REFERENCE));
        level->rwkv7.log_loss(X, target, b.rows, b.n, output_of(&loss, AT_ONCE));
        for (uint32_t r = 0; r < b.rows; r++)
            level->rwkv7.log_loss(X + (size_t)r * b.n, target + r, 1, b.n, output_of(&loss, BY_ROW) + r);
        verdict(&b, good(&loss, (64 + b.n) * EPSILON));
    }
}
