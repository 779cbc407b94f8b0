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
 *
 * By wgmma (EGGROLL_CUDA) the same tile belongs to two warpgroups of 64 x 256, which read the same buffers without
 * fragments in between, and draw while their products go on by themselves. A depth of 48 KiB is 1024 cycles of an
 * H200's tensor cores; the second-level cache may well need longer for it, which only sharing tiles between processors
 * would help. Not measured.
 */
#include "kernels/cuda/tensor.h"

#include "kernels/cuda/noise.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/wgmma.cuh"

enum {
    TILE_ROWS = 128,
    TILE_OUT = 256,
    TILE_PAIRS = TILE_ROWS / 2,
    DEPTH = 64,
    PARTS = 2 * DEPTH / 16,             /* of a line, a row in a buffer; see egg_line_offset */
    THREADS = 256,
    BUFFER = (TILE_ROWS + TILE_OUT) * EGG_LINE,
    FACTOR_STRIDE = TILE_OUT + 8,       /* elements; 16 bytes more than a multiple of all banks */
    FACTORS = TILE_PAIRS * FACTOR_STRIDE,
    RESULT_STRIDE = TILE_OUT + 8
};

/* ------------------------------------------------------------------------------------------------------------ tiles */

/* Begins to copy inputs k ... k + 63 of 'lines' rows from 'first' on; zeros where there are none. */
template <uint32_t lines>
static __device__ __forceinline__ void copy_lines(const uint16_t *from, uint32_t first, uint32_t rows, uint32_t in,
                                                  uint32_t k, char *to)
{
    constexpr uint32_t step = THREADS / PARTS;   /* lines, a multiple of those after which parts are ordered alike */
    const uint32_t line = threadIdx.x / PARTS, part = threadIdx.x % PARTS, column = k + 8 * part;
    const uint16_t *at = from + (size_t)(first + line) * in + column;
    to += egg_line_offset(line, part);
    EGG_UNROLL
    for (uint32_t i = 0; i < lines; i += step, at += step * (size_t)in) {
        const bool valid = first + line + i < rows && column < in;
        egg_cp_async16_or_zero(to + i * EGG_LINE, valid ? at : from, valid);
    }
}

static __device__ __forceinline__ void copy_depth(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                  uint32_t k, char *buffer)
{
    copy_lines<TILE_ROWS>(args.X, first_row, args.rows, args.in, k, buffer);
    copy_lines<TILE_OUT>(args.W, first_out, args.out, args.in, k, buffer + TILE_ROWS * EGG_LINE);
}

/*
 * The part of the tile that a warp's sums are for, in matrices of 16 rows and 8 outputs: 64 x 64 by mma.sync, and by
 * wgmma 16 x 256.
 */
template <bool wgmma> struct warp_part {
    static constexpr uint32_t rows = wgmma ? 16 : 64, outs = wgmma ? TILE_OUT : 64;
    static constexpr uint32_t row_tiles = rows / 16, out_tiles = outs / 8, across = TILE_OUT / outs;
    uint32_t row, out, lane;   /* where it begins */
};

template <bool wgmma> static __device__ __forceinline__ warp_part<wgmma> warp_here(void)
{
    using part = warp_part<wgmma>;
    const uint32_t warp = threadIdx.x / EGG_WARP;
    return {warp / part::across * part::rows, warp % part::across * part::outs, threadIdx.x % EGG_WARP};
}

/* Adds the products of a buffer, 16 inputs at a time. */
template <int ROW_TILES, int OUT_TILES>
static __device__ __forceinline__ void multiply_depth(const char *buffer, warp_part<false> at,
                                                      float (&sum)[ROW_TILES][OUT_TILES][4])
{
    const char *X = buffer, *W = buffer + TILE_ROWS * EGG_LINE;
    const uint32_t x_row = at.row + at.lane % 16, x_part = at.lane / 16;
    const uint32_t w_row = at.out + at.lane / 16 * 8 + at.lane % 8, w_part = at.lane / 8 % 2;
    EGG_UNROLL
    for (uint32_t k = 0; k < PARTS; k += 2) {
        uint32_t x[ROW_TILES][4], w[OUT_TILES / 2][4];
        EGG_UNROLL
        for (int r = 0; r < ROW_TILES; r++) egg_ldmatrix_x4(x[r], X + egg_line_offset(x_row + 16 * r, k + x_part));
        EGG_UNROLL
        for (int o = 0; o < OUT_TILES / 2; o++) egg_ldmatrix_x4(w[o], W + egg_line_offset(w_row + 16 * o, k + w_part));
        EGG_UNROLL
        for (int r = 0; r < ROW_TILES; r++)
            EGG_UNROLL
            for (int o = 0; o < OUT_TILES; o++) egg_mma_bf16(sum[r][o], x[r], &w[o / 2][o % 2 * 2]);
    }
}

template <int ROW_TILES, int OUT_TILES>
static __device__ __forceinline__ void set_to_zero(float (&sum)[ROW_TILES][OUT_TILES][4])
{
    EGG_UNROLL
    for (int i = 0; i < 4 * ROW_TILES * OUT_TILES; i++) sum[i / 4 / OUT_TILES][i / 4 % OUT_TILES][i % 4] = 0;
}

/* Puts them under way: sums are there after egg_wgmma_end. 'first': they begin here. */
static __device__ __forceinline__ void begin_depth(const char *buffer, bool first, float (&sum)[1][TILE_OUT / 8][4])
{
    const uint32_t group = threadIdx.x / EGG_WARPGROUP;
    egg_wgmma_fence();
    egg_wgmma_line(sum[0], egg_wgmma_operand(buffer + group * EGG_GROUP_ROWS * EGG_LINE),
                   egg_wgmma_operand(buffer + TILE_ROWS * EGG_LINE), !first);
    egg_wgmma_commit();
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
template <bool wgmma, int ROW_TILES, int OUT_TILES>
static __device__ __forceinline__ void add_noise(const egg_tensor_args &args, uint32_t first_row, warp_part<wgmma> at,
                                                 const uint16_t *factors, float (&sum)[ROW_TILES][OUT_TILES][4])
{
    for (uint32_t k = 0; k < args.rank; k++, factors += FACTORS)
        EGG_UNROLL
        for (int r = 0; r < 2 * ROW_TILES; r++) {
            const uint32_t row = at.row + 8 * r + at.lane / 4, b = first_row + row;
            const float t = b < args.rows ? args.t[(size_t)b * args.rank + k] : 0;
            const uint16_t *A = factors + row / 2 * FACTOR_STRIDE + at.out + at.lane % 4 * 2;
            EGG_UNROLL
            for (int o = 0; o < OUT_TILES; o++) {
                const float2 a = bf16_pair(*(const uint32_t *)(A + 8 * o));
                float *s = &sum[r / 2][o][r % 2 * 2];
                s[0] = __fmaf_rn(t, a.x, s[0]);
                s[1] = __fmaf_rn(t, a.y, s[1]);
            }
        }
}

/* ----------------------------------------------------------------------------------------------------------- result */

/* The tile goes through shared memory, so that rows of Y are written in whole cache lines. */
template <bool wgmma, int ROW_TILES, int OUT_TILES>
static __device__ __forceinline__ void store_tile(const egg_tensor_args &args, uint32_t first_row, uint32_t first_out,
                                                  warp_part<wgmma> at, const float (&sum)[ROW_TILES][OUT_TILES][4],
                                                  uint16_t *result)
{
    enum { RESULT_PARTS = TILE_OUT / 8 };
    EGG_UNROLL
    for (int r = 0; r < 2 * ROW_TILES; r++) {
        uint16_t *row = result + (at.row + 8 * r + at.lane / 4) * RESULT_STRIDE + at.out + at.lane % 4 * 2;
        EGG_UNROLL
        for (int o = 0; o < OUT_TILES; o++) {
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

/*
 * Neighbouring blocks have the same weights and other rows, which all stay in the second-level cache. A buffer is
 * filled again when nobody reads it any more: by mma.sync in the next depth, by wgmma, whose products may go on until
 * then, in the one after.
 */
template <egg_tensor_noise noise, uint32_t stages, bool wgmma>
static __global__ void __launch_bounds__(THREADS, 1) tensor_linear(const egg_tensor_args args)
{
    using part = warp_part<wgmma>;
    constexpr uint32_t ahead = stages - (wgmma ? 2 : 1);   /* depths whose copies are under way */
    EGG_SHARED(char, shared);
    if (wgmma && !EGG_HAS_WGMMA) {
        egg_no_wgmma();
        return;
    }
    char *const buffers = wgmma ? egg_panels_begin(shared) : shared;
    uint16_t *const factors = (uint16_t *)(buffers + stages * BUFFER);
    const uint32_t first_row = blockIdx.x * TILE_ROWS, first_out = blockIdx.y * TILE_OUT;
    const uint32_t depths = (args.in + DEPTH - 1) / DEPTH;
    const uint32_t draws = noise == EGG_TENSOR_DRAWN ? args.rank * DRAWS_A_RANK : 0;
    const part at = warp_here<wgmma>();
    float sum[part::row_tiles][part::out_tiles][4];
    if constexpr (!wgmma) set_to_zero(sum);
    if (noise == EGG_TENSOR_STORED) copy_factors(args, first_row, first_out, factors);   /* in the first group */
    EGG_UNROLL
    for (uint32_t d = 0; d < ahead; d++) {
        if (d < depths) copy_depth(args, first_row, first_out, d * DEPTH, buffers + d * BUFFER);
        egg_cp_async_commit();
    }
    uint32_t drawn = 0, due = 0;   /* 'due' grows by 'draws' a depth; a draw costs 'depths' */
    for (uint32_t d = 0, stage = 0, next = ahead; d < depths; d++) {
        egg_cp_async_wait<ahead - 1>();
        if (wgmma) egg_proxy_fence();
        __syncthreads();   /* all see this depth, and nobody reads 'next' any more */
        if constexpr (wgmma) begin_depth(buffers + stage * BUFFER, d == 0, sum);
        if (d + ahead < depths)
            copy_depth(args, first_row, first_out, (d + ahead) * DEPTH, buffers + next * BUFFER);
        egg_cp_async_commit();
        if (noise == EGG_TENSOR_DRAWN)
            for (due += draws; due >= depths; due -= depths) draw_factors(args, first_row, first_out, drawn++, factors);
        if constexpr (wgmma) egg_wgmma_wait<1>();
        else multiply_depth(buffers + stage * BUFFER, at, sum);
        stage = stage + 1 == stages ? 0 : stage + 1;
        next = next + 1 == stages ? 0 : next + 1;
    }
    if constexpr (wgmma) egg_wgmma_end(sum[0]);
    __syncthreads();   /* the factors are there, and nobody reads a buffer any more */
    if (noise != EGG_TENSOR_NO_NOISE) {
        egg_grid_wait();   /* for t, and for nothing else */
        add_noise(args, first_row, at, factors, sum);
    }
    store_tile(args, first_row, first_out, at, sum, (uint16_t *)buffers);
}

static size_t shared_bytes(uint32_t stages, bool wgmma, const egg_tensor_args *args)
{
    const uint32_t rank = args->noise == EGG_TENSOR_NO_NOISE ? 0 : args->rank;
    return (wgmma ? EGG_SWIZZLE_BYTES - 1 : 0) + stages * (size_t)BUFFER + rank * FACTORS * sizeof(uint16_t);
}

template <egg_tensor_noise noise, uint32_t stages, bool wgmma> static void launch_stages(const egg_tensor_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->rows, TILE_ROWS), egg_divide_up<uint32_t>(args->out, TILE_OUT));
    const size_t bytes = shared_bytes(stages, wgmma, args);
    if (noise == EGG_TENSOR_NO_NOISE)
        EGG_LAUNCH((tensor_linear<noise, stages, wgmma>), grid, dim3(THREADS), bytes, *args);
    else
        EGG_LAUNCH_EARLY((tensor_linear<noise, stages, wgmma>), grid, dim3(THREADS), bytes, *args);
}

/* With as many buffers as there is room for: a block may have 227 KiB on an H100 or H200, 163 on an A100. */
template <egg_tensor_noise noise> static void launch_linear(const egg_tensor_args *args)
{
    const size_t limit = egg_cuda_shared_bytes(1);
    const bool wgmma = egg_cuda_uses_wgmma();
    if (wgmma && shared_bytes(4, true, args) <= limit) launch_stages<noise, 4, true>(args);
    else if (wgmma) launch_stages<noise, 3, true>(args);
    else if (shared_bytes(4, false, args) <= limit) launch_stages<noise, 4, false>(args);
    else if (shared_bytes(3, false, args) <= limit) launch_stages<noise, 3, false>(args);
    else launch_stages<noise, 2, false>(args);
}

/* By fewest buffers. */
extern "C" bool egg_cuda_tensor_fits(const egg_tensor_args *args)
{
    const bool wgmma = egg_cuda_uses_wgmma();
    return shared_bytes(wgmma ? 3 : 2, wgmma, args) <= egg_cuda_shared_bytes(1);
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
