/* SPDX-License-Identifier: MIT */
/* From weighed factors to weights: the sum of outer products and the two integer steps. */
#include <string.h>

#include "kernels/avx2/level.h"

/* --------------------------------------------------------------------------------------------------------- outer */

/*
 * Z += A^T B is a matrix product with the samples q as its inner dimension. Both are packed so that four samples lie
 * together (a quad): A in groups of 4 rows of Z, [quads][4][4], B in panels of 16 columns, [quads][16][4] bytes. B is
 * made unsigned by adding 64, more than its largest magnitude, and every row's sums begin at -64 * sum A; two products
 * then fit vpmaddubsw's 16 bits.
 */
enum { BLOCK_SAMPLES = 512, GROUP = 4, WIDTH = 16, B_OFFSET = 64 };
_Static_assert(B_OFFSET - EGG_NORMAL_I8_MAX >= 0 && 2 * 95 * (B_OFFSET + EGG_NORMAL_I8_MAX) <= INT16_MAX,
               "outer's sums of two products in 16 bits");

typedef struct quad {
    __m256i low, high;   /* columns 0...7 and 8...15 */
} quad;

EGG_INLINE __m128i load_sample(const int8_t *from, size_t stride, uint32_t q, uint32_t count)
{
    return q < count ? _mm_loadu_si128((const __m128i *)(from + q * stride)) : _mm_setzero_si128();
}

/* Four samples of 16 columns, interleaved; samples beyond 'count' are zeros. */
EGG_INLINE quad interleave(const int8_t *from, size_t stride, uint32_t count)
{
    __m128i s0 = load_sample(from, stride, 0, count), s1 = load_sample(from, stride, 1, count);
    __m128i s2 = load_sample(from, stride, 2, count), s3 = load_sample(from, stride, 3, count);
    __m128i low01 = _mm_unpacklo_epi8(s0, s1), high01 = _mm_unpackhi_epi8(s0, s1);
    __m128i low23 = _mm_unpacklo_epi8(s2, s3), high23 = _mm_unpackhi_epi8(s2, s3);
    return (quad){
        _mm256_set_m128i(_mm_unpackhi_epi16(low01, low23), _mm_unpacklo_epi16(low01, low23)),
        _mm256_set_m128i(_mm_unpackhi_epi16(high01, high23), _mm_unpacklo_epi16(high01, high23)),
    };
}

/* Sums of each lane's four bytes. */
EGG_INLINE __m256i quad_sums(__m256i bytes)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

EGG_INLINE __m256i starts_of(__m256i sums)
{
    return _mm256_mullo_epi32(sums, _mm256_set1_epi32(-B_OFFSET));
}

/* Packs 16 columns of A as four groups, 'group_bytes' apart, and writes where their sums start. */
static void pack_groups(const int8_t *A, size_t stride, uint32_t samples, int8_t *packed, size_t group_bytes,
                        int32_t *start)
{
    __m256i low = _mm256_setzero_si256(), high = low;
    for (uint32_t q = 0; q < samples; q += 4, A += 4 * stride, packed += 4 * GROUP) {
        quad v = interleave(A, stride, samples - q);
        low = _mm256_add_epi32(low, quad_sums(v.low));
        high = _mm256_add_epi32(high, quad_sums(v.high));
        _mm_store_si128((__m128i *)packed, _mm256_castsi256_si128(v.low));
        _mm_store_si128((__m128i *)(packed + group_bytes), _mm256_extracti128_si256(v.low, 1));
        _mm_store_si128((__m128i *)(packed + 2 * group_bytes), _mm256_castsi256_si128(v.high));
        _mm_store_si128((__m128i *)(packed + 3 * group_bytes), _mm256_extracti128_si256(v.high, 1));
    }
    _mm256_storeu_si256((__m256i *)start, starts_of(low));
    _mm256_storeu_si256((__m256i *)(start + 8), starts_of(high));
}

static void pack_panel(const int8_t *B, size_t stride, uint32_t samples, uint8_t *packed)
{
    const __m256i offset = _mm256_set1_epi8(B_OFFSET);
    for (uint32_t q = 0; q < samples; q += 4, B += 4 * stride, packed += 4 * WIDTH) {
        quad v = interleave(B, stride, samples - q);
        _mm256_store_si256((__m256i *)packed, _mm256_add_epi8(v.low, offset));
        _mm256_store_si256((__m256i *)(packed + 32), _mm256_add_epi8(v.high, offset));
    }
}

typedef struct tile_row {
    __m256i low, high;
} tile_row;

EGG_INLINE void row_multiply(tile_row *row, const int8_t *a, __m256i low, __m256i high)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    __m256i v = _mm256_set1_epi32(four);
    multiply_add(&row->low, low, v);
    multiply_add(&row->high, high, v);
}

EGG_INLINE tile_row row_start(int32_t start)
{
    return (tile_row){_mm256_set1_epi32(start), _mm256_set1_epi32(start)};
}

EGG_INLINE void row_add(int32_t *Z, const tile_row *row)
{
    __m256i *low = (__m256i *)Z, *high = (__m256i *)(Z + 8);
    _mm256_storeu_si256(low, _mm256_add_epi32(_mm256_loadu_si256(low), row->low));
    _mm256_storeu_si256(high, _mm256_add_epi32(_mm256_loadu_si256(high), row->high));
}

static void outer_tile(const uint8_t *panel, const int8_t *group, const int32_t *start, uint32_t quads, int32_t *Z,
                       size_t n)
{
    tile_row row0 = row_start(start[0]), row1 = row_start(start[1]);
    tile_row row2 = row_start(start[2]), row3 = row_start(start[3]);
    for (uint32_t k = 0; k < quads; k++, panel += 4 * WIDTH, group += 4 * GROUP) {
        __m256i low = _mm256_load_si256((const __m256i *)panel);
        __m256i high = _mm256_load_si256((const __m256i *)(panel + 32));
        row_multiply(&row0, group, low, high);
        row_multiply(&row1, group + 4, low, high);
        row_multiply(&row2, group + 8, low, high);
        row_multiply(&row3, group + 12, low, high);
    }
    row_add(Z, &row0);
    row_add(Z + n, &row1);
    row_add(Z + 2 * n, &row2);
    row_add(Z + 3 * n, &row3);
}

static void outer_i8_avx2(const egg_outer_args *args)
{
    const uint32_t m = args->m, n = args->n;
    for (uint32_t first = 0; first < args->count; first += BLOCK_SAMPLES) {
        const uint32_t samples = args->count - first < BLOCK_SAMPLES ? args->count - first : BLOCK_SAMPLES;
        const uint32_t quads = (samples + 3) / 4;
        const int8_t *A = args->A + (size_t)first * m, *B = args->B + (size_t)first * n;
        int8_t *groups = args->scratch;
        const size_t group_bytes = (size_t)quads * 4 * GROUP;
        uint8_t *panel = (uint8_t *)groups + m / GROUP * group_bytes;   /* a multiple of 64 on, as 16 divides m */
        int32_t *start = (int32_t *)(void *)(panel + (size_t)quads * 4 * WIDTH);
        for (uint32_t i = 0; i < m; i += 16)
            pack_groups(A + i, m, samples, groups + i / GROUP * group_bytes, group_bytes, start + i);
        for (uint32_t j = 0; j < n; j += WIDTH) {
            pack_panel(B + j, n, samples, panel);
            for (uint32_t i = 0; i < m; i += GROUP)
                outer_tile(panel, groups + i / GROUP * group_bytes, start + i, quads, args->Z + (size_t)i * n + j, n);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ diagonal */

/* Seven products of at most 95 * 48 fit 16 bits. */
enum { PRODUCTS_IN_I16 = 7 };
_Static_assert(PRODUCTS_IN_I16 * 95 * EGG_NORMAL_I8_MAX <= INT16_MAX, "diagonal's sums in 16 bits");

EGG_INLINE __m256i load_words(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}

static void diagonal_i8_avx2(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    for (size_t i = 0; i < n; i += 16) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(Z + i));
        __m256i high = _mm256_loadu_si256((const __m256i *)(Z + i + 8));
        const int8_t *a = A + i, *b = B + i;
        for (uint32_t q = 0; q < count;) {
            __m256i sum = _mm256_setzero_si256();
            const uint32_t stop = count - q < PRODUCTS_IN_I16 ? count : q + PRODUCTS_IN_I16;
            for (; q < stop; q++, a += n, b += n)
                sum = _mm256_add_epi16(sum, _mm256_mullo_epi16(load_words(a), load_words(b)));
            low = _mm256_add_epi32(low, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sum)));
            high = _mm256_add_epi32(high, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sum, 1)));
        }
        _mm256_storeu_si256((__m256i *)(Z + i), low);
        _mm256_storeu_si256((__m256i *)(Z + i + 8), high);
    }
}

/* --------------------------------------------------------------------------------------------------------- steps */

/* 8 + 8 lanes to 16 words, in order. */
EGG_INLINE __m256i pack_words(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

EGG_INLINE __m128i pack_bytes(__m256i words)
{
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* Writes 16 weights and returns how many of them are new. */
EGG_INLINE size_t replace(int8_t *W, __m128i old, __m128i w)
{
    _mm_storeu_si128((__m128i *)W, w);
    return 16 - (size_t)__builtin_popcount((uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(old, w)));
}

/* +1, -1, or 0 where -threshold < Z < threshold */
EGG_INLINE __m256i vote(const int32_t *Z, __m256i threshold, __m256i below)
{
    __m256i z = _mm256_loadu_si256((const __m256i *)Z), positive = _mm256_cmpgt_epi32(z, _mm256_setzero_si256());
    __m256i inside = _mm256_and_si256(_mm256_cmpgt_epi32(z, below), _mm256_cmpgt_epi32(threshold, z));
    __m256i sign = _mm256_sub_epi32(_mm256_set1_epi32(-1), _mm256_add_epi32(positive, positive));
    return _mm256_andnot_si256(inside, sign);
}

static void step_vote_i8_avx2(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed)
{
    const __m256i above = _mm256_set1_epi32(threshold), below = _mm256_set1_epi32(-threshold);
    size_t moved = 0;
    for (size_t i = 0; i < n; i += 16) {
        __m128i votes = pack_bytes(pack_words(vote(Z + i, above, below), vote(Z + i + 8, above, below)));
        __m128i w = _mm_loadu_si128((const __m128i *)(W + i));
        moved += replace(W + i, w, _mm_max_epi8(_mm_adds_epi8(w, votes), _mm_set1_epi8(-127)));
    }
    *changed += moved;
}

EGG_INLINE __m256i clip_i32(__m256i x, __m256i limit)
{
    return _mm256_max_epi32(_mm256_min_epi32(x, limit), _mm256_sub_epi32(_mm256_setzero_si256(), limit));
}

/* The new V of eight weights. */
EGG_INLINE __m256i fraction(const int16_t *V, const int32_t *Z, __m256i rate, __m256i limit)
{
    __m256i z = clip_i32(_mm256_loadu_si256((const __m256i *)Z), limit);
    __m256i step = _mm256_srai_epi32(_mm256_add_epi32(_mm256_mullo_epi32(z, rate), _mm256_set1_epi32(1 << 15)), 16);
    __m256i v = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)V));
    return clip_i32(_mm256_add_epi32(v, step), _mm256_set1_epi32(32512));
}

static void step_fractional_i8_avx2(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate, int32_t limit,
                                    uint64_t *changed)
{
    const __m256i rates = _mm256_set1_epi32(rate), limits = _mm256_set1_epi32(limit);
    size_t moved = 0;
    for (size_t i = 0; i < n; i += 16) {
        __m256i v = pack_words(fraction(V + i, Z + i, rates, limits), fraction(V + i + 8, Z + i + 8, rates, limits));
        _mm256_storeu_si256((__m256i *)(V + i), v);
        __m256i w = _mm256_srai_epi16(_mm256_add_epi16(v, _mm256_set1_epi16(128)), 8);   /* at most 32512 + 128 */
        moved += replace(W + i, _mm_loadu_si128((const __m128i *)(W + i)), pack_bytes(w));
    }
    *changed += moved;
}

void egg_avx2_update(egg_kernels *kernels)
{
    kernels->outer_i8 = outer_i8_avx2;
    kernels->diagonal_i8 = diagonal_i8_avx2;
    kernels->step_vote_i8 = step_vote_i8_avx2;
    kernels->step_fractional_i8 = step_fractional_i8_avx2;
}
