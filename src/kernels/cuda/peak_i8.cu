/* SPDX-License-Identifier: MIT */
/*
 * What the tensor cores can do at most: products of fragments that stay in registers or, by wgmma, of panels that stay
 * in shared memory.
 */
#include "kernels/cuda/wgmma.cuh"

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

enum { PEAK_OUTS = 256, PEAK_GROUPS = 2 /* a processor: one multiplies while the other asks for more */ };

/* A warpgroup each. */
static __global__ void __launch_bounds__(EGG_WARPGROUP) peak_wgmma(uint64_t rounds, uint32_t operand, int32_t *out)
{
    EGG_SHARED(int8_t, shared);
    if (!EGG_HAS_WGMMA) {
        egg_no_wgmma();
        return;
    }
    int8_t *const x = egg_panels_begin(shared), *const w = x + EGG_GROUP_ROWS * EGG_LINE;
    for (uint32_t i = threadIdx.x; i < (EGG_GROUP_ROWS + PEAK_OUTS) * EGG_LINE / 4; i += EGG_WARPGROUP)
        ((uint32_t *)x)[i] = operand;
    egg_proxy_fence();
    __syncthreads();
    int32_t sums[PEAK_OUTS / 8][4];
    for (uint64_t i = 0; i < rounds; i++) {
        egg_wgmma_fence();
        egg_wgmma_line(sums, egg_wgmma_operand(x), egg_wgmma_operand(w), i > 0);
        egg_wgmma_commit();
        egg_wgmma_wait<1>();
    }
    egg_wgmma_wait<0>();
    int32_t total = 0;
    EGG_UNROLL
    for (uint32_t j = 0; j < PEAK_OUTS / 8; j++) total |= sums[j][0] | sums[j][1] | sums[j][2] | sums[j][3];
    if (total == -1) *out = total;   /* as above */
}

static uint64_t peak_by_wgmma(uint64_t rounds)
{
    const uint32_t groups = PEAK_GROUPS * egg_cuda_processors(), ones = 0x01010101;
    const size_t shared_bytes = EGG_SWIZZLE_BYTES - 1 + (EGG_GROUP_ROWS + PEAK_OUTS) * EGG_LINE;
    EGG_LAUNCH(peak_wgmma, groups, EGG_WARPGROUP, shared_bytes, rounds, ones, (int32_t *)nullptr);
    return rounds * EGG_GROUP_ROWS * PEAK_OUTS * EGG_LINE * groups;
}

static uint64_t peak_i8(uint64_t rounds)
{
    if (egg_cuda_uses_wgmma()) return peak_by_wgmma(rounds);
    const uint32_t blocks = PEAK_BLOCKS * egg_cuda_processors(), ones = 0x01010101;
    EGG_LAUNCH(peak_kernel, blocks, PEAK_THREADS, 0, rounds, ones, (int32_t *)nullptr);
    return rounds * PEAK_CHAINS * PEAK_MULTIPLY_ADDS * (PEAK_THREADS / EGG_WARP) * blocks;
}

extern "C" void egg_cuda_peak_i8(egg_kernels *kernels)
{
    kernels->peak_i8 = peak_i8;
}
