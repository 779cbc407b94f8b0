/* SPDX-License-Identifier: MIT */
/* Everything that touches each activation once: loss, layer norm, gates, sums, tables and perturbed vectors. */
#include <string.h>

#include "kernels/avx512vnni/level.h"
#include "kernels/loss_tables.h"

/* ---------------------------------------------------------------------------------------------------------- loss */

/*
 * With z = 255 - y, EXP2(y) = egg_exp2_mantissa[15 - z % 16] >> (12 + z / 16): the table is reversed and shifted by 12
 * once, a permutation looks up by the low four bits of a lane, and z is the logit with its lower seven bits flipped.
 */
EGG_INLINE __m512i exp2_of(const int8_t *logits, __m512i table)
{
    __m128i z = _mm_xor_si128(_mm_loadu_si128((const __m128i *)logits), _mm_set1_epi8(127));
    __m512i wide = _mm512_cvtepu8_epi32(z);
    return _mm512_srlv_epi32(_mm512_permutexvar_epi32(wide, table), _mm512_srli_epi32(wide, 4));
}

EGG_INLINE int32_t log2_of(uint32_t v, __m512i thresholds)
{
    uint32_t zeros = (uint32_t)__builtin_clz(v);
    __mmask16 reached = _mm512_cmple_epu32_mask(thresholds, _mm512_set1_epi32((int32_t)(v << zeros)));
    return 16 * (int32_t)(31 - zeros) - 64 + __builtin_popcount(reached) - 1;
}

static void loss_i8_avx512vnni(const egg_loss_args *args)
{
    const __m512i reverse = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i table = _mm512_srli_epi32(_mm512_permutexvar_epi32(reverse, _mm512_loadu_si512(egg_exp2_mantissa)), 12);
    const __m512i thresholds = _mm512_loadu_si512(egg_log2_threshold);
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *logits = args->logits + b * args->stride;
        __m512i sum = _mm512_setzero_si512();
        for (uint32_t k = 0; k < 256; k += 16) sum = _mm512_add_epi32(sum, exp2_of(logits + k, table));
        uint32_t total = (uint32_t)_mm512_reduce_add_epi32(sum);
        args->loss[b] = log2_of(total, thresholds) - (logits[args->targets[b]] + 128);
    }
}

/* ---------------------------------------------------------------------------------------------------- layer norm */

/*
 * floor(p / d) for |p| <= 127^2 and 1 <= d <= 127, by one high multiplication. A multiple of d is added first: u lies in
 * [1, 2^15), and its quotient is larger by a known offset. With 2^s < d <= 2^(s + 1), R = ceil(2^(16 + s) / d) fits 16
 * bits and R * d = 2^(16 + s) + e, 0 <= e < d. So u * R / 2^(16 + s) = u / d + (u * e / 2^(16 + s)) / d, where
 * u * e < 2^15 * 2^(s + 1): less than 1 / d too much, and the floor is exact. d = 1 would need R = 2^16; R = 2^16 - 1
 * gives u - 1 there, as u >= 1, and the offset makes up for it.
 */
typedef struct divisor {
    __m512i reciprocal, bias, offset;
    __m128i shift;
} divisor;

EGG_INLINE divisor divisor_make(uint32_t d)
{
    uint32_t shift = d > 1 ? 31 - (uint32_t)__builtin_clz(d - 1) : 0;
    uint32_t reciprocal = d > 1 ? ((1u << (16 + shift)) + d - 1) / d : UINT16_MAX;
    uint32_t offset = (127 * 127 + d) / d;
    return (divisor){
        .reciprocal = _mm512_set1_epi16((int16_t)reciprocal),
        .bias = _mm512_set1_epi16((int16_t)(offset * d)),
        .offset = _mm512_set1_epi16((int16_t)(offset - (d == 1))),
        .shift = _mm_cvtsi32_si128((int)shift),
    };
}

EGG_INLINE __m512i floor_divide(__m512i product, const divisor *d)
{
    __m512i u = _mm512_add_epi16(product, d->bias);
    __m512i quotient = _mm512_srl_epi16(_mm512_mulhi_epu16(u, d->reciprocal), d->shift);
    return _mm512_sub_epi16(quotient, d->offset);
}

static uint32_t mean_magnitude(const int8_t *x, uint32_t n)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum = zero;
    for (uint32_t i = 0; i < n; i += 64)
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_abs_epi8(load_part(x + i, n - i)), zero));
    uint32_t mean = (uint32_t)_mm512_reduce_add_epi64(sum) / n;
    return mean ? mean : 1;
}

static void layer_norm_i8_avx512vnni(const egg_layer_norm_args *args)
{
    const int8_t *w = args->w;
    for (uint32_t b = 0, step = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        int8_t *y = (int8_t *)args->Y + b * args->y_stride;
        const divisor d = divisor_make(mean_magnitude(x, args->n));
        for (uint32_t i = 0; i < args->n; i += 64) {
            __m512i xs = load_part(x + i, args->n - i), ws = load_part(w + i, args->n - i);
            __m512i low = _mm512_mulhi_epi16(high_bytes_low(xs), high_bytes_low(ws));
            __m512i high = _mm512_mulhi_epi16(high_bytes_high(xs), high_bytes_high(ws));
            store_part(y + i, pack_i8(floor_divide(low, &d), floor_divide(high, &d)), args->n - i);
        }
        if (++step == args->steps) step = 0, w += args->w_stride;
    }
}

/* --------------------------------------------------------------------------------------------------- sums and gates */

static void add_i8_avx512vnni(void *Y, const void *X, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        __m512i sum = _mm512_adds_epi8(load_part((int8_t *)Y + i, n - i), load_part((const int8_t *)X + i, n - i));
        store_part((int8_t *)Y + i, _mm512_max_epi8(sum, _mm512_set1_epi8(-127)), n - i);
    }
}

EGG_INLINE void store_words(int8_t *p, __mmask32 lanes, __m512i words)
{
    _mm256_mask_storeu_epi8(p, lanes, _mm512_cvtepi16_epi8(words));
}

/* I8(a + b + bias) */
EGG_INLINE __m512i gru_sum(const int8_t *a, const int8_t *b, const int8_t *bias, __mmask32 lanes)
{
    __m512i sum = _mm512_add_epi16(_mm512_add_epi16(load_words(a, lanes), load_words(b, lanes)), load_words(bias, lanes));
    return _mm512_min_epi16(_mm512_max_epi16(sum, _mm512_set1_epi16(-127)), _mm512_set1_epi16(127));
}

/* ((f + 127) * x) >> 8 for f + 127 in 0 ... 254 and |x| <= 254, as the high half of the factors times 2 and 2^7. */
EGG_INLINE __m512i gate(__m512i f, __m512i x)
{
    __m512i open = _mm512_add_epi16(f, _mm512_set1_epi16(127));
    return _mm512_mulhi_epi16(_mm512_slli_epi16(open, 1), _mm512_slli_epi16(x, 7));
}

static void gru_gate_i8_avx512vnni(const egg_gru_args *args)
{
    for (uint32_t r = 0; r < args->rows; r++) {
        const int8_t *a = args->a + r * args->a_stride, *bias = args->bias + r * args->bias_stride;
        const int8_t *state = args->state + r * args->state_stride;
        const size_t row = (size_t)r * args->n;
        for (uint32_t i = 0; i < args->n; i += 32) {
            const __mmask32 lanes = lanes_of(args->n - i);
            __m512i f = gru_sum(a + i, args->b + row + i, bias + i, lanes);
            store_words(args->f + row + i, lanes, f);
            store_words(args->g + row + i, lanes, gate(f, load_words(state + i, lanes)));
        }
    }
}

static void gru_blend_i8_avx512vnni(const egg_gru_args *args)
{
    for (uint32_t r = 0; r < args->rows; r++) {
        const int8_t *a = args->a + r * args->a_stride, *bias = args->bias + r * args->bias_stride;
        int8_t *state = args->state + r * args->state_stride, *y = args->Y + r * args->y_stride;
        const size_t row = (size_t)r * args->n;
        for (uint32_t i = 0; i < args->n; i += 32) {
            const __mmask32 lanes = lanes_of(args->n - i);
            __m512i candidate = gru_sum(a + i, args->b + row + i, bias + i, lanes);
            __m512i h = load_words(state + i, lanes);
            h = _mm512_add_epi16(h, gate(load_words(args->f + row + i, lanes), _mm512_sub_epi16(candidate, h)));
            store_words(state + i, lanes, h);
            store_words(y + i, lanes, h);
        }
    }
}

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

/*
 * Sums of r products of two noises fit 16 bits up to this rank: 14 * 48 * 48 = 32256. Beyond it nobody is in a hurry, and
 * the reference does the work.
 */
enum { RANK_IN_I16 = 14 };
_Static_assert(RANK_IN_I16 * EGG_NORMAL_I8_MAX * EGG_NORMAL_I8_MAX <= INT16_MAX, "noise products in 16 bits");

/* w + ((factor * sum) >> (8 + noise_shift)): bits 8 ... 23 of the product hold all of it, |factor| being 256 / sqrt(r). */
EGG_INLINE __m512i perturbed(__m512i w, __m512i sum, __m512i factor, __m128i noise_shift)
{
    __m512i high = _mm512_slli_epi16(_mm512_mulhi_epi16(sum, factor), 8);
    __m512i low = _mm512_srli_epi16(_mm512_mullo_epi16(sum, factor), 8);
    return _mm512_add_epi16(w, _mm512_sra_epi16(_mm512_or_si512(high, low), noise_shift));
}

EGG_INLINE __m512i words_low(__m512i bytes)
{
    return _mm512_srai_epi16(high_bytes_low(bytes), 8);
}

EGG_INLINE __m512i words_high(__m512i bytes)
{
    return _mm512_srai_epi16(high_bytes_high(bytes), 8);
}

EGG_INLINE void embed_row(const egg_embed_args *args, const int8_t *w, const int8_t *A, const int8_t *B, int32_t factor,
                          int8_t *y)
{
    const __m512i factors = _mm512_set1_epi16((int16_t)factor);
    const __m128i noise_shift = _mm_cvtsi32_si128((int)args->noise_shift);
    for (uint32_t i = 0; i < args->n; i += 64) {
        __m512i low = _mm512_setzero_si512(), high = low;
        for (uint32_t k = 0; k < args->rank; k++) {
            __m512i a = _mm512_set1_epi16((int16_t)(A[(size_t)k * args->vocabulary] * 256));
            __m512i b = load_part(B + (size_t)k * args->n + i, args->n - i);
            low = _mm512_add_epi16(low, _mm512_mulhi_epi16(high_bytes_low(b), a));
            high = _mm512_add_epi16(high, _mm512_mulhi_epi16(high_bytes_high(b), a));
        }
        __m512i ws = load_part(w + i, args->n - i);
        low = perturbed(words_low(ws), low, factors, noise_shift);
        high = perturbed(words_high(ws), high, factors, noise_shift);
        store_part(y + i, pack_i8(low, high), args->n - i);
    }
}

static void embed_i8_avx512vnni(const egg_embed_args *args)
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
    const __m512i up = _mm512_set1_epi16((int16_t)args->scale), down = _mm512_set1_epi16((int16_t)-args->scale);
    const __m128i noise_shift = _mm_cvtsi32_si128((int)args->noise_shift);
    for (uint32_t i = 0; i < args->n; i += 64) {
        const uint32_t left = args->n - i;
        __m512i low = _mm512_setzero_si512(), high = low;
        for (uint32_t k = 0; k < args->rank; k++) {
            __m512i a = load_part(A + (size_t)k * args->n + i, left), b = load_part(B + (size_t)k * args->n + i, left);
            low = _mm512_add_epi16(low, _mm512_mulhi_epi16(high_bytes_low(a), high_bytes_low(b)));
            high = _mm512_add_epi16(high, _mm512_mulhi_epi16(high_bytes_high(a), high_bytes_high(b)));
        }
        __m512i ws = load_part(w + i, left), w_low = words_low(ws), w_high = words_high(ws);
        store_part(plus + i, pack_i8(perturbed(w_low, low, up, noise_shift), perturbed(w_high, high, up, noise_shift)),
                   left);
        store_part(plus + args->n + i,
                   pack_i8(perturbed(w_low, low, down, noise_shift), perturbed(w_high, high, down, noise_shift)), left);
    }
}

static void perturb_vector_i8_avx512vnni(const egg_perturb_vector_args *args)
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

void egg_avx512vnni_elementwise(egg_kernels *kernels)
{
    kernels->embed_i8 = embed_i8_avx512vnni;
    kernels->perturb_vector_i8 = perturb_vector_i8_avx512vnni;
    kernels->layer_norm_i8 = layer_norm_i8_avx512vnni;
    kernels->add_i8 = add_i8_avx512vnni;
    kernels->gru_gate_i8 = gru_gate_i8_avx512vnni;
    kernels->gru_blend_i8 = gru_blend_i8_avx512vnni;
    kernels->loss_i8 = loss_i8_avx512vnni;
}
