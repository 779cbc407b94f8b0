/* SPDX-License-Identifier: MIT */
/*
 * Template of the register tile of both float32 products: rows x panels of 16 columns of sums. A level's level.h comes
 * first, with its vectors (vec_f32, F32_LANES) and the operations on them.
 *
 * Every sum is one chain of fused multiply-adds, over ascending k, from the value it starts with. Neither the shape of
 * a tile nor a cut between two k, where sums rest in memory, changes its bits: rows and columns may be grouped at will.
 *
 * The sums are named members and every loop over them is written out: an array of vectors would live on the stack.
 */
#ifndef EGG_KERNELS_TILE_F32_H
#define EGG_KERNELS_TILE_F32_H

#include "base/compiler.h"

enum { PANEL = 16, PANEL_VECTORS = PANEL / F32_LANES, TILE_MAX_ROWS = 8 };

typedef struct tile_row {
    vec_f32 c0, c1, c2, c3, c4, c5, c6, c7;
} tile_row;

typedef struct tile {
    tile_row row0, row1, row2, row3, row4, row5, row6, row7;
} tile;

/* Does DO(j) for every j < count, a constant of at most 8. */
#define EACH(count, DO)                                                                                                \
    do {                                                                                                               \
        DO(0);                                                                                                         \
        if ((count) > 1) DO(1);                                                                                        \
        if ((count) > 2) DO(2);                                                                                        \
        if ((count) > 3) DO(3);                                                                                        \
        if ((count) > 4) DO(4);                                                                                        \
        if ((count) > 5) DO(5);                                                                                        \
        if ((count) > 6) DO(6);                                                                                        \
        if ((count) > 7) DO(7);                                                                                        \
    } while (0)

EGG_INLINE void row_zero(tile_row *row, uint32_t vectors)
{
#define ZERO(j) row->c##j = splat_f32(0)
    EACH(vectors, ZERO);
#undef ZERO
}

/* Neighbouring columns, as in a row of Y. */
EGG_INLINE void row_load(tile_row *row, uint32_t vectors, const float *from)
{
#define LOAD(j) row->c##j = load_f32(from + (j) * F32_LANES)
    EACH(vectors, LOAD);
#undef LOAD
}

EGG_INLINE void row_store(const tile_row *row, uint32_t vectors, float *to)
{
#define STORE(j) store_f32(to + (j) * F32_LANES, row->c##j)
    EACH(vectors, STORE);
#undef STORE
}

EGG_INLINE void row_add(tile_row *row, uint32_t vectors, const float *from)
{
#define ADD(j) row->c##j += load_f32(from + (j) * F32_LANES)
    EACH(vectors, ADD);
#undef ADD
}

/* row += x * columns */
EGG_INLINE void row_multiply_add(tile_row *row, uint32_t vectors, const tile_row *columns, float x)
{
    const vec_f32 factor = splat_f32(x);
#define MULTIPLY_ADD(j) multiply_add_f32(&row->c##j, columns->c##j, factor)
    EACH(vectors, MULTIPLY_ADD);
#undef MULTIPLY_ADD
}

/* One k of several panels, which lie 'stride' apart. */
EGG_INLINE void panels_load(tile_row *columns, uint32_t panels, const float *W, size_t stride)
{
#define LOAD(j) columns->c##j = load_f32(W + (j) / PANEL_VECTORS * stride + (j) % PANEL_VECTORS * F32_LANES)
    EACH(panels * PANEL_VECTORS, LOAD);
#undef LOAD
}

/*
 * t[r][c] += sum over k < count of X(r, k) * W(k, c). X(r, k) is at r * row_stride + k * k_stride; W is a number of
 * panels [k][16], 'panel_stride' apart. 'rows' and 'panels' must be constants.
 */
EGG_INLINE void tile_multiply(tile *t, uint32_t rows, uint32_t panels, const float *X, size_t row_stride,
                              size_t k_stride, const float *W, size_t panel_stride, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++, X += k_stride, W += PANEL) {
        tile_row columns;
        panels_load(&columns, panels, W, panel_stride);
#define MULTIPLY(r) row_multiply_add(&t->row##r, panels *PANEL_VECTORS, &columns, X[(r) * row_stride])
        EACH(rows, MULTIPLY);
#undef MULTIPLY
    }
}

/* As many rows as the next tile should have: all but equal ones, so that none is thin for the sake of another. */
EGG_INLINE uint32_t tile_height(uint32_t rows, uint32_t most)
{
    uint32_t tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}

#endif
