/* SPDX-License-Identifier: MIT */
/*
 * Template of the float32 products: packing of the weights, shrink, linear and dense for the forward pass, outer for
 * the update. A level's level.h comes first: vectors, ISA(), and the shape of its tile.
 */
#include <stdbool.h>
#include <string.h>

#include "kernels/row_members.h"
#include "kernels/tile_f32.h"
#include "kernels/weights.h"

/* ------------------------------------------------------------------------------------------------------- weights */

/*
 * Packed weights are panels of 16 outputs, [out/16][in][16]. In q8 each panel begins with the 16 scales; 'in' is a
 * multiple of 16, so that all panels begin where a cache line does or in the middle of one.
 */
EGG_INLINE size_t scales_bytes(egg_storage storage)
{
    return storage == EGG_STORAGE_Q8 ? PANEL * sizeof(float) : 0;
}

EGG_INLINE size_t panel_bytes(egg_storage storage, uint32_t in)
{
    return scales_bytes(storage) + PANEL * value_bytes(storage) * in;
}

static size_t ISA(packed_bytes_f32)(uint32_t out, uint32_t in)
{
    return out / PANEL * panel_bytes(EGG_STORAGE_F32, in);
}

static size_t ISA(packed_bytes_bf16)(uint32_t out, uint32_t in)
{
    return out / PANEL * panel_bytes(EGG_STORAGE_BF16, in);
}

static size_t ISA(packed_bytes_q8)(uint32_t out, uint32_t in)
{
    return out / PANEL * panel_bytes(EGG_STORAGE_Q8, in);
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

static void ISA(pack_bf16)(const void *weights, uint32_t out, uint32_t in, void *packed)
{
    const float *W = weights;
    uint16_t *to = packed;
    for (uint32_t o = 0; o < out; o += PANEL, W += (size_t)PANEL * in)
        for (uint32_t first = 0; first < in; first += 16, to += 16 * PANEL)
            for (uint32_t j = 0; j < PANEL; j++)
                for (uint32_t i = 0; i < 16; i++) to[i * PANEL + j] = egg_bf16_of(W[(size_t)j * in + first + i]);
}

static void ISA(pack_q8)(const void *weights, uint32_t out, uint32_t in, void *packed)
{
    const float *W = weights;
    for (uint32_t o = 0; o < out; o += PANEL, W += (size_t)PANEL * in) {
        char *panel = (char *)packed + o / PANEL * panel_bytes(EGG_STORAGE_Q8, in);
        float *scale = (float *)panel;
        int8_t *to = (int8_t *)panel + scales_bytes(EGG_STORAGE_Q8);
        for (uint32_t j = 0; j < PANEL; j++) scale[j] = egg_q8_scale(W + (size_t)j * in, in);
        for (uint32_t first = 0; first < in; first += 16, to += 16 * PANEL)
            for (uint32_t j = 0; j < PANEL; j++)
                for (uint32_t i = 0; i < 16; i++)
                    to[i * PANEL + j] = egg_q8_of(W[(size_t)j * in + first + i], scale[j]);
    }
}

/* -------------------------------------------------------------------------------------------------- dot products */

/* A dot product is a chain of fused multiply-adds for each lane of a vector, and then always the same tree of sums. */
typedef struct four_dots {
    vec_f32 d0, d1, d2, d3;
} four_dots;

EGG_INLINE void four_dots_zero(four_dots *d)
{
    d->d0 = d->d1 = d->d2 = d->d3 = splat_f32(0);
}

EGG_INLINE four_f32 four_dots_finish(const four_dots *d)
{
    return sum_lanes4_f32(d->d0, d->d1, d->d2, d->d3);
}

/* -------------------------------------------------------------------------------------------------------- shrink */

/* The products of all rows and components, in the order of t. */
typedef struct shrink_cursor {
    const egg_shrink_args *args;
    row_members members;
    uint32_t row, component, member;
} shrink_cursor;

typedef struct shrink_product {
    const float *x, *B;
    float factor;
} shrink_product;

/* The product at the cursor, which moves on and stays at the last one. */
EGG_INLINE shrink_product shrink_next(shrink_cursor *at)
{
    const egg_shrink_args *args = at->args;
    const shrink_product product = {
        (const float *)args->X + at->row * args->x_stride,
        (const float *)args->B + ((size_t)(at->member / 2) * args->rank + at->component) * args->in,
        at->member % 2 ? -args->c : args->c,
    };
    if (at->component + 1 < args->rank) {
        at->component++;
    } else if (at->row + 1 < args->rows) {
        at->component = 0;
        at->row++;
        at->member = row_members_next(&at->members);
    }
    return product;
}

static void ISA(shrink_f32)(const egg_shrink_args *args)
{
    shrink_cursor at = {.args = args, .members = row_members_at(args->member, args->steps, 0)};
    float *t = args->t;
    const size_t count = (size_t)args->rows * args->rank;
    if (count) at.member = row_members_next(&at.members);
    for (size_t first = 0; first < count; first += 4, t += 4) {
        shrink_product p0 = shrink_next(&at), p1 = shrink_next(&at), p2 = shrink_next(&at), p3 = shrink_next(&at);
        four_dots s;
        four_dots_zero(&s);
        for (uint32_t i = 0; i < args->in; i += F32_LANES) {
            multiply_add_f32(&s.d0, load_f32(p0.x + i), load_f32(p0.B + i));
            multiply_add_f32(&s.d1, load_f32(p1.x + i), load_f32(p1.B + i));
            multiply_add_f32(&s.d2, load_f32(p2.x + i), load_f32(p2.B + i));
            multiply_add_f32(&s.d3, load_f32(p3.x + i), load_f32(p3.B + i));
        }
        four_f32 dots = four_dots_finish(&s) * (four_f32){p0.factor, p1.factor, p2.factor, p3.factor};
        if (count - first >= 4) {
            store_four(t, dots);
            continue;
        }
        float four[4];
        store_four(four, dots);
        memcpy(t, four, (count - first) * sizeof *t);
    }
}

/* --------------------------------------------------------------------------------------------------------- dense */

EGG_INLINE void dense_add(float *y, const four_dots *dots, float factor)
{
    store_four(y, load_four(y) + factor * four_dots_finish(dots));
}

/* Outputs o ... o + 3 of rows b and, if 'rows' is 2, b + 1, which have one pair. */
EGG_INLINE void dense_tile(const egg_dense_args *args, uint32_t b, const uint32_t member[2], uint32_t rows,
                           const float *E, uint32_t o)
{
    const float *x0 = args->X + b * args->x_stride, *x1 = x0 + (rows > 1) * args->x_stride;
    float *y = args->Y + b * args->y_stride + o;
    four_dots s0, s1;
    four_dots_zero(&s0);
    four_dots_zero(&s1);
    for (uint32_t i = 0; i < args->in; i += F32_LANES, E += F32_LANES) {
        vec_f32 e0 = load_f32(E), e1 = load_f32(E + args->in), e2 = load_f32(E + 2 * (size_t)args->in);
        vec_f32 e3 = load_f32(E + 3 * (size_t)args->in), v0 = load_f32(x0 + i), v1 = load_f32(x1 + i);
        multiply_add_f32(&s0.d0, v0, e0);
        multiply_add_f32(&s0.d1, v0, e1);
        multiply_add_f32(&s0.d2, v0, e2);
        multiply_add_f32(&s0.d3, v0, e3);
        if (rows == 1) continue;
        multiply_add_f32(&s1.d0, v1, e0);
        multiply_add_f32(&s1.d1, v1, e1);
        multiply_add_f32(&s1.d2, v1, e2);
        multiply_add_f32(&s1.d3, v1, e3);
    }
    dense_add(y, &s0, member[0] % 2 ? -args->c : args->c);
    if (rows > 1) dense_add(y + args->y_stride, &s1, member[1] % 2 ? -args->c : args->c);
}

/* 'rows' rows from b on, all of one pair: its noise passes once, four outputs at a time. */
static void dense_run(const egg_dense_args *args, uint32_t b, const uint32_t *member, uint32_t rows)
{
    const float *E = args->E + (size_t)(member[0] / 2) * args->out * args->in;
    for (uint32_t o = 0; o < args->out; o += 4, E += 4 * (size_t)args->in) {
        uint32_t r = 0;
        for (; r + 2 <= rows; r += 2) dense_tile(args, b + r, member + r, 2, E, o);
        if (r < rows) dense_tile(args, b + r, member + r, 1, E, o);
    }
}

static void ISA(dense_f32)(const egg_dense_args *args)
{
    enum { RUN_ROWS = 64 };   /* more rows of a pair than that come in several runs */
    row_members members = row_members_at(args->member, args->steps, 0);
    uint32_t run[RUN_ROWS], rows = 0;
    for (uint32_t b = 0; b < args->rows; b++) {
        run[rows++] = row_members_next(&members);
        const bool other = run[0] / 2 != run[rows - 1] / 2;
        if (!other && rows < RUN_ROWS) continue;
        dense_run(args, b + 1 - rows, run, rows - other);
        run[0] = run[rows - 1];
        rows = other;
    }
    if (rows) dense_run(args, args->rows - rows, run, rows);
}

/* -------------------------------------------------------------------------------------------------------- linear */

/*
 * Rows go in blocks and inputs in depths, so that a depth of a tile's panels stays in the L1 cache while the rows of a
 * block pass, and a depth of the block's X in the L2 cache.
 *
 * Weights in fewer bytes become floats as they are loaded. Where many tiles of rows pass, a depth of the panels is
 * expanded once for all of them. Both ways multiply the same values in the same order.
 */
enum { BLOCK_ROWS = 192, TILE_WIDTH = TILE_PANELS * PANEL, EXPAND_ROWS = 2 * TILE_ROWS };

typedef struct linear_block {
    const egg_linear_args *args;
    egg_storage storage;   /* of args->W */
    float *expanded;       /* (TILE_PANELS, DEPTH, 16) */
    uint32_t first, rows;
    const float *A[BLOCK_ROWS], *bias[BLOCK_ROWS];
} linear_block;

static void linear_block_prepare(linear_block *block, const egg_linear_args *args, uint32_t first, uint32_t rows)
{
    const size_t pair_stride = (size_t)args->rank * args->out;
    row_members members = row_members_at(args->member, args->steps, first);
    block->args = args;
    block->first = first;
    block->rows = rows;
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t m = row_members_next(&members);
        if (args->A) block->A[r] = (const float *)args->A + m / 2 * pair_stride;
        if (args->bias) block->bias[r] = args->bias + m * args->bias_stride;
    }
}

/* The panel of outputs o ... o + 15. */
EGG_INLINE const char *panel_at(const linear_block *block, uint32_t o)
{
    return (const char *)block->args->W + o / PANEL * panel_bytes(block->storage, block->args->in);
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

/* Multiplies sums in Y by the scales of their outputs, and finishes them. */
static void scale_panels(const linear_block *block, uint32_t o, uint32_t panels)
{
    const egg_linear_args *args = block->args;
    for (uint32_t p = 0; p < panels; p++, o += PANEL) {
        tile_row scales, row;
        row_load(&scales, PANEL_VECTORS, (const float *)panel_at(block, o));
        for (uint32_t r = 0; r < block->rows; r++) {
            float *y = (float *)args->Y + (block->first + r) * args->y_stride + o;
            row_load(&row, PANEL_VECTORS, y);
            row_multiply(&row, PANEL_VECTORS, &scales);
            row_finish(&row, PANEL_VECTORS, block, r, o);
            row_store(&row, PANEL_VECTORS, y);
        }
    }
}

/* Rows r ... of the block, outputs o ..., inputs k ... k + depth - 1; beyond the first, Y has the sums so far. */
EGG_INLINE void linear_tile(const linear_block *block, uint32_t r, uint32_t rows, uint32_t o, uint32_t panels,
                            tile_panels from, uint32_t k, uint32_t depth)
{
    const egg_linear_args *args = block->args;
    const uint32_t vectors = panels * PANEL_VECTORS;
    const float *X = (const float *)args->X + (block->first + r) * args->x_stride + k;
    float *Y = (float *)args->Y + (block->first + r) * args->y_stride + o;
    tile t;
#define BEGIN(j)                                                                                                       \
    do {                                                                                                               \
        if (k) row_load(&t.row##j, vectors, Y + (j) * args->y_stride);                                                 \
        else row_zero(&t.row##j, vectors);                                                                             \
    } while (0)
#define FINISH(j) row_finish(&t.row##j, vectors, block, r + (j), o)
#define STORE(j) row_store(&t.row##j, vectors, Y + (j) * args->y_stride)
    EACH(rows, BEGIN);
    tile_multiply(&t, rows, panels, X, args->x_stride, 1, from, depth);
    if (k + depth == args->in && block->storage != EGG_STORAGE_Q8) EACH(rows, FINISH);
    EACH(rows, STORE);
#undef BEGIN
#undef FINISH
#undef STORE
}

/* Inputs k ... k + depth - 1 of some panels as floats. */
static tile_panels expand_panels(const linear_block *block, uint32_t o, uint32_t panels, uint32_t k, uint32_t depth)
{
    const egg_storage storage = block->storage;
    const size_t bytes = value_bytes(storage), stride = panel_bytes(storage, block->args->in);
    const char *W = panel_at(block, o) + scales_bytes(storage) + k * PANEL * bytes;
    for (uint32_t p = 0; p < panels; p++, W += stride) {
        float *to = block->expanded + p * DEPTH * PANEL;
        if (storage == EGG_STORAGE_BF16)
            for (uint32_t i = 0; i < depth * PANEL; i += F32_LANES)
                store_f32(to + i, load_bf16((const uint16_t *)W + i));
        else
            for (uint32_t i = 0; i < depth * PANEL; i += F32_LANES) store_f32(to + i, load_q8((const int8_t *)W + i));
    }
    return (tile_panels){EGG_STORAGE_F32, block->expanded, DEPTH * PANEL * sizeof(float)};
}

/* All rows of the block and all inputs of some panels, in tiles of at most 'most' rows that load 'storage'. */
EGG_INLINE void linear_panels(const linear_block *block, uint32_t o, uint32_t panels, uint32_t most,
                              egg_storage storage)
{
    const uint32_t in = block->args->in;
    for (uint32_t k = 0; k < in; k += DEPTH) {
        const uint32_t depth = in - k < DEPTH ? in - k : DEPTH;
        tile_panels from = {storage, panel_at(block, o) + scales_bytes(storage) + k * PANEL * value_bytes(storage),
                            panel_bytes(storage, in)};
        if (storage != block->storage) from = expand_panels(block, o, panels, k, depth);
        from.storage = storage;   /* a constant */
        for (uint32_t r = 0, rows; r < block->rows; r += rows) {
            rows = tile_height(block->rows - r, most);
#define CASE(height)                                                                                                   \
    if ((height) <= most && rows == (height)) linear_tile(block, r, height, o, panels, from, k, depth)
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
    if (block->storage == EGG_STORAGE_Q8) scale_panels(block, o, panels);
}

/* A single row or two take more panels at a time: a chain's next step waits for its last, and few chains would idle. */
EGG_INLINE void linear_block_run(const linear_block *block, egg_storage storage)
{
    enum { ONE_ROW_WIDTH = ONE_ROW_PANELS * PANEL, TWO_ROW_WIDTH = TWO_ROW_PANELS * PANEL };
    const uint32_t out = block->args->out;
    uint32_t o = 0;
    if (block->rows == 1)
        for (; o + ONE_ROW_WIDTH <= out; o += ONE_ROW_WIDTH) linear_panels(block, o, ONE_ROW_PANELS, 1, storage);
    if (TWO_ROW_PANELS > TILE_PANELS && block->rows <= 2)
        for (; o + TWO_ROW_WIDTH <= out; o += TWO_ROW_WIDTH) linear_panels(block, o, TWO_ROW_PANELS, 2, storage);
    for (; o + TILE_WIDTH <= out; o += TILE_WIDTH) linear_panels(block, o, TILE_PANELS, TILE_ROWS, storage);
    if (TILE_PANELS == 1) return;
    if (out - o == 3 * PANEL) linear_panels(block, o, 3, TILE_MAX_ROWS, storage);
    if (out - o == 2 * PANEL) linear_panels(block, o, 2, TILE_MAX_ROWS, storage);
    if (out - o == 1 * PANEL) linear_panels(block, o, 1, TILE_MAX_ROWS, storage);
}

static void linear_block_f32(const linear_block *block)
{
    linear_block_run(block, EGG_STORAGE_F32);
}

static void linear_block_bf16(const linear_block *block)
{
    linear_block_run(block, EGG_STORAGE_BF16);
}

static void linear_block_q8(const linear_block *block)
{
    linear_block_run(block, EGG_STORAGE_Q8);
}

EGG_INLINE void linear_blocks(linear_block *block, const egg_linear_args *args, void (*few)(const linear_block *))
{
    for (uint32_t first = 0; first < args->rows; first += BLOCK_ROWS) {
        linear_block_prepare(block, args, first, args->rows - first < BLOCK_ROWS ? args->rows - first : BLOCK_ROWS);
        (block->rows <= EXPAND_ROWS ? few : linear_block_f32)(block);
    }
}

static void ISA(linear_f32)(const egg_linear_args *args)
{
    linear_block block = {.storage = EGG_STORAGE_F32};
    linear_blocks(&block, args, linear_block_f32);
}

static void ISA(linear_bf16)(const egg_linear_args *args)
{
    EGG_ALIGNED(64) float expanded[TILE_WIDTH * DEPTH];
    linear_block block = {.storage = EGG_STORAGE_BF16, .expanded = expanded};
    linear_blocks(&block, args, linear_block_bf16);
}

static void ISA(linear_q8)(const egg_linear_args *args)
{
    EGG_ALIGNED(64) float expanded[TILE_WIDTH * DEPTH];
    linear_block block = {.storage = EGG_STORAGE_Q8, .expanded = expanded};
    linear_blocks(&block, args, linear_block_q8);
}

/* --------------------------------------------------------------------------------------------------------- outer */

/* So many samples of a tile's columns fit the L1 cache; they are packed on the stack. */
enum { OUTER_DEPTH = 128 };

EGG_INLINE void outer_tile(const egg_outer_f32_args *args, const float *A, uint32_t rows, const float *packed,
                           uint32_t panels, uint32_t depth, float *Z)
{
    const uint32_t vectors = panels * PANEL_VECTORS;
    tile t;
#define LOAD(j) row_load(&t.row##j, vectors, Z + (j) * (size_t)args->n)
#define STORE(j) row_store(&t.row##j, vectors, Z + (j) * (size_t)args->n)
    EACH(rows, LOAD);
    const tile_panels from = {EGG_STORAGE_F32, packed, OUTER_DEPTH * PANEL * sizeof *packed};
    tile_multiply(&t, rows, panels, A, 1, args->m, from, depth);
    EACH(rows, STORE);
#undef LOAD
#undef STORE
}

/* Adds samples q ... q + depth - 1 to some panels of columns, all rows. */
EGG_INLINE void outer_panels(const egg_outer_f32_args *args, uint32_t q, uint32_t depth, uint32_t j, uint32_t panels,
                             uint32_t most)
{
    EGG_ALIGNED(64) float packed[TILE_WIDTH * OUTER_DEPTH];
    const float *B = args->B + (size_t)q * args->n + j;
    for (uint32_t d = 0; d < depth; d++, B += args->n)
        for (uint32_t v = 0; v < panels * PANEL_VECTORS; v++)
            store_f32(packed + v / PANEL_VECTORS * OUTER_DEPTH * PANEL + d * PANEL + v % PANEL_VECTORS * F32_LANES,
                      load_f32(B + v * F32_LANES));
    for (uint32_t i = 0, rows; i < args->m; i += rows) {
        const float *A = args->A + (size_t)q * args->m + i;
        float *Z = args->Z + (size_t)i * args->n + j;
        rows = tile_height(args->m - i, most);
#define CASE(height) if ((height) <= most && rows == (height)) outer_tile(args, A, height, packed, panels, depth, Z)
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
        for (j = 0; j + TILE_WIDTH <= n; j += TILE_WIDTH)
            outer_panels(args, q, depth, j, TILE_PANELS, TILE_ROWS);
        if (TILE_PANELS == 1) continue;
        if (n - j == 3 * PANEL) outer_panels(args, q, depth, j, 3, TILE_MAX_ROWS);
        if (n - j == 2 * PANEL) outer_panels(args, q, depth, j, 2, TILE_MAX_ROWS);
        if (n - j == 1 * PANEL) outer_panels(args, q, depth, j, 1, TILE_MAX_ROWS);
    }
}
