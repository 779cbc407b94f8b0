/* SPDX-License-Identifier: MIT */
/* The perturbed matrix product: packing of the weights, shrink, and linear, which leaves its registers as int8. */
#include <stdbool.h>
#include <string.h>

#include "kernels/avx2/level.h"
#include "kernels/row_block.h"

/* ------------------------------------------------------------------------------------------------------- weights */

/*
 * vpmaddubsw multiplies unsigned by signed bytes and adds two products in 16 bits; vpmaddwd with ones adds two such
 * sums in 32. Inputs are made unsigned on the way, x + 128, and every output's sum begins at -128 * sum W. Two products
 * fit 16 bits where two neighbouring weights satisfy 255 * (|w0| + |w1|) < 2^15: |w0| + |w1| <= 128. Where any of 16
 * outputs breaks that among four inputs (a quad), all of the quad's weights are halved, and the other halves follow in
 * a second list of quads, usually a short one: w = (w - w / 2) + w / 2, at most 64 + 63.
 */
enum { WIDTH = 16, QUAD = 4 * WIDTH, HEAVIEST_PAIR = 128 };

/* One panel of 16 outputs; quads are [16][4] bytes. After the header: quads[in/4], rest[rests], rest_at[rests]. */
typedef struct panel {
    EGG_ALIGNED(64) int32_t start[WIDTH];
    EGG_ALIGNED(64) uint32_t rests;
} panel;

static size_t panel_bytes(uint32_t in)
{
    size_t indices = ((size_t)in / 4 * sizeof(uint32_t) + 63) / 64 * 64;
    return sizeof(panel) + 2 * (size_t)in / 4 * QUAD + indices;
}

EGG_INLINE int8_t *panel_quads(const panel *p)
{
    return (int8_t *)(p + 1);
}

EGG_INLINE int8_t *panel_rest(const panel *p, uint32_t in)
{
    return panel_quads(p) + (size_t)in / 4 * QUAD;
}

EGG_INLINE uint32_t *panel_rest_at(const panel *p, uint32_t in)
{
    return (uint32_t *)(void *)(panel_rest(p, in) + (size_t)in / 4 * QUAD);
}

static size_t packed_bytes_i8_avx2(uint32_t out, uint32_t in)
{
    return out / WIDTH * panel_bytes(in);
}

EGG_INLINE bool too_heavy(__m256i w)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), _mm256_abs_epi8(w));
    return _mm256_movemask_epi8(_mm256_cmpgt_epi16(pairs, _mm256_set1_epi16(HEAVIEST_PAIR)));
}

/* w / 2 toward zero */
EGG_INLINE __m256i half(__m256i w)
{
    __m256i magnitude = _mm256_and_si256(_mm256_srli_epi16(_mm256_abs_epi8(w), 1), _mm256_set1_epi8(63));
    return _mm256_sign_epi8(magnitude, w);
}

static void pack_panel(const int8_t *W, uint32_t in, panel *p)
{
    const __m256i length = _mm256_set1_epi32((int32_t)in);
    const __m256i outputs = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), length);
    __m256i *quad = (__m256i *)panel_quads(p), *rest = (__m256i *)panel_rest(p, in);
    uint32_t *rest_at = panel_rest_at(p, in);
    __m256i low_sum = _mm256_setzero_si256(), high_sum = low_sum;
    p->rests = 0;
    for (uint32_t i = 0; i < in; i += 4, quad += 2) {
        __m256i low = _mm256_i32gather_epi32((const int *)(const void *)(W + i), outputs, 1);
        __m256i high = _mm256_i32gather_epi32((const int *)(const void *)(W + 8 * (size_t)in + i), outputs, 1);
        const __m256i ones = _mm256_set1_epi8(1), one_words = _mm256_set1_epi16(1);
        low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(_mm256_maddubs_epi16(ones, low), one_words));
        high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(_mm256_maddubs_epi16(ones, high), one_words));
        if (too_heavy(low) || too_heavy(high)) {
            _mm256_store_si256(rest++, half(low));
            _mm256_store_si256(rest++, half(high));
            low = _mm256_sub_epi8(low, half(low));
            high = _mm256_sub_epi8(high, half(high));
            rest_at[p->rests++] = i;
        }
        _mm256_store_si256(quad, low);
        _mm256_store_si256(quad + 1, high);
    }
    const __m256i zero = _mm256_setzero_si256();
    _mm256_store_si256((__m256i *)p->start, _mm256_sub_epi32(zero, _mm256_slli_epi32(low_sum, 7)));
    _mm256_store_si256((__m256i *)(p->start + 8), _mm256_sub_epi32(zero, _mm256_slli_epi32(high_sum, 7)));
}

static void pack_i8_avx2(const void *W, uint32_t out, uint32_t in, void *packed)
{
    for (uint32_t o = 0; o < out; o += WIDTH)
        pack_panel((const int8_t *)W + (size_t)o * in, in, (panel *)((char *)packed + o / WIDTH * panel_bytes(in)));
}

/* -------------------------------------------------------------------------------------------------------- shrink */

/* |x| * (sign(x) * B) is x * B with an unsigned operand; two of these fit 16 bits. */
EGG_INLINE __m256i shrink_add(__m256i sum, const int8_t *x, __m256i B, size_t count)
{
    __m256i v = load_part(x, count);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(B, v));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Four products of rows, the first two with B[0] and the others with B[1]. */
EGG_INLINE __m128i shrink_dots(const int8_t *const x[4], const int8_t *const B[2], size_t in)
{
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < in; i += 32) {
        __m256i b0 = load_part(B[0] + i, in - i), b1 = load_part(B[1] + i, in - i);
        s0 = shrink_add(s0, x[0] + i, b0, in - i);
        s1 = shrink_add(s1, x[1] + i, b0, in - i);
        s2 = shrink_add(s2, x[2] + i, b1, in - i);
        s3 = shrink_add(s3, x[3] + i, b1, in - i);
    }
    __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(s0, s1), _mm256_hadd_epi32(s2, s3));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* Rows 2j and 2j + 1 always belong to one pair, whatever 'steps' is: four rows at a time need two Bs at most. */
static void shrink_i8_avx2(const egg_shrink_args *args)
{
    const int8_t *X = args->X, *const all_B = args->B;
    const size_t stride = args->x_stride, pair_stride = (size_t)args->rank * args->in;
    int32_t *t = args->t;
    uint32_t member = 0, step = 0;
    for (uint32_t row = 0; row < args->rows; row += 4, X += 4 * stride) {
        const uint32_t left = args->rows - row;   /* the first rows stand in for those beyond the last */
        const int8_t *x[4] = {X, X + (left > 1) * stride, X + (left > 2) * 2 * stride, X + (left > 3) * 3 * stride};
        const int8_t *B[2] = {all_B + member / 2 * pair_stride};
        int64_t factor[4];
        for (uint32_t r = 0; r < 4; r++) {
            if (r == 2) B[1] = left > 2 ? all_B + member / 2 * pair_stride : B[0];
            factor[r] = member % 2 ? -args->scale : args->scale;
            if (++step == args->steps) step = 0, member++;
        }
        for (uint32_t k = 0; k < args->rank; k++, B[0] += args->in, B[1] += args->in) {
            int32_t sums[4];
            _mm_storeu_si128((__m128i *)sums, shrink_dots(x, B, args->in));
            for (uint32_t r = 0; r < 4 && r < left; r++)
                t[(size_t)(row + r) * args->rank + k] = (int32_t)((factor[r] * sums[r]) >> 8);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------- linear */

/*
 * The register tile: up to 4 rows x 16 outputs in 8 of the 16 registers; two more hold the weights, two a row's
 * inputs and a product, two constants.
 */
enum { TILE_ROWS = 4 };

typedef struct tile_row {
    __m256i low, high;   /* outputs 0...7 and 8...15 */
} tile_row;

typedef struct tile {
    tile_row row0, row1, row2, row3;
} tile;

EGG_INLINE void row_multiply(tile_row *row, const int8_t *x, __m256i w_low, __m256i w_high)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    __m256i v = _mm256_xor_si256(_mm256_set1_epi32(four), _mm256_set1_epi8(-128));
    multiply_add(&row->low, v, w_low);
    multiply_add(&row->high, v, w_high);
}

EGG_INLINE void quad_multiply(tile *t, uint32_t rows, const int8_t *quad, const int8_t *X, size_t stride)
{
    __m256i low = _mm256_load_si256((const __m256i *)quad), high = _mm256_load_si256((const __m256i *)(quad + 32));
    row_multiply(&t->row0, X, low, high);
    if (rows > 1) row_multiply(&t->row1, X + stride, low, high);
    if (rows > 2) row_multiply(&t->row2, X + 2 * stride, low, high);
    if (rows > 3) row_multiply(&t->row3, X + 3 * stride, low, high);
}

EGG_INLINE tile tile_multiply(uint32_t rows, const panel *p, const int8_t *X, size_t stride, uint32_t in)
{
    const __m256i *start = (const __m256i *)p->start;
    const tile_row first = {_mm256_load_si256(start), _mm256_load_si256(start + 1)};
    tile t = {first, first, first, first};
    const int8_t *quad = panel_quads(p);
    for (uint32_t i = 0; i < in; i += 4, quad += QUAD) quad_multiply(&t, rows, quad, X + i, stride);
    const uint32_t *rest_at = panel_rest_at(p, in);   /* the rests follow the quads */
    for (uint32_t j = 0; j < p->rests; j++, quad += QUAD) quad_multiply(&t, rows, quad, X + rest_at[j], stride);
    return t;
}

/* The bytes (0, a, 0, a) in every lane, for the 16 factors at A. */
EGG_INLINE tile_row factor_words(const int8_t *A)
{
    const __m256i bytes = _mm256_setr_epi32(0x00800080, 0x01800180, 0x02800280, 0x03800380, 0x04800480, 0x05800580,
                                            0x06800680, 0x07800780);
    const __m256i eight = _mm256_set1_epi32(0x08000800);
    __m256i a = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)A));
    return (tile_row){_mm256_shuffle_epi8(a, bytes), _mm256_shuffle_epi8(a, _mm256_or_si256(bytes, eight))};
}

EGG_INLINE void add_split_one(tile_row *row, const row_block *block, uint32_t r, tile_row words)
{
    __m256i p = _mm256_set1_epi32(block->remainder[r]), q = _mm256_set1_epi32(block->quotient[r]);
    row->low = _mm256_add_epi32(row->low, _mm256_madd_epi16(_mm256_mulhi_epi16(words.low, p), q));
    row->high = _mm256_add_epi32(row->high, _mm256_madd_epi16(_mm256_mulhi_epi16(words.high, p), q));
}

EGG_INLINE void add_whole(tile_row *row, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const int8_t *A = block->A[r] + o;
    const int32_t *t = (const int32_t *)args->t + (size_t)(block->first + r) * args->rank;
    const __m128i noise_shift = _mm_cvtsi32_si128((int)args->noise_shift);
    __m256i low = _mm256_setzero_si256(), high = low;
    for (uint32_t k = 0; k < args->rank; k++, A += args->out) {
        __m128i a = _mm_loadu_si128((const __m128i *)A);
        __m256i tk = _mm256_set1_epi32(t[k]);
        low = _mm256_add_epi32(low, _mm256_mullo_epi32(_mm256_cvtepi8_epi32(a), tk));
        high = _mm256_add_epi32(high, _mm256_mullo_epi32(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(a, a)), tk));
    }
    row->low = _mm256_add_epi32(row->low, _mm256_sra_epi32(low, noise_shift));
    row->high = _mm256_add_epi32(row->high, _mm256_sra_epi32(high, noise_shift));
}

/* Shift, clip and store two rows, or one given twice. */
EGG_INLINE void rows_store(const tile_row *row, const tile_row *next, const row_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const __m128i shift = _mm_cvtsi32_si128((int)args->shift);
    int8_t *y = (int8_t *)args->Y + (block->first + r) * args->y_stride + o;
    __m256i words = _mm256_packs_epi32(_mm256_sra_epi32(row->low, shift), _mm256_sra_epi32(row->high, shift));
    __m256i next_words = _mm256_packs_epi32(_mm256_sra_epi32(next->low, shift), _mm256_sra_epi32(next->high, shift));
    /* Dwords of four outputs each: row 0-3, 8-11, next 0-3, 8-11, row 4-7, 12-15, next 4-7, 12-15. */
    __m256i bytes = _mm256_permutevar8x32_epi32(pack_i8(words, next_words), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(bytes));
    if (next != row) _mm_storeu_si128((__m128i *)(y + args->y_stride), _mm256_extracti128_si256(bytes, 1));
}

/* Rows r and, unless it is the same, r + 1; r is even, so that both belong to one pair: see shrink. */
EGG_INLINE void rows_finish(tile_row *row, tile_row *next, const row_block *block, uint32_t r, uint32_t o)
{
    if (block->term == SPLIT_ONE) {
        tile_row words = factor_words(block->A[r] + o);
        add_split_one(row, block, r, words);
        if (next != row) add_split_one(next, block, r + 1, words);
    } else if (block->term != NO_TERM) {
        add_whole(row, block, r, o);
        if (next != row) add_whole(next, block, r + 1, o);
    }
    rows_store(row, next, block, r, o);
}

/* The factors are read here and there, 16 of each row at a time; the sum's loop hides the way to them. */
EGG_INLINE void prefetch_factors(const row_block *block, uint32_t r, uint32_t rows, uint32_t o)
{
    const size_t out = block->args->out;
    for (uint32_t j = 0; j < rows; j += 2)
        for (uint32_t k = 0; k < block->args->rank; k++)
            _mm_prefetch((const char *)block->A[r + j] + k * out + o, _MM_HINT_T0);
}

EGG_INLINE void linear_tile(const row_block *block, uint32_t r, uint32_t rows, uint32_t o)
{
    const egg_linear_args *args = block->args;
    const int8_t *x = (const int8_t *)args->X + (block->first + r) * args->x_stride;
    if (args->A) prefetch_factors(block, r, rows, o);
    const panel *p = (const panel *)((const char *)args->W + o / WIDTH * panel_bytes(args->in));
    tile t = tile_multiply(rows, p, x, args->x_stride, args->in);
    rows_finish(&t.row0, rows > 1 ? &t.row1 : &t.row0, block, r, o);
    if (rows > 2) rows_finish(&t.row2, &t.row3, block, r + 2, o);
}

static void linear_i8_avx2(const egg_linear_args *args)
{
    const uint32_t size = row_block_size(args, TILE_ROWS);
    row_block block;
    for (uint32_t first = 0; first < args->rows; first += size) {
        row_block_prepare(&block, args, first, args->rows - first < size ? args->rows - first : size);
        for (uint32_t o = 0; o < args->out; o += WIDTH) {   /* a panel stays in the L1 cache while the rows pass */
            uint32_t r = 0;
            for (; r + 4 <= block.rows; r += 4) linear_tile(&block, r, 4, o);
            if (r + 2 <= block.rows) linear_tile(&block, r, 2, o), r += 2;
            if (r < block.rows) linear_tile(&block, r, 1, o);
        }
    }
}

void egg_avx2_product(egg_kernels *kernels)
{
    kernels->packed_bytes_i8 = packed_bytes_i8_avx2;
    kernels->pack_i8 = pack_i8_avx2;
    kernels->shrink_i8 = shrink_i8_avx2;
    kernels->linear_i8 = linear_i8_avx2;
}
