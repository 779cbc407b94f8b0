/* SPDX-License-Identifier: MIT */
/* What the tensor cores can do at most: products of fragments that stay in registers. */
#include "kernels/cuda/cuda.h"

enum {
    PEAK_CHAINS = 8,                    /* sums of their own, so that none waits for the one before */
    PEAK_THREADS = 256,
    PEAK_BLOCKS = 8,                    /* a processor: all the threads it holds */
    PEAK_MULTIPLY_ADDS = 16 * 8 * 32    /* of one product of a warp's fragments */
};

static __global__ void peak_kernel(uint64_t rounds, uint32_t operand, int32_t *out)
{
    const uint32_t a[4] = {operand, operand, operand, operand}, b[2] = {operand, operand};
    int32_t sums[PEAK_CHAINS][4] = {};
    for (uint64_t i = 0; i < rounds; i++) {
        EGG_UNROLL
        for (uint32_t k = 0; k < PEAK_CHAINS; k++) egg_mma_s8(sums[k], a, b);
    }
    int32_t total = 0;
    EGG_UNROLL
    for (uint32_t k = 0; k < PEAK_CHAINS; k++) total |= sums[k][0] | sums[k][1] | sums[k][2] | sums[k][3];
    if (total == -1) *out = total;   /* never, all are multiples of 32, but the compiler does not know */
}

static uint64_t peak_i8(uint64_t rounds)
{
    const uint32_t blocks = PEAK_BLOCKS * egg_cuda_processors(), ones = 0x01010101;
    EGG_LAUNCH(peak_kernel, blocks, PEAK_THREADS, 0, rounds, ones, (int32_t *)nullptr);
    return rounds * PEAK_CHAINS * PEAK_MULTIPLY_ADDS * (PEAK_THREADS / EGG_WARP) * blocks;
}

extern "C" void egg_cuda_peak_i8(egg_kernels *kernels)
{
    kernels->peak_i8 = peak_i8;
}
