/* SPDX-License-Identifier: MIT */
/*
 * Template of the int8 kernels that touch every element once, in 16-bit arithmetic. A level's level.h comes first: it
 * gives the vectors (vec, VEC) and the operations on them, and ISA(), which completes the names.
 */
#include <string.h>

/* Both halves of the bytes as words. */
EGG_INLINE vec words_low(vec bytes)
{
    return shift_right16(shifted_low(bytes), 8);
}

EGG_INLINE vec words_high(vec bytes)
{
    return shift_right16(shifted_high(bytes), 8);
}

/* ---------------------------------------------------------------------------------------------------- layer norm */

/*
 * floor(p / d) for |p| <= 127^2 and 1 <= d <= 127, by one high multiplication. A multiple of d is added first: u lies
 * in [1, 2^15), and its quotient is larger by a known offset. With 2^s < d <= 2^(s + 1), R = ceil(2^(16 + s) / d) fits
 * 16 bits and R * d = 2^(16 + s) + e, 0 <= e < d. So u * R / 2^(16 + s) = u / d + (u * e / 2^(16 + s)) / d, where
 * u * e < 2^15 * 2^(s + 1): less than 1 / d too much, and the floor is exact. d = 1 would need R = 2^16; R = 2^16 - 1
 * gives u - 1 there, as u >= 1, and the offset makes up for it.
 */
typedef struct divisor {
    vec reciprocal, bias, offset;
    uint32_t shift;
} divisor;

EGG_INLINE divisor divisor_make(uint32_t d)
{
    uint32_t shift = d > 1 ? 31 - (uint32_t)__builtin_clz(d - 1) : 0;
    uint32_t reciprocal = d > 1 ? ((1u << (16 + shift)) + d - 1) / d : UINT16_MAX;
    uint32_t offset = (127 * 127 + d) / d;
    return (divisor){
        .reciprocal = splat16((int32_t)reciprocal),
        .bias = splat16((int32_t)(offset * d)),
        .offset = splat16((int32_t)(offset - (d == 1))),
        .shift = shift,
    };
}

EGG_INLINE vec floor_divide(vec product, const divisor *d)
{
    vec quotient = shift_right_u16(multiply_high_u16(add16(product, d->bias), d->reciprocal), d->shift);
    return sub16(quotient, d->offset);
}

EGG_INLINE uint32_t mean_magnitude(const int8_t *x, uint32_t n)
{
    vec sums = splat16(0);
    for (uint32_t i = 0; i < n; i += VEC) sums = add_magnitudes(sums, load_part(x + i, n - i));
    uint32_t mean = sum_of_u64(sums) / n;
    return mean ? mean : 1;
}

static void ISA(layer_norm_i8)(const egg_layer_norm_args *args)
{
    const int8_t *w = args->w;
    for (uint32_t b = 0, step = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        int8_t *y = (int8_t *)args->Y + b * args->y_stride;
        const divisor d = divisor_make(mean_magnitude(x, args->n));
        for (uint32_t i = 0; i < args->n; i += VEC) {
            vec xs = load_part(x + i, args->n - i), ws = load_part(w + i, args->n - i);
            vec low = multiply_high16(shifted_low(xs), shifted_low(ws));
            vec high = multiply_high16(shifted_high(xs), shifted_high(ws));
            store_part(y + i, pack_i8(floor_divide(low, &d), floor_divide(high, &d)), args->n - i);
        }
        if (++step == args->steps) step = 0, w += args->w_stride;
    }
}

/* --------------------------------------------------------------------------------------------------- sums and gates */

static void ISA(add_i8)(void *Y, const void *X, size_t n)
{
    int8_t *y = Y;
    const int8_t *x = X;
    for (size_t i = 0; i < n; i += VEC)
        store_part(y + i, add_saturated_i8(load_part(y + i, n - i), load_part(x + i, n - i)), n - i);
}

/* I8(a + b + bias) of half a vector's words */
EGG_INLINE vec gru_sum(vec a, vec b, vec bias)
{
    return min16(max16(add16(add16(a, b), bias), splat16(-127)), splat16(127));
}

/* ((f + 127) * x) >> 8 for f + 127 in 0 ... 254 and |x| <= 254, as the high half of the factors times 2 and 2^7. */
EGG_INLINE vec gate(vec f, vec x)
{
    return multiply_high16(shift_left16(add16(f, splat16(127)), 1), shift_left16(x, 7));
}

static void ISA(gru_gate_i8)(const egg_gru_args *args)
{
    for (uint32_t r = 0; r < args->rows; r++) {
        const int8_t *a = args->a + r * args->a_stride, *bias = args->bias + r * args->bias_stride;
        const int8_t *state = args->state + r * args->state_stride;
        const size_t row = (size_t)r * args->n;
        for (uint32_t i = 0; i < args->n; i += VEC) {
            const uint32_t left = args->n - i;
            vec as = load_part(a + i, left), bs = load_part(args->b + row + i, left);
            vec biases = load_part(bias + i, left), states = load_part(state + i, left);
            vec f_low = gru_sum(words_low(as), words_low(bs), words_low(biases));
            vec f_high = gru_sum(words_high(as), words_high(bs), words_high(biases));
            store_part(args->f + row + i, pack_i8(f_low, f_high), left);
            vec g = pack_i8(gate(f_low, words_low(states)), gate(f_high, words_high(states)));
            store_part(args->g + row + i, g, left);
        }
    }
}

static void ISA(gru_blend_i8)(const egg_gru_args *args)
{
    for (uint32_t r = 0; r < args->rows; r++) {
        const int8_t *a = args->a + r * args->a_stride, *bias = args->bias + r * args->bias_stride;
        int8_t *state = args->state + r * args->state_stride, *y = args->Y + r * args->y_stride;
        const size_t row = (size_t)r * args->n;
        for (uint32_t i = 0; i < args->n; i += VEC) {
            const uint32_t left = args->n - i;
            vec as = load_part(a + i, left), bs = load_part(args->b + row + i, left);
            vec biases = load_part(bias + i, left);
            vec fs = load_part(args->f + row + i, left), states = load_part(state + i, left);
            vec low = words_low(states), high = words_high(states);
            vec to_low = sub16(gru_sum(words_low(as), words_low(bs), words_low(biases)), low);
            vec to_high = sub16(gru_sum(words_high(as), words_high(bs), words_high(biases)), high);
            vec h = pack_i8(add16(low, gate(words_low(fs), to_low)), add16(high, gate(words_high(fs), to_high)));
            store_part(state + i, h, left);
            store_part(y + i, h, left);
        }
    }
}

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

/*
 * Sums of r products of two noises fit 16 bits up to this rank: 14 * 48 * 48 = 32256. Beyond it nobody is in a hurry,
 * and the reference does the work.
 */
enum { RANK_IN_I16 = 14 };
_Static_assert(RANK_IN_I16 * EGG_NORMAL_I8_MAX * EGG_NORMAL_I8_MAX <= INT16_MAX, "noise products in 16 bits");

/* w + ((factor * sum) >> (8 + noise_shift)). |factor| is 256 / sqrt(r): bits 8 ... 23 of the product hold all of it. */
EGG_INLINE vec perturbed(vec w, vec sum, vec factor, uint32_t noise_shift)
{
    vec high = shift_left16(multiply_high16(sum, factor), 8), low = shift_right_u16(multiply_low16(sum, factor), 8);
    return add16(w, shift_right16(or16(high, low), noise_shift));
}

EGG_INLINE void embed_row(const egg_embed_args *args, const int8_t *w, const int8_t *A, const int8_t *B, int32_t factor,
                          int8_t *y)
{
    const vec factors = splat16(factor);
    for (uint32_t i = 0; i < args->n; i += VEC) {
        const uint32_t left = args->n - i;
        vec low = splat16(0), high = low, ws = load_part(w + i, left);
        for (uint32_t k = 0; k < args->rank; k++) {
            vec a = splat16(A[(size_t)k * args->vocabulary] * 256), b = load_part(B + (size_t)k * args->n + i, left);
            low = add16(low, multiply_high16(shifted_low(b), a));
            high = add16(high, multiply_high16(shifted_high(b), a));
        }
        low = perturbed(words_low(ws), low, factors, args->noise_shift);
        high = perturbed(words_high(ws), high, factors, args->noise_shift);
        store_part(y + i, pack_i8(low, high), left);
    }
}

static void ISA(embed_i8)(const egg_embed_args *args)
{
    if (args->A && args->rank > RANK_IN_I16) {
        egg_kernels ref;
        egg_kernels_ref(&ref);
        ref.embed_i8(args);
        return;
    }
    for (uint32_t b = 0, member = 0, step = 0; b < args->rows; b++) {
        const uint32_t token = args->tokens[b];
        const size_t component = (size_t)(member / 2) * args->rank;
        const int8_t *w = (const int8_t *)args->W + (size_t)token * args->n;
        int8_t *y = (int8_t *)args->Y + (size_t)b * args->n;
        if (args->A)
            embed_row(args, w, (const int8_t *)args->A + component * args->vocabulary + token,
                      (const int8_t *)args->B + component * args->n, member % 2 ? -args->scale : args->scale, y);
        else memcpy(y, w, args->n);
        if (++step == args->steps) step = 0, member++;
    }
}

EGG_INLINE void perturb_pair(const egg_perturb_vector_args *args, const int8_t *A, const int8_t *B, int8_t *plus)
{
    const int8_t *w = args->w;
    int8_t *minus = plus + args->n;
    const vec up = splat16(args->scale), down = splat16(-args->scale);
    const uint32_t shift = args->noise_shift;
    for (uint32_t i = 0; i < args->n; i += VEC) {
        const uint32_t left = args->n - i;
        vec low = splat16(0), high = low;
        for (uint32_t k = 0; k < args->rank; k++) {
            vec a = load_part(A + (size_t)k * args->n + i, left), b = load_part(B + (size_t)k * args->n + i, left);
            low = add16(low, multiply_high16(shifted_low(a), shifted_low(b)));
            high = add16(high, multiply_high16(shifted_high(a), shifted_high(b)));
        }
        vec ws = load_part(w + i, left), w_low = words_low(ws), w_high = words_high(ws);
        vec y = pack_i8(perturbed(w_low, low, up, shift), perturbed(w_high, high, up, shift));
        store_part(plus + i, y, left);
        y = pack_i8(perturbed(w_low, low, down, shift), perturbed(w_high, high, down, shift));
        store_part(minus + i, y, left);
    }
}

static void ISA(perturb_vector_i8)(const egg_perturb_vector_args *args)
{
    if (args->rank > RANK_IN_I16) {
        egg_kernels ref;
        egg_kernels_ref(&ref);
        ref.perturb_vector_i8(args);
        return;
    }
    const size_t pair_stride = (size_t)args->rank * args->n;
    for (uint32_t p = 0; p < args->pairs; p++)
        perturb_pair(args, (const int8_t *)args->A + p * pair_stride, (const int8_t *)args->B + p * pair_stride,
                     (int8_t *)args->out + (size_t)2 * p * args->n);
}

/* --------------------------------------------------------------------------------------------------------- weigh */

/* (value * F + 32) >> 6; both arguments hold their bytes in the high halves. */
EGG_INLINE vec weigh_words(vec value, vec F)
{
    return shift_right16(add16(multiply_high16(value, F), splat16(32)), 6);
}

static void ISA(weigh_i8)(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out)
{
    for (uint32_t p = 0; p < pairs; p++, A += n, out += n) {
        const vec factor = splat16(F[p] * 256);
        for (size_t i = 0; i < n; i += VEC) {
            vec a = load_part(A + i, n - i);
            vec low = weigh_words(shifted_low(a), factor), high = weigh_words(shifted_high(a), factor);
            store_part(out + i, pack_i8(low, high), n - i);
        }
    }
}
