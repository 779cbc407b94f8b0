/* SPDX-License-Identifier: MIT */
/* The template's float32 products, with the tile that fits the level's registers. */
#include "kernels/avx2/level.h"

/*
 * 6 x 16: 12 sums, two columns, a row's factor in 16 registers. A single row takes 64 columns, two rows 32. A depth of
 * the tile's panel takes 16 KiB.
 */
enum { TILE_PANELS = 1, TILE_ROWS = 6, ONE_ROW_PANELS = 4, TWO_ROW_PANELS = 2, DEPTH = 256 };

#include "kernels/product_f32.h"

void egg_avx2_product_f32(egg_kernels *kernels)
{
    kernels->packed_bytes_f32 = packed_bytes_f32_avx2;
    kernels->packed_bytes_bf16 = packed_bytes_bf16_avx2;
    kernels->packed_bytes_q8 = packed_bytes_q8_avx2;
    kernels->pack_f32 = pack_f32_avx2;
    kernels->pack_bf16 = pack_bf16_avx2;
    kernels->pack_q8 = pack_q8_avx2;
    kernels->shrink_f32 = shrink_f32_avx2;
    kernels->linear_f32 = linear_f32_avx2;
    kernels->linear_bf16 = linear_bf16_avx2;
    kernels->linear_q8 = linear_q8_avx2;
    kernels->dense_f32 = dense_f32_avx2;
    kernels->outer_f32 = outer_f32_avx2;
}
