/* SPDX-License-Identifier: MIT */
/*
 * What the int8 products of all levels prepare once for a block of rows, so that their tiles need no division and no
 * search: each row's factors, and how its noise term (sum_k t * A) >> noise_shift is best computed. Plain C: a level's
 * compiler flags make vectors of these loops.
 */
#ifndef EGG_KERNELS_ROW_BLOCK_H
#define EGG_KERNELS_ROW_BLOCK_H

#include "kernels/kernels.h"

/* Ways to the same bits. */
typedef enum noise_term {
    NO_TERM,
    SPLIT_ONE,     /* rank 1, noise_shift <= 8, t >> noise_shift fits 16 bits */
    SPLIT_PAIRS,   /* |t| < 2^23 */
    WHOLE          /* any t */
} noise_term;

/* A multiple of every tile's height. Blocks bound the stack and keep their part of X in the L2 cache. */
enum { BLOCK_ROWS = 192, BLOCK_BYTES = 1 << 18 };

typedef struct row_block {
    const egg_linear_args *args;
    uint32_t first, rows;
    noise_term term;
    const int8_t *A[BLOCK_ROWS];
    int32_t remainder[BLOCK_ROWS], quotient[BLOCK_ROWS];   /* SPLIT_ONE's two factors */
} row_block;

/* How many rows a block should have: a multiple of a tile's 'height', which divides BLOCK_ROWS. */
static inline uint32_t row_block_size(const egg_linear_args *args, uint32_t height)
{
    uint32_t rows = BLOCK_BYTES / args->in / height * height;
    return rows < height ? height : rows > BLOCK_ROWS ? BLOCK_ROWS : rows;
}

static inline void row_block_factors(row_block *block)
{
    const egg_linear_args *args = block->args;
    const uint32_t pair_rows = 2 * args->steps;
    const size_t pair_stride = (size_t)args->rank * args->out;
    const int8_t *A = (const int8_t *)args->A + block->first / pair_rows * pair_stride;
    for (uint32_t r = 0, within = block->first % pair_rows; r < block->rows; r++) {
        block->A[r] = A;
        if (++within == pair_rows) within = 0, A += pair_stride;
    }
}

static inline noise_term row_block_term(const row_block *block)
{
    const egg_linear_args *args = block->args;
    const size_t count = (size_t)block->rows * args->rank;
    const int32_t *t = (const int32_t *)args->t + (size_t)block->first * args->rank;
    uint32_t bits = 0;   /* those of every t, of ~t where it is negative */
    for (size_t i = 0; i < count; i++) bits |= (uint32_t)(t[i] ^ t[i] >> 31);
    if (args->rank == 1 && args->noise_shift <= 8 && bits >> (15 + args->noise_shift) == 0) return SPLIT_ONE;
    return bits >> 23 == 0 ? SPLIT_PAIRS : WHOLE;
}

/*
 * SPLIT_ONE. With t = q * 2^n + p and 0 <= p < 2^n (n = noise_shift):  (t * a) >> n  =  q * a + ((p * a) >> n),  and
 * the last term is the high half of (a * 2^8) * (p * 2^(8 - n)). So a high multiplication of the words (a << 8, a << 8)
 * by (2^8, p * 2^(8 - n)) gives (a, (p * a) >> n), and a multiply-add of pairs with (q, 1) the term.
 */
static inline void row_block_split(row_block *block)
{
    const uint32_t n = block->args->noise_shift, mask = (1u << n) - 1;
    const int32_t *t = (const int32_t *)block->args->t + block->first;
    for (uint32_t r = 0; r < block->rows; r++) {
        block->remainder[r] = (int32_t)(((uint32_t)t[r] & mask) << (24 - n) | 1u << 8);
        block->quotient[r] = (int32_t)((uint32_t)(t[r] >> n) & 0xFFFF) | 1 << 16;
    }
}

static inline void row_block_prepare(row_block *block, const egg_linear_args *args, uint32_t first, uint32_t rows)
{
    block->args = args;
    block->first = first;
    block->rows = rows;
    block->term = NO_TERM;
    if (!args->A) return;
    row_block_factors(block);
    block->term = row_block_term(block);
    if (block->term == SPLIT_ONE) row_block_split(block);
}

#endif
