/* SPDX-License-Identifier: MIT */
/*
 * Compares every kernel level that this machine offers with the reference: int8 slots and all noise bit for bit, float
 * slots within a derived tolerance. Needs nothing but libc, so that it also runs on a bare emulator.
 *
 *   check_kernels [SLOT]             checks; SLOT is a part of a slot's name
 *   check_kernels --bench [SLOT]     times
 */
#include "check_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"

/* --------------------------------------------------------------------------------------------------------- operands */

static uint64_t random_state = 0x9E3779B97F4A7C15;

uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1D;
}

uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(((random_u64() >> 32) * bound) >> 32);
}

static uint32_t one_of(const uint32_t *choices, size_t count)
{
    return choices[random_below((uint32_t)count)];
}

#define ONE_OF(...) one_of((const uint32_t[]){__VA_ARGS__}, EGG_COUNT(((const uint32_t[]){__VA_ARGS__})))

static void *taken[1024];
static size_t taken_count;

void *take(size_t bytes, size_t misalign)
{
    void *memory = NULL;
    if (taken_count == EGG_COUNT(taken) || posix_memalign(&memory, 64, misalign + bytes + !bytes)) {
        fprintf(stderr, "check_kernels: out of memory\n");
        exit(2);
    }
    taken[taken_count++] = memory;
    return (char *)memory + misalign;
}

void release_all(void)
{
    while (taken_count) free(taken[--taken_count]);
}

void fill_i8(int8_t *values, size_t n, int limit, pattern kind)
{
    for (size_t i = 0; i < n; i++) switch (kind) {
        case ALL_HIGH: values[i] = (int8_t)limit; break;
        case ALL_LOW: values[i] = (int8_t)-limit; break;
        case ALTERNATING: values[i] = (int8_t)(random_below(2) ? limit : -limit); break;
        case ZERO: values[i] = 0; break;
        case SPARSE: values[i] = (int8_t)(random_below(4) ? 0 : (int)random_below(3) - 1); break;
        default: values[i] = (int8_t)((int)random_below(2 * (uint32_t)limit + 1) - limit);
        }
}

void fill_f32(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) values[i] = (float)((int32_t)random_below(1u << 24) - (1 << 23)) * 0x1p-23f;
}

static int8_t *take_i8(size_t n, int limit, pattern kind, size_t misalign)
{
    int8_t *values = take(n, misalign);
    fill_i8(values, n, limit, kind);
    return values;
}

static float *take_f32(size_t n, size_t misalign)
{
    float *values = take(n * sizeof *values, misalign);
    fill_f32(values, n);
    return values;
}

/* An output twice, one for the reference and one for the level, equal before, with canaries at both ends. */
enum { CANARY = 192 };

typedef struct twin {
    void *expected, *actual;
    size_t bytes;
} twin;

static twin take_twin(size_t bytes, size_t misalign)
{
    unsigned char *a = take(bytes + 2 * CANARY, misalign), *b = take(bytes + 2 * CANARY, misalign);
    for (size_t i = 0; i < bytes + 2 * CANARY; i++) a[i] = b[i] = (unsigned char)random_u64();
    return (twin){a + CANARY, b + CANARY, bytes};
}

static twin take_twin_i8(size_t n, int limit, pattern kind, size_t misalign)
{
    twin t = take_twin(n, misalign);
    fill_i8(t.expected, n, limit, kind);
    memcpy(t.actual, t.expected, n);
    return t;
}

/* --------------------------------------------------------------------------------------------------------- verdicts */

static uint32_t cases, failures;

static void count_case(bool good, const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    cases++;
    if (good) return;
    if (failures++ < 3)
        printf("    mismatch: %s %llu, %llu, %llu, %llu\n", what, (unsigned long long)a, (unsigned long long)b,
               (unsigned long long)c, (unsigned long long)d);
}

/* Canaries and the gaps between rows included. */
static bool same(twin t)
{
    return memcmp((char *)t.expected - CANARY, (char *)t.actual - CANARY, t.bytes + 2 * CANARY) == 0;
}

/*
 * Two ways to sum n terms differ by at most 2 n eps times the sum of their magnitudes; 'magnitudes' holds that sum for
 * each value (n, in, ...). Twice that for the products' and the fused operations' own roundings. The gaps between rows
 * have magnitude 0: there, as in the canaries, bits must not change.
 */
static bool close(twin t, const float *magnitudes, size_t terms)
{
    const float *expected = t.expected, *actual = t.actual;
    for (size_t i = 0; i < t.bytes / sizeof(float); i++) {
        float tolerance = 4 * (float)(terms + 4) * 0x1p-24f * magnitudes[i];
        if (memcmp(&expected[i], &actual[i], sizeof(float)) == 0) continue;
        if (!(fabsf(expected[i] - actual[i]) <= tolerance)) return false;
    }
    return memcmp((char *)t.expected - CANARY, (char *)t.actual - CANARY, CANARY) == 0 &&
           memcmp((char *)t.expected + t.bytes, (char *)t.actual + t.bytes, CANARY) == 0;
}

/* Zeros, for values that no row covers. */
static float *take_magnitudes(twin t)
{
    float *magnitudes = take(t.bytes, 0);
    memset(magnitudes, 0, t.bytes);
    return magnitudes;
}

/* ------------------------------------------------------------------------------------------------- rows and members */

/* Rows as a float kernel may meet them: 'steps' a member in order, or tagged, in any order and with members left out. */
typedef struct row_batch {
    uint32_t rows, steps, pairs;
    const uint32_t *member;   /* what the kernel is given: tags, or NULL */
    uint32_t *of_row;         /* the member of each row in either case */
} row_batch;

static row_batch take_batch(uint32_t most)
{
    row_batch b = {.rows = 1 + random_below(most), .steps = ONE_OF(1, 2, 3, 10, 100)};
    b.of_row = take(b.rows * sizeof *b.of_row, 4 * random_below(16));
    uint32_t members = b.rows / b.steps + 1 + random_below(6);
    bool tagged = random_below(2);
    for (uint32_t r = 0; r < b.rows; r++) {
        b.of_row[r] = tagged ? random_below(members) : r / b.steps;
        if (b.of_row[r] / 2 >= b.pairs) b.pairs = b.of_row[r] / 2 + 1;
    }
    b.member = tagged ? b.of_row : NULL;
    return b;
}

/* A part of a batch's rows in a new order, always tagged: no row's bits may depend on which rows come with it. */
typedef struct group {
    uint32_t count;
    const uint32_t *rows, *member;
} group;

static uint32_t *take_order(uint32_t rows)
{
    uint32_t *order = take(rows * sizeof *order, 0);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t other = random_below(r + 1);
        order[r] = order[other];
        order[other] = r;
    }
    return order;
}

/* The next group of one row, a few, or all that is left. */
static group next_group(const row_batch *b, const uint32_t *order, uint32_t first)
{
    uint32_t left = b->rows - first, count = random_below(3) ? 1 + random_below(left < 9 ? left : 9) : left;
    uint32_t *member = take(count * sizeof *member, 4 * random_below(16));
    for (uint32_t r = 0; r < count; r++) member[r] = b->of_row[order[first + r]];
    return (group){count, order + first, member};
}

static float *take_group(const void *from, size_t stride, size_t n, group g)
{
    float *values = take(g.count * n * sizeof *values, 4 * random_below(16));
    for (uint32_t r = 0; r < g.count; r++)
        memcpy(values + r * n, (const float *)from + g.rows[r] * stride, n * sizeof *values);
    return values;
}

static bool same_group(const void *whole, size_t stride, const void *part, size_t n, group g)
{
    for (uint32_t r = 0; r < g.count; r++)
        if (memcmp((const float *)whole + g.rows[r] * stride, (const float *)part + r * n, n * sizeof(float)) != 0)
            return false;
    return true;
}

static uint32_t any_length(void)
{
    return random_below(4) ? ONE_OF(16, 32, 64, 128, 256, 512) : 16 * (1 + random_below(24));
}

static size_t any_stride(size_t n)
{
    return n + (random_below(2) ? 0 : random_below(70));
}

/* ------------------------------------------------------------------------------------------------------------ noise */

static void check_noise(const egg_kernels *ref, const egg_kernels *level, bool is_float)
{
    size_t block = is_float ? EGG_NOISE_BLOCK_F32 : EGG_NOISE_BLOCK_I8, element = is_float ? sizeof(float) : 1;
    for (uint32_t i = 0; i < 400; i++) {
        size_t n = block * (i < 64 ? 1 + i % 32 : ONE_OF(1, 2, 3, 7, 16, 17, 31, 64, 100, 256));
        uint32_t pairs = ONE_OF(1, 2, 3, 5, 16, 33);
        size_t stride = n + (random_below(2) ? 0 : random_below(40));
        egg_noise_args args = {
            .key = egg_key_make(random_u64(), EGG_DOMAIN_PERTURBATION),
            .at = {(uint32_t)random_u64(), random_below(1000), random_below(2), (uint32_t)random_u64()},
            .first = block * (random_below(2) ? 0 : random_u64() >> 33),
            .n = n, .pairs = pairs, .out_stride = stride,
        };
        twin out = take_twin(pairs * stride * element, is_float ? 4 * random_below(16) : random_below(64));
        args.out = out.expected;
        (is_float ? ref->noise_f32 : ref->noise_i8)(&args);
        args.out = out.actual;
        (is_float ? level->noise_f32 : level->noise_i8)(&args);
        count_case(same(out), "n, pairs, stride, first", n, pairs, stride, args.first);
        release_all();
    }
}

static void check_noise_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_noise(ref, level, false);
}

static void check_noise_f32(const egg_kernels *ref, const egg_kernels *level)
{
    check_noise(ref, level, true);
}

/* ------------------------------------------------------------------------------------- the perturbed matrix product */

static uint32_t pairs_of(uint32_t rows, uint32_t steps)
{
    return (rows - 1) / steps / 2 + 1;
}

static int32_t scale_of(uint32_t rank)
{
    return (int32_t)lround(256 / sqrt(rank));
}

static void check_shrink_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t rows = i < 40 ? 1 + i / 2 : 1 + random_below(70), steps = ONE_OF(1, 2, 3, 10, 100);
        uint32_t in = i % 20 == 0 ? 4096 : any_length(), rank = ONE_OF(1, 1, 2, 3, 4, 7);
        size_t x_stride = in + (random_below(2) ? 0 : random_below(70));
        egg_shrink_args args = {
            .X = take_i8((rows - 1) * x_stride + in, 127, i % PATTERNS, random_below(64)), .x_stride = x_stride,
            .B = take_i8((size_t)pairs_of(rows, steps) * rank * in, EGG_NORMAL_I8_MAX, random_below(PATTERNS), 0),
            .rows = rows, .steps = steps, .in = in, .rank = rank, .scale = scale_of(rank),
        };
        twin t = take_twin((size_t)rows * rank * sizeof(int32_t), 4 * random_below(16));
        args.t = t.expected;
        ref->shrink_i8(&args);
        args.t = t.actual;
        level->shrink_i8(&args);
        count_case(same(t), "rows, steps, in, rank", rows, steps, in, rank);
        release_all();
    }
}

/* Magnitudes up to a power of two or to the contract's limit, and often just that: methods change at such bounds. */
static int32_t *take_shrunk(uint32_t rows, uint32_t rank)
{
    int32_t *t = take((size_t)rows * rank * sizeof *t, 4 * random_below(16));
    uint32_t largest = 1u << (10 + random_below(16)), limit = INT32_MAX / (rank * EGG_NORMAL_I8_MAX);
    if (largest > limit) largest = limit;
    for (uint32_t i = 0; i < rows * rank; i++) switch (random_below(4)) {
        case 0: t[i] = (int32_t)(largest - random_below(2)); break;
        case 1: t[i] = -(int32_t)(largest - random_below(2)); break;
        default: t[i] = (int32_t)random_below(2 * largest + 1) - (int32_t)largest;
        }
    return t;
}

static void linear_i8_case(const egg_kernels *ref, const egg_kernels *level, uint32_t rows, uint32_t out, uint32_t in,
                           pattern kind)
{
    uint32_t steps = ONE_OF(1, 2, 3, 10, 100), rank = ONE_OF(1, 1, 1, 2, 3, 4, 7);
    size_t x_stride = in + (random_below(2) ? 0 : random_below(70));
    size_t y_stride = out + (random_below(2) ? 0 : random_below(70));
    int8_t *W = take_i8((size_t)out * in, (int)ONE_OF(127, 127, 65, 40), random_below(2) ? kind : RANDOM, 0);
    void *packed_ref = take(ref->packed_bytes_i8(out, in), 0), *packed = take(level->packed_bytes_i8(out, in), 0);
    ref->pack_i8(W, out, in, packed_ref);
    level->pack_i8(W, out, in, packed);
    egg_linear_args args = {
        .X = take_i8((rows - 1) * x_stride + in, 127, kind, random_below(64)), .x_stride = x_stride,
        .t = take_shrunk(rows, rank), .y_stride = y_stride,
        .rows = rows, .steps = steps, .out = out, .in = in, .rank = rank,
        .shift = 4 + random_below(12), .noise_shift = random_below(2) ? 8 : 4 + random_below(12),
    };
    if (random_below(5))
        args.A = take_i8((size_t)pairs_of(rows, steps) * rank * out, EGG_NORMAL_I8_MAX, random_below(PATTERNS), 0);
    twin y = take_twin((rows - 1) * y_stride + out, random_below(64));
    args.W = packed_ref;
    args.Y = y.expected;
    ref->linear_i8(&args);
    args.W = packed;
    args.Y = y.actual;
    level->linear_i8(&args);
    count_case(same(y), "rows, out, in, rank", rows, out, in, rank);
    release_all();
}

static void check_linear_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t rows = 1; rows <= 20; rows++)
        for (uint32_t out = 16; out <= 144; out += 16) linear_i8_case(ref, level, rows, out, 16 * rows, RANDOM);
    for (uint32_t i = 0; i < 400; i++)
        linear_i8_case(ref, level, 1 + random_below(50), any_length(), any_length(), i % PATTERNS);
    for (uint32_t i = 0; i < 6; i++) linear_i8_case(ref, level, ONE_OF(1, 5, 13), 64, 4096, i % PATTERNS);
    linear_i8_case(ref, level, 1000, 80, 32, RANDOM);     /* several blocks of rows */
    linear_i8_case(ref, level, 700, 64, 1024, RANDOM);
    linear_i8_case(ref, level, 2, 4096, 64, RANDOM);
}

static bool shrink_f32_regroups(const egg_kernels *level, const egg_shrink_args *whole, const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_shrink_args args = *whole;
        args.X = take_group(whole->X, whole->x_stride, whole->in, g);
        args.x_stride = whole->in;
        args.rows = g.count;
        args.member = g.member;
        args.t = take((size_t)g.count * whole->rank * sizeof(float), 0);
        level->shrink_f32(&args);
        if (!same_group(whole->t, whole->rank, args.t, whole->rank, g)) return false;
    }
    return true;
}

static void check_shrink_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        const row_batch batch = take_batch(i % 3 ? 8 : 40);
        const uint32_t in = i % 50 ? any_length() : 2048, rank = ONE_OF(1, 1, 2, 3, 4, 7);
        const size_t x_stride = any_stride(in);
        const float *X = take_f32((batch.rows - 1) * x_stride + in, 4 * random_below(16));
        const float *B = take_f32((size_t)batch.pairs * rank * in, 0);
        egg_shrink_args args = {.X = X, .x_stride = x_stride, .B = B, .member = batch.member, .rows = batch.rows,
                                .steps = batch.steps, .in = in, .rank = rank, .c = 0.1f};
        twin t = take_twin((size_t)batch.rows * rank * sizeof(float), 4 * random_below(16));
        float *magnitudes = take_magnitudes(t);
        for (uint32_t b = 0; b < batch.rows; b++)
            for (uint32_t k = 0; k < rank; k++) {
                const float *row = B + ((size_t)(batch.of_row[b] / 2) * rank + k) * in;
                float sum = 0;
                for (uint32_t j = 0; j < in; j++) sum += fabsf(X[b * x_stride + j] * row[j]);
                magnitudes[b * rank + k] = args.c * sum;
            }
        args.t = t.expected;
        ref->shrink_f32(&args);
        args.t = t.actual;
        level->shrink_f32(&args);
        count_case(close(t, magnitudes, in) && shrink_f32_regroups(level, &args, &batch), "rows, steps, in, rank",
                   batch.rows, batch.steps, in, rank);
        release_all();
    }
}

static bool linear_f32_regroups(const egg_kernels *level, const egg_linear_args *whole, const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_linear_args args = *whole;
        args.X = take_group(whole->X, whole->x_stride, whole->in, g);
        args.x_stride = whole->in;
        if (args.t) args.t = take_group(whole->t, whole->rank, whole->rank, g);
        args.rows = g.count;
        args.member = g.member;
        args.Y = take((size_t)g.count * whole->out * sizeof(float), 4 * random_below(16));
        args.y_stride = whole->out;
        level->linear_f32(&args);
        if (!same_group(whole->Y, whole->y_stride, args.Y, whole->out, g)) return false;
    }
    return true;
}

static float *linear_f32_magnitudes(const egg_linear_args *args, const float *W, const row_batch *batch, twin y)
{
    float *magnitudes = take_magnitudes(y);
    for (uint32_t b = 0; b < batch->rows; b++)
        for (uint32_t o = 0; o < args->out; o++) {
            const float *x = (const float *)args->X + b * args->x_stride, *w = W + (size_t)o * args->in;
            const float *t = (const float *)args->t + (size_t)b * args->rank;
            const uint32_t m = batch->of_row[b];
            float sum = args->bias ? fabsf(args->bias[m * args->bias_stride + o]) : 0;
            for (uint32_t j = 0; j < args->in; j++) sum += fabsf(x[j] * w[j]);
            for (uint32_t k = 0; args->A && k < args->rank; k++)
                sum += fabsf(t[k] * ((const float *)args->A)[((size_t)(m / 2) * args->rank + k) * args->out + o]);
            magnitudes[b * args->y_stride + o] = sum;
        }
    return magnitudes;
}

static void linear_f32_case(const egg_kernels *ref, const egg_kernels *level, uint32_t most_rows, uint32_t out,
                            uint32_t in)
{
    const row_batch batch = take_batch(most_rows);
    const uint32_t rank = ONE_OF(1, 1, 2, 3, 4, 7);
    const size_t x_stride = any_stride(in), y_stride = any_stride(out);
    const size_t bias_stride = random_below(2) ? 0 : any_stride(out);
    const float *W = take_f32((size_t)out * in, 0);
    void *packed_ref = take(ref->packed_bytes_f32(out, in), 0), *packed = take(level->packed_bytes_f32(out, in), 0);
    ref->pack_f32(W, out, in, packed_ref);
    level->pack_f32(W, out, in, packed);
    egg_linear_args args = {
        .X = take_f32((batch.rows - 1) * x_stride + in, 4 * random_below(16)), .x_stride = x_stride,
        .A = random_below(4) ? take_f32((size_t)batch.pairs * rank * out, 0) : NULL,
        .bias = random_below(2) ? take_f32((2 * batch.pairs - 1) * bias_stride + out, 4 * random_below(16)) : NULL,
        .bias_stride = bias_stride, .y_stride = y_stride, .member = batch.member, .rows = batch.rows,
        .steps = batch.steps, .out = out, .in = in, .rank = rank,
    };
    if (args.A) args.t = take_f32((size_t)batch.rows * rank, 4 * random_below(16));
    twin y = take_twin(((batch.rows - 1) * y_stride + out) * sizeof(float), 4 * random_below(16));
    args.W = packed_ref;
    args.Y = y.expected;
    ref->linear_f32(&args);
    args.W = packed;
    args.Y = y.actual;
    level->linear_f32(&args);
    count_case(close(y, linear_f32_magnitudes(&args, W, &batch, y), in + rank + 1) &&
               linear_f32_regroups(level, &args, &batch), "rows, out, in, rank", batch.rows, out, in, rank);
    release_all();
}

static void check_linear_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t most = 1; most <= 20; most++)
        for (uint32_t out = 16; out <= 208; out += 16) linear_f32_case(ref, level, most, out, 16 + 16 * random_below(8));
    for (uint32_t i = 0; i < 200; i++) linear_f32_case(ref, level, 30, any_length(), any_length());
    linear_f32_case(ref, level, 10, 80, 1040);      /* several depths of inputs */
    linear_f32_case(ref, level, 1000, 80, 32);      /* several blocks of rows */
    linear_f32_case(ref, level, 300, 144, 528);
    linear_f32_case(ref, level, 2, 1024, 64);
}

static bool dense_f32_regroups(const egg_kernels *level, const egg_dense_args *whole, const float *before,
                               const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_dense_args args = *whole;
        args.X = take_group(whole->X, whole->x_stride, whole->in, g);
        args.x_stride = whole->in;
        args.rows = g.count;
        args.member = g.member;
        args.Y = take_group(before, whole->y_stride, whole->out, g);
        args.y_stride = whole->out;
        level->dense_f32(&args);
        if (!same_group(whole->Y, whole->y_stride, args.Y, whole->out, g)) return false;
    }
    return true;
}

static void check_dense_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        const row_batch batch = take_batch(i % 20 ? 12 : 200);
        const uint32_t out = 16 * (1 + random_below(6)), in = 16 * (1 + random_below(10));
        const size_t x_stride = any_stride(in), y_stride = any_stride(out);
        const float *X = take_f32((batch.rows - 1) * x_stride + in, 4 * random_below(16));
        const float *E = take_f32((size_t)batch.pairs * out * in, 0);
        egg_dense_args args = {.X = X, .x_stride = x_stride, .E = E, .y_stride = y_stride, .member = batch.member,
                               .rows = batch.rows, .steps = batch.steps, .out = out, .in = in, .c = 0.1f};
        const size_t n = (batch.rows - 1) * y_stride + out;
        twin y = take_twin(n * sizeof(float), 4 * random_below(16));
        const float *before = take_f32(n, 0);
        memcpy(y.expected, before, y.bytes);
        memcpy(y.actual, before, y.bytes);
        float *magnitudes = take_magnitudes(y);
        for (uint32_t b = 0; b < batch.rows; b++)
            for (uint32_t o = 0; o < out; o++) {
                const float *e = E + ((size_t)(batch.of_row[b] / 2) * out + o) * in;
                float sum = 0;
                for (uint32_t j = 0; j < in; j++) sum += fabsf(X[b * x_stride + j] * e[j]);
                magnitudes[b * y_stride + o] = fabsf(before[b * y_stride + o]) + args.c * sum;
            }
        args.Y = y.expected;
        ref->dense_f32(&args);
        args.Y = y.actual;
        level->dense_f32(&args);
        count_case(close(y, magnitudes, in + 1) && dense_f32_regroups(level, &args, before, &batch),
                   "rows, steps, out, in", batch.rows, batch.steps, out, in);
        release_all();
    }
}

/* ------------------------------------------------------------------------------------- perturbed tables and vectors */

static void check_embed_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t rows = 1 + random_below(40), steps = ONE_OF(1, 3, 10), n = any_length(), pairs = pairs_of(rows, steps);
        uint32_t vocabulary = ONE_OF(16, 64, 256), rank = ONE_OF(1, 1, 2, 3, 4, 16, 40);
        uint8_t *tokens = take(rows, random_below(64));
        for (uint32_t b = 0; b < rows; b++) tokens[b] = (uint8_t)random_below(vocabulary);
        pattern kind = i % PATTERNS;
        egg_embed_args args = {
            .W = take_i8((size_t)vocabulary * n, 127, random_below(PATTERNS), 0), .tokens = tokens,
            .A = i % 7 ? take_i8((size_t)pairs * rank * vocabulary, EGG_NORMAL_I8_MAX, kind, 0) : NULL,
            .B = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0), .rows = rows, .steps = steps,
            .vocabulary = vocabulary, .n = n, .rank = rank, .scale = scale_of(rank),
            .noise_shift = 4 + random_below(12),
        };
        twin y = take_twin((size_t)rows * n, random_below(64));
        args.Y = y.expected;
        ref->embed_i8(&args);
        args.Y = y.actual;
        level->embed_i8(&args);
        count_case(same(y), "rows, n, rank, noise_shift", rows, n, rank, args.noise_shift);
        release_all();
    }
}

static void check_perturb_vector_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t pairs = 1 + random_below(20), n = any_length(), rank = ONE_OF(1, 1, 2, 3, 4, 16, 40);
        pattern kind = i % PATTERNS;
        egg_perturb_vector_args args = {
            .w = take_i8(n, 127, random_below(PATTERNS), 0),
            .A = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0),
            .B = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0),
            .pairs = pairs, .n = n, .rank = rank, .scale = scale_of(rank), .noise_shift = 4 + random_below(12),
        };
        twin out = take_twin((size_t)2 * pairs * n, random_below(64));
        args.out = out.expected;
        ref->perturb_vector_i8(&args);
        args.out = out.actual;
        level->perturb_vector_i8(&args);
        count_case(same(out), "pairs, n, rank, noise_shift", pairs, n, rank, args.noise_shift);
        release_all();
    }
}

static bool embed_f32_regroups(const egg_kernels *level, const egg_embed_args *whole, const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_embed_args args = *whole;
        uint8_t *tokens = take(g.count, random_below(64));
        for (uint32_t r = 0; r < g.count; r++) tokens[r] = whole->tokens[g.rows[r]];
        args.tokens = tokens;
        args.rows = g.count;
        args.member = g.member;
        args.Y = take((size_t)g.count * whole->n * sizeof(float), 4 * random_below(16));
        level->embed_f32(&args);
        if (!same_group(whole->Y, whole->n, args.Y, whole->n, g)) return false;
    }
    return true;
}

static void check_embed_f32(const egg_kernels *ref, const egg_kernels *level)
{
    enum { VOCABULARY = 32 };
    for (uint32_t i = 0; i < 200; i++) {
        const row_batch batch = take_batch(30);
        const uint32_t n = any_length(), rank = ONE_OF(1, 1, 2, 3, 7);
        uint8_t *tokens = take(batch.rows, random_below(64));
        for (uint32_t b = 0; b < batch.rows; b++) tokens[b] = (uint8_t)random_below(VOCABULARY);
        const float *W = take_f32(VOCABULARY * (size_t)n, 0), *B = take_f32((size_t)batch.pairs * rank * n, 0);
        const float *A = i % 4 ? take_f32((size_t)batch.pairs * rank * VOCABULARY, 0) : NULL;
        egg_embed_args args = {.W = W, .tokens = tokens, .A = A, .B = B, .member = batch.member, .rows = batch.rows,
                               .steps = batch.steps, .vocabulary = VOCABULARY, .n = n, .rank = rank, .c = 0.1f};
        twin y = take_twin((size_t)batch.rows * n * sizeof(float), 4 * random_below(16));
        float *magnitudes = take_magnitudes(y);
        for (uint32_t b = 0; b < batch.rows; b++)
            for (uint32_t j = 0; j < n; j++) {
                float sum = fabsf(W[tokens[b] * n + j]);
                for (uint32_t k = 0; A && k < rank; k++) {
                    size_t component = (size_t)(batch.of_row[b] / 2) * rank + k;
                    sum += args.c * fabsf(A[component * VOCABULARY + tokens[b]] * B[component * n + j]);
                }
                magnitudes[b * n + j] = sum;
            }
        args.Y = y.expected;
        ref->embed_f32(&args);
        args.Y = y.actual;
        level->embed_f32(&args);
        count_case(close(y, magnitudes, rank + 1) && embed_f32_regroups(level, &args, &batch), "rows, n, rank, steps",
                   batch.rows, n, rank, batch.steps);
        release_all();
    }
}

static void check_perturb_vector_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t pairs = 1 + random_below(10), n = any_length();
        egg_perturb_vector_args args = {.w = take_f32(n, 0), .A = take_f32((size_t)pairs * n, 0), .pairs = pairs, .n = n,
                                        .rank = 1, .c = 0.1f};
        twin out = take_twin((size_t)2 * pairs * n * sizeof(float), 4 * random_below(16));
        args.out = out.expected;
        ref->perturb_vector_f32(&args);
        args.out = out.actual;
        level->perturb_vector_f32(&args);
        bool good = same(out);   /* two roundings, fused on some levels */
        if (!good) {
            float *magnitudes = take_magnitudes(out);
            for (size_t j = 0; j < (size_t)2 * pairs * n; j++) magnitudes[j] = 2;
            good = close(out, magnitudes, 2);
        }
        count_case(good, "pairs, n", pairs, n, 0, 0);
        release_all();
    }
}

/* ------------------------------------------------------------------------------------------------------ elementwise */

static void layer_norm_i8_case(const egg_kernels *ref, const egg_kernels *level, egg_layer_norm_args args,
                               bool in_place)
{
    size_t bytes = (args.rows - 1) * args.y_stride + args.n;
    twin y = take_twin(bytes, random_below(64));
    const int8_t *X = args.X;
    if (in_place) {
        args.x_stride = args.y_stride;
        for (uint32_t b = 0; b < args.rows; b++)
            memcpy((int8_t *)y.expected + b * args.y_stride, X + (size_t)b * args.n, args.n);
        memcpy(y.actual, y.expected, bytes);
    }
    args.Y = y.expected;
    if (in_place) args.X = y.expected;
    ref->layer_norm_i8(&args);
    args.Y = y.actual;
    if (in_place) args.X = y.actual;
    level->layer_norm_i8(&args);
    count_case(same(y), "rows, steps, n, w_stride", args.rows, args.steps, args.n, args.w_stride);
}

/* One long row that holds every (x, w) and, filled up with one value, has the mean magnitude 'mav'. */
static void layer_norm_i8_all_quotients(const egg_kernels *ref, const egg_kernels *level, uint32_t mav)
{
    enum { GRID = 255 * 255 };
    const uint64_t sum = (uint64_t)255 * 2 * (127 * 128 / 2);
    uint64_t n = mav < 64 ? sum / mav : (GRID * (uint64_t)127 - sum) / (127 - mav) + 1;
    n = mav < 64 ? n / 16 * 16 : (n + 15) / 16 * 16;
    if (n < GRID) n = (GRID + 15) / 16 * 16;
    int8_t *x = take(n, 0), *w = take(n, 0);
    for (uint32_t i = 0; i < n; i++) {
        x[i] = (int8_t)(i < GRID ? (int32_t)(i / 255) - 127 : mav < 64 ? 0 : i % 2 ? 127 : -127);
        w[i] = (int8_t)((int32_t)(i % 255) - 127);
    }
    layer_norm_i8_case(ref, level, (egg_layer_norm_args){.X = x, .x_stride = n, .w = w, .y_stride = n, .rows = 1,
                                                         .steps = 1, .n = (uint32_t)n}, false);
    release_all();
}

static void check_layer_norm_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t mav = 1; mav <= 126; mav++) layer_norm_i8_all_quotients(ref, level, mav);
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t rows = 1 + random_below(20), steps = ONE_OF(1, 2, 3, 10), n = any_length();
        bool in_place = random_below(3) == 0;
        size_t members = (rows - 1) / steps + 1, w_stride = random_below(2) ? 0 : n + random_below(20);
        egg_layer_norm_args args = {
            .X = take_i8((size_t)rows * n, i % 3 ? 127 : 1 + (int)random_below(127), i % PATTERNS, random_below(64)),
            .x_stride = n,
            .w = take_i8((members - 1) * w_stride + n, 127, random_below(PATTERNS), 0), .w_stride = w_stride,
            .y_stride = n + random_below(2) * random_below(40), .rows = rows, .steps = steps, .n = n,
        };
        layer_norm_i8_case(ref, level, args, in_place);
        release_all();
    }
}

/*
 * With z = (x - mean) / deviation, an error of the mean (n terms) costs mean |x| / deviation, one of the deviation (half
 * that of a sum of n squares) |z|, both times |w|: 'magnitudes' is the sum of these, of the product and of the bias.
 */
static float *layer_norm_f32_magnitudes(const egg_layer_norm_args *args, const row_batch *batch, twin y)
{
    float *magnitudes = take_magnitudes(y);
    const float *w = args->w;
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *x = (const float *)args->X + b * args->x_stride;
        const size_t m = batch->of_row[b];
        double sum = 0, size = 0, squares = 0;
        for (uint32_t j = 0; j < args->n; j++) sum += x[j], size += fabsf(x[j]);
        for (uint32_t j = 0; j < args->n; j++) squares += pow(x[j] - sum / args->n, 2);
        double deviation = sqrt(squares / args->n + args->epsilon);
        for (uint32_t j = 0; j < args->n; j++) {
            double z = (fabs(x[j] - sum / args->n) + size / args->n + fabsf(x[j])) / deviation;
            if (w) z *= fabsf(w[m * args->w_stride + j]);
            if (args->bias) z += fabsf(args->bias[m * args->bias_stride + j]);
            magnitudes[b * args->y_stride + j] = (float)z;
        }
    }
    return magnitudes;
}

static bool layer_norm_f32_regroups(const egg_kernels *level, const egg_layer_norm_args *whole, const float *X,
                                    const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_layer_norm_args args = *whole;
        args.X = args.Y = take_group(X, whole->x_stride, whole->n, g);   /* in place */
        args.x_stride = args.y_stride = whole->n;
        args.rows = g.count;
        args.member = g.member;
        level->layer_norm_f32(&args);
        if (!same_group(whole->Y, whole->y_stride, args.Y, whole->n, g)) return false;
    }
    return true;
}

static void check_layer_norm_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        const row_batch batch = take_batch(20);
        const uint32_t n = any_length();
        const size_t x_stride = any_stride(n), y_stride = any_stride(n), members = 2 * batch.pairs;
        const size_t w_stride = random_below(2) ? 0 : any_stride(n), bias_stride = random_below(2) ? 0 : any_stride(n);
        float *X = take_f32((batch.rows - 1) * x_stride + n, 4 * random_below(16));
        const float offset = (float)ONE_OF(0, 0, 3), spread = (float)(i % 20 != 0);   /* now and then all are equal */
        for (size_t j = 0; j < (batch.rows - 1) * x_stride + n; j++) X[j] = offset + spread * X[j];
        egg_layer_norm_args args = {
            .X = X, .x_stride = x_stride,
            .w = random_below(3) ? take_f32((members - 1) * w_stride + n, 4 * random_below(16)) : NULL,
            .w_stride = w_stride,
            .bias = random_below(3) ? take_f32((members - 1) * bias_stride + n, 4 * random_below(16)) : NULL,
            .bias_stride = bias_stride, .y_stride = y_stride, .member = batch.member, .rows = batch.rows,
            .steps = batch.steps, .n = n, .epsilon = random_below(2) ? 1e-5f : 1e-2f, .relu = random_below(2),
        };
        twin y = take_twin(((batch.rows - 1) * y_stride + n) * sizeof(float), 4 * random_below(16));
        args.Y = y.expected;
        ref->layer_norm_f32(&args);
        args.Y = y.actual;
        level->layer_norm_f32(&args);
        count_case(close(y, layer_norm_f32_magnitudes(&args, &batch, y), n) &&
                   layer_norm_f32_regroups(level, &args, X, &batch), "rows, steps, n, w_stride", batch.rows,
                   batch.steps, n, w_stride);
        release_all();
    }
}

static void check_relu_f32(const egg_kernels *ref, const egg_kernels *level)
{
    const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f};
    for (uint32_t i = 0; i < 100; i++) {
        size_t n = any_length();
        twin y = take_twin(n * sizeof(float), 4 * random_below(16));
        fill_f32(y.expected, n);
        for (size_t j = 0; j < n; j += 1 + random_below(8))
            ((float *)y.expected)[j] = special[random_below(EGG_COUNT(special))];
        memcpy(y.actual, y.expected, y.bytes);
        ref->relu_f32(y.expected, n);
        level->relu_f32(y.actual, n);
        count_case(same(y), "n", n, 0, 0, 0);
        release_all();
    }
}

/* How many floats lie between two of them. */
static uint32_t units_between(float a, float b)
{
    int32_t i, j;
    memcpy(&i, &a, sizeof i);
    memcpy(&j, &b, sizeof j);
    if (i < 0) i = INT32_MIN - i;
    if (j < 0) j = INT32_MIN - j;
    return (uint32_t)(i > j ? i - j : j - i);
}

/* Every 'STEP'th float of either sign against the rounded double; what lies beyond the largest finite one is NaN. */
static void check_tanh_f32(const egg_kernels *ref, const egg_kernels *level)
{
    (void)ref;
    enum { N = 1024, STEP = 211 };
    float *values = take(2 * N * sizeof *values, 0), *Y = values + N;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        uint32_t worst = 0, special = 0;
        for (uint32_t i = 0; i < N; i++, bits += STEP) {
            uint32_t word = bits > UINT32_MAX ? 0x7F800000 : (uint32_t)bits;   /* the last ones: infinity */
            memcpy(values + i, &word, sizeof word);
        }
        memcpy(Y, values, N * sizeof *Y);
        level->tanh_f32(Y, N);
        for (uint32_t i = 0; i < N; i++) {
            if (isnan(values[i])) {
                special += !isnan(Y[i]);
            } else {
                uint32_t units = units_between(Y[i], (float)tanh(values[i]));
                if (units > worst) worst = units;
                special += !(fabsf(Y[i]) <= 1) || signbit(Y[i]) != signbit(values[i]);
            }
        }
        count_case(worst <= 4 && special == 0, "up to bits, worst units in the last place, wrong at all", bits, worst,
                   special, 0);
    }
    release_all();
    for (uint32_t i = 0; i < 50; i++) {   /* bits do not depend on where in Y a value is; ends of Y */
        size_t n = any_length();
        twin y = take_twin(n * sizeof(float), 4 * random_below(16));
        fill_f32(y.actual, n);
        memcpy(y.expected, y.actual, y.bytes);
        for (size_t j = 0; j < n; j += 16) level->tanh_f32((float *)y.expected + j, 16);
        level->tanh_f32(y.actual, n);
        count_case(same(y), "n", n, 0, 0, 0);
        release_all();
    }
}

static void check_add_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        size_t n = any_length() * (1 + random_below(3));
        const int8_t *x = take_i8(n, 127, i % PATTERNS, random_below(64));
        twin y = take_twin_i8(n, 127, random_below(PATTERNS), random_below(64));
        ref->add_i8(y.expected, x, n);
        level->add_i8(y.actual, x, n);
        count_case(same(y), "n", n, 0, 0, 0);
        release_all();
    }
}

static void check_add_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 50; i++) {
        size_t n = any_length();
        const float *x = take_f32(n, 4 * random_below(16));
        twin y = take_twin(n * sizeof(float), 4 * random_below(16));
        fill_f32(y.expected, n);
        memcpy(y.actual, y.expected, y.bytes);
        ref->add_f32(y.expected, x, n);
        level->add_f32(y.actual, x, n);
        count_case(same(y), "n", n, 0, 0, 0);   /* one rounding: no freedom */
        release_all();
    }
}

static void check_gru(const egg_kernels *ref, const egg_kernels *level, bool blend)
{
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t rows = 1 + random_below(12), n = any_length();
        size_t a_stride = n + random_below(2) * random_below(40), bias_stride = random_below(2) ? 0 : n;
        size_t state_stride = n + random_below(2) * random_below(40), y_stride = n + random_below(2) * random_below(40);
        pattern kind = i % PATTERNS;
        egg_gru_args args = {
            .a = take_i8((rows - 1) * a_stride + n, 127, kind, random_below(64)), .a_stride = a_stride,
            .b = take_i8((size_t)rows * n, 127, random_below(PATTERNS), random_below(64)),
            .bias = take_i8((rows - 1) * bias_stride + n, 127, random_below(PATTERNS), random_below(64)),
            .bias_stride = bias_stride, .state_stride = state_stride, .y_stride = y_stride, .rows = rows, .n = n,
        }, actual;
        twin state = take_twin_i8((rows - 1) * state_stride + n, 127, random_below(PATTERNS), random_below(64));
        twin f = take_twin_i8((size_t)rows * n, 127, random_below(PATTERNS), random_below(64));
        twin g = take_twin_i8((size_t)rows * n, 127, RANDOM, random_below(64));
        twin y = take_twin_i8((rows - 1) * y_stride + n, 127, RANDOM, random_below(64));
        actual = args;
        args.state = state.expected, args.f = f.expected, args.g = g.expected, args.Y = y.expected;
        actual.state = state.actual, actual.f = f.actual, actual.g = g.actual, actual.Y = y.actual;
        (blend ? ref->gru_blend_i8 : ref->gru_gate_i8)(&args);
        (blend ? level->gru_blend_i8 : level->gru_gate_i8)(&actual);
        count_case(same(state) && same(f) && same(g) && same(y), "rows, n, a_stride, state_stride", rows, n, a_stride,
                   state_stride);
        release_all();
    }
}

static void check_gru_gate_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_gru(ref, level, false);
}

static void check_gru_blend_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_gru(ref, level, true);
}

static void check_loss_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t rows = 1 + random_below(20);
        size_t stride = 256 + random_below(2) * random_below(70);
        int8_t *logits = take_i8((rows - 1) * stride + 256, 127, i % PATTERNS, random_below(64));
        if (i % 3 == 0)   /* every size of sum: one logit after another at its highest, the rest at one low value */
            for (uint32_t b = 0; b < rows; b++) {
                memset(logits + b * stride, (int)random_below(255) - 127, 256);
                logits[b * stride + random_below(256)] = (int8_t)((int)random_below(255) - 127);
            }
        uint8_t *targets = take(rows, random_below(64));
        for (uint32_t b = 0; b < rows; b++) targets[b] = (uint8_t)random_below(256);
        egg_loss_args args = {.logits = logits, .stride = stride, .targets = targets, .rows = rows};
        twin loss = take_twin(rows * sizeof(int32_t), 4 * random_below(16));
        args.loss = loss.expected;
        ref->loss_i8(&args);
        args.loss = loss.actual;
        level->loss_i8(&args);
        count_case(same(loss), "rows, stride", rows, stride, 0, 0);
        release_all();
    }
}

/* ----------------------------------------------------------------------------------------------------------- update */

enum { WEIGHED_MAX = 95 };   /* the contract's bound of a weighed factor */

static void check_weigh_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t pairs = 1 + random_below(20);
        size_t n = any_length();
        const int8_t *F = take_i8(pairs, 127, random_below(PATTERNS), random_below(64));
        twin out = take_twin_i8(pairs * n, EGG_NORMAL_I8_MAX, i % PATTERNS, random_below(64));
        if (random_below(2)) {
            ref->weigh_i8(out.expected, F, pairs, n, out.expected);
            level->weigh_i8(out.actual, F, pairs, n, out.actual);
        } else {
            const int8_t *A = take_i8(pairs * n, EGG_NORMAL_I8_MAX, i % PATTERNS, random_below(64));
            ref->weigh_i8(A, F, pairs, n, out.expected);
            level->weigh_i8(A, F, pairs, n, out.actual);
        }
        count_case(same(out), "pairs, n", pairs, n, 0, 0);
        release_all();
    }
}

static twin take_sums(size_t n, size_t misalign)
{
    twin z = take_twin(n * sizeof(int32_t), misalign);
    int32_t *sums = z.expected;
    for (size_t i = 0; i < n; i++) sums[i] /= 2;
    memcpy(z.actual, z.expected, z.bytes);
    return z;
}

static void outer_i8_case(const egg_kernels *ref, const egg_kernels *level, uint32_t count, uint32_t m, uint32_t n,
                          pattern kind)
{
    egg_outer_args args = {
        .A = take_i8((size_t)count * m, WEIGHED_MAX, kind, 0),
        .B = take_i8((size_t)count * n, EGG_NORMAL_I8_MAX, kind, 0),
        .count = count, .m = m, .n = n, .scratch = take(EGG_OUTER_SCRATCH(m, n, count), 0),
    };
    twin z = take_sums((size_t)m * n, 4 * random_below(16));
    args.Z = z.expected;
    ref->outer_i8(&args);
    args.Z = z.actual;
    level->outer_i8(&args);
    count_case(same(z), "count, m, n", count, m, n, 0);
    release_all();
}

static void check_outer_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++)
        outer_i8_case(ref, level, i < 80 ? 1 + i : 1 + random_below(300), 16 * (1 + random_below(6)),
                      16 * (1 + random_below(10)), i % PATTERNS);
    for (uint32_t kind = 0; kind < PATTERNS; kind++) {
        outer_i8_case(ref, level, ONE_OF(512, 1000, 2049), 64, 80, kind);
        outer_i8_case(ref, level, 4096, 16, 64, kind);
        outer_i8_case(ref, level, 8, 256, 512, kind);
    }
}

static void check_diagonal_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t count = i % 10 ? 1 + random_below(50) : 3000;
        size_t n = any_length();
        const int8_t *A = take_i8(count * n, WEIGHED_MAX, i % PATTERNS, 0);
        const int8_t *B = take_i8(count * n, EGG_NORMAL_I8_MAX, i % 2 ? i % PATTERNS : RANDOM, 0);
        twin z = take_sums(n, 4 * random_below(16));
        ref->diagonal_i8(A, B, count, n, z.expected);
        level->diagonal_i8(A, B, count, n, z.actual);
        count_case(same(z), "count, n", count, n, 0, 0);
        release_all();
    }
}

static void check_weigh_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t pairs = 1 + random_below(20);
        size_t n = any_length();
        const float *A = take_f32(pairs * n, 0), *F = take_f32(pairs, 4 * random_below(16));
        twin out = take_twin(pairs * n * sizeof(float), 4 * random_below(16));
        if (random_below(2)) {
            memcpy(out.expected, A, out.bytes);
            memcpy(out.actual, A, out.bytes);
            ref->weigh_f32(out.expected, F, pairs, n, out.expected);
            level->weigh_f32(out.actual, F, pairs, n, out.actual);
        } else {
            ref->weigh_f32(A, F, pairs, n, out.expected);
            level->weigh_f32(A, F, pairs, n, out.actual);
        }
        count_case(same(out), "pairs, n", pairs, n, 0, 0);   /* one rounding: no freedom */
        release_all();
    }
}

/* The same outer product with its rows cut at 'cut': the same bits. */
static bool outer_f32_is_cut(const egg_kernels *level, const egg_outer_f32_args *args, const float *Z0, uint32_t cut)
{
    const size_t n = args->n, bytes = (size_t)args->m * n * sizeof(float);
    float *Z = take(bytes, 4 * random_below(16));
    memcpy(Z, Z0, bytes);
    for (uint32_t part = 0; part < 2; part++) {
        uint32_t first = part ? cut : 0, m = part ? args->m - cut : cut;
        float *A = take((size_t)args->count * m * sizeof *A, 0);
        for (uint32_t q = 0; q < args->count; q++)
            memcpy(A + (size_t)q * m, args->A + (size_t)q * args->m + first, m * sizeof *A);
        if (m) level->outer_f32(&(egg_outer_f32_args){.A = A, .B = args->B, .Z = Z + first * n, .count = args->count,
                                                      .m = m, .n = args->n});
    }
    return memcmp(Z, args->Z, bytes) == 0;
}

static void outer_f32_case(const egg_kernels *ref, const egg_kernels *level, uint32_t count, uint32_t m, uint32_t n)
{
    egg_outer_f32_args args = {.A = take_f32((size_t)count * m, 0), .B = take_f32((size_t)count * n, 0),
                               .count = count, .m = m, .n = n};
    twin z = take_twin((size_t)m * n * sizeof(float), 4 * random_below(16));
    float *Z0 = take_f32((size_t)m * n, 0), *magnitudes = take(z.bytes, 0);
    memcpy(z.expected, Z0, z.bytes);
    memcpy(z.actual, Z0, z.bytes);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            float sum = fabsf(Z0[(size_t)i * n + j]);
            for (uint32_t q = 0; q < count; q++) sum += fabsf(args.A[(size_t)q * m + i] * args.B[(size_t)q * n + j]);
            magnitudes[(size_t)i * n + j] = sum;
        }
    args.Z = z.expected;
    ref->outer_f32(&args);
    args.Z = z.actual;
    level->outer_f32(&args);
    bool good = close(z, magnitudes, count + 1);
    for (uint32_t i = 0; i < 3; i++) good = good && outer_f32_is_cut(level, &args, Z0, random_below(m));
    count_case(good, "count, m, n", count, m, n, 0);
    release_all();
}

static void check_outer_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 200; i++)
        outer_f32_case(ref, level, 1 + random_below(i % 10 ? 40 : 300), i < 40 ? 1 + i : 1 + random_below(100),
                       16 * (1 + random_below(10)));
    outer_f32_case(ref, level, 1000, 33, 80);
    outer_f32_case(ref, level, 8, 256, 512);
}

/* Votes around the threshold and its neighbours, zeros and the ends of the type. */
static int32_t *take_votes(size_t n, int32_t around)
{
    int32_t *Z = take(n * sizeof *Z, 4 * random_below(16));
    for (size_t i = 0; i < n; i++) switch (random_below(5)) {
        case 0: Z[i] = (int32_t)random_u64(); break;
        case 1: Z[i] = random_below(2) ? INT32_MAX : INT32_MIN; break;
        case 2: Z[i] = 0; break;
        default: Z[i] = (random_below(2) ? 1 : -1) * (around - 1 + (int32_t)random_below(2));
        }
    return Z;
}

static void check_step_vote_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < 400; i++) {
        size_t n = any_length();
        int32_t threshold = (int32_t)ONE_OF(0, 1, 2, 100, 1 << 20, INT32_MAX);
        const int32_t *Z = take_votes(n, threshold);
        twin w = take_twin_i8(n, 127, i % PATTERNS, random_below(64));
        size_t expected = ref->step_vote_i8(w.expected, Z, n, threshold);
        size_t actual = level->step_vote_i8(w.actual, Z, n, threshold);
        count_case(same(w) && expected == actual, "n, threshold, changed, expected", n, (uint32_t)threshold, actual,
                   expected);
        release_all();
    }
}

static void check_step_fractional_i8(const egg_kernels *ref, const egg_kernels *level)
{
    static const int32_t laws[][2] = {   /* rate, limit: the contract's largest products, and usual ones */
        {1, 2147450879}, {2147450879, 1}, {46340, 46340}, {65536, 32767}, {256, 8388479}, {1000, 2000}, {1, 1}, {7, 0},
    };
    for (uint32_t i = 0; i < 400; i++) {
        size_t n = any_length();
        int32_t rate = laws[i % 8][0], limit = laws[i % 8][1];
        const int32_t *Z = take_votes(n, random_below(2) ? limit : 65536 / rate * (int32_t)random_below(300));
        twin w = take_twin_i8(n, 127, RANDOM, random_below(64));
        twin v = take_twin(n * sizeof(int16_t), 2 * random_below(32));
        for (size_t j = 0; j < n; j++) {
            int32_t value = random_below(4) ? (int32_t)random_below(65025) - 32512 : random_below(2) ? 32512 : -32512;
            ((int16_t *)v.expected)[j] = ((int16_t *)v.actual)[j] = (int16_t)value;
            if (random_below(8)) ((int8_t *)w.expected)[j] = ((int8_t *)w.actual)[j] = (int8_t)((value + 128) >> 8);
        }
        size_t expected = ref->step_fractional_i8(w.expected, v.expected, Z, n, rate, limit);
        size_t actual = level->step_fractional_i8(w.actual, v.actual, Z, n, rate, limit);
        count_case(same(w) && same(v) && expected == actual, "n, rate, limit, changed", n, (uint32_t)rate,
                   (uint32_t)limit, actual);
        release_all();
    }
}

/* -------------------------------------------------------------------------------------------------------- all slots */

typedef void slot_check(const egg_kernels *ref, const egg_kernels *level);
typedef void any_fn(void);

#define SLOT(name) {#name, offsetof(egg_kernels, name), check_##name}

static const struct slot {
    const char *name;
    size_t offset;
    slot_check *check;
} slots[] = {
    SLOT(noise_i8), SLOT(noise_f32), SLOT(shrink_i8), SLOT(shrink_f32), SLOT(linear_i8), SLOT(linear_f32),
    SLOT(dense_f32), SLOT(embed_i8), SLOT(embed_f32), SLOT(perturb_vector_i8), SLOT(perturb_vector_f32),
    SLOT(layer_norm_i8), SLOT(layer_norm_f32), SLOT(add_i8), SLOT(add_f32), SLOT(relu_f32), SLOT(tanh_f32),
    SLOT(gru_gate_i8), SLOT(gru_blend_i8), SLOT(loss_i8), SLOT(weigh_i8), SLOT(weigh_f32), SLOT(outer_i8),
    SLOT(outer_f32), SLOT(diagonal_i8), SLOT(step_vote_i8), SLOT(step_fractional_i8),
};

static any_fn *slot_function(const egg_kernels *kernels, size_t offset)
{
    any_fn *function;
    memcpy(&function, (const char *)kernels + offset, sizeof function);
    return function;
}

static bool check_slot(const egg_kernels *ref, const egg_kernels *level, const struct slot *slot)
{
    cases = failures = 0;
    slot->check(ref, level);
    printf("%-12s %-20s %5u cases  %s\n", level->level, slot->name, cases, failures ? "FAILED" : "ok");
    fflush(stdout);
    return !failures;
}

static void levels_detect(level_set *levels)
{
    uint32_t detected = egg_cpu_detect();
    *levels = (level_set){0};
    egg_kernels_init(&levels->ref, 0);
    for (uint32_t bit = 1; bit <= EGG_CPU_NEON; bit <<= 1) {
        egg_kernels *level = &levels->level[levels->count];
        egg_kernels_init(level, detected & bit);
        if (strcmp(level->level, levels->ref.level) != 0) levels->count++;
    }
}

int main(int argc, char **argv)
{
    static level_set levels;
    levels_detect(&levels);
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    const char *filter = argv[1 + bench];   /* NULL where there is none */
    if (bench) {
        bench_kernels(&levels, filter);
        return 0;
    }
    uint32_t passed = 0, failed = 0;
    for (uint32_t l = 0; l < levels.count; l++)
        for (size_t s = 0; s < EGG_COUNT(slots); s++) {
            if (filter && !strstr(slots[s].name, filter)) continue;
            const egg_kernels *level = &levels.level[l];
            if (slot_function(&levels.ref, slots[s].offset) == slot_function(level, slots[s].offset)) continue;
            bool good = check_slot(&levels.ref, level, &slots[s]);
            passed += good;
            failed += !good;
        }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
