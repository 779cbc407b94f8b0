/* SPDX-License-Identifier: MIT */
/*
 * check_kernels, the float32 slots: close to the reference within a derived tolerance, and the same bits however rows
 * are grouped.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "check_kernels.h"
#include "kernels/weights.h"

static float *take_f32(size_t n, size_t misalign)
{
    float *values = take(n * sizeof *values, misalign);
    fill_f32(values, n);
    return values;
}

/*
 * Two ways to sum n terms differ by at most 2 n eps times the sum of their magnitudes; 'magnitudes' holds that sum for
 * each value (n, in, ...). Twice that for the products' and the fused operations' own roundings. The gaps between rows
 * have magnitude 0: there, as in the canaries, bits must not change.
 */
static bool close(twin t, const float *magnitudes, size_t terms)
{
    const float *expected = t.expected, *actual = t.actual;
    finish();
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

/* Rows as a float kernel may meet them: 'steps' a member in order, or tagged, in any order, some members left out. */
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
    finish();
    for (uint32_t r = 0; r < g.count; r++)
        if (memcmp((const float *)whole + g.rows[r] * stride, (const float *)part + r * n, n * sizeof(float)) != 0)
            return false;
    return true;
}

static size_t any_stride(size_t n)
{
    return n + any_gap(70, sizeof(float));
}

/* ------------------------------------------------------------------------------------- the perturbed matrix product */

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

void check_shrink_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
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

/* The slots of one way to hold weights. */
typedef struct storage_slots {
    egg_packed_bytes_fn *packed_bytes;
    egg_pack_fn *pack;
    egg_linear_fn *linear;
} storage_slots;

static storage_slots slots_of(const egg_kernels *kernels, egg_storage storage)
{
    switch (storage) {
    case EGG_STORAGE_BF16: return (storage_slots){kernels->packed_bytes_bf16, kernels->pack_bf16, kernels->linear_bf16};
    case EGG_STORAGE_Q8: return (storage_slots){kernels->packed_bytes_q8, kernels->pack_q8, kernels->linear_q8};
    case EGG_STORAGE_F32: break;
    }
    return (storage_slots){kernels->packed_bytes_f32, kernels->pack_f32, kernels->linear_f32};
}

static bool linear_f32_regroups(const storage_slots *level, const egg_linear_args *whole, const row_batch *b)
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
        level->linear(&args);
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
            for (uint32_t j = 0; j < args->in; j++) sum += fabsf(x[j] * w[j]);   /* rounding them adds 2^-8 of it */
            for (uint32_t k = 0; args->A && k < args->rank; k++)
                sum += fabsf(t[k] * ((const float *)args->A)[((size_t)(m / 2) * args->rank + k) * args->out + o]);
            magnitudes[b * args->y_stride + o] = sum;
        }
    return magnitudes;
}

/* Packs W, in one call or in parts, whose ends are whole panels. */
static void *take_packed(const storage_slots *slots, const float *W, uint32_t out, uint32_t in)
{
    char *packed = take(slots->packed_bytes(out, in), 0);
    if (random_below(2)) {
        slots->pack(W, out, in, packed);
        return packed;
    }
    for (uint32_t o = 0, n; o < out; o += n) {
        n = EGG_ROW_QUANTUM * (1 + random_below((out - o) / EGG_ROW_QUANTUM));
        slots->pack(W + (size_t)o * in, n, in, packed + slots->packed_bytes(o, in));
    }
    return packed;
}

/* On the processor bf16 gives the bits that float32 gives with the same values. */
static bool bf16_is_float32(const egg_kernels *level, const egg_linear_args *bf16, const float *W)
{
    const storage_slots f32 = slots_of(level, EGG_STORAGE_F32);
    const size_t n = (size_t)bf16->out * bf16->in, values = (bf16->rows - 1) * bf16->y_stride + bf16->out;
    float *rounded = take_f32(n, 0), *Y = take(values * sizeof *Y, 0);
    for (size_t i = 0; i < n; i++) rounded[i] = egg_bf16_value(egg_bf16_of(W[i]));
    memcpy(Y, bf16->Y, values * sizeof *Y);   /* the gaps between rows */
    egg_linear_args args = *bf16;
    args.W = take_packed(&f32, rounded, bf16->out, bf16->in);
    args.Y = Y;
    level->linear_f32(&args);
    finish();
    return memcmp(Y, bf16->Y, values * sizeof *Y) == 0;
}

/*
 * As long as a sum is made of ordinary additions the bound of close() is what it says there. kernels/cuda's sums of
 * held weights may differ from the reference's by (in + in / 16 + 4 rank + 45) u of the magnitudes, u = 2^-24, which is
 * less than close()'s 4 (in + rank + 5) u: at 16 inputs, where they are nearest, 62 + 4 rank against 84 + 4 rank. With
 * rounded activations it is 85 instead of 45 from 32 inputs on: 119 + 4 rank against 148 + 4 rank.
 */
static void linear_f32_case(const egg_kernels *ref, const egg_kernels *level, egg_storage storage, uint32_t most_rows,
                            uint32_t out, uint32_t in)
{
    const storage_slots of_ref = slots_of(ref, storage), of_level = slots_of(level, storage);
    const row_batch batch = take_batch(most_rows);
    const uint32_t rank = ONE_OF(1, 1, 2, 3, 4, 7);
    const size_t x_stride = any_stride(in), y_stride = any_stride(out);
    const size_t bias_stride = random_below(2) ? 0 : any_stride(out);
    const float *W = take_f32((size_t)out * in, 0);
    egg_linear_args args = {
        .X = take_f32((batch.rows - 1) * x_stride + in, 4 * random_below(16)), .x_stride = x_stride,
        .A = random_below(4) ? take_f32((size_t)batch.pairs * rank * out, 0) : NULL,
        .bias = random_below(2) ? take_f32((2 * batch.pairs - 1) * bias_stride + out, 4 * random_below(16)) : NULL,
        .bias_stride = bias_stride, .y_stride = y_stride, .member = batch.member, .rows = batch.rows,
        .steps = batch.steps, .out = out, .in = in, .rank = rank,
        .bf16_activations = level->device && storage != EGG_STORAGE_F32 && random_below(3) == 0,
    };
    if (args.A) args.t = take_f32((size_t)batch.rows * rank, 4 * random_below(16));
    twin y = take_twin(((batch.rows - 1) * y_stride + out) * sizeof(float), 4 * random_below(16));
    args.W = take_packed(&of_ref, W, out, in);
    args.Y = y.expected;
    of_ref.linear(&args);
    args.W = take_packed(&of_level, W, out, in);
    args.Y = y.actual;
    of_level.linear(&args);
    bool good = close(y, linear_f32_magnitudes(&args, W, &batch, y), in + rank + 1) &&
                linear_f32_regroups(&of_level, &args, &batch);
    if (storage == EGG_STORAGE_BF16 && !level->device) good = good && bf16_is_float32(level, &args, W);
    count_case(good, "rows, out, in, rank", batch.rows, out, in, rank);
    release_all();
}

static void linear_f32_cases(const egg_kernels *ref, const egg_kernels *level, egg_storage storage)
{
    const uint32_t every = rounds(64) < 32 ? 3 : 1;   /* not all numbers of rows with all widths, where that is slow */
    for (uint32_t most = 1; most <= 20; most++)
        for (uint32_t out = 16 + most % every * 16; out <= 208; out += 16 * every)
            linear_f32_case(ref, level, storage, most, out, 16 + 16 * random_below(8));
    for (uint32_t i = 0; i < rounds(200); i++) linear_f32_case(ref, level, storage, 30, any_length(), any_length());
    linear_f32_case(ref, level, storage, 10, 80, 1040);      /* several depths of inputs */
    linear_f32_case(ref, level, storage, 1000, 80, 32);      /* several blocks of rows */
    linear_f32_case(ref, level, storage, 300, 144, 528);
    linear_f32_case(ref, level, storage, 2, 1024, 64);
    if (storage != EGG_STORAGE_F32 && level->device) linear_f32_case(ref, level, storage, 300, 272, 112);
}

void check_linear_f32(const egg_kernels *ref, const egg_kernels *level)
{
    linear_f32_cases(ref, level, EGG_STORAGE_F32);
}

/* Weights of any size, not only the usual ones. */
static float *take_weights(uint32_t out, uint32_t in)
{
    float *W = take_f32((size_t)out * in, 0);
    for (uint32_t o = 0; o < out; o++) {
        const float scale = ldexpf(1, -(int)ONE_OF(0, 0, 3, 100, 125, 140, 149));
        for (uint32_t i = 0; i < in; i++) W[(size_t)o * in + i] *= scale;
        if (random_below(8) == 0) memset(W + (size_t)o * in, 0, in * sizeof *W);
    }
    return W;
}

/* W as a product holds it: what it makes of the rows of the identity. (in, out) */
static float *take_held(const storage_slots *slots, const float *W, uint32_t out, uint32_t in)
{
    float *X = take((size_t)in * in * sizeof *X, 0), *Y = take((size_t)in * out * sizeof *Y, 0);
    memset(X, 0, (size_t)in * in * sizeof *X);
    for (uint32_t i = 0; i < in; i++) X[(size_t)i * in + i] = 1;
    slots->linear(&(egg_linear_args){.X = X, .x_stride = in, .W = take_packed(slots, W, out, in), .Y = Y,
                                     .y_stride = out, .rows = in, .steps = 1, .out = out, .in = in});
    finish();
    return Y;
}

/* How far a held weight may be from w, in a row whose largest magnitude is 'most'. */
static double storage_error(egg_storage storage, double w, double most)
{
    if (storage == EGG_STORAGE_BF16) return fabs(w) / 256 + 0x1p-134;
    return most / 254 + most * 0x1p-22 + 127 * 0x1p-149;   /* the scale itself is rounded, too */
}

/* All levels hold the same values, which are as near to W as the storage promises. */
static void held_case(const egg_kernels *ref, const egg_kernels *level, egg_storage storage)
{
    const storage_slots of_ref = slots_of(ref, storage), of_level = slots_of(level, storage);
    const uint32_t out = 16 * (1 + random_below(6)), in = 16 * (1 + random_below(9));
    const float *W = take_weights(out, in), *expected = take_held(&of_ref, W, out, in);
    const float *held = take_held(&of_level, W, out, in);
    bool good = memcmp(held, expected, (size_t)in * out * sizeof *held) == 0;
    for (uint32_t o = 0; o < out; o++, W += in) {
        float most = 0;
        for (uint32_t i = 0; i < in; i++)
            if (fabsf(W[i]) > most) most = fabsf(W[i]);
        for (uint32_t i = 0; i < in; i++)
            good = good && fabs((double)held[(size_t)i * out + o] - W[i]) <= storage_error(storage, W[i], most);
    }
    count_case(good, "out, in", out, in, 0, 0);
    release_all();
}

/* A weight that is no number or infinite makes its output no number, and no other output. */
static void unusual_case(const egg_kernels *level, egg_storage storage)
{
    const storage_slots slots = slots_of(level, storage);
    const uint32_t out = 16 * (1 + random_below(6)), in = 16 * (1 + random_below(4)), at = random_below(out);
    float *W = take_f32((size_t)out * in, 0), *X = take_f32(in, 0), *Y = take(out * sizeof *Y, 0);
    W[(size_t)at * in + random_below(in)] = random_below(2) ? NAN : -INFINITY;
    slots.linear(&(egg_linear_args){.X = X, .x_stride = in, .W = take_packed(&slots, W, out, in), .Y = Y,
                                    .y_stride = out, .rows = 1, .steps = 1, .out = out, .in = in});
    finish();
    bool good = true;
    for (uint32_t o = 0; o < out; o++) good = good && !isfinite(Y[o]) == (o == at);
    count_case(good, "out, in, at", out, in, at, 0);
    release_all();
}

/* An activation that is no number or infinite makes its row not finite, and no other row. */
static void unusual_row_case(const egg_kernels *level, egg_storage storage)
{
    const storage_slots slots = slots_of(level, storage);
    const uint32_t rows = 1 + random_below(40), out = 16 * (1 + random_below(6)), in = 16 * (1 + random_below(4));
    const uint32_t at = random_below(rows);
    float *W = take_f32((size_t)out * in, 0), *X = take_f32((size_t)rows * in, 0), *Y = take(rows * out * sizeof *Y, 0);
    const float unusual[] = {NAN, INFINITY, -INFINITY};
    X[(size_t)at * in + random_below(in)] = unusual[random_below(3)];
    slots.linear(&(egg_linear_args){.X = X, .x_stride = in, .W = take_packed(&slots, W, out, in), .Y = Y,
                                    .y_stride = out, .rows = rows, .steps = 1, .out = out, .in = in});
    finish();
    bool good = true;
    for (uint32_t i = 0; i < rows * out; i++) good = good && !isfinite(Y[i]) == (i / out == at);
    count_case(good, "rows, out, in, at", rows, out, in, at);
    release_all();
}

/*
 * Activations of all magnitudes, the largest floats among them, whose parts must not overflow, and the smallest. With
 * one input that is not 0 the product is exact to its last roundings; parts below 2^-126 may count as 0.
 */
static void magnitude_case(const egg_kernels *level, egg_storage storage)
{
    const storage_slots slots = slots_of(level, storage);
    enum { OUT = 16, IN = 48 };
    const uint32_t rows = 1 + random_below(20);
    float *W = take_f32(OUT * IN, 0), *X = take(rows * IN * sizeof *X, 0), *Y = take(rows * OUT * sizeof *Y, 0);
    for (uint32_t i = 0; i < OUT * IN; i++) W[i] = i % 3 ? 1 : -1;
    memset(X, 0, rows * IN * sizeof *X);
    for (uint32_t r = 0; r < rows; r++) {
        const float largest = storage == EGG_STORAGE_Q8 ? 0x1.fffffep120f : 0x1.fffffep127f;   /* q is up to 127 */
        const float magnitudes[] = {largest, 0x1.fffdfep100f, 0x1p-126f, 0x1.fffffep-120f, 0x1p-149f, 1};
        X[r * IN + r % IN] = magnitudes[random_below(6)] * (random_below(2) ? 1 : -1);
    }
    slots.linear(&(egg_linear_args){.X = X, .x_stride = IN, .W = take_packed(&slots, W, OUT, IN), .Y = Y,
                                    .y_stride = OUT, .rows = rows, .steps = 1, .out = OUT, .in = IN});
    finish();
    bool good = true;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t o = 0; o < OUT; o++) {
            const double expected = (double)X[r * IN + r % IN] * W[o * IN + r % IN], value = Y[r * OUT + o];
            good = good && fabs(value - expected) <= 0x1p-22 * fabs(expected) + 3 * 0x1p-126;
        }
    count_case(good, "rows", rows, 0, 0, 0);
    release_all();
}

static void stored_cases(const egg_kernels *ref, const egg_kernels *level, egg_storage storage)
{
    linear_f32_cases(ref, level, storage);
    for (uint32_t i = 0; i < rounds(100); i++) held_case(ref, level, storage);
    for (uint32_t i = 0; i < 20; i++) {
        unusual_case(level, storage);
        unusual_row_case(level, storage);
        magnitude_case(level, storage);
    }
}

void check_linear_bf16(const egg_kernels *ref, const egg_kernels *level)
{
    stored_cases(ref, level, EGG_STORAGE_BF16);
}

void check_linear_q8(const egg_kernels *ref, const egg_kernels *level)
{
    stored_cases(ref, level, EGG_STORAGE_Q8);
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

void check_dense_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        const row_batch batch = take_batch(i % 5 ? 12 : 200);
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

static bool lookup_f32_regroups(const egg_kernels *level, const egg_lookup_args *whole, const row_batch *b)
{
    const uint32_t *order = take_order(b->rows);
    group g;
    for (uint32_t first = 0; first < b->rows; first += g.count) {
        g = next_group(b, order, first);
        egg_lookup_args args = *whole;
        uint32_t *tokens = take(g.count * sizeof *tokens, 4 * random_below(16));
        for (uint32_t r = 0; r < g.count; r++) tokens[r] = whole->tokens[g.rows[r]];
        args.tokens = tokens;
        args.rows = g.count;
        args.member = g.member;
        args.y_stride = whole->n;
        args.Y = take((size_t)g.count * whole->n * sizeof(float), 4 * random_below(16));
        level->lookup_f32(&args);
        if (!same_group(whole->Y, whole->y_stride, args.Y, whole->n, g)) return false;
    }
    return true;
}

enum { VOCABULARY = 32 };

/* A table held in each way, and its values. */
static const void *take_table(egg_storage storage, uint32_t n, float *values)
{
    const size_t row_bytes = egg_table_row_bytes(storage, n);
    char *table = take(VOCABULARY * row_bytes, 0);
    memcpy(values, take_f32(VOCABULARY * (size_t)n, 0), VOCABULARY * (size_t)n * sizeof *values);
    for (uint32_t v = 0; v < VOCABULARY; v++) {
        char *row = table + v * row_bytes;
        float *w = values + (size_t)v * n;
        const float scale = egg_q8_scale(w, n);
        if (storage == EGG_STORAGE_Q8) memcpy(row, &scale, sizeof scale);
        for (uint32_t i = 0; i < n; i++) {
            if (storage == EGG_STORAGE_F32) ((float *)row)[i] = w[i];
            if (storage == EGG_STORAGE_BF16) w[i] = egg_bf16_value(((uint16_t *)row)[i] = egg_bf16_of(w[i]));
            if (storage == EGG_STORAGE_Q8) w[i] = scale * (((int8_t *)row)[sizeof scale + i] = egg_q8_of(w[i], scale));
        }
    }
    return table;
}

/* Of a row: its value, and what each factor adds to it. */
static float lookup_magnitude(const egg_lookup_args *args, const float *values, uint32_t m, uint32_t v, uint32_t i)
{
    float sum = fabsf(values[(size_t)v * args->n + i]);
    const size_t pair = m / 2;
    if (args->A && !args->B) sum += args->c * fabsf(args->A[(pair * VOCABULARY + v) * args->n + i]);
    for (uint32_t k = 0; args->B && k < args->rank; k++) {
        const size_t component = pair * args->rank + k;
        sum += args->c * fabsf(args->A[component * VOCABULARY + v] * args->B[component * args->n + i]);
    }
    return sum;
}

/* Unperturbed the values are exact. */
void check_lookup_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(200); i++) {
        const row_batch batch = take_batch(30);
        const uint32_t n = any_length(), rank = ONE_OF(1, 1, 2, 3, 7), kind = random_below(4);
        const egg_storage storage = ONE_OF(EGG_STORAGE_F32, EGG_STORAGE_BF16, EGG_STORAGE_Q8);
        const bool dense = kind == 1, perturbed = kind != 0;
        uint32_t *tokens = take(batch.rows * sizeof *tokens, 4 * random_below(16));
        float *values = take(VOCABULARY * (size_t)n * sizeof *values, 0);
        for (uint32_t b = 0; b < batch.rows; b++) tokens[b] = random_below(VOCABULARY);
        egg_lookup_args args = {.table = take_table(storage, n, values), .storage = storage, .tokens = tokens,
                                .y_stride = any_stride(n), .member = batch.member, .rows = batch.rows,
                                .steps = batch.steps, .vocabulary = VOCABULARY, .n = n, .rank = rank, .c = 0.1f};
        if (perturbed) args.A = take_f32((size_t)batch.pairs * VOCABULARY * (dense ? n : rank), 0);
        if (perturbed && !dense) args.B = take_f32((size_t)batch.pairs * rank * n, 0);
        twin y = take_twin(((batch.rows - 1) * args.y_stride + n) * sizeof(float), 4 * random_below(16));
        float *magnitudes = take_magnitudes(y);
        for (uint32_t b = 0; perturbed && b < batch.rows; b++)
            for (uint32_t j = 0; j < n; j++)
                magnitudes[b * args.y_stride + j] = lookup_magnitude(&args, values, batch.of_row[b], tokens[b], j);
        args.Y = y.expected;
        ref->lookup_f32(&args);
        args.Y = y.actual;
        level->lookup_f32(&args);
        count_case(close(y, magnitudes, 2 * rank) && lookup_f32_regroups(level, &args, &batch), "rows, n, rank, steps",
                   batch.rows, n, rank, batch.steps);
        release_all();
    }
}

void check_gather(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(100); i++) {
        const uint32_t n = ONE_OF(1, 16, 32, 48, 272, 1024), from = 1 + random_below(20), rows = 1 + random_below(20);
        const size_t x_stride = n == 1 ? 1 : any_stride(n);
        uint32_t *row = take(rows * sizeof *row, 4 * random_below(16));
        for (uint32_t r = 0; r < rows; r++) row[r] = random_below(from);
        egg_gather_args args = {.X = (const uint32_t *)take_f32((from - 1) * x_stride + n, 0), .x_stride = x_stride,
                                .row = row, .rows = rows, .n = n};
        twin y = take_twin((size_t)rows * n * sizeof(uint32_t), 4 * random_below(16));
        args.Y = y.expected;
        ref->gather(&args);
        args.Y = y.actual;
        level->gather(&args);
        count_case(same(y), "rows, n", rows, n, 0, 0);
        release_all();
    }
}

enum logit_kind {
    PLAIN, TIES, HOLES, NOTHING, NO_NUMBERS, WIDE, EQUAL, HUGE_LOGITS, INFINITE, CROWDED, ONE_AHEAD, LOGIT_KINDS
};

/*
 * Ties, tokens that are out of the question, rows of nothing else, and what is hard for sums over bins: nearly all
 * tokens in one exponent, or in one bin below a likelier token.
 */
static void make_logits(float *logits, uint32_t n, enum logit_kind kind)
{
    const float level = (float)random_below(64) / 4 - 8, steps = (float)ONE_OF(1, 1, 2, 4);
    fill_f32(logits, n);
    for (uint32_t k = 0; k < n; k++) {
        if (kind == TIES) logits[k] = floorf(steps * logits[k]) / steps;
        if (kind == HOLES && random_below(3) == 0) logits[k] = random_below(2) ? NAN : -INFINITY;
        if (kind == NOTHING) logits[k] = -INFINITY;
        if (kind == NO_NUMBERS) logits[k] = NAN;
        if (kind == WIDE) logits[k] = 30 * logits[k];
        if (kind == EQUAL) logits[k] = level;
        if (kind == HUGE_LOGITS) logits[k] = 3e38f * logits[k];
        if (kind == INFINITE && random_below(4) == 0) logits[k] = random_below(2) ? INFINITY : -INFINITY;
        if (kind == CROWDED) logits[k] = 5 + 1e-4f * logits[k];
        if (kind == ONE_AHEAD) logits[k] = 1e-3f * logits[k];
    }
    if (kind == HOLES) logits[random_below(n)] = 3;
    if (kind == ONE_AHEAD) logits[random_below(n)] = 6;
}

/* Of equal logits whole numbers of tokens, which has no rounding where n is a power of two. */
static double any_top_p(enum logit_kind kind, uint32_t n)
{
    static const double top_ps[] = {1e-9, 0.2931, 0.7117, 0.9973, 0.9999999};
    if (kind == EQUAL && !(n & (n - 1))) return (1 + random_below(n)) / (double)n;
    return top_ps[random_below(EGG_COUNT(top_ps))];
}

/* The same token as the reference, but where a number falls within n * 2^-41 of the bound between two. */
void check_sample_f32(const egg_kernels *ref, const egg_kernels *level)
{
    static const double temperatures[] = {0.3, 1, 1, 2.5, 1e-305, 1e-6, 1e3}, min_ps[] = {1e-5, 0.0311, 0.1777, 1};
    for (uint32_t i = 0; i < rounds(600); i++) {
        const bool long_row = i % 16 == 0;
        const uint32_t n = long_row ? ONE_OF(32768, 65520, 65536) : ONE_OF(16, 32, 48, 256, 1040, 2048, 5008);
        const uint32_t rows = long_row ? 1 : 1 + random_below(4), kind = random_below(5);
        const enum logit_kind logit_kind = (enum logit_kind)random_below(LOGIT_KINDS);
        float *logits = take((size_t)rows * n * sizeof *logits, 0);
        double *uniform = take(rows * sizeof *uniform, 0);
        for (uint32_t b = 0; b < rows; b++) {
            make_logits(logits + (size_t)b * n, n, logit_kind);
            uniform[b] = (random_below(1u << 20) + 0.37) / (1u << 20);
        }
        egg_sample_args args = {.logits = logits, .uniform = uniform, .scratch = take(EGG_SAMPLE_SCRATCH(n), 0),
                                .rows = rows, .n = n,
                                .temperature = kind == 0 ? 0 : temperatures[random_below(EGG_COUNT(temperatures))],
                                .top_p = kind < 2 ? 1 : any_top_p(logit_kind, n),
                                .min_p = kind < 3 && i % 4 ? 0 : min_ps[random_below(EGG_COUNT(min_ps))]};
        twin token = take_twin(rows * sizeof(uint32_t), 4 * random_below(16));
        args.token = token.expected;
        ref->sample_f32(&args);
        args.token = token.actual;
        level->sample_f32(&args);
        count_case(same(token), "rows, n, kind, kind of logits", rows, n, kind, logit_kind);
        release_all();
    }
}

void check_perturb_vector_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(100); i++) {
        uint32_t pairs = 1 + random_below(10), n = any_length();
        const bool within = random_below(2);   /* the noise lies where the second row of each pair goes */
        float *A = take_f32((size_t)2 * pairs * n, 0);
        egg_perturb_vector_args args = {.w = take_f32(n, 0), .A = A, .a_stride = n, .pairs = pairs, .n = n, .rank = 1,
                                        .c = 0.1f};
        twin out = take_twin((size_t)2 * pairs * n * sizeof(float), within ? 0 : 4 * random_below(16));
        if (within) {
            memcpy(out.expected, A, (size_t)2 * pairs * n * sizeof *A);
            memcpy(out.actual, A, (size_t)2 * pairs * n * sizeof *A);
            args.a_stride = 2 * (size_t)n;
        }
        args.out = out.expected;
        if (within) args.A = (float *)args.out + n;
        ref->perturb_vector_f32(&args);
        args.out = out.actual;
        if (within) args.A = (float *)args.out + n;
        level->perturb_vector_f32(&args);
        bool good = same(out);   /* two roundings, fused on some levels */
        if (!good) {
            float *magnitudes = take_magnitudes(out);
            for (size_t j = 0; j < (size_t)2 * pairs * n; j++) magnitudes[j] = 2;
            good = close(out, magnitudes, 2);
        }
        count_case(good, "pairs, n, within", pairs, n, within, 0);
        release_all();
    }
}

/* ------------------------------------------------------------------------------------------------------ elementwise */

/*
 * With z = (x - mean) / deviation, an error of the mean (n terms) costs mean |x| / deviation, one of the deviation
 * (half that of a sum of n squares) |z|, both times |w|: the sum of these, of the product and of the bias.
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

void check_layer_norm_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
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

void check_add_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(50); i++) {
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

void check_relu_f32(const egg_kernels *ref, const egg_kernels *level)
{
    const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f};
    for (uint32_t i = 0; i < rounds(100); i++) {
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
void check_tanh_f32(const egg_kernels *ref, const egg_kernels *level)
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
        finish();
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
    for (uint32_t i = 0; i < rounds(50); i++) {   /* bits do not depend on where in Y a value is; ends of Y */
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

/* ----------------------------------------------------------------------------------------------------------- update */

void check_weigh_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(100); i++) {
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
    finish();
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

void check_outer_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(200); i++)
        outer_f32_case(ref, level, 1 + random_below(i % 10 ? 40 : 300), i < 40 ? 1 + i : 1 + random_below(100),
                       16 * (1 + random_below(10)));
    outer_f32_case(ref, level, 1000, 33, 80);
    outer_f32_case(ref, level, 8, 256, 512);
}

void check_gradient_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(100); i++) {
        const uint32_t rows = 1 + random_below(i % 10 ? 20 : 300), n = any_length();
        const uint32_t group_rows = 1 + random_below(i % 3 ? rows : 2 * rows);
        const uint32_t groups = (rows + group_rows - 1) / group_rows;
        twin G = take_twin((size_t)rows * n * sizeof(float), 4 * random_below(16));
        twin squares = take_twin(groups * sizeof(double), 0);
        egg_gradient_args args = {.scratch = take(rows * sizeof(double), 0), .rows = rows, .n = n,
                                  .used_rows = random_below(rows + 1), .used = random_below(n + 1),
                                  .group_rows = group_rows, .c = 0.1f};
        fill_f32(G.expected, (size_t)rows * n);
        memcpy(G.actual, G.expected, G.bytes);
        args.G = G.expected;
        args.squares = squares.expected;
        ref->gradient_f32(&args);
        args.G = G.actual;
        args.squares = squares.actual;
        level->gradient_f32(&args);
        count_case(same(G) && same(squares), "rows, n, group_rows, used", rows, n, group_rows, args.used);
        release_all();
    }
}

void check_optimize_f32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(200); i++) {
        const size_t n = random_below(4) ? any_length() : 1 + random_below(5000);
        egg_optimize_args args = {.kind = (egg_optimizer_kind)(i % 4), .G = take_f32(n, 0), .n = n, .lr = 0.01f,
                                  .scale = random_below(2) ? 1 : 0.3f, .decay = random_below(2) ? 1 : 0.99f,
                                  .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f, .correction = 1.5f};
        twin state[3];   /* W, m, v */
        for (uint32_t k = 0; k < 3; k++) {
            state[k] = take_twin(n * sizeof(float), 4 * random_below(16));
            fill_f32(state[k].expected, n);
            for (size_t j = 0; k == 2 && j < n; j++) ((float *)state[k].expected)[j] *= ((float *)state[k].expected)[j];
            memcpy(state[k].actual, state[k].expected, state[k].bytes);
        }
        args.W = state[0].expected, args.m = state[1].expected, args.v = state[2].expected;
        ref->optimize_f32(&args);
        args.W = state[0].actual, args.m = state[1].actual, args.v = state[2].actual;
        level->optimize_f32(&args);
        count_case(same(state[0]) && same(state[1]) && same(state[2]), "kind, n", args.kind, n, 0, 0);
        release_all();
    }
}
