/* SPDX-License-Identifier: MIT */
/*
 * The register tile of both integer products: up to 6 rows x 64 columns of int32 sums in 24 of the 32 registers, four
 * more for the columns' operand and one for a row's. A wide row has four vectors of 16 columns, a narrow one has one.
 *
 * vpdpbusd multiplies an unsigned by a signed byte. The columns' operand U is stored as value + 128 and is the unsigned
 * one, the rows' operand S stays as it is and needs no pass of conversion: sum U*S = sum (U - 128)*S + 128 * sum S, so
 * that a row's sums begin at -128 * sum S.
 *
 * The sums are named members and every loop over them is written out: an array of vectors would live on the stack.
 */
#ifndef EGG_KERNELS_AVX512VNNI_TILE_H
#define EGG_KERNELS_AVX512VNNI_TILE_H

#include <string.h>

#include "kernels/avx512vnni/level.h"

enum { TILE_ROWS = 6, WIDE = 64, NARROW = 16 };

typedef struct tile_row {
    __m512i c0, c1, c2, c3;
} tile_row;

typedef struct tile {
    tile_row row0, row1, row2, row3, row4, row5;
} tile;

EGG_INLINE void row_start(tile_row *row, int32_t start)
{
    row->c0 = row->c1 = row->c2 = row->c3 = _mm512_set1_epi32(start);
}

EGG_INLINE void tile_start(tile *t, const int32_t *start, uint32_t rows)
{
    row_start(&t->row0, start[0]);
    if (rows > 1) row_start(&t->row1, start[1]);
    if (rows > 2) row_start(&t->row2, start[2]);
    if (rows > 3) row_start(&t->row3, start[3]);
    if (rows > 4) row_start(&t->row4, start[4]);
    if (rows > 5) row_start(&t->row5, start[5]);
}

/*
 * sum += u * s, with the sum tied to one register: given the intrinsic, gcc 12 copies sums between registers in some of
 * the loops and stores every one of them at every step. tests/check_spills.sh looks for that.
 */
EGG_INLINE void multiply_add(__m512i *sum, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(u), "v"(s));
}

EGG_INLINE void row_multiply(tile_row *row, __m512i u0, __m512i u1, __m512i u2, __m512i u3, const int8_t *S,
                             uint32_t width)
{
    int32_t four;
    memcpy(&four, S, sizeof four);
    __m512i s = _mm512_set1_epi32(four);
    multiply_add(&row->c0, u0, s);
    if (width == NARROW) return;
    multiply_add(&row->c1, u1, s);
    multiply_add(&row->c2, u2, s);
    multiply_add(&row->c3, u3, s);
}

/*
 * t[r][c] += sum over 'quads' groups of 4 of U * S. U is a panel of [quads][width][4] bytes; S holds the 4 bytes of
 * (row r, group k) at r * row_stride + k * quad_stride. 'rows' and 'width' must be constants.
 */
EGG_INLINE void tile_multiply(tile *t, uint32_t rows, uint32_t width, const uint8_t *U, const int8_t *S,
                              size_t row_stride, size_t quad_stride, size_t quads)
{
    for (size_t k = 0; k < quads; k++, U += 4 * width, S += quad_stride) {
        __m512i u0 = _mm512_load_si512(U), u1 = u0, u2 = u0, u3 = u0;
        if (width == WIDE) {
            u1 = _mm512_load_si512(U + 64);
            u2 = _mm512_load_si512(U + 128);
            u3 = _mm512_load_si512(U + 192);
        }
        row_multiply(&t->row0, u0, u1, u2, u3, S, width);
        if (rows > 1) row_multiply(&t->row1, u0, u1, u2, u3, S + row_stride, width);
        if (rows > 2) row_multiply(&t->row2, u0, u1, u2, u3, S + 2 * row_stride, width);
        if (rows > 3) row_multiply(&t->row3, u0, u1, u2, u3, S + 3 * row_stride, width);
        if (rows > 4) row_multiply(&t->row4, u0, u1, u2, u3, S + 4 * row_stride, width);
        if (rows > 5) row_multiply(&t->row5, u0, u1, u2, u3, S + 5 * row_stride, width);
    }
}

#endif
