/* SPDX-License-Identifier: MIT */
/*
 * int8 operands of the tensor cores in shared memory, and what a warp does with them.
 *
 * A tile holds rows of 64 bytes, two of the instruction's depth, in four chunks of 16 bytes. Eight rows of one chunk
 * are read at once (ldmatrix); so that they lie in different banks, chunk c of row r is kept at place c ^ (r / 2) % 4.
 */
#ifndef EGG_KERNELS_CUDA_MMA_CUH
#define EGG_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/cuda.h"

enum { EGG_CHUNK = 16, EGG_TILE_DEPTH = 64, EGG_TILE_CHUNKS = EGG_TILE_DEPTH / EGG_CHUNK };

static __device__ __forceinline__ uint32_t egg_tile_offset(uint32_t row, uint32_t chunk)
{
    return row * EGG_TILE_DEPTH + ((chunk ^ row >> 1) & (EGG_TILE_CHUNKS - 1)) * EGG_CHUNK;
}

/*
 * Where a tile of weights keeps output 'o'. An mma leaves a thread with two of every eight outputs; were they
 * neighbours, its results would be scattered over the row. So the outputs of a warp, 32 or 64, are dealt out such that
 * the thread's pairs from all of its mmas together are 'run' = 8 or 16 outputs in a row: what lies at 8 j + 2 q + b is
 * output run * q + 2 j + b, for thread q of the four and mma j.
 */
template <uint32_t run> static __device__ __forceinline__ uint32_t egg_weight_slot(uint32_t o)
{
    const uint32_t in_warp = o % (4 * run);
    return o - in_warp + in_warp % run / 2 * 8 + in_warp / run * 2 + in_warp % 2;
}

/* Where a lane finds its part of what egg_tile_product reads, for rows from 'row' on, a multiple of 16. */
static __device__ __forceinline__ uint32_t egg_x_offset(uint32_t row)
{
    const uint32_t lane = threadIdx.x % EGG_WARP;
    return egg_tile_offset(row + lane % 16, lane / 16);
}

static __device__ __forceinline__ uint32_t egg_w_offset(uint32_t row)
{
    const uint32_t lane = threadIdx.x % EGG_WARP;
    return egg_tile_offset(row + lane % 8 + lane / 16 * 8, lane / 8 % 2);
}

/*
 * sum[i][j] += rows 16 i... of tile X times rows 8 j... of tile W, over the depth of the tiles, from the rows that the
 * offsets were made for. 16 rows further, chunks are turned alike; the deeper half is the chunk whose number differs in
 * bit 1, turned or not. All of a warp.
 */
template <int M, int N>
static __device__ __forceinline__ void egg_tile_product(int32_t (&sum)[M][N][4], const int8_t *X, uint32_t x_offset,
                                                        const int8_t *W, uint32_t w_offset)
{
    EGG_UNROLL
    for (uint32_t half = 0; half < EGG_TILE_CHUNKS; half += 2) {
        const int8_t *const x_at = X + (x_offset ^ half * EGG_CHUNK), *const w_at = W + (w_offset ^ half * EGG_CHUNK);
        uint32_t x[M][4];
        EGG_UNROLL
        for (int i = 0; i < M; i++) egg_ldmatrix_x4(x[i], x_at + 16 * i * EGG_TILE_DEPTH);
        EGG_UNROLL
        for (int j = 0; j < N; j += 2) {
            uint32_t w[4];
            egg_ldmatrix_x4(w, w_at + 8 * j * EGG_TILE_DEPTH);
            EGG_UNROLL
            for (int i = 0; i < M; i++) {
                egg_mma_s8(sum[i][j], x[i], w);
                egg_mma_s8(sum[i][j + 1], x[i], w + 2);
            }
        }
    }
}

/* -------------------------------------------------------------------------------------------------- bytes and words */

/* Byte i of a word with its sign; a constant i makes it one instruction. */
static __device__ __forceinline__ int32_t egg_signed_byte(uint32_t word, int i)
{
#ifdef EGG_CUDA_EMULATOR
    return (int8_t)(word >> 8 * i);
#else
    int32_t value;
    asm("prmt.b32 %0, %1, 0, %2;" : "=r"(value) : "r"(word), "r"(0x8880 + 0x1111 * i));
    return value;
#endif
}

/* The bytes of 'words' as integers. */
static __device__ __forceinline__ void egg_unpack_i8(uint2 words, int32_t (&values)[8])
{
    EGG_UNROLL
    for (int i = 0; i < 8; i++) values[i] = egg_signed_byte(i < 4 ? words.x : words.y, i % 4);
}

static __device__ __forceinline__ void egg_unpack_i8(uint4 words, int32_t (&values)[16])
{
    const uint32_t list[4] = {words.x, words.y, words.z, words.w};
    EGG_UNROLL
    for (int i = 0; i < 16; i++) values[i] = egg_signed_byte(list[i / 4], i % 4);
}

/* Four integers as bytes, the first lowest; what exceeds [-128, 127] becomes the nearer end. */
static __device__ __forceinline__ uint32_t egg_pack_saturated(int32_t a, int32_t b, int32_t c, int32_t d)
{
#ifdef EGG_CUDA_EMULATOR
    const int32_t values[4] = {a, b, c, d};
    uint32_t packed = 0;
    for (uint32_t i = 0; i < 4; i++) packed |= (uint32_t)(uint8_t)min(max(values[i], -128), 127) << 8 * i;
    return packed;
#else
    uint32_t packed;
    asm("{\n\t"
        ".reg .b32 upper;\n\t"
        "cvt.pack.sat.s8.s32.b32 upper, %4, %3, 0;\n\t"
        "cvt.pack.sat.s8.s32.b32 %0, %2, %1, upper;\n\t"
        "}"
        : "=r"(packed)
        : "r"(a), "r"(b), "r"(c), "r"(d));
    return packed;
#endif
}

/* -------------------------------------------------------------------------------------- sums over a row, for shrink */

/* sum + the inner product of 16 bytes and 16 bytes */
static __device__ __forceinline__ int32_t egg_dot16(uint4 x, uint4 y, int32_t sum)
{
    sum = __dp4a((int32_t)x.x, (int32_t)y.x, sum);
    sum = __dp4a((int32_t)x.y, (int32_t)y.y, sum);
    sum = __dp4a((int32_t)x.z, (int32_t)y.z, sum);
    return __dp4a((int32_t)x.w, (int32_t)y.w, sum);
}

/* The lanes, a power of two, that share a row of n bytes, one chunk of it at a time each. */
static inline __host__ __device__ uint32_t egg_lanes_of_row(uint32_t n)
{
    uint32_t lanes = 1;
    while (lanes < EGG_WARP && lanes * EGG_CHUNK < n) lanes *= 2;
    return lanes;
}

/* Of each group of 'lanes' neighbouring lanes; every lane gets its group's. All of a warp. */
static __device__ __forceinline__ int32_t egg_group_sum(int32_t value, uint32_t lanes)
{
    for (uint32_t mask = lanes / 2; mask; mask /= 2) value += egg_shuffle_xor(value, mask);
    return value;
}

#endif
