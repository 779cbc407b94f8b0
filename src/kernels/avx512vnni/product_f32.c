/* SPDX-License-Identifier: MIT */
/* The template's float32 products, with the tile that fits the level's registers. */
#include "kernels/avx512vnni/level.h"

/*
 * 6 x 64: 24 sums, four columns, a row's factor in 32 registers. Fewer columns leave room for 8 rows. A single row
 * takes 128 columns. A depth of the tile's panels takes 32 KiB.
 */
enum { TILE_PANELS = 4, TILE_ROWS = 6, ONE_ROW_PANELS = 8, TWO_ROW_PANELS = 4, DEPTH = 128 };

#include "kernels/product_f32.h"

void egg_avx512vnni_product_f32(egg_kernels *kernels)
{
    kernels->packed_bytes_f32 = packed_bytes_f32_avx512vnni;
    kernels->packed_bytes_bf16 = packed_bytes_bf16_avx512vnni;
    kernels->packed_bytes_q8 = packed_bytes_q8_avx512vnni;
    kernels->pack_f32 = pack_f32_avx512vnni;
    kernels->pack_bf16 = pack_bf16_avx512vnni;
    kernels->pack_q8 = pack_q8_avx512vnni;
    kernels->shrink_f32 = shrink_f32_avx512vnni;
    kernels->linear_f32 = linear_f32_avx512vnni;
    kernels->linear_bf16 = linear_bf16_avx512vnni;
    kernels->linear_q8 = linear_q8_avx512vnni;
    kernels->dense_f32 = dense_f32_avx512vnni;
    kernels->outer_f32 = outer_f32_avx512vnni;
}
