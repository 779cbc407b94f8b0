/* SPDX-License-Identifier: MIT */
/*
 * Y = X W^T on tensor cores with the members' perturbation added to the sums in registers.
 *
 * A block has a tile of 128 rows and 256 outputs: with smaller ones the second-level cache could not feed the tensor
 * cores. Its 8 warps have 64 x 64 each, so that two fragments from shared memory serve 32 products. Inputs go by in
 * depths of 64, a cache line of bf16, through up to four buffers, which leaves shared memory for the tile's
 * factors of A, (64 pairs, rank, 256): stored ones are copied when the block begins, drawn ones are computed a few
 * at a time between the depths, where the tensor cores have enough to do and the other units do not. After the last
 * depth all that is left is to multiply and add.
 */
#include "kernels/cuda/tensor.h"

#include "kernels/cuda/noise.cuh"
#include "kernels/cuda/rows.cuh"

enum {
    TILE_ROWS = 128,
    TILE_OUT = 256,
    TILE_PAIRS = TILE_ROWS / 2,
    DEPTH = 64,
    LINE = 2 * DEPTH,                   /* bytes of a row in a buffer */
    PARTS = LINE / 16,
    THREADS = 256,
    WARP_ROWS = 64,
    WARP_OUT = 64,
    ROW_TILES = WARP_ROWS / 16,         /* matrices of 16 rows, and of 8 outputs, of a warp */
    OUT_TILES = WARP_OUT / 8,
    BUFFER = (TILE_ROWS + TILE_OUT) * LINE,
    FACTOR_STRIDE = TILE_OUT + 8,       /* elements; 16 bytes more than a multiple of all banks */
    FACTORS = TILE_PAIRS * FACTOR_STRIDE,
    RESULT_STRIDE = TILE_OUT + 8
};

/* ------------------------------------------------------------------------------------------------------------ tiles */

/*
 * Part 'part' (16 bytes) of a row in a buffer. Rows lie 128 bytes apart, all banks once; parts change places by the
 * row, so that the eight rows of a fragment are in different banks.
 */
static __device__ __forceinline__ uint32_t part_at(uint32_t row, uint32_t part)
{
    return row * LINE + (part ^ row % 8) * 16;
}

/* Begins to copy inputs k ... k + 63 of 'lines' rows from 'first' on; zeros where there are none. */
template <uint32_t lines>
static __device__ __forceinline__ void copy_lines(const uint16_t *from, uint32_t first, uint32_t rows, uint32_t in,
                                                  uint32_t k, char *to)
{
    const uint32_t part = threadIdx.x % PARTS, column = k + 8 * part;
    EGG_UNROLL
    for (uint32_t row = threadIdx.x / PARTS; row < lines; row += THREADS / PARTS) {
        const bool valid = first + row < rows && column < in;
        const size_t at = valid ? (size_t)(first + row) * in + column : 0;
        egg_cp_async16_or_zero(to + part_at(row, part), from + at, valid);
    }
}

static __device__ __forceinline__ void copy_depth(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                  uint32_t k, char *buffer)
{
    copy_lines<TILE_ROWS>(args.X, first_row, args.rows, args.in, k, buffer);
    copy_lines<TILE_OUT>(args.W, first_out, args.out, args.in, k, buffer + TILE_ROWS * LINE);
}

/* The warp's part of the tile. */
typedef struct warp_place {
    uint32_t row, out, lane;
} warp_place;

static __device__ __forceinline__ warp_place warp_here(void)
{
    const uint32_t warp = threadIdx.x / EGG_WARP;
    return {warp / (TILE_OUT / WARP_OUT) * WARP_ROWS, warp % (TILE_OUT / WARP_OUT) * WARP_OUT, threadIdx.x % EGG_WARP};
}

/* Adds the products of a buffer, 16 inputs at a time. */
static __device__ __forceinline__ void multiply_depth(const char *buffer, warp_place at,
                                                      float sum[ROW_TILES][OUT_TILES][4])
{
    const char *X = buffer, *W = buffer + TILE_ROWS * LINE;
    const uint32_t x_row = at.row + at.lane % 16, x_part = at.lane / 16;
    const uint32_t w_row = at.out + at.lane / 16 * 8 + at.lane % 8, w_part = at.lane / 8 % 2;
    EGG_UNROLL
    for (uint32_t k = 0; k < PARTS; k += 2) {
        uint32_t x[ROW_TILES][4], w[OUT_TILES / 2][4];
        EGG_UNROLL
        for (uint32_t r = 0; r < ROW_TILES; r++) egg_ldmatrix_x4(x[r], X + part_at(x_row + 16 * r, k + x_part));
        EGG_UNROLL
        for (uint32_t o = 0; o < OUT_TILES / 2; o++) egg_ldmatrix_x4(w[o], W + part_at(w_row + 16 * o, k + w_part));
        EGG_UNROLL
        for (uint32_t r = 0; r < ROW_TILES; r++)
            EGG_UNROLL
            for (uint32_t o = 0; o < OUT_TILES; o++) egg_mma_bf16(sum[r][o], x[r], &w[o / 2][o % 2 * 2]);
    }
}

/* ---------------------------------------------------------------------------------------------------------- factors */

/* Begins to copy the stored factors of a tile. */
static __device__ __forceinline__ void copy_factors(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                    uint16_t *factors)
{
    enum { FACTOR_PARTS = TILE_OUT / 8 };
    const uint32_t pairs = (args.rows + 1) / 2, lines = TILE_PAIRS * args.rank;
    for (uint32_t c = threadIdx.x; c < lines * FACTOR_PARTS; c += THREADS) {
        const uint32_t k = c / FACTOR_PARTS / TILE_PAIRS, p = c / FACTOR_PARTS % TILE_PAIRS, o = c % FACTOR_PARTS * 8;
        const bool valid = first_row / 2 + p < pairs && first_out + o < args.out;
        const size_t at = valid ? ((size_t)(first_row / 2 + p) * args.rank + k) * args.out + first_out + o : 0;
        egg_cp_async16_or_zero(factors + k * FACTORS + p * FACTOR_STRIDE + o, args.A + at, valid);
    }
}

enum { DRAWS_A_RANK = TILE_PAIRS * TILE_OUT / EGG_NOISE_BLOCK_F32 / THREADS };   /* of each thread */

/* The thread's n-th block of four factors. */
static __device__ __forceinline__ void draw_factors(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                    uint32_t n, uint16_t *factors)
{
    enum { BLOCKS = TILE_OUT / EGG_NOISE_BLOCK_F32 };
    const uint32_t e = n * THREADS + threadIdx.x, k = n / DRAWS_A_RANK, p = e / BLOCKS % TILE_PAIRS, o = e % BLOCKS * 4;
    const egg_noise_at at = {args.epoch, args.param, EGG_A, first_row / 2};
    uint32_t x[4];
    egg_draw_block(args.key, at, p, (k * args.out + first_out + o) / EGG_NOISE_BLOCK_F32, x);
    const float2 low = egg_draw_normal_f32(x[0], x[1]), high = egg_draw_normal_f32(x[2], x[3]);
    *(uint2 *)(factors + k * FACTORS + p * FACTOR_STRIDE + o) =
        make_uint2(egg_bf16x2(low.x, low.y), egg_bf16x2(high.x, high.y));
}

static __device__ __forceinline__ float2 bf16_pair(uint32_t word)
{
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000u));
}

/* sum += t A: of a fragment of 16 x 8, the thread has two outputs of row lane / 4 and two of the row 8 below. */
static __device__ __forceinline__ void add_noise(const egg_tensor_args &args, uint32_t first_row, warp_place at,
                                                 const uint16_t *factors, float sum[ROW_TILES][OUT_TILES][4])
{
    for (uint32_t k = 0; k < args.rank; k++, factors += FACTORS)
        EGG_UNROLL
        for (uint32_t r = 0; r < 2 * ROW_TILES; r++) {
            const uint32_t row = at.row + 8 * r + at.lane / 4, b = first_row + row;
            const float t = b < args.rows ? args.t[(size_t)b * args.rank + k] : 0;
            const uint16_t *A = factors + row / 2 * FACTOR_STRIDE + at.out + at.lane % 4 * 2;
            EGG_UNROLL
            for (uint32_t o = 0; o < OUT_TILES; o++) {
                const float2 a = bf16_pair(*(const uint32_t *)(A + 8 * o));
                float *s = &sum[r / 2][o][r % 2 * 2];
                s[0] = __fmaf_rn(t, a.x, s[0]);
                s[1] = __fmaf_rn(t, a.y, s[1]);
            }
        }
}

/* ----------------------------------------------------------------------------------------------------------- result */

/* The tile goes through shared memory, so that rows of Y are written in whole cache lines. */
static __device__ __forceinline__ void store_tile(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                  warp_place at, const float sum[ROW_TILES][OUT_TILES][4],
                                                  uint16_t *result)
{
    enum { RESULT_PARTS = TILE_OUT / 8 };
    EGG_UNROLL
    for (uint32_t r = 0; r < 2 * ROW_TILES; r++) {
        uint16_t *row = result + (at.row + 8 * r + at.lane / 4) * RESULT_STRIDE + at.out + at.lane % 4 * 2;
        EGG_UNROLL
        for (uint32_t o = 0; o < OUT_TILES; o++) {
            const float *s = &sum[r / 2][o][r % 2 * 2];
            *(uint32_t *)(row + 8 * o) = egg_bf16x2(s[0], s[1]);
        }
    }
    __syncthreads();
    for (uint32_t c = threadIdx.x; c < TILE_ROWS * RESULT_PARTS; c += THREADS) {
        const uint32_t row = c / RESULT_PARTS, o = c % RESULT_PARTS * 8;
        if (first_row + row < args.rows && first_out + o < args.out)
            *(uint4 *)(args.Y + (size_t)(first_row + row) * args.out + first_out + o) =
                *(const uint4 *)(result + row * RESULT_STRIDE + o);
    }
}

/* ---------------------------------------------------------------------------------------------------------- product */

/* Neighbouring blocks have the same weights and other rows, which all stay in the second-level cache. */
template <egg_tensor_noise noise, uint32_t stages>
static __global__ void __launch_bounds__(THREADS, 1) tensor_linear(const egg_tensor_args args)
{
    EGG_SHARED(char, buffers);
    uint16_t *const factors = (uint16_t *)(buffers + stages * BUFFER);
    const uint32_t first_row = blockIdx.x * TILE_ROWS, first_out = blockIdx.y * TILE_OUT;
    const uint32_t depths = (args.in + DEPTH - 1) / DEPTH;
    const uint32_t draws = noise == EGG_TENSOR_DRAWN ? args.rank * DRAWS_A_RANK : 0;
    const warp_place at = warp_here();
    float sum[ROW_TILES][OUT_TILES][4] = {};
    if (noise == EGG_TENSOR_STORED) copy_factors(args, first_row, first_out, factors);   /* in the first group */
    EGG_UNROLL
    for (uint32_t d = 0; d < stages - 1; d++) {
        if (d < depths) copy_depth(args, first_row, first_out, d * DEPTH, buffers + d * BUFFER);
        egg_cp_async_commit();
    }
    uint32_t drawn = 0, due = 0;   /* 'due' grows by 'draws' a depth; a draw costs 'depths' */
    for (uint32_t d = 0, stage = 0; d < depths; d++, stage = stage + 1 == stages ? 0 : stage + 1) {
        const uint32_t ahead = stage == 0 ? stages - 1 : stage - 1;
        egg_cp_async_wait<stages - 2>();
        __syncthreads();   /* all see this depth, and nobody reads the one before any more */
        if (d + stages - 1 < depths)
            copy_depth(args, first_row, first_out, (d + stages - 1) * DEPTH, buffers + ahead * BUFFER);
        egg_cp_async_commit();
        if (noise == EGG_TENSOR_DRAWN)
            for (due += draws; due >= depths; due -= depths) draw_factors(args, first_row, first_out, drawn++, factors);
        multiply_depth(buffers + stage * BUFFER, at, sum);
    }
    __syncthreads();   /* the factors are there, and nobody reads a buffer any more */
    if (noise != EGG_TENSOR_NO_NOISE) {
        egg_grid_wait();   /* for t, and for nothing else */
        add_noise(args, first_row, at, factors, sum);
    }
    store_tile(args, first_row, first_out, at, sum, (uint16_t *)buffers);
}

static size_t shared_bytes(uint32_t stages, const egg_tensor_args *args)
{
    const uint32_t rank = args->noise == EGG_TENSOR_NO_NOISE ? 0 : args->rank;
    return stages * (size_t)BUFFER + rank * FACTORS * sizeof(uint16_t);
}

template <egg_tensor_noise noise, uint32_t stages> static void launch_stages(const egg_tensor_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->rows, TILE_ROWS), egg_divide_up<uint32_t>(args->out, TILE_OUT));
    if (noise == EGG_TENSOR_NO_NOISE)
        EGG_LAUNCH((tensor_linear<noise, stages>), grid, dim3(THREADS), shared_bytes(stages, args), *args);
    else
        EGG_LAUNCH_EARLY((tensor_linear<noise, stages>), grid, dim3(THREADS), shared_bytes(stages, args), *args);
}

/* With as many buffers as there is room for: a block may have 227 KiB on an H100 or H200, 163 on an A100. */
template <egg_tensor_noise noise> static void launch_linear(const egg_tensor_args *args)
{
    const size_t limit = egg_cuda_shared_bytes(1);
    if (shared_bytes(4, args) <= limit) launch_stages<noise, 4>(args);
    else if (shared_bytes(3, args) <= limit) launch_stages<noise, 3>(args);
    else launch_stages<noise, 2>(args);
}

extern "C" void egg_cuda_tensor_linear(const egg_tensor_args *args)
{
    if (args->rows == 0) return;
    switch (args->noise) {
    case EGG_TENSOR_NO_NOISE: launch_linear<EGG_TENSOR_NO_NOISE>(args); break;
    case EGG_TENSOR_STORED: launch_linear<EGG_TENSOR_STORED>(args); break;
    case EGG_TENSOR_DRAWN: launch_linear<EGG_TENSOR_DRAWN>(args); break;
    }
}

/* ----------------------------------------------------------------------------------------------------------- shrink */

/* Eight values of bf16 as floats. */
static __device__ __forceinline__ void load_eight(const uint16_t *from, float values[8])
{
    const uint4 words = *(const uint4 *)from;
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
    EGG_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const float2 two = bf16_pair(word[i]);
        values[2 * i] = two.x, values[2 * i + 1] = two.y;
    }
}

/* Elements i ... i + 7 of the pair's factor B, of which i / 8 is a whole number. */
template <egg_tensor_noise noise>
static __device__ __forceinline__ void factor_eight(const egg_tensor_args &args, uint32_t p, uint32_t k, uint32_t i,
                                                    float values[8])
{
    if (noise == EGG_TENSOR_STORED) {
        load_eight(args.B + ((size_t)p * args.rank + k) * args.in + i, values);
        return;
    }
    const egg_noise_at at = {args.epoch, args.param, EGG_B, 0};
    EGG_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t x[4];
        egg_draw_block(args.key, at, p, (k * args.in + i) / EGG_NOISE_BLOCK_F32 + half, x);
        const float2 a = egg_draw_normal_f32(x[0], x[1]), b = egg_draw_normal_f32(x[2], x[3]);
        const float2 low = bf16_pair(egg_bf16x2(a.x, a.y)), high = bf16_pair(egg_bf16x2(b.x, b.y));
        values[4 * half] = low.x, values[4 * half + 1] = low.y;
        values[4 * half + 2] = high.x, values[4 * half + 3] = high.y;
    }
}

enum { SHRINK_WARPS = THREADS / EGG_WARP };

/* A block has a pair, whose factors serve two rows. */
template <egg_tensor_noise noise>
static __global__ void __launch_bounds__(THREADS) tensor_shrink(const egg_tensor_args args)
{
    EGG_STATIC_SHARED(float, parts, SHRINK_WARPS);
    const uint32_t p = blockIdx.x, b = 2 * p, second = b + 1 < args.rows;   /* the last member may be alone */
    const uint16_t *X = args.X + (size_t)b * args.in;
    egg_grid_go_on();
    for (uint32_t k = 0; k < args.rank; k++) {
        float sum[2] = {};
        for (uint32_t i = 8 * threadIdx.x; i < args.in; i += 8 * THREADS) {
            float x[2][8], factor[8];
            load_eight(X + i, x[0]);
            load_eight(X + second * args.in + i, x[1]);
            factor_eight<noise>(args, p, k, i, factor);
            EGG_UNROLL
            for (uint32_t j = 0; j < 8; j++) {
                sum[0] = __fmaf_rn(x[0][j], factor[j], sum[0]);
                sum[1] = __fmaf_rn(x[1][j], factor[j], sum[1]);
            }
        }
        EGG_UNROLL
        for (uint32_t r = 0; r < 2; r++) {
            const float t = __fmul_rn(r ? -args.c : args.c, egg_row_sum<SHRINK_WARPS>(sum[r], parts));
            if (threadIdx.x == 0 && r <= second) args.t[(size_t)(b + r) * args.rank + k] = t;
        }
    }
}

extern "C" void egg_cuda_tensor_shrink(const egg_tensor_args *args)
{
    const dim3 pairs((args->rows + 1) / 2);
    if (args->rows == 0) return;
    if (args->noise == EGG_TENSOR_STORED) EGG_LAUNCH(tensor_shrink<EGG_TENSOR_STORED>, pairs, dim3(THREADS), 0, *args);
    if (args->noise == EGG_TENSOR_DRAWN) EGG_LAUNCH(tensor_shrink<EGG_TENSOR_DRAWN>, pairs, dim3(THREADS), 0, *args);
}

/* ------------------------------------------------------------------------------------------------------ dense noise */

enum { DENSE_OUT = 64 };

/* A block has some outputs of a pair, a warp one at a time; it draws what two rows need. */
static __global__ void __launch_bounds__(THREADS) tensor_dense(const egg_tensor_args args)
{
    const uint32_t p = blockIdx.x, b = 2 * p, second = b + 1 < args.rows, lane = threadIdx.x % EGG_WARP, in = args.in;
    const uint16_t *X = args.X + (size_t)b * in;
    const egg_noise_at at = {args.epoch, args.param, EGG_A, 0};
    for (uint32_t j = threadIdx.x / EGG_WARP; j < DENSE_OUT; j += THREADS / EGG_WARP) {
        const uint32_t o = blockIdx.y * DENSE_OUT + j;
        if (o >= args.out) return;
        float sum[2] = {};
        for (uint32_t i = 4 * lane; i < in; i += 4 * EGG_WARP) {
            uint32_t x[4];
            egg_draw_block(args.key, at, p, (uint32_t)(((uint64_t)o * in + i) / EGG_NOISE_BLOCK_F32), x);
            const float2 low = egg_draw_normal_f32(x[0], x[1]), high = egg_draw_normal_f32(x[2], x[3]);
            const float4 noise = make_float4(low.x, low.y, high.x, high.y);
            EGG_UNROLL
            for (uint32_t r = 0; r < 2; r++) {
                const uint2 words = *(const uint2 *)(X + r * second * in + i);
                const float2 a = bf16_pair(words.x), c = bf16_pair(words.y);
                sum[r] = egg_dot_four(make_float4(a.x, a.y, c.x, c.y), noise, sum[r]);
            }
        }
        EGG_UNROLL
        for (uint32_t r = 0; r < 2; r++) {
            const float total = egg_warp_sum(sum[r]), factor = r ? -args.c : args.c;
            uint16_t *y = args.Y + (size_t)(b + r) * args.out + o;
            if (lane || r > second) continue;
            *y = (uint16_t)egg_bf16x2(__fmaf_rn(factor, total, __uint_as_float((uint32_t)*y << 16)), 0);
        }
    }
}

extern "C" void egg_cuda_tensor_dense(const egg_tensor_args *args)
{
    if (args->rows)
        EGG_LAUNCH(tensor_dense, dim3((args->rows + 1) / 2, egg_divide_up<uint32_t>(args->out, DENSE_OUT)),
                   dim3(THREADS), 0, *args);
}

/* ------------------------------------------------------------------------------------------------ rounding and time */

static __global__ void tensor_round(const float *from, size_t n, uint16_t *to)
{
    EGG_EACH_FOUR(i, n) {
        const float4 four = egg_load_four(from + i);
        *(uint2 *)(to + i) = make_uint2(egg_bf16x2(four.x, four.y), egg_bf16x2(four.z, four.w));
    }
}

extern "C" void egg_cuda_tensor_round(const float *from, size_t n, uint16_t *to)
{
    if (n) EGG_LAUNCH(tensor_round, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, from, n, to);
}
