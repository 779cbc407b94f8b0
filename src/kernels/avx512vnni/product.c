/* SPDX-License-Identifier: MIT */
/* The perturbed matrix product: packing of the weights, shrink, and linear, which leaves its registers as int8. */
#include "kernels/avx512vnni/tile.h"
#include "kernels/row_block.h"

/* ------------------------------------------------------------------------------------------------------- weights */

/*
 * Packed weights are panels of 64 outputs, [in/4][64][4] bytes of w + 128, and at the end up to three panels of 16.
 * In a wide panel, lane 4g + e of vector v is output 16g + 4v + e: packing four vectors of sums to bytes works within
 * 128-bit lanes and then leaves the outputs in order.
 */
static size_t packed_bytes_i8_avx512vnni(uint32_t out, uint32_t in)
{
    return (size_t)out * in;
}

/* One vector of a panel: the four inputs at W of 16 outputs, 'lanes' holding the offsets of these. */
EGG_INLINE void pack_vector(const int8_t *W, __m512i lanes, uint8_t *packed)
{
    __m512i w = _mm512_i32gather_epi32(lanes, W, 1);
    _mm512_store_si512(packed, _mm512_xor_si512(w, _mm512_set1_epi8(-128)));
}

static void pack_i8_avx512vnni(const void *weights, uint32_t out, uint32_t in, void *packed)
{
    const int8_t *W = weights;
    uint8_t *at = packed;
    const __m512i length = _mm512_set1_epi32((int32_t)in);
    const __m512i narrow = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i wide = _mm512_set_epi32(51, 50, 49, 48, 35, 34, 33, 32, 19, 18, 17, 16, 3, 2, 1, 0);
    uint32_t o = 0;
    for (; o + WIDE <= out; o += WIDE, W += (size_t)WIDE * in)
        for (uint32_t i = 0; i < in; i += 4)
            for (uint32_t v = 0; v < 4; v++, at += 64)
                pack_vector(W + (size_t)4 * v * in + i, _mm512_mullo_epi32(wide, length), at);
    for (; o < out; o += NARROW, W += (size_t)NARROW * in)
        for (uint32_t i = 0; i < in; i += 4, at += 64) pack_vector(W + i, _mm512_mullo_epi32(narrow, length), at);
}

/* -------------------------------------------------------------------------------------------------------- shrink */

typedef struct shrink_sums {
    __m512i row0, row1, row2, row3;   /* sum (x + 128) * B: here x is the unsigned operand */
    __m512i pair0, pair1;             /* sum 128 * B */
} shrink_sums;

EGG_INLINE void shrink_chunk(shrink_sums *s, const int8_t *const x[4], const int8_t *const B[2], size_t i, size_t count)
{
    const __m512i high_bit = _mm512_set1_epi8(-128);
    __m512i b0 = load_part(B[0] + i, count), b1 = load_part(B[1] + i, count);
    multiply_add(&s->pair0, high_bit, b0);
    multiply_add(&s->pair1, high_bit, b1);
    multiply_add(&s->row0, _mm512_xor_si512(load_part(x[0] + i, count), high_bit), b0);
    multiply_add(&s->row1, _mm512_xor_si512(load_part(x[1] + i, count), high_bit), b0);
    multiply_add(&s->row2, _mm512_xor_si512(load_part(x[2] + i, count), high_bit), b1);
    multiply_add(&s->row3, _mm512_xor_si512(load_part(x[3] + i, count), high_bit), b1);
}

/* { sum of a's lanes, of b's, of c's, of d's } */
EGG_INLINE __m128i sum_lanes4(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Four products of rows, the first two with B[0] and the others with B[1]. */
EGG_INLINE __m128i shrink_dots(const int8_t *const x[4], const int8_t *const B[2], size_t in)
{
    const __m512i zero = _mm512_setzero_si512();
    shrink_sums s = {zero, zero, zero, zero, zero, zero};
    size_t i = 0;
    for (; i + 64 <= in; i += 64) shrink_chunk(&s, x, B, i, 64);
    if (i < in) shrink_chunk(&s, x, B, i, in - i);
    return sum_lanes4(_mm512_sub_epi32(s.row0, s.pair0), _mm512_sub_epi32(s.row1, s.pair0),
                      _mm512_sub_epi32(s.row2, s.pair1), _mm512_sub_epi32(s.row3, s.pair1));
}

/* The members of four consecutive rows. */
typedef struct row_members {
    __m128i member, step;
} row_members;

EGG_INLINE row_members row_members_next(row_members m, uint32_t steps)
{
    const __m128i all = _mm_set1_epi32((int32_t)steps);
    m.member = _mm_add_epi32(m.member, _mm_set1_epi32((int32_t)(4 / steps)));
    m.step = _mm_add_epi32(m.step, _mm_set1_epi32((int32_t)(4 % steps)));
    __mmask8 wrap = _mm_cmpge_epu32_mask(m.step, all);
    m.member = _mm_mask_add_epi32(m.member, wrap, m.member, _mm_set1_epi32(1));
    m.step = _mm_mask_sub_epi32(m.step, wrap, m.step, all);
    return m;
}

/* (s * scale * sum) >> 8, s being -1 for odd members */
EGG_INLINE __m128i shrink_scale(__m128i sums, __m128i member, int32_t scale)
{
    __m128i odd = _mm_sub_epi32(_mm_setzero_si128(), _mm_and_si128(member, _mm_set1_epi32(1)));
    __m256i signed_sums = _mm256_cvtepi32_epi64(_mm_sub_epi32(_mm_xor_si128(sums, odd), odd));
    return _mm256_cvtepi64_epi32(_mm256_srai_epi64(_mm256_mul_epi32(signed_sums, _mm256_set1_epi64x(scale)), 8));
}

EGG_INLINE void shrink_store(int32_t *t, __m128i four, size_t stride, uint32_t left)
{
    if (stride == 1) {
        _mm_mask_storeu_epi32(t, left >= 4 ? 15 : (__mmask8)((1 << left) - 1), four);
        return;
    }
    for (uint32_t r = 0; r < 4 && r < left; r++, four = _mm_shuffle_epi32(four, _MM_SHUFFLE(0, 3, 2, 1)))
        t[r * stride] = _mm_cvtsi128_si32(four);
}

/* Rows 2j and 2j + 1 always belong to one pair, whatever 'steps' is: four rows at a time need two Bs at most. */
static void shrink_i8_avx512vnni(const egg_shrink_args *args)
{
    const uint32_t steps = args->steps;
    const int8_t *X = args->X, *const all_B = args->B;
    const size_t stride = args->x_stride, pair_stride = (size_t)args->rank * args->in;
    int32_t *t = args->t;
    row_members m = {_mm_setr_epi32(0, (int)(1 / steps), (int)(2 / steps), (int)(3 / steps)),
                     _mm_setr_epi32(0, (int)(1 % steps), (int)(2 % steps), (int)(3 % steps))};
    for (uint32_t row = 0; row < args->rows; row += 4, X += 4 * stride, t += (size_t)4 * args->rank) {
        const uint32_t left = args->rows - row;   /* the first rows stand in for those beyond the last */
        const int8_t *x[4] = {X, X + (left > 1) * stride, X + (left > 2) * 2 * stride, X + (left > 3) * 3 * stride};
        const int8_t *B[2] = {all_B + (uint32_t)_mm_cvtsi128_si32(m.member) / 2 * pair_stride};
        B[1] = left > 2 ? all_B + (uint32_t)_mm_extract_epi32(m.member, 2) / 2 * pair_stride : B[0];
        for (uint32_t k = 0; k < args->rank; k++, B[0] += args->in, B[1] += args->in)
            shrink_store(t + k, shrink_scale(shrink_dots(x, B, args->in), m.member, args->scale), args->rank, left);
        m = row_members_next(m, steps);
    }
}

/* -------------------------------------------------------------------------------------------------------- linear */

typedef struct linear_block {
    row_block rows;
    int32_t start[BLOCK_ROWS];   /* -128 * sum X: see tile.h */
} linear_block;

static void block_starts(const row_block *block, int32_t start[BLOCK_ROWS])
{
    const egg_linear_args *args = block->args;
    const __m512i ones = _mm512_set1_epi8(1);
    for (uint32_t r = 0; r < block->rows; r += 4) {
        const int8_t *x[4];
        for (uint32_t j = 0; j < 4; j++) {
            uint32_t row = r + j < block->rows ? r + j : block->rows - 1;
            x[j] = (const int8_t *)args->X + (block->first + row) * args->x_stride;
        }
        __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
        for (size_t i = 0; i < args->in; i += 64) {
            size_t count = args->in - i;
            multiply_add(&s0, ones, load_part(x[0] + i, count));
            multiply_add(&s1, ones, load_part(x[1] + i, count));
            multiply_add(&s2, ones, load_part(x[2] + i, count));
            multiply_add(&s3, ones, load_part(x[3] + i, count));
        }
        __m128i sums = sum_lanes4(s0, s1, s2, s3);
        _mm_storeu_si128((__m128i *)(start + r),
                         _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums, 7)));
    }
}

/* The bytes (0, a, 0, b) in every lane of the four vectors of a wide row, from 64 bytes a and 64 bytes b in order. */
typedef struct factor_words {
    __m512i v0, v1, v2, v3;
} factor_words;

EGG_INLINE factor_words factor_words_make(__m512i a, __m512i b)
{
    __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
    return (factor_words){shifted_low(low), shifted_high(low), shifted_low(high), shifted_high(high)};
}

EGG_INLINE void add_split_one(tile_row *row, const row_block *block, uint32_t r, factor_words w)
{
    __m512i p = _mm512_set1_epi32(block->remainder[r]), q = _mm512_set1_epi32(block->quotient[r]);
    row->c0 = _mm512_dpwssd_epi32(row->c0, _mm512_mulhi_epi16(w.v0, p), q);
    row->c1 = _mm512_dpwssd_epi32(row->c1, _mm512_mulhi_epi16(w.v1, p), q);
    row->c2 = _mm512_dpwssd_epi32(row->c2, _mm512_mulhi_epi16(w.v2, p), q);
    row->c3 = _mm512_dpwssd_epi32(row->c3, _mm512_mulhi_epi16(w.v3, p), q);
}

EGG_INLINE __m512i shifted_sum(__m512i sum, __m512i noise, uint32_t noise_shift)
{
    return _mm512_add_epi32(sum, _mm512_srav_epi32(noise, _mm512_set1_epi32((int32_t)noise_shift)));
}

/* Two of t's 16-bit parts in the two halves of every lane. */
EGG_INLINE __m512i two_words(int32_t low, int32_t high)
{
    return _mm512_set1_epi32((int32_t)(((uint32_t)low & 0xFFFF) | (uint32_t)high << 16));
}

/*
 * SPLIT_PAIRS. With t = 256 q + p, 0 <= p < 256:  sum t*a = sum (256 a) * q + (sum (256 a) * p) >> 8,  each a vpdpwssd
 * over two components; the second sum stays below 2^31 up to 2^31 / (256 * 127 * 255) = 259 components, and q fits.
 */
EGG_INLINE void add_split_pairs(tile_row *row, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const int8_t *A = block->A[r] + o;
    const int32_t *t = (const int32_t *)args->t + (size_t)(block->first + r) * args->rank;
    tile_row q_sum, p_sum;
    row_start(&q_sum, 0);
    row_start(&p_sum, 0);
    for (uint32_t k = 0; k < args->rank; k += 2, A += (size_t)2 * args->out) {
        int paired = k + 1 < args->rank;
        int32_t t0 = t[k], t1 = paired ? t[k + 1] : 0;
        __m512i a = _mm512_loadu_si512(A), b = paired ? _mm512_loadu_si512(A + args->out) : a;
        __m512i q = two_words(t0 >> 8, t1 >> 8), p = two_words(t0 & 255, t1 & 255);
        factor_words w = factor_words_make(a, b);
        q_sum.c0 = _mm512_dpwssd_epi32(q_sum.c0, w.v0, q);
        q_sum.c1 = _mm512_dpwssd_epi32(q_sum.c1, w.v1, q);
        q_sum.c2 = _mm512_dpwssd_epi32(q_sum.c2, w.v2, q);
        q_sum.c3 = _mm512_dpwssd_epi32(q_sum.c3, w.v3, q);
        p_sum.c0 = _mm512_dpwssd_epi32(p_sum.c0, w.v0, p);
        p_sum.c1 = _mm512_dpwssd_epi32(p_sum.c1, w.v1, p);
        p_sum.c2 = _mm512_dpwssd_epi32(p_sum.c2, w.v2, p);
        p_sum.c3 = _mm512_dpwssd_epi32(p_sum.c3, w.v3, p);
    }
    uint32_t n = args->noise_shift;
    row->c0 = shifted_sum(row->c0, _mm512_add_epi32(q_sum.c0, _mm512_srai_epi32(p_sum.c0, 8)), n);
    row->c1 = shifted_sum(row->c1, _mm512_add_epi32(q_sum.c1, _mm512_srai_epi32(p_sum.c1, 8)), n);
    row->c2 = shifted_sum(row->c2, _mm512_add_epi32(q_sum.c2, _mm512_srai_epi32(p_sum.c2, 8)), n);
    row->c3 = shifted_sum(row->c3, _mm512_add_epi32(q_sum.c3, _mm512_srai_epi32(p_sum.c3, 8)), n);
}

EGG_INLINE void add_whole(tile_row *row, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const int8_t *A = block->A[r] + o;
    const int32_t *t = (const int32_t *)args->t + (size_t)(block->first + r) * args->rank;
    tile_row sum;
    row_start(&sum, 0);
    for (uint32_t k = 0; k < args->rank; k++, A += args->out) {
        __m512i a = _mm512_loadu_si512(A), tk = _mm512_set1_epi32(t[k]);
        factor_words w = factor_words_make(a, a);
        sum.c0 = _mm512_add_epi32(sum.c0, _mm512_mullo_epi32(_mm512_srai_epi32(w.v0, 24), tk));
        sum.c1 = _mm512_add_epi32(sum.c1, _mm512_mullo_epi32(_mm512_srai_epi32(w.v1, 24), tk));
        sum.c2 = _mm512_add_epi32(sum.c2, _mm512_mullo_epi32(_mm512_srai_epi32(w.v2, 24), tk));
        sum.c3 = _mm512_add_epi32(sum.c3, _mm512_mullo_epi32(_mm512_srai_epi32(w.v3, 24), tk));
    }
    uint32_t n = args->noise_shift;
    row->c0 = shifted_sum(row->c0, sum.c0, n);
    row->c1 = shifted_sum(row->c1, sum.c1, n);
    row->c2 = shifted_sum(row->c2, sum.c2, n);
    row->c3 = shifted_sum(row->c3, sum.c3, n);
}

/* Shift, clip, 64 bytes in order: see packed_bytes. */
EGG_INLINE void row_store_wide(const tile_row *row, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const __m512i shift = _mm512_set1_epi32((int32_t)args->shift);
    __m512i low = _mm512_packs_epi32(_mm512_srav_epi32(row->c0, shift), _mm512_srav_epi32(row->c1, shift));
    __m512i high = _mm512_packs_epi32(_mm512_srav_epi32(row->c2, shift), _mm512_srav_epi32(row->c3, shift));
    _mm512_storeu_si512((int8_t *)args->Y + (block->first + r) * args->y_stride + o, pack_i8(low, high));
}

EGG_INLINE void row_finish_narrow(tile_row *row, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    __m512i noise = _mm512_setzero_si512(), sum = row->c0;
    for (uint32_t k = 0; args->A && k < args->rank; k++) {
        __m512i a = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(block->A[r] + (size_t)k * args->out + o)));
        int32_t t = ((const int32_t *)args->t)[(size_t)(block->first + r) * args->rank + k];
        noise = _mm512_add_epi32(noise, _mm512_mullo_epi32(a, _mm512_set1_epi32(t)));
    }
    sum = shifted_sum(sum, noise, args->noise_shift);
    sum = _mm512_srav_epi32(sum, _mm512_set1_epi32((int32_t)args->shift));
    sum = _mm512_max_epi32(sum, _mm512_set1_epi32(-127));
    _mm_storeu_si128((__m128i *)((int8_t *)args->Y + (block->first + r) * args->y_stride + o),
                     _mm512_cvtsepi32_epi8(sum));
}

/* Rows r and, unless it is NULL, r + 1; r is even, so that both belong to one pair: see shrink. */
EGG_INLINE void rows_finish(tile_row *row, tile_row *next, const row_block *block, uint32_t r, uint32_t o,
                            uint32_t width)
{
    if (width == NARROW) {
        row_finish_narrow(row, block, r, o);
        if (next) row_finish_narrow(next, block, r + 1, o);
        return;
    }
    if (block->term == SPLIT_ONE) {
        __m512i a = _mm512_loadu_si512(block->A[r] + o);
        factor_words words = factor_words_make(a, a);
        add_split_one(row, block, r, words);
        if (next) add_split_one(next, block, r + 1, words);
    } else if (block->term == SPLIT_PAIRS) {
        add_split_pairs(row, block, r, o);
        if (next) add_split_pairs(next, block, r + 1, o);
    } else if (block->term == WHOLE) {
        add_whole(row, block, r, o);
        if (next) add_whole(next, block, r + 1, o);
    }
    row_store_wide(row, block, r, o);
    if (next) row_store_wide(next, block, r + 1, o);
}

/* The factors are read here and there, one line of 64 outputs of each row; the sum's loop hides the way to them. */
EGG_INLINE void prefetch_factors(const row_block *block, uint32_t r, uint32_t rows, uint32_t o)
{
    const size_t out = block->args->out;
    for (uint32_t j = 0; j < rows; j += 2)
        for (uint32_t k = 0; k < block->args->rank; k++)
            _mm_prefetch((const char *)block->A[r + j] + k * out + o, _MM_HINT_T0);
}

/* Rows r ... r + rows - 1 of the block, outputs o ... o + width - 1. */
EGG_INLINE void linear_tile(const linear_block *linear, uint32_t r, uint32_t rows, uint32_t o, uint32_t width)
{
    const row_block *block = &linear->rows;
    const egg_linear_args *args = block->args;
    const uint8_t *panel = (const uint8_t *)args->W + (size_t)o * args->in;
    const int8_t *x = (const int8_t *)args->X + (block->first + r) * args->x_stride;
    tile t;
    if (args->A) prefetch_factors(block, r, rows, o);
    tile_start(&t, linear->start + r, rows);
    tile_multiply(&t, rows, width, panel, x, args->x_stride, 4, args->in / 4);
    rows_finish(&t.row0, rows > 1 ? &t.row1 : NULL, block, r, o, width);
    if (rows > 2) rows_finish(&t.row2, rows > 3 ? &t.row3 : NULL, block, r + 2, o, width);
    if (rows > 4) rows_finish(&t.row4, rows > 5 ? &t.row5 : NULL, block, r + 4, o, width);
}

/* One panel for all rows of the block: the panel stays in the L1 or L2 cache while the rows pass. */
EGG_INLINE void linear_panel(const linear_block *block, uint32_t o, uint32_t width)
{
    const uint32_t rows = block->rows.rows;
    uint32_t r = 0;
    for (; r + 6 <= rows; r += 6) linear_tile(block, r, 6, o, width);
    if (r + 4 <= rows) linear_tile(block, r, 4, o, width), r += 4;
    if (r + 2 <= rows) linear_tile(block, r, 2, o, width), r += 2;
    if (r < rows) linear_tile(block, r, 1, o, width);
}

static void linear_i8_avx512vnni(const egg_linear_args *args)
{
    const uint32_t size = row_block_size(args, TILE_ROWS);
    linear_block block;
    for (uint32_t first = 0; first < args->rows; first += size) {
        row_block_prepare(&block.rows, args, first, args->rows - first < size ? args->rows - first : size);
        block_starts(&block.rows, block.start);
        uint32_t o = 0;
        for (; o + WIDE <= args->out; o += WIDE) linear_panel(&block, o, WIDE);
        for (; o < args->out; o += NARROW) linear_panel(&block, o, NARROW);
    }
}

void egg_avx512vnni_product(egg_kernels *kernels)
{
    kernels->packed_bytes_i8 = packed_bytes_i8_avx512vnni;
    kernels->pack_i8 = pack_i8_avx512vnni;
    kernels->shrink_i8 = shrink_i8_avx512vnni;
    kernels->linear_i8 = linear_i8_avx512vnni;
}
