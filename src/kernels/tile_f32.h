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
#include "kernels/kernels.h"

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

/* row *= columns */
EGG_INLINE void row_multiply(tile_row *row, uint32_t vectors, const tile_row *columns)
{
#define MULTIPLY(j) row->c##j *= columns->c##j
    EACH(vectors, MULTIPLY);
#undef MULTIPLY
}

/* Bytes of a value of a panel. */
EGG_INLINE size_t value_bytes(egg_storage storage)
{
    return storage == EGG_STORAGE_Q8 ? sizeof(int8_t) : storage == EGG_STORAGE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* A vector of values as floats. */
EGG_INLINE vec_f32 load_values(egg_storage storage, const char *p)
{
    switch (storage) {
    case EGG_STORAGE_BF16: return load_bf16((const uint16_t *)p);
    case EGG_STORAGE_Q8: return load_q8((const int8_t *)p);
    case EGG_STORAGE_F32: break;
    }
    return load_f32((const float *)p);
}

/* Column j of one k of panels that lie 'stride' bytes apart. */
EGG_INLINE vec_f32 column_load(uint32_t j, egg_storage storage, const char *W, size_t stride)
{
    return load_values(storage, W + j / PANEL_VECTORS * stride + j % PANEL_VECTORS * F32_LANES * value_bytes(storage));
}

/* Panels [k][16] of weights, 'stride' bytes apart. */
typedef struct tile_panels {
    egg_storage storage;
    const void *W;
    size_t stride;
} tile_panels;

/*
 * t[r][c] += sum over k < count of X(r, k) * W(k, c). X(r, k) is at r * row_stride + k * k_stride. 'rows', 'panels' and
 * the storage must be constants.
 */
EGG_INLINE void tile_multiply(tile *t, uint32_t rows, uint32_t panels, const float *X, size_t row_stride,
                              size_t k_stride, tile_panels from, uint32_t count)
{
    const uint32_t vectors = panels * PANEL_VECTORS;
    const char *W = from.W;
    for (uint32_t k = 0; k < count; k++, X += k_stride, W += PANEL * value_bytes(from.storage)) {
#define LOAD(j) column_load(j, from.storage, W, from.stride)
#define LOAD_ONE(j) columns.c##j = LOAD(j)
#define MULTIPLY(r) row_multiply_add(&t->row##r, vectors, &columns, X[(r) * row_stride])
#define LOAD_MULTIPLY(j) multiply_add_f32(&t->row0.c##j, LOAD(j), x)
        if (rows == 1) {   /* a column is used once, and need not wait in a register */
            const vec_f32 x = splat_f32(*X);
            EACH(vectors, LOAD_MULTIPLY);
        } else {
            tile_row columns;
            EACH(vectors, LOAD_ONE);
            EACH(rows, MULTIPLY);
        }
#undef LOAD
#undef LOAD_ONE
#undef MULTIPLY
#undef LOAD_MULTIPLY
    }
}

/* As many rows as the next tile should have: all but equal ones, so that none is thin for the sake of another. */
EGG_INLINE uint32_t tile_height(uint32_t rows, uint32_t most)
{
    uint32_t tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}

#endif
