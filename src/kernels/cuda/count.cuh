/* SPDX-License-Identifier: MIT */
/* Counting over all elements of something: what threads have counted becomes one addition a block. */
#ifndef EGG_KERNELS_CUDA_COUNT_CUH
#define EGG_KERNELS_CUDA_COUNT_CUH

#include "kernels/cuda/cuda.h"

enum { EGG_COUNT_THREADS = 256, EGG_COUNT_BLOCKS = 2048 };   /* of a block; of a launch: so many add to a counter */

/* Blocks for so many items, each thread taking one or, of many, several. */
static inline uint32_t egg_count_blocks(size_t items)
{
    const size_t blocks = egg_divide_up<size_t>(items, EGG_COUNT_THREADS);
    return blocks < EGG_COUNT_BLOCKS ? (uint32_t)blocks : (uint32_t)EGG_COUNT_BLOCKS;
}

/* for (size_t item: the thread's), neighbours beside each other */
#define EGG_EACH_COUNTED(item, items)                                                                \
    for (size_t item = (size_t)blockIdx.x * EGG_COUNT_THREADS + threadIdx.x; item < (items);         \
         item += (size_t)gridDim.x * EGG_COUNT_THREADS)

/* *count += the sum of 'mine' over the block's EGG_COUNT_THREADS threads, all of which come here. */
static __device__ __forceinline__ void egg_count_onto(uint64_t *count, uint32_t mine)
{
    EGG_STATIC_SHARED(uint32_t, parts, EGG_COUNT_THREADS / EGG_WARP);
    mine = egg_warp_sum(mine);
    if (threadIdx.x % EGG_WARP == 0) parts[threadIdx.x / EGG_WARP] = mine;
    __syncthreads();
    if (threadIdx.x) return;
    uint64_t sum = 0;
    EGG_UNROLL
    for (uint32_t w = 0; w < EGG_COUNT_THREADS / EGG_WARP; w++) sum += parts[w];
    atomicAdd((unsigned long long *)count, (unsigned long long)sum);
}

#endif
