/* SPDX-License-Identifier: MIT */
/*
 * Template of the kernels of kernels/rwkv7.h. What comes first:
 *
 *   LANES                          floats of a vector; 16 is a multiple
 *   CHAINS                         vectors that the recurrence runs side by side, against the latency of its sums
 *   FMA(x, y, z)                   x * y + z of vectors, rounded once
 *   ISA(name)                      completes the names
 */
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/rwkv7.h"

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

EGG_INLINE floats load(const float *p)
{
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

EGG_INLINE void store(float *p, floats v)
{
    memcpy(p, &v, sizeof v);
}

EGG_INLINE floats splat(float x)
{
    return x - (floats){0};   /* x - 0 is x for every x, -0 included */
}

/* The larger and the smaller of each pair; the second argument where the first is no number. */
EGG_INLINE floats larger(floats x, floats y)
{
    ints first = (ints)(x > y);
    return (floats)((first & (ints)x) | (~first & (ints)y));
}

EGG_INLINE floats smaller(floats x, floats y)
{
    ints first = (ints)(x < y);
    return (floats)((first & (ints)x) | (~first & (ints)y));
}

/* The sum of the lanes, halves first: a fixed order. */
EGG_INLINE float sum_of(floats v)
{
    float lane[LANES];
    store(lane, v);
    for (uint32_t width = LANES / 2; width; width /= 2)
        for (uint32_t i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}

/*
 * exp(x) = 2^n exp(f), |f| <= ln(2)/2. Rounding to n adds 1.5 * 2^23, whose sum has n in its low bits. The series ends
 * at f^7 / 7!: the next term is at most 6e-9. x is held between the exponents of normal numbers.
 */
EGG_INLINE floats exp_of(floats x)
{
    const floats magic = splat(0x1.8p23f);
    x = smaller(larger(x, splat(-87)), splat(88));
    floats shifted = FMA(x, splat(0x1.715476p0f), magic), n = shifted - magic;
    floats f = FMA(n, splat(-0x1.62e4p-1f), x);       /* ln(2) in two parts, the first with zeros to spare */
    f = FMA(n, splat(-0x1.7f7d1cp-20f), f);
    floats p = splat(1.0f / 5040);
    p = FMA(p, f, splat(1.0f / 720));
    p = FMA(p, f, splat(1.0f / 120));
    p = FMA(p, f, splat(1.0f / 24));
    p = FMA(p, f, splat(1.0f / 6));
    p = FMA(p, f, splat(0.5f));
    p = FMA(p, f, splat(1));
    p = FMA(p, f, splat(1));
    return (floats)((ints)p + (((ints)shifted - (ints)magic) << 23));
}

EGG_INLINE floats sigmoid_of(floats x)
{
    return splat(1) / (splat(1) + exp_of(-x));
}

/* ---------------------------------------------------------------------------------------------------------- shift */

static void ISA(shift)(const egg_rwkv7_shift_args *args)
{
    const egg_sequences *sequences = &args->sequences;
    uint32_t n = args->n;
    for (uint32_t s = 0; s < sequences->count; s++) {
        float *state = egg_states_at(args->state, s);
        const float *previous = state;
        for (uint32_t b = sequences->first[s]; b < sequences->first[s + 1]; b++) {
            const float *x = args->X + (size_t)b * n;
            for (uint32_t q = 0; q < args->count; q++) {
                const float *mix = egg_rows_vector_at(args->mix[q], sequences->member, b);
                float *y = args->Y[q] + (size_t)b * n;
                for (uint32_t i = 0; i < n; i += LANES) {
                    floats now = load(x + i);
                    store(y + i, FMA(load(previous + i) - now, load(mix + i), now));
                }
            }
            previous = x;
        }
        if (previous != state) memcpy(state, previous, n * sizeof *previous);
    }
}

/* ----------------------------------------------------------------------------------------------------------- gate */

EGG_INLINE void gate_head(const egg_rwkv7_gate_args *args, size_t at, const float *k_k, const float *k_a)
{
    const floats decay = splat(-0x1.368b3p-1f);   /* -exp(-1/2) */
    float *w = args->w + at, *k = args->k + at, *v = args->v + at, *a = args->a + at, *kappa = args->kappa + at;
    floats squares = splat(0);
    for (uint32_t i = 0; i < args->size; i += LANES) {
        floats key = load(k + i), rate = sigmoid_of(load(a + i)), direction = key * load(k_k + i);
        store(w + i, exp_of(decay * sigmoid_of(load(w + i))));
        store(a + i, rate);
        store(kappa + i, direction);
        store(k + i, key * FMA(rate - splat(1), load(k_a + i), splat(1)));
        squares = FMA(direction, direction, squares);
    }
    float norm = sqrtf(sum_of(squares));
    floats divisor = splat(norm > 1e-12f ? norm : 1e-12f);
    for (uint32_t i = 0; i < args->size; i += LANES) {
        floats direction = load(kappa + i) / divisor;
        store(kappa + i, direction);
        store(a + i, load(a + i) * direction);
    }
    if (!args->v_first) return;
    const float *first = args->v_first + at, *mix = args->mix + at;
    for (uint32_t i = 0; i < args->size; i += LANES) {
        floats value = load(v + i);
        store(v + i, FMA(load(first + i) - value, sigmoid_of(load(mix + i)), value));
    }
}

static void ISA(gate)(const egg_rwkv7_gate_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *k_k = egg_rows_vector_at(args->k_k, args->member, b);
        const float *k_a = egg_rows_vector_at(args->k_a, args->member, b);
        for (uint32_t h = 0; h < args->n; h += args->size)
            gate_head(args, (size_t)b * args->n + h, k_k + h, k_a + h);
    }
}

/* ---------------------------------------------------------------------------------------------------------- recur */

/*
 * 'count' vectors of value columns from 'column' on, for one row and one head. The columns are independent and run down
 * the keys side by side, so that no sum crosses lanes.
 */
EGG_INLINE void recur_columns(const egg_rwkv7_recur_args *args, size_t at, float *S, uint32_t column, uint32_t count)
{
    const float *r = args->r + at, *w = args->w + at, *k = args->k + at, *kappa = args->kappa + at, *a = args->a + at;
    uint32_t size = args->size;
    floats removed[CHAINS], value[CHAINS], y[CHAINS];
    for (uint32_t c = 0; c < count; c++) {
        removed[c] = y[c] = splat(0);
        value[c] = load(args->v + at + column + c * LANES);
    }
    for (uint32_t j = 0; j < size; j++)
        for (uint32_t c = 0; c < count; c++)
            removed[c] = FMA(load(S + (size_t)j * size + column + c * LANES), splat(kappa[j]), removed[c]);
    for (uint32_t j = 0; j < size; j++) {
        const floats keep = splat(w[j]), write = splat(k[j]), remove = splat(-a[j]), read = splat(r[j]);
        for (uint32_t c = 0; c < count; c++) {
            float *cell = S + (size_t)j * size + column + c * LANES;
            floats now = FMA(load(cell), keep, FMA(value[c], write, removed[c] * remove));
            store(cell, now);
            y[c] = FMA(now, read, y[c]);
        }
    }
    for (uint32_t c = 0; c < count; c++) store(args->Y + at + column + c * LANES, y[c]);
}

static void ISA(recur)(const egg_rwkv7_recur_args *args)
{
    const egg_sequences *sequences = &args->sequences;
    uint32_t size = args->size;
    for (uint32_t s = 0; s < sequences->count; s++)
        for (uint32_t h = 0; h < args->n / size; h++) {
            float *S = egg_states_at(args->state, s) + (size_t)h * size * size;
            for (uint32_t b = sequences->first[s]; b < sequences->first[s + 1]; b++) {
                size_t at = (size_t)b * args->n + (size_t)h * size;
                uint32_t column = 0;
                for (; column + CHAINS * LANES <= size; column += CHAINS * LANES)
                    recur_columns(args, at, S, column, CHAINS);
                for (; column < size; column += LANES) recur_columns(args, at, S, column, 1);
            }
        }
}

/* --------------------------------------------------------------------------------------------------------- finish */

EGG_INLINE void finish_head(const egg_rwkv7_finish_args *args, size_t at, const float *weight, const float *bias,
                            const float *bonus)
{
    const float *r = args->r + at, *k = args->k + at, *v = args->v + at, *g = args->g + at;
    float *y = args->Y + at;
    floats sum = splat(0), squares = splat(0), extra = splat(0);
    for (uint32_t i = 0; i < args->size; i += LANES) {
        sum += load(y + i);
        extra = FMA(load(r + i) * load(k + i), load(bonus + i), extra);
    }
    floats mean = splat(sum_of(sum) / (float)args->size), own = splat(sum_of(extra));
    for (uint32_t i = 0; i < args->size; i += LANES) {
        floats difference = load(y + i) - mean;
        squares = FMA(difference, difference, squares);
    }
    floats scale = splat(1 / sqrtf(sum_of(squares) / (float)args->size + args->epsilon));
    for (uint32_t i = 0; i < args->size; i += LANES) {
        floats normal = FMA((load(y + i) - mean) * scale, load(weight + i), load(bias + i));
        store(y + i, FMA(own, load(v + i), normal) * load(g + i));
    }
}

static void ISA(finish)(const egg_rwkv7_finish_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *weight = egg_rows_vector_at(args->weight, args->member, b);
        const float *bias = egg_rows_vector_at(args->bias, args->member, b);
        const float *bonus = egg_rows_vector_at(args->bonus, args->member, b);
        for (uint32_t h = 0; h < args->n; h += args->size)
            finish_head(args, (size_t)b * args->n + h, weight + h, bias + h, bonus + h);
    }
}

/* ---------------------------------------------------------------------------------------------------- activations */

static void ISA(sigmoid)(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) store(Y + i, sigmoid_of(load(Y + i)));
}

static void ISA(relu_squared)(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        floats positive = larger(load(Y + i), splat(0));
        store(Y + i, positive * positive);
    }
}

/* ------------------------------------------------------------------------------------------------------------ loss */

static void ISA(log_loss)(const float *X, const uint32_t *target, uint32_t rows, uint32_t n, float *loss)
{
    for (uint32_t b = 0; b < rows; b++, X += n) {
        floats largest = load(X), sum = splat(0);
        for (uint32_t i = LANES; i < n; i += LANES) largest = larger(largest, load(X + i));
        float lane[LANES], top;
        store(lane, largest);
        top = lane[0];
        for (uint32_t i = 1; i < LANES; i++) top = lane[i] > top ? lane[i] : top;
        for (uint32_t i = 0; i < n; i += LANES) sum += exp_of(load(X + i) - splat(top));
        loss[b] = logf(sum_of(sum)) + top - X[target[b]];
    }
}

void ISA(egg_rwkv7_kernels)(egg_rwkv7_kernels *kernels)
{
    *kernels = (egg_rwkv7_kernels){.shift = ISA(shift),
                                   .gate = ISA(gate),
                                   .recur = ISA(recur),
                                   .finish = ISA(finish),
                                   .sigmoid = ISA(sigmoid),
                                   .relu_squared = ISA(relu_squared),
                                   .log_loss = ISA(log_loss)};
}
