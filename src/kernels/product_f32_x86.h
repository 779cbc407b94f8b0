/* SPDX-License-Identifier: MIT */
/*
 * Template of the float32 products: packing of the weights, shrink, linear and dense for the forward pass, outer for the
 * update. A level's level.h comes first: vectors, ISA(), and the shape of its tile.
 */
#include "kernels/tile_f32_x86.h"

/* ------------------------------------------------------------------------------------------------------- weights */

/* Packed weights are panels of 16 outputs, [out/16][in][16]. */
static size_t ISA(packed_bytes_f32)(uint32_t out, uint32_t in)
{
    return (size_t)out * in * sizeof(float);
}

static void ISA(pack_f32)(const void *weights, uint32_t out, uint32_t in, void *packed)
{
    const float *W = weights;
    float *to = packed;
    for (uint32_t o = 0; o < out; o += PANEL, W += (size_t)PANEL * in)
        for (uint32_t first = 0; first < in; first += 16, to += 16 * PANEL)
            for (uint32_t j = 0; j < PANEL; j++)
                for (uint32_t i = 0; i < 16; i++) to[i * PANEL + j] = W[(size_t)j * in + first + i];
}

/* -------------------------------------------------------------------------------------------------- dot products */

/* A dot product is a chain of fused multiply-adds for each of 16 lanes, and then always the same tree of their sums. */
typedef struct dot_sums {
    vec_f32 v0, v1;   /* v1 where 16 lanes take two vectors */
} dot_sums;

EGG_INLINE void dot_zero(dot_sums *s)
{
    s->v0 = s->v1 = splat_f32(0);
}

EGG_INLINE void dot_add(dot_sums *s, const dot_sums *x, const float *y)
{
    multiply_add_f32(&s->v0, x->v0, load_f32(y));
    if (PANEL_VECTORS > 1) multiply_add_f32(&s->v1, x->v1, load_f32(y + F32_LANES));
}

EGG_INLINE dot_sums dot_load(const float *x)
{
    return (dot_sums){load_f32(x), PANEL_VECTORS > 1 ? load_f32(x + F32_LANES) : splat_f32(0)};
}

EGG_INLINE vec_f32 dot_fold(const dot_sums *s)
{
    vec_f32 sum = s->v0;
    if (PANEL_VECTORS > 1) sum += s->v1;
    return sum;
}

EGG_INLINE __m128 dots_finish(const dot_sums *a, const dot_sums *b, const dot_sums *c, const dot_sums *d)
{
    return sum_lanes4_f32(dot_fold(a), dot_fold(b), dot_fold(c), dot_fold(d));
}

/* -------------------------------------------------------------------------------------------------------- shrink */

/* The products of all rows and components, numbered as t has them: product = row * rank + component. */
typedef struct shrink_cursor {
    const egg_shrink_args *args;
    uint32_t row, component;
} shrink_cursor;

typedef struct shrink_product {
    const float *x, *B;
    float factor;
} shrink_product;

/* The product at the cursor, which moves on and stays at the last one. */
EGG_INLINE shrink_product shrink_next(shrink_cursor *at)
{
    const egg_shrink_args *args = at->args;
    const uint32_t m = egg_row_member(args->member, at->row, args->steps);
    const shrink_product product = {
        (const float *)args->X + at->row * args->x_stride,
        (const float *)args->B + ((size_t)(m / 2) * args->rank + at->component) * args->in,
        m % 2 ? -args->c : args->c,
    };
    if (at->component + 1 < args->rank) at->component++;
    else if (at->row + 1 < args->rows) at->component = 0, at->row++;
    return product;
}

static void ISA(shrink_f32)(const egg_shrink_args *args)
{
    shrink_cursor at = {args, 0, 0};
    float *t = args->t;
    const size_t count = (size_t)args->rows * args->rank;
    for (size_t first = 0; first < count; first += 4, t += 4) {
        shrink_product p0 = shrink_next(&at), p1 = shrink_next(&at), p2 = shrink_next(&at), p3 = shrink_next(&at);
        dot_sums s0, s1, s2, s3;
        dot_zero(&s0), dot_zero(&s1), dot_zero(&s2), dot_zero(&s3);
        for (uint32_t i = 0; i < args->in; i += PANEL) {
            dot_sums x0 = dot_load(p0.x + i), x1 = dot_load(p1.x + i);
            dot_sums x2 = dot_load(p2.x + i), x3 = dot_load(p3.x + i);
            dot_add(&s0, &x0, p0.B + i);
            dot_add(&s1, &x1, p1.B + i);
            dot_add(&s2, &x2, p2.B + i);
            dot_add(&s3, &x3, p3.B + i);
        }
        __m128 dots = _mm_mul_ps(dots_finish(&s0, &s1, &s2, &s3),
                                 _mm_setr_ps(p0.factor, p1.factor, p2.factor, p3.factor));
        if (count - first >= 4) _mm_storeu_ps(t, dots);
        else for (size_t j = 0; j < count - first; j++, dots = _mm_shuffle_ps(dots, dots, 0x39)) _mm_store_ss(t + j, dots);
    }
}

/* -------------------------------------------------------------------------------------------------------- linear */

/*
 * Rows go in blocks and inputs in depths, so that a depth of a tile's panels stays in the L1 cache while the rows of a
 * block pass, and a depth of the block's X in the L2 cache.
 */
enum { BLOCK_ROWS = 192, DEPTH = 256 };

typedef struct linear_block {
    const egg_linear_args *args;
    uint32_t first, rows;
    const float *A[BLOCK_ROWS], *bias[BLOCK_ROWS];
} linear_block;

static void linear_block_prepare(linear_block *block, const egg_linear_args *args, uint32_t first, uint32_t rows)
{
    const size_t pair_stride = (size_t)args->rank * args->out;
    uint32_t member = first / args->steps, step = first % args->steps;
    block->args = args;
    block->first = first;
    block->rows = rows;
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t m = args->member ? args->member[first + r] : member;
        if (args->A) block->A[r] = (const float *)args->A + m / 2 * pair_stride;
        if (args->bias) block->bias[r] = args->bias + m * args->bias_stride;
        if (++step == args->steps) step = 0, member++;
    }
}

EGG_INLINE void row_finish(tile_row *row, uint32_t vectors, const linear_block *block, uint32_t r, uint32_t o)
{
    const egg_linear_args *args = block->args;
    if (args->A) {
        const float *A = block->A[r] + o, *t = (const float *)args->t + (size_t)(block->first + r) * args->rank;
        for (uint32_t k = 0; k < args->rank; k++, A += args->out) {
            tile_row columns;
            row_load(&columns, vectors, A);
            row_multiply_add(row, vectors, &columns, t[k]);
        }
    }
    if (args->bias) row_add(row, vectors, block->bias[r] + o);
}

/* Rows r ... of the block, outputs o ..., inputs k ... k + depth - 1; where not the first inputs, Y has the sums so far. */
EGG_INLINE void linear_tile(const linear_block *block, uint32_t r, uint32_t rows, uint32_t o, uint32_t panels,
                            uint32_t k, uint32_t depth)
{
    const egg_linear_args *args = block->args;
    const uint32_t vectors = panels * PANEL_VECTORS;
    const float *W = (const float *)args->W + (size_t)o * args->in + (size_t)k * PANEL;
    const float *X = (const float *)args->X + (block->first + r) * args->x_stride + k;
    float *Y = (float *)args->Y + (block->first + r) * args->y_stride + o;
    tile t;
#define BEGIN(j)                                                                                                       \
    do {                                                                                                               \
        if (k) row_load(&t.row##j, vectors, Y + (j) * args->y_stride);                                                   \
        else row_zero(&t.row##j, vectors);                                                                               \
    } while (0)
#define FINISH(j) row_finish(&t.row##j, vectors, block, r + (j), o)
#define STORE(j) row_store(&t.row##j, vectors, Y + (j) * args->y_stride)
    EACH(rows, BEGIN);
    tile_multiply(&t, rows, panels, X, args->x_stride, 1, W, (size_t)args->in * PANEL, depth);
    if (k + depth == args->in) EACH(rows, FINISH);
    EACH(rows, STORE);
#undef BEGIN
#undef FINISH
#undef STORE
}

/* All rows of the block and all inputs of some panels, in tiles of at most 'most' rows. */
EGG_INLINE void linear_panels(const linear_block *block, uint32_t o, uint32_t panels, uint32_t most)
{
    const uint32_t in = block->args->in;
    for (uint32_t k = 0; k < in; k += DEPTH) {
        const uint32_t depth = in - k < DEPTH ? in - k : DEPTH;
        for (uint32_t r = 0, rows; r < block->rows; r += rows) {
            rows = tile_height(block->rows - r, most);
#define CASE(n) if ((n) <= most && rows == (n)) linear_tile(block, r, n, o, panels, k, depth)
            CASE(1);
            CASE(2);
            CASE(3);
            CASE(4);
            CASE(5);
            CASE(6);
            CASE(7);
            CASE(8);
#undef CASE
        }
    }
}

/* A single row or two take more panels at a time: a chain's next step waits for its last, and few chains would idle. */
static void linear_block_run(const linear_block *block)
{
    const uint32_t out = block->args->out;
    uint32_t o = 0;
    if (block->rows == 1)
        for (; o + ONE_ROW_PANELS * PANEL <= out; o += ONE_ROW_PANELS * PANEL) linear_panels(block, o, ONE_ROW_PANELS, 1);
    if (TWO_ROW_PANELS > TILE_PANELS && block->rows <= 2)
        for (; o + TWO_ROW_PANELS * PANEL <= out; o += TWO_ROW_PANELS * PANEL) linear_panels(block, o, TWO_ROW_PANELS, 2);
    for (; o + TILE_PANELS * PANEL <= out; o += TILE_PANELS * PANEL) linear_panels(block, o, TILE_PANELS, TILE_ROWS);
    if (TILE_PANELS == 1) return;
    if (out - o == 3 * PANEL) linear_panels(block, o, 3, TILE_MAX_ROWS);
    if (out - o == 2 * PANEL) linear_panels(block, o, 2, TILE_MAX_ROWS);
    if (out - o == 1 * PANEL) linear_panels(block, o, 1, TILE_MAX_ROWS);
}

static void ISA(linear_f32)(const egg_linear_args *args)
{
    linear_block block;
    for (uint32_t first = 0; first < args->rows; first += BLOCK_ROWS) {
        linear_block_prepare(&block, args, first, args->rows - first < BLOCK_ROWS ? args->rows - first : BLOCK_ROWS);
        linear_block_run(&block);
    }
}

/* --------------------------------------------------------------------------------------------------------- outer */

/* So many samples' columns of a tile fit the L1 cache, packed, on the stack. */
enum { OUTER_DEPTH = 128, OUTER_PANELS = TILE_PANELS };

EGG_INLINE void outer_tile(const egg_outer_f32_args *args, const float *A, uint32_t rows, const float *packed,
                           uint32_t panels, uint32_t depth, float *Z)
{
    const uint32_t vectors = panels * PANEL_VECTORS;
    tile t;
#define LOAD(j) row_load(&t.row##j, vectors, Z + (j) * (size_t)args->n)
#define STORE(j) row_store(&t.row##j, vectors, Z + (j) * (size_t)args->n)
    EACH(rows, LOAD);
    tile_multiply(&t, rows, panels, A, 1, args->m, packed, OUTER_DEPTH * PANEL, depth);
    EACH(rows, STORE);
#undef LOAD
#undef STORE
}

/* Adds samples q ... q + depth - 1 to some panels of columns, all rows. */
EGG_INLINE void outer_panels(const egg_outer_f32_args *args, uint32_t q, uint32_t depth, uint32_t j, uint32_t panels,
                             uint32_t most)
{
    EGG_ALIGNED(64) float packed[OUTER_PANELS * OUTER_DEPTH * PANEL];
    const float *B = args->B + (size_t)q * args->n + j;
    for (uint32_t d = 0; d < depth; d++, B += args->n)
        for (uint32_t v = 0; v < panels * PANEL_VECTORS; v++)
            store_f32(packed + v / PANEL_VECTORS * OUTER_DEPTH * PANEL + d * PANEL + v % PANEL_VECTORS * F32_LANES,
                      load_f32(B + v * F32_LANES));
    for (uint32_t i = 0, rows; i < args->m; i += rows) {
        const float *A = args->A + (size_t)q * args->m + i;
        float *Z = args->Z + (size_t)i * args->n + j;
        rows = tile_height(args->m - i, most);
#define CASE(n_) if ((n_) <= most && rows == (n_)) outer_tile(args, A, n_, packed, panels, depth, Z)
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
#undef CASE
    }
}

static void ISA(outer_f32)(const egg_outer_f32_args *args)
{
    const uint32_t n = args->n;
    for (uint32_t q = 0, j; q < args->count; q += OUTER_DEPTH) {
        const uint32_t depth = args->count - q < OUTER_DEPTH ? args->count - q : OUTER_DEPTH;
        for (j = 0; j + TILE_PANELS * PANEL <= n; j += TILE_PANELS * PANEL)
            outer_panels(args, q, depth, j, TILE_PANELS, TILE_ROWS);
        if (TILE_PANELS == 1) continue;
        if (n - j == 3 * PANEL) outer_panels(args, q, depth, j, 3, TILE_MAX_ROWS);
        if (n - j == 2 * PANEL) outer_panels(args, q, depth, j, 2, TILE_MAX_ROWS);
        if (n - j == 1 * PANEL) outer_panels(args, q, depth, j, 1, TILE_MAX_ROWS);
    }
}
