/* SPDX-License-Identifier: MIT */
/* Addressed noise, sixteen blocks of the generator at a time. */
#include "kernels/avx512vnni/level.h"

/* Words 0..3 of sixteen blocks; afterwards, of the generator's sixteen results. */
typedef struct blocks {
    __m512i x0, x1, x2, x3;
} blocks;

/* A compiler makes one instruction of it; the intrinsic's count would have to be a literal. */
EGG_INLINE __m512i rotate_left(__m512i x, uint32_t by)
{
    typedef uint32_t dwords __attribute__((vector_size(64)));
    return (__m512i)((dwords)x << by | (dwords)x >> (32 - by));
}

EGG_INLINE void mix(__m512i *sum, __m512i *word, uint32_t by)
{
    *sum = _mm512_add_epi32(*sum, *word);
    *word = _mm512_xor_si512(rotate_left(*word, by), *sum);
}

/* Two rounds as in egg_threefry4x32: one mixes x1 into x0 and x3 into x2, the next x3 into x0 and x1 into x2. */
EGG_INLINE void two_rounds(blocks *b, uint32_t even_01, uint32_t even_23, uint32_t odd_03, uint32_t odd_21)
{
    mix(&b->x0, &b->x1, even_01);
    mix(&b->x2, &b->x3, even_23);
    mix(&b->x0, &b->x3, odd_03);
    mix(&b->x2, &b->x1, odd_21);
}

EGG_INLINE void inject(blocks *b, const uint32_t schedule[5], uint32_t injection)
{
    b->x0 = _mm512_add_epi32(b->x0, _mm512_set1_epi32((int32_t)schedule[injection % 5]));
    b->x1 = _mm512_add_epi32(b->x1, _mm512_set1_epi32((int32_t)schedule[(injection + 1) % 5]));
    b->x2 = _mm512_add_epi32(b->x2, _mm512_set1_epi32((int32_t)schedule[(injection + 2) % 5]));
    b->x3 = _mm512_add_epi32(b->x3, _mm512_set1_epi32((int32_t)(schedule[(injection + 3) % 5] + injection)));
}

EGG_INLINE void threefry(blocks *b, const uint32_t schedule[5])
{
    inject(b, schedule, 0);
    two_rounds(b, 10, 26, 11, 21);
    two_rounds(b, 13, 27, 23, 5);
    inject(b, schedule, 1);
    two_rounds(b, 6, 20, 17, 11);
    two_rounds(b, 25, 10, 18, 20);
    inject(b, schedule, 2);
    two_rounds(b, 10, 26, 11, 21);
    two_rounds(b, 13, 27, 23, 5);
    inject(b, schedule, 3);
}

_Static_assert(EGG_NOISE_ROUNDS == 12, "threefry() has its rounds written out");

/*
 * The blocks of a call in the order of their places in memory: all of pair 0, then all of pair 1. Sixteen consecutive
 * ones fill a vector even where a pair has only one or two. Lane 4g + j stands for block 4j + g, so that transposing
 * the words within 128-bit lanes leaves the blocks in order.
 */
typedef struct cursor {
    __m512i block, pair;        /* per lane, from 0 */
    __m512i blocks_per_pair, block_step, pair_step;
    __m512i first_block, first_pair, epoch, place;
    uint32_t schedule[5];
} cursor;

static cursor cursor_make(const egg_noise_args *args, uint32_t blocks_per_pair, uint32_t elements_per_block)
{
    const uint32_t *key = args->key.word;
    uint32_t block[16], pair[16];
    for (uint32_t lane = 0; lane < 16; lane++) {
        uint32_t order = lane % 4 * 4 + lane / 4;
        block[lane] = order % blocks_per_pair;
        pair[lane] = order / blocks_per_pair;
    }
    return (cursor){
        .block = _mm512_loadu_si512(block),
        .pair = _mm512_loadu_si512(pair),
        .blocks_per_pair = _mm512_set1_epi32((int32_t)blocks_per_pair),
        .block_step = _mm512_set1_epi32((int32_t)(16 % blocks_per_pair)),
        .pair_step = _mm512_set1_epi32((int32_t)(16 / blocks_per_pair)),
        .first_block = _mm512_set1_epi32((int32_t)(uint32_t)(args->first / elements_per_block)),
        .first_pair = _mm512_set1_epi32((int32_t)args->at.pair),
        .epoch = _mm512_set1_epi32((int32_t)args->at.epoch),
        .place = _mm512_set1_epi32((int32_t)(2 * args->at.param + args->at.side)),
        .schedule = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]},
    };
}

EGG_INLINE blocks cursor_next(cursor *c)
{
    blocks b = {_mm512_add_epi32(c->first_block, c->block), _mm512_add_epi32(c->first_pair, c->pair), c->epoch,
                c->place};
    threefry(&b, c->schedule);
    c->block = _mm512_add_epi32(c->block, c->block_step);
    c->pair = _mm512_add_epi32(c->pair, c->pair_step);
    __mmask16 wrap = _mm512_cmpge_epu32_mask(c->block, c->blocks_per_pair);
    c->block = _mm512_mask_sub_epi32(c->block, wrap, c->block, c->blocks_per_pair);
    c->pair = _mm512_mask_add_epi32(c->pair, wrap, c->pair, _mm512_set1_epi32(1));
    return b;
}

/* From four words of sixteen blocks to four vectors of four blocks, in order. */
EGG_INLINE blocks transpose(blocks b)
{
    __m512i low01 = _mm512_unpacklo_epi32(b.x0, b.x1), high01 = _mm512_unpackhi_epi32(b.x0, b.x1);
    __m512i low23 = _mm512_unpacklo_epi32(b.x2, b.x3), high23 = _mm512_unpackhi_epi32(b.x2, b.x3);
    return (blocks){_mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
                    _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)};
}

/* ---------------------------------------------------------------------------------------------------------- int8 */

EGG_INLINE __m512i normal_i8(__m512i bytes, __m512i low_magnitudes, __m512i high_magnitudes)
{
    __m512i magnitude = _mm512_permutex2var_epi8(low_magnitudes, bytes, high_magnitudes);   /* by bits 0...6 */
    return _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(bytes), _mm512_setzero_si512(), magnitude);
}

static void noise_run_i8(cursor c, size_t count, int8_t *out)
{
    const __m512i low = _mm512_loadu_si512(egg_normal_i8_magnitude);
    const __m512i high = _mm512_loadu_si512(egg_normal_i8_magnitude + 64);
    for (; count >= 16; count -= 16, out += 256) {
        blocks b = transpose(cursor_next(&c));
        _mm512_storeu_si512(out, normal_i8(b.x0, low, high));
        _mm512_storeu_si512(out + 64, normal_i8(b.x1, low, high));
        _mm512_storeu_si512(out + 128, normal_i8(b.x2, low, high));
        _mm512_storeu_si512(out + 192, normal_i8(b.x3, low, high));
    }
    if (count == 0) return;
    blocks b = transpose(cursor_next(&c));
    const __m512i rest[4] = {b.x0, b.x1, b.x2, b.x3};
    for (size_t v = 0; 4 * v < count; v++)
        store_part(out + 64 * v, normal_i8(rest[v], low, high), 16 * (count - 4 * v));
}

static void noise_i8_avx512vnni(const egg_noise_args *args)
{
    const uint32_t blocks_per_pair = (uint32_t)(args->n / EGG_NOISE_BLOCK_I8);
    if (blocks_per_pair == 0) return;
    if (args->out_stride == args->n) {
        cursor all = cursor_make(args, blocks_per_pair, EGG_NOISE_BLOCK_I8);
        noise_run_i8(all, (size_t)args->pairs * blocks_per_pair, args->out);
        return;
    }
    egg_noise_args one = *args;
    for (uint32_t p = 0; p < args->pairs; p++, one.at.pair++)
        noise_run_i8(cursor_make(&one, blocks_per_pair, EGG_NOISE_BLOCK_I8), blocks_per_pair,
                     (int8_t *)args->out + p * args->out_stride);
}

/* ------------------------------------------------------------------------------------------------------- float32 */

/* Operation by operation what egg_normal_f32 does, each rounded by itself. */
EGG_INLINE __m512 mul(__m512 a, __m512 b)
{
    return _mm512_mul_ps(a, b);
}

EGG_INLINE __m512 add(__m512 a, __m512 b)
{
    return _mm512_add_ps(a, b);
}

EGG_INLINE __m512 constant(float x)
{
    return _mm512_set1_ps(x);
}

EGG_INLINE __m512 log_f32(__m512 x)
{
    const __m512i root_half = _mm512_set1_epi32(0x3F3504F3);
    __m512i bits = _mm512_castps_si512(x), exponent = _mm512_srai_epi32(_mm512_sub_epi32(bits, root_half), 23);
    __m512 m = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(exponent, 23)));
    __m512 s = _mm512_div_ps(_mm512_sub_ps(m, constant(1.0f)), add(m, constant(1.0f))), z = mul(s, s);
    __m512 series = constant(2.0f / 9.0f);
    series = add(mul(series, z), constant(2.0f / 7.0f));
    series = add(mul(series, z), constant(2.0f / 5.0f));
    series = add(mul(series, z), constant(2.0f / 3.0f));
    series = add(mul(series, z), constant(2.0f));
    return add(mul(_mm512_cvtepi32_ps(exponent), constant(0.693147181f)), mul(s, series));
}

EGG_INLINE void normal_f32(__m512i first, __m512i second, __m512i *out0, __m512i *out1)
{
    __m512 uniform = mul(add(_mm512_cvtepi32_ps(_mm512_srli_epi32(first, 9)), constant(0.5f)), constant(0x1p-23f));
    __m512 radius = _mm512_sqrt_ps(mul(constant(-2.0f), log_f32(uniform)));
    __m512 t = mul(_mm512_cvtepi32_ps(_mm512_slli_epi32(second, 2)), constant(1.57079633f * 0x1p-32f)), z = mul(t, t);
    __m512 sine = add(constant(8.33333333e-3f), mul(z, constant(-1.98412698e-4f)));
    sine = add(constant(-1.66666667e-1f), mul(z, sine));
    sine = mul(t, add(constant(1.0f), mul(z, sine)));
    __m512 cosine = add(constant(-1.38888889e-3f), mul(z, constant(2.48015873e-5f)));
    cosine = add(constant(4.16666667e-2f), mul(z, cosine));
    cosine = add(constant(-0.5f), mul(z, cosine));
    cosine = add(constant(1.0f), mul(z, cosine));

    /* The quarter is bits 31 and 30: odd ones swap, 1 and 2 negate the first, 2 and 3 the second. */
    const __m512i top = _mm512_set1_epi32(INT32_MIN);
    __mmask16 swap = _mm512_test_epi32_mask(second, _mm512_set1_epi32(1 << 30));
    __m512 c = _mm512_mask_blend_ps(swap, cosine, sine), s = _mm512_mask_blend_ps(swap, sine, cosine);
    __m512i sign0 = _mm512_and_si512(_mm512_xor_si512(second, _mm512_slli_epi32(second, 1)), top);
    __m512i sign1 = _mm512_and_si512(second, top);
    *out0 = _mm512_xor_si512(_mm512_castps_si512(mul(radius, c)), sign0);
    *out1 = _mm512_xor_si512(_mm512_castps_si512(mul(radius, s)), sign1);
}

EGG_INLINE blocks normal_blocks(blocks b)
{
    normal_f32(b.x0, b.x1, &b.x0, &b.x1);
    normal_f32(b.x2, b.x3, &b.x2, &b.x3);
    return transpose(b);
}

static void noise_run_f32(cursor c, size_t count, float *out)
{
    for (; count >= 16; count -= 16, out += 64) {
        blocks b = normal_blocks(cursor_next(&c));
        _mm512_storeu_si512(out, b.x0);
        _mm512_storeu_si512(out + 16, b.x1);
        _mm512_storeu_si512(out + 32, b.x2);
        _mm512_storeu_si512(out + 48, b.x3);
    }
    if (count == 0) return;
    blocks b = normal_blocks(cursor_next(&c));
    const __m512i rest[4] = {b.x0, b.x1, b.x2, b.x3};
    for (size_t v = 0; 4 * v < count; v++) store_part(out + 16 * v, rest[v], 16 * (count - 4 * v));
}

static void noise_f32_avx512vnni(const egg_noise_args *args)
{
    const uint32_t blocks_per_pair = (uint32_t)(args->n / EGG_NOISE_BLOCK_F32);
    if (blocks_per_pair == 0) return;
    if (args->out_stride == args->n) {
        cursor all = cursor_make(args, blocks_per_pair, EGG_NOISE_BLOCK_F32);
        noise_run_f32(all, (size_t)args->pairs * blocks_per_pair, args->out);
        return;
    }
    egg_noise_args one = *args;
    for (uint32_t p = 0; p < args->pairs; p++, one.at.pair++)
        noise_run_f32(cursor_make(&one, blocks_per_pair, EGG_NOISE_BLOCK_F32), blocks_per_pair,
                      (float *)args->out + p * args->out_stride);
}

void egg_avx512vnni_noise(egg_kernels *kernels)
{
    kernels->noise_i8 = noise_i8_avx512vnni;
    kernels->noise_f32 = noise_f32_avx512vnni;
}
