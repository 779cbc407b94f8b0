/* SPDX-License-Identifier: MIT */
/*
 * What the float kernels share about rows. A row's result may not depend on who shares its call, so how a sum is split
 * among threads follows from the length of a row alone, and every sum runs in one order.
 */
#ifndef EGG_KERNELS_CUDA_ROWS_CUH
#define EGG_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/cuda.h"

static __device__ __forceinline__ uint32_t egg_cuda_row_member(const uint32_t *member, uint32_t row, uint32_t steps)
{
    return member ? member[row] : row / steps;
}

/*
 * Rows in blocks of (32 * warps, rows_per_block) threads: short rows have a warp each, several of which make a block
 * worth launching; long ones a block, so that a few of them, as in decoding, still keep the memory busy.
 */
enum { EGG_ROW_WARPS = 8, EGG_ROW_LONG = 2048, EGG_ROW_SHORT_ROWS = 4 };

template <int warps> static __host__ __device__ __forceinline__ constexpr uint32_t egg_rows_per_block()
{
    return warps == 1 ? EGG_ROW_SHORT_ROWS : 1;
}

template <int warps> static __device__ __forceinline__ uint32_t egg_row_here()
{
    return blockIdx.x * egg_rows_per_block<warps>() + threadIdx.y;
}

/* The sum of all lanes' values and of all warps of a row; every thread gets it. 'parts' (warps) is the block's. */
template <int warps> static __device__ __forceinline__ float egg_row_sum(float value, float *parts)
{
    value = egg_warp_sum(value);
    if (warps == 1) return value;
    if (threadIdx.x % EGG_WARP == 0) parts[threadIdx.x / EGG_WARP] = value;
    __syncthreads();
    float sum = parts[0];
    EGG_UNROLL
    for (int w = 1; w < warps; w++) sum = __fadd_rn(sum, parts[w]);
    __syncthreads();   /* 'parts' may be written again */
    return sum;
}

/* Launches kernel<1> or kernel<EGG_ROW_WARPS> over 'rows' rows of n elements. */
#define EGG_LAUNCH_ROWS(kernel, rows, n, ...)                                                                          \
    do {                                                                                                               \
        if ((n) >= EGG_ROW_LONG)                                                                                       \
            EGG_LAUNCH(kernel<EGG_ROW_WARPS>, dim3(rows), dim3(EGG_WARP * EGG_ROW_WARPS), 0, __VA_ARGS__);             \
        else                                                                                                           \
            EGG_LAUNCH(kernel<1>, dim3(egg_divide_up<uint32_t>(rows, EGG_ROW_SHORT_ROWS)),                             \
                       dim3(EGG_WARP, EGG_ROW_SHORT_ROWS), 0, __VA_ARGS__);                                            \
    } while (0)

/* ------------------------------------------------------------------------------------------------------ four floats */

static __device__ __forceinline__ float4 egg_load_four(const float *from)
{
    return *(const float4 *)from;
}

static __device__ __forceinline__ void egg_store_four(float *to, float4 values)
{
    *(float4 *)to = values;
}

/* x * y + z, rounded once, of each; 'x' may be one for all four. */
static __device__ __forceinline__ float4 egg_fma_four(float4 x, float4 y, float4 z)
{
    return make_float4(__fmaf_rn(x.x, y.x, z.x), __fmaf_rn(x.y, y.y, z.y), __fmaf_rn(x.z, y.z, z.z),
                       __fmaf_rn(x.w, y.w, z.w));
}

static __device__ __forceinline__ float4 egg_fma_four(float x, float4 y, float4 z)
{
    return egg_fma_four(make_float4(x, x, x, x), y, z);
}

static __device__ __forceinline__ float4 egg_scale_four(float x, float4 y)
{
    return make_float4(__fmul_rn(x, y.x), __fmul_rn(x, y.y), __fmul_rn(x, y.z), __fmul_rn(x, y.w));
}

static __device__ __forceinline__ float4 egg_add_four(float4 x, float4 y)
{
    return make_float4(__fadd_rn(x.x, y.x), __fadd_rn(x.y, y.y), __fadd_rn(x.z, y.z), __fadd_rn(x.w, y.w));
}

/* Onto 'sum' the products of four elements, in their order. */
static __device__ __forceinline__ float egg_dot_four(float4 x, float4 y, float sum)
{
    sum = __fmaf_rn(x.x, y.x, sum);
    sum = __fmaf_rn(x.y, y.y, sum);
    sum = __fmaf_rn(x.z, y.z, sum);
    return __fmaf_rn(x.w, y.w, sum);
}

/* ------------------------------------------------------------------------------------------------ elementwise loops */

/* Blocks for n elements, four a thread; past the limit threads take several rounds. */
enum { EGG_ELEMENTWISE_THREADS = 256, EGG_ELEMENTWISE_BLOCKS = 1 << 16 };

static inline uint32_t egg_elementwise_blocks(size_t n)
{
    const size_t blocks = egg_divide_up<size_t>(n, 4 * EGG_ELEMENTWISE_THREADS);
    return blocks < EGG_ELEMENTWISE_BLOCKS ? (uint32_t)blocks : (uint32_t)EGG_ELEMENTWISE_BLOCKS;
}

/* for (size_t i: the thread's elements, four at a time) */
#define EGG_EACH_FOUR(i, n)                                                    \
    for (size_t i = 4 * ((size_t)blockIdx.x * blockDim.x + threadIdx.x); i < n; \
         i += 4 * (size_t)gridDim.x * blockDim.x)

#endif
