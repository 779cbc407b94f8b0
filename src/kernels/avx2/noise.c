/* SPDX-License-Identifier: MIT */
/* Addressed noise, eight blocks of the generator at a time. */
#include "kernels/avx2/level.h"

/* Words 0..3 of eight blocks; afterwards, of the generator's eight results. */
typedef struct blocks {
    __m256i x0, x1, x2, x3;
} blocks;

EGG_INLINE __m256i rotate_left(__m256i x, int by)
{
    return _mm256_or_si256(_mm256_slli_epi32(x, by), _mm256_srli_epi32(x, 32 - by));
}

EGG_INLINE void mix(__m256i *sum, __m256i *word, int by)
{
    *sum = _mm256_add_epi32(*sum, *word);
    *word = _mm256_xor_si256(rotate_left(*word, by), *sum);
}

/* Two rounds as in egg_threefry4x32: one mixes x1 into x0 and x3 into x2, the next x3 into x0 and x1 into x2. */
EGG_INLINE void two_rounds(blocks *b, int even_01, int even_23, int odd_03, int odd_21)
{
    mix(&b->x0, &b->x1, even_01);
    mix(&b->x2, &b->x3, even_23);
    mix(&b->x0, &b->x3, odd_03);
    mix(&b->x2, &b->x1, odd_21);
}

EGG_INLINE void inject(blocks *b, const uint32_t schedule[5], uint32_t injection)
{
    b->x0 = _mm256_add_epi32(b->x0, _mm256_set1_epi32((int32_t)schedule[injection % 5]));
    b->x1 = _mm256_add_epi32(b->x1, _mm256_set1_epi32((int32_t)schedule[(injection + 1) % 5]));
    b->x2 = _mm256_add_epi32(b->x2, _mm256_set1_epi32((int32_t)schedule[(injection + 2) % 5]));
    b->x3 = _mm256_add_epi32(b->x3, _mm256_set1_epi32((int32_t)(schedule[(injection + 3) % 5] + injection)));
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
 * The blocks of a call in the order of their places in memory: all of pair 0, then all of pair 1. Eight consecutive
 * ones fill a vector even where a pair has only one or two. Lane 4g + j stands for block 2j + g, so that transposing
 * the words within 128-bit lanes leaves the blocks in order.
 */
typedef struct cursor {
    __m256i block, pair;        /* per lane, from 0 */
    __m256i last_block, blocks_per_pair, block_step, pair_step;
    __m256i first_block, first_pair, epoch, place;
    uint32_t schedule[5];
} cursor;

static cursor cursor_make(const egg_noise_args *args, uint32_t blocks_per_pair, uint32_t elements_per_block)
{
    const uint32_t *key = args->key.word;
    uint32_t block[8], pair[8];
    for (uint32_t lane = 0; lane < 8; lane++) {
        uint32_t order = lane % 4 * 2 + lane / 4;
        block[lane] = order % blocks_per_pair;
        pair[lane] = order / blocks_per_pair;
    }
    return (cursor){
        .block = _mm256_loadu_si256((const __m256i *)block),
        .pair = _mm256_loadu_si256((const __m256i *)pair),
        .last_block = _mm256_set1_epi32((int32_t)(blocks_per_pair - 1)),
        .blocks_per_pair = _mm256_set1_epi32((int32_t)blocks_per_pair),
        .block_step = _mm256_set1_epi32((int32_t)(8 % blocks_per_pair)),
        .pair_step = _mm256_set1_epi32((int32_t)(8 / blocks_per_pair)),
        .first_block = _mm256_set1_epi32((int32_t)(uint32_t)(args->first / elements_per_block)),
        .first_pair = _mm256_set1_epi32((int32_t)args->at.pair),
        .epoch = _mm256_set1_epi32((int32_t)args->at.epoch),
        .place = _mm256_set1_epi32((int32_t)(2 * args->at.param + args->at.side)),
        .schedule = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]},
    };
}

EGG_INLINE blocks cursor_next(cursor *c)
{
    blocks b = {_mm256_add_epi32(c->first_block, c->block), _mm256_add_epi32(c->first_pair, c->pair), c->epoch,
                c->place};
    threefry(&b, c->schedule);
    c->block = _mm256_add_epi32(c->block, c->block_step);
    c->pair = _mm256_add_epi32(c->pair, c->pair_step);
    __m256i wrap = _mm256_cmpgt_epi32(c->block, c->last_block);   /* -1 where the lane goes on to the next pair */
    c->block = _mm256_sub_epi32(c->block, _mm256_and_si256(wrap, c->blocks_per_pair));
    c->pair = _mm256_sub_epi32(c->pair, wrap);
    return b;
}

/* From four words of eight blocks to four vectors of two blocks, in order. */
EGG_INLINE blocks transpose(blocks b)
{
    __m256i low01 = _mm256_unpacklo_epi32(b.x0, b.x1), high01 = _mm256_unpackhi_epi32(b.x0, b.x1);
    __m256i low23 = _mm256_unpacklo_epi32(b.x2, b.x3), high23 = _mm256_unpackhi_epi32(b.x2, b.x3);
    return (blocks){_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                    _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
}

/* The 'count' blocks of 16 bytes at the front of 'b'. */
static void store_blocks(void *out, blocks b, size_t count)
{
    const __m256i rest[4] = {b.x0, b.x1, b.x2, b.x3};
    for (size_t v = 0; 2 * v < count; v++) store_part((char *)out + 32 * v, rest[v], 16 * (count - 2 * v));
}

/* ---------------------------------------------------------------------------------------------------------- int8 */

/*
 * A table of 128 bytes by shuffles of 16. The index falls by 16 from one shuffle to the next, and a negative one looks
 * up zero: shuffles 0...i / 16 contribute. All but the first hold the difference to the table before, so that the
 * exclusive ors of those that do leave the entry itself.
 */
typedef struct byte_table {
    __m256i difference[8];
} byte_table;

static byte_table byte_table_make(const int8_t *bytes)
{
    byte_table table;
    __m256i before = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 8; i++) {
        __m256i part = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)));
        table.difference[i] = _mm256_xor_si256(part, before);
        before = part;
    }
    return table;
}

EGG_INLINE __m256i byte_table_look_up(const byte_table *table, __m256i index)
{
    const __m256i sixteen = _mm256_set1_epi8(16);
    __m256i entry = _mm256_shuffle_epi8(table->difference[0], index);
    for (uint32_t i = 1; i < 8; i++) {
        index = _mm256_sub_epi8(index, sixteen);
        entry = _mm256_xor_si256(entry, _mm256_shuffle_epi8(table->difference[i], index));
    }
    return entry;
}

EGG_INLINE __m256i normal_i8(__m256i bytes, const byte_table *magnitudes)
{
    __m256i magnitude = byte_table_look_up(magnitudes, _mm256_and_si256(bytes, _mm256_set1_epi8(127)));
    return _mm256_sign_epi8(magnitude, _mm256_or_si256(bytes, _mm256_set1_epi8(1)));   /* 0 would give 0 */
}

EGG_INLINE blocks normal_blocks_i8(blocks b, const byte_table *magnitudes)
{
    b = transpose(b);
    return (blocks){normal_i8(b.x0, magnitudes), normal_i8(b.x1, magnitudes), normal_i8(b.x2, magnitudes),
                    normal_i8(b.x3, magnitudes)};
}

static void noise_run_i8(cursor c, size_t count, int8_t *out)
{
    const byte_table magnitudes = byte_table_make(egg_normal_i8_magnitude);
    for (; count >= 8; count -= 8, out += 128) {
        blocks b = normal_blocks_i8(cursor_next(&c), &magnitudes);
        _mm256_storeu_si256((__m256i *)out, b.x0);
        _mm256_storeu_si256((__m256i *)(out + 32), b.x1);
        _mm256_storeu_si256((__m256i *)(out + 64), b.x2);
        _mm256_storeu_si256((__m256i *)(out + 96), b.x3);
    }
    if (count) store_blocks(out, normal_blocks_i8(cursor_next(&c), &magnitudes), count);
}

static void noise_i8_avx2(const egg_noise_args *args)
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
EGG_INLINE __m256 mul(__m256 a, __m256 b)
{
    return _mm256_mul_ps(a, b);
}

EGG_INLINE __m256 add(__m256 a, __m256 b)
{
    return _mm256_add_ps(a, b);
}

EGG_INLINE __m256 constant(float x)
{
    return _mm256_set1_ps(x);
}

EGG_INLINE __m256 log_f32(__m256 x)
{
    const __m256i root_half = _mm256_set1_epi32(0x3F3504F3);
    __m256i bits = _mm256_castps_si256(x), exponent = _mm256_srai_epi32(_mm256_sub_epi32(bits, root_half), 23);
    __m256 m = _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(exponent, 23)));
    __m256 s = _mm256_div_ps(_mm256_sub_ps(m, constant(1.0f)), add(m, constant(1.0f))), z = mul(s, s);
    __m256 series = constant(2.0f / 9.0f);
    series = add(mul(series, z), constant(2.0f / 7.0f));
    series = add(mul(series, z), constant(2.0f / 5.0f));
    series = add(mul(series, z), constant(2.0f / 3.0f));
    series = add(mul(series, z), constant(2.0f));
    return add(mul(_mm256_cvtepi32_ps(exponent), constant(0.693147181f)), mul(s, series));
}

EGG_INLINE void normal_f32(__m256i first, __m256i second, __m256i *out0, __m256i *out1)
{
    __m256 uniform = mul(add(_mm256_cvtepi32_ps(_mm256_srli_epi32(first, 9)), constant(0.5f)), constant(0x1p-23f));
    __m256 radius = _mm256_sqrt_ps(mul(constant(-2.0f), log_f32(uniform)));
    __m256 t = mul(_mm256_cvtepi32_ps(_mm256_slli_epi32(second, 2)), constant(1.57079633f * 0x1p-32f)), z = mul(t, t);
    __m256 sine = add(constant(8.33333333e-3f), mul(z, constant(-1.98412698e-4f)));
    sine = add(constant(-1.66666667e-1f), mul(z, sine));
    sine = mul(t, add(constant(1.0f), mul(z, sine)));
    __m256 cosine = add(constant(-1.38888889e-3f), mul(z, constant(2.48015873e-5f)));
    cosine = add(constant(4.16666667e-2f), mul(z, cosine));
    cosine = add(constant(-0.5f), mul(z, cosine));
    cosine = add(constant(1.0f), mul(z, cosine));

    /* The quarter is bits 31 and 30: odd ones swap, 1 and 2 negate the first, 2 and 3 the second. */
    const __m256i top = _mm256_set1_epi32(INT32_MIN);
    __m256i bit30_on_top = _mm256_slli_epi32(second, 1);
    __m256 swap = _mm256_castsi256_ps(bit30_on_top);   /* a blend looks at the sign */
    __m256 c = _mm256_blendv_ps(cosine, sine, swap), s = _mm256_blendv_ps(sine, cosine, swap);
    __m256i sign0 = _mm256_and_si256(_mm256_xor_si256(second, bit30_on_top), top);
    __m256i sign1 = _mm256_and_si256(second, top);
    *out0 = _mm256_xor_si256(_mm256_castps_si256(mul(radius, c)), sign0);
    *out1 = _mm256_xor_si256(_mm256_castps_si256(mul(radius, s)), sign1);
}

EGG_INLINE blocks normal_blocks_f32(blocks b)
{
    normal_f32(b.x0, b.x1, &b.x0, &b.x1);
    normal_f32(b.x2, b.x3, &b.x2, &b.x3);
    return transpose(b);
}

static void noise_run_f32(cursor c, size_t count, float *out)
{
    for (; count >= 8; count -= 8, out += 32) {
        blocks b = normal_blocks_f32(cursor_next(&c));
        _mm256_storeu_si256((__m256i *)out, b.x0);
        _mm256_storeu_si256((__m256i *)(out + 8), b.x1);
        _mm256_storeu_si256((__m256i *)(out + 16), b.x2);
        _mm256_storeu_si256((__m256i *)(out + 24), b.x3);
    }
    if (count) store_blocks(out, normal_blocks_f32(cursor_next(&c)), count);
}

static void noise_f32_avx2(const egg_noise_args *args)
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

void egg_avx2_noise(egg_kernels *kernels)
{
    kernels->noise_i8 = noise_i8_avx2;
    kernels->noise_f32 = noise_f32_avx2;
}
