/* SPDX-License-Identifier: MIT */
/* As peak_i8.cu, for products of bf16. */
#include "kernels/cuda/cuda.h"

enum {
    PEAK_CHAINS = 8,                    /* sums of their own, so that none waits for the one before */
    PEAK_THREADS = 256,
    PEAK_BLOCKS = 8,                    /* a processor: all the threads it holds */
    PEAK_MULTIPLY_ADDS = 16 * 8 * 16    /* of one product of a warp's fragments */
};

static __global__ void peak_kernel(uint64_t rounds, uint32_t operand, float *out)
{
    const uint32_t a[4] = {operand, operand, operand, operand}, b[2] = {operand, operand};
    float sums[PEAK_CHAINS][4] = {};
    for (uint64_t i = 0; i < rounds; i++) {
        EGG_UNROLL
        for (uint32_t k = 0; k < PEAK_CHAINS; k++) egg_mma_bf16(sums[k], a, b);
    }
    float total = 0;
    EGG_UNROLL
    for (uint32_t k = 0; k < PEAK_CHAINS; k++) total += sums[k][0] + sums[k][1] + sums[k][2] + sums[k][3];
    if (total < 0) *out = total;   /* never, all are sums of ones, but the compiler does not know */
}

static uint64_t peak_bf16(uint64_t rounds)
{
    const uint32_t blocks = PEAK_BLOCKS * egg_cuda_processors(), ones = 0x3F803F80;
    EGG_LAUNCH(peak_kernel, blocks, PEAK_THREADS, 0, rounds, ones, (float *)nullptr);
    return rounds * PEAK_CHAINS * PEAK_MULTIPLY_ADDS * (PEAK_THREADS / EGG_WARP) * blocks;
}

extern "C" void egg_cuda_peak_bf16(egg_kernels *kernels)
{
    kernels->peak_bf16 = peak_bf16;
}
