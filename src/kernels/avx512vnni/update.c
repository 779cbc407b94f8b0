/* SPDX-License-Identifier: MIT */
/* From weighed factors to weights: the sum of outer products and the two integer steps. */
#include "kernels/avx512vnni/tile.h"

/* --------------------------------------------------------------------------------------------------------- outer */

/*
 * Z += A^T B is the product of the tile with the samples q as its inner dimension: A's columns are the rows, B's the
 * columns. Both are packed so that four samples lie together: A in groups of 16 rows, [quads][16][4], B in panels of
 * [quads][64 or 16][4]. A block of samples is short enough for B's panel to stay in the L1 cache, and long enough that
 * reading and writing Z once a block costs little.
 */
enum { BLOCK_SAMPLES = 512, GROUP = 16 };

/* Four samples of 16 columns, interleaved; samples beyond 'count' are zeros. */
EGG_INLINE __m512i interleave(const int8_t *from, size_t stride, uint32_t count)
{
    const __m512i order = _mm512_add_epi8(
        _mm512_set1_epi32(0x30201000), _mm512_mullo_epi32(_mm512_set1_epi32(0x01010101),
            _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
    __m128i s0 = _mm_loadu_si128((const __m128i *)from), s1 = _mm_setzero_si128(), s2 = s1, s3 = s1;
    if (count > 1) s1 = _mm_loadu_si128((const __m128i *)(from + stride));
    if (count > 2) s2 = _mm_loadu_si128((const __m128i *)(from + 2 * stride));
    if (count > 3) s3 = _mm_loadu_si128((const __m128i *)(from + 3 * stride));
    __m512i all = _mm512_inserti32x4(_mm512_castsi128_si512(s0), s1, 1);
    all = _mm512_inserti32x4(_mm512_inserti32x4(all, s2, 2), s3, 3);
    return _mm512_permutexvar_epi8(order, all);
}

/* Packs one group of A and writes its sums' starts: see tile.h. */
static void pack_group(const int8_t *A, size_t stride, uint32_t samples, int8_t *packed, int32_t *start)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sums = _mm512_setzero_si512();
    for (uint32_t q = 0; q < samples; q += 4, A += 4 * stride, packed += 64) {
        __m512i v = interleave(A, stride, samples - q);
        sums = _mm512_dpbusd_epi32(sums, ones, v);
        _mm512_store_si512(packed, v);
    }
    _mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, 7)));
}

static void pack_panel(const int8_t *B, size_t stride, uint32_t samples, uint32_t width, uint8_t *packed)
{
    const __m512i high_bit = _mm512_set1_epi8(-128);
    for (uint32_t q = 0; q < samples; q += 4, B += 4 * stride)
        for (uint32_t j = 0; j < width; j += 16, packed += 64)
            _mm512_store_si512(packed, _mm512_xor_si512(interleave(B + j, stride, samples - q), high_bit));
}

EGG_INLINE void add_vector(int32_t *Z, __m512i sum)
{
    _mm512_storeu_si512(Z, _mm512_add_epi32(_mm512_loadu_si512(Z), sum));
}

EGG_INLINE void row_add(int32_t *Z, const tile_row *row, uint32_t width)
{
    add_vector(Z, row->c0);
    if (width == NARROW) return;
    add_vector(Z + 16, row->c1);
    add_vector(Z + 32, row->c2);
    add_vector(Z + 48, row->c3);
}

EGG_INLINE void outer_tile(const uint8_t *panel, const int8_t *group, const int32_t *start, uint32_t quads, int32_t *Z,
                           size_t z_stride, uint32_t rows, uint32_t width)
{
    tile t;
    tile_start(&t, start, rows);
    tile_multiply(&t, rows, width, panel, group, 4, 4 * GROUP, quads);
    row_add(Z, &t.row0, width);
    row_add(Z + z_stride, &t.row1, width);
    row_add(Z + 2 * z_stride, &t.row2, width);
    row_add(Z + 3 * z_stride, &t.row3, width);
    if (rows < 6) return;
    row_add(Z + 4 * z_stride, &t.row4, width);
    row_add(Z + 5 * z_stride, &t.row5, width);
}

/* All groups of packed A times one panel; width is a constant. */
EGG_INLINE void outer_panel(const uint8_t *panel, const int8_t *groups, const int32_t *start, uint32_t quads,
                            int32_t *Z, uint32_t m, size_t n, uint32_t width)
{
    for (uint32_t i = 0; i < m; i += GROUP, groups += (size_t)quads * 4 * GROUP, start += GROUP, Z += GROUP * n) {
        outer_tile(panel, groups, start, quads, Z, n, 6, width);
        outer_tile(panel, groups + 4 * 6, start + 6, quads, Z + 6 * n, n, 6, width);
        outer_tile(panel, groups + 4 * 12, start + 12, quads, Z + 12 * n, n, 4, width);
    }
}

static void outer_i8_avx512vnni(const egg_outer_args *args)
{
    const uint32_t m = args->m, n = args->n;
    for (uint32_t first = 0; first < args->count; first += BLOCK_SAMPLES) {
        const uint32_t samples = args->count - first < BLOCK_SAMPLES ? args->count - first : BLOCK_SAMPLES;
        const uint32_t quads = (samples + 3) / 4;
        const int8_t *A = args->A + (size_t)first * m, *B = args->B + (size_t)first * n;
        int8_t *groups = args->scratch;
        uint8_t *panel = (uint8_t *)groups + (size_t)4 * quads * m;
        int32_t *start = (int32_t *)(panel + (size_t)4 * quads * WIDE);
        for (uint32_t i = 0; i < m; i += GROUP)
            pack_group(A + i, m, samples, groups + (size_t)4 * quads * i, start + i);
        uint32_t j = 0;
        for (; j + WIDE <= n; j += WIDE) {
            pack_panel(B + j, n, samples, WIDE, panel);
            outer_panel(panel, groups, start, quads, args->Z + j, m, n, WIDE);
        }
        for (; j < n; j += NARROW) {
            pack_panel(B + j, n, samples, NARROW, panel);
            outer_panel(panel, groups, start, quads, args->Z + j, m, n, NARROW);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ diagonal */

/* Seven products of at most 95 * 48 fit 16 bits. */
enum { PRODUCTS_IN_I16 = 7 };
_Static_assert(PRODUCTS_IN_I16 * 95 * EGG_NORMAL_I8_MAX <= INT16_MAX, "diagonal's sums in 16 bits");

/* int8 values as words, in order; zeros in the other lanes. */
EGG_INLINE __m512i load_words(const int8_t *p, __mmask32 lanes)
{
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes, p));
}

static void diagonal_i8_avx512vnni(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    for (size_t i = 0; i < n; i += 32) {
        const __mmask32 lanes = n - i >= 32 ? UINT32_MAX : UINT16_MAX;
        const __mmask16 upper = n - i >= 32 ? UINT16_MAX : 0;
        __m512i low = _mm512_loadu_si512(Z + i), high = _mm512_maskz_loadu_epi32(upper, Z + i + 16);
        const int8_t *a = A + i, *b = B + i;
        for (uint32_t q = 0; q < count;) {
            __m512i sum = _mm512_setzero_si512();
            const uint32_t stop = count - q < PRODUCTS_IN_I16 ? count : q + PRODUCTS_IN_I16;
            for (; q < stop; q++, a += n, b += n)
                sum = _mm512_add_epi16(sum, _mm512_mullo_epi16(load_words(a, lanes), load_words(b, lanes)));
            low = _mm512_add_epi32(low, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(sum)));
            high = _mm512_add_epi32(high, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(sum, 1)));
        }
        _mm512_storeu_si512(Z + i, low);
        _mm512_mask_storeu_epi32(Z + i + 16, upper, high);
    }
}

/* --------------------------------------------------------------------------------------------------------- steps */

static void step_vote_i8_avx512vnni(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed)
{
    const __m512i above = _mm512_set1_epi32(threshold), below = _mm512_set1_epi32(-threshold);
    const __m128i one = _mm_set1_epi8(1), lowest = _mm_set1_epi8(-127);
    size_t moved = 0;
    for (size_t i = 0; i < n; i += 16) {
        __m512i z = _mm512_loadu_si512(Z + i);
        __mmask16 vote = _mm512_cmpge_epi32_mask(z, above) | _mm512_cmple_epi32_mask(z, below);
        __mmask16 up = vote & _mm512_cmpgt_epi32_mask(z, _mm512_setzero_si512()), down = vote & ~up;
        __m128i w = _mm_loadu_si128((const __m128i *)(W + i));
        __m128i stepped = _mm_mask_adds_epi8(w, up, w, one);
        stepped = _mm_max_epi8(_mm_mask_subs_epi8(stepped, down, stepped, one), lowest);
        moved += (size_t)__builtin_popcount(_mm_cmpneq_epi8_mask(w, stepped));
        _mm_storeu_si128((__m128i *)(W + i), stepped);
    }
    *changed += moved;
}

EGG_INLINE __m512i clip_i32(__m512i x, __m512i limit)
{
    return _mm512_max_epi32(_mm512_min_epi32(x, limit), _mm512_sub_epi32(_mm512_setzero_si512(), limit));
}

static void step_fractional_i8_avx512vnni(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate,
                                          int32_t limit, uint64_t *changed)
{
    const __m512i rates = _mm512_set1_epi32(rate), limits = _mm512_set1_epi32(limit);
    size_t moved = 0;
    for (size_t i = 0; i < n; i += 16) {
        __m512i z = clip_i32(_mm512_loadu_si512(Z + i), limits);
        __m512i step = _mm512_add_epi32(_mm512_mullo_epi32(z, rates), _mm512_set1_epi32(1 << 15));
        __m512i v = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(V + i)));
        v = clip_i32(_mm512_add_epi32(v, _mm512_srai_epi32(step, 16)), _mm512_set1_epi32(32512));
        __m128i w = _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8));
        moved += (size_t)__builtin_popcount(_mm_cmpneq_epi8_mask(w, _mm_loadu_si128((const __m128i *)(W + i))));
        _mm256_storeu_si256((__m256i *)(V + i), _mm512_cvtepi32_epi16(v));
        _mm_storeu_si128((__m128i *)(W + i), w);
    }
    *changed += moved;
}

void egg_avx512vnni_update(egg_kernels *kernels)
{
    kernels->outer_i8 = outer_i8_avx512vnni;
    kernels->diagonal_i8 = diagonal_i8_avx512vnni;
    kernels->step_vote_i8 = step_vote_i8_avx512vnni;
    kernels->step_fractional_i8 = step_fractional_i8_avx512vnni;
}
