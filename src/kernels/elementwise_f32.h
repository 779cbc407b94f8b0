/* SPDX-License-Identifier: MIT */
/*
 * Template of the float32 kernels that touch every value once. A level's level.h comes first: vectors (vec_f32,
 * F32_LANES), the operations on them, and ISA(), which completes the names. Lengths are multiples of EGG_ROW_QUANTUM
 * and so of every vector. Operators are rounded one by one, so that most results have the bits of the reference.
 */
#include <string.h>

#include "kernels/row_members.h"

/* ---------------------------------------------------------------------------------------------------- layer norm */

/*
 * Four rows at a time, each with its own chain of sums for each lane and then the same tree, whatever rows come with
 * it.
 */
typedef struct four_rows {
    const float *x[4];
    float mean[4], scale[4];
} four_rows;

/* What is added up of a value: itself, or the square of its distance from the mean. */
EGG_INLINE vec_f32 summand(const float *x, vec_f32 mean, bool squared)
{
    vec_f32 v = load_f32(x);
    if (!squared) return v;
    v -= mean;
    return v * v;
}

EGG_INLINE four_f32 four_sums(const four_rows *rows, uint32_t n, bool squared)
{
    vec_f32 s0 = splat_f32(0), s1 = s0, s2 = s0, s3 = s0, m0 = s0, m1 = s0, m2 = s0, m3 = s0;
    if (squared) {
        m0 = splat_f32(rows->mean[0]), m1 = splat_f32(rows->mean[1]);
        m2 = splat_f32(rows->mean[2]), m3 = splat_f32(rows->mean[3]);
    }
    for (uint32_t i = 0; i < n; i += F32_LANES) {
        s0 += summand(rows->x[0] + i, m0, squared);
        s1 += summand(rows->x[1] + i, m1, squared);
        s2 += summand(rows->x[2] + i, m2, squared);
        s3 += summand(rows->x[3] + i, m3, squared);
    }
    return sum_lanes4_f32(s0, s1, s2, s3);
}

/* Up to four rows from X on; the last one stands in for those beyond it. */
EGG_INLINE four_rows four_rows_measure(const float *X, size_t stride, uint32_t left, uint32_t n, float epsilon)
{
    four_rows rows = {{X, X + (left > 1) * stride}};
    rows.x[2] = rows.x[1] + (left > 2) * stride;
    rows.x[3] = rows.x[2] + (left > 3) * stride;
    store_four(rows.mean, four_sums(&rows, n, false) / (float)n);
    store_four(rows.scale, 1.0f / root_four(four_sums(&rows, n, true) / (float)n + epsilon));
    return rows;
}

EGG_INLINE void norm_row(const float *x, uint32_t n, float mean, float scale, const float *w, const float *bias,
                         bool relu, float *y)
{
    const vec_f32 means = splat_f32(mean), scales = splat_f32(scale), zero = splat_f32(0);
    for (uint32_t i = 0; i < n; i += F32_LANES) {
        vec_f32 z = (load_f32(x + i) - means) * scales;
        if (w) z *= load_f32(w + i);
        if (bias) z += load_f32(bias + i);
        if (relu) z = max_f32(zero, z);
        store_f32(y + i, z);
    }
}

static void ISA(layer_norm_f32)(const egg_layer_norm_args *args)
{
    row_members members = row_members_at(args->member, args->steps, 0);
    const float *X = args->X;
    float *Y = args->Y;
    for (uint32_t b = 0; b < args->rows; b += 4, X += 4 * args->x_stride) {
        const uint32_t left = args->rows - b;
        const four_rows rows = four_rows_measure(X, args->x_stride, left, args->n, args->epsilon);
        for (uint32_t r = 0; r < 4 && r < left; r++, Y += args->y_stride) {
            const uint32_t m = row_members_next(&members);
            const float *w = args->w ? (const float *)args->w + m * args->w_stride : NULL;
            const float *bias = args->bias ? args->bias + m * args->bias_stride : NULL;
            norm_row(rows.x[r], args->n, rows.mean[r], rows.scale[r], w, bias, args->relu, Y);
        }
    }
}

/* ----------------------------------------------------------------------------------------------- sums, activations */

static void ISA(add_f32)(void *Y, const void *X, size_t n)
{
    float *y = Y;
    const float *x = X;
    for (size_t i = 0; i < n; i += F32_LANES) store_f32(y + i, load_f32(y + i) + load_f32(x + i));
}

static void ISA(relu_f32)(float *Y, size_t n)
{
    const vec_f32 zero = splat_f32(0);
    for (size_t i = 0; i < n; i += F32_LANES) store_f32(Y + i, max_f32(load_f32(Y + i), zero));
}

/*
 * exp(x) - 1 for 0 <= x <= 20, with a small relative error near 0 also: x = n ln 2 + r with |r| <= ln(2) / 2, and
 * 2^n * (exp(r) - 1) + (2^n - 1). The series of exp(r) - 1 leaves out less than 2^-27 of it; ln 2 is in two parts, the
 * first short enough for an exact product with n.
 */
EGG_INLINE vec_f32 exp_minus_1(vec_f32 x)
{
    const float to_integer = 0x1.8p23f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    vec_f32 shifted = x * 1.44269504f + to_integer, n = shifted - to_integer;
    vec_f32 r = (x - n * ln2_high) - n * ln2_low;
    vec_f32 series = r * (1.0f / 5040) + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    vec_f32 power = (vec_f32)(((vec_u32)shifted << 23) + 0x3F800000u);   /* n lies in the lowest bits */
    return power * (r + r * r * series) + (power - 1.0f);
}

/* tanh |x| = p / (p + 2) with p = exp(2 |x|) - 1; from 10 on the result is 1, and NaN stays what it is. */
static void ISA(tanh_f32)(float *Y, size_t n)
{
    const vec_u32 sign_bit = (vec_u32)splat_f32(-0.0f);
    for (size_t i = 0; i < n; i += F32_LANES) {
        vec_u32 x = (vec_u32)load_f32(Y + i), sign = x & sign_bit;
        vec_f32 p = exp_minus_1(min_f32(splat_f32(10), (vec_f32)(x ^ sign)) * 2.0f);
        store_f32(Y + i, (vec_f32)((vec_u32)(p / (p + 2.0f)) | sign));
    }
}

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

static void ISA(perturb_vector_f32)(const egg_perturb_vector_args *args)
{
    const float *w = args->w, *A = args->A;
    float *plus = args->out;
    for (uint32_t p = 0; p < args->pairs; p++, A += args->a_stride, plus += 2 * (size_t)args->n) {
        float *minus = plus + args->n;
        for (uint32_t i = 0; i < args->n; i += F32_LANES) {
            vec_f32 noise = args->c * load_f32(A + i), center = load_f32(w + i);
            store_f32(plus + i, center + noise);
            store_f32(minus + i, center - noise);
        }
    }
}

/* --------------------------------------------------------------------------------------------------------- weigh */

static void ISA(weigh_f32)(const float *A, const float *F, uint32_t pairs, size_t n, float *out)
{
    for (uint32_t p = 0; p < pairs; p++, A += n, out += n) {
        const vec_f32 factor = splat_f32(F[p]);
        for (size_t i = 0; i < n; i += F32_LANES) store_f32(out + i, load_f32(A + i) * factor);
    }
}
