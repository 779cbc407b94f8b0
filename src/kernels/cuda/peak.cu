/* SPDX-License-Identifier: MIT */
/*
 * What the tensor cores can do at most: products of fragments that stay in registers or, by wgmma, of panels that stay
 * in shared memory.
 */
#include "kernels/cuda/wgmma.cuh"

enum {
    PEAK_CHAINS = 8,                    /* sums of their own, so that none waits for the one before */
    PEAK_THREADS = 256,
    PEAK_BLOCKS = 8                     /* a processor: all the threads it holds */
};

/* One product of a warp's fragments, and what a fragment of ones is. Sums are joined so that they can be told from -1. */
struct peak_s8 {
    typedef int32_t sum;
    enum { MULTIPLY_ADDS = 16 * 8 * 32 };
    static const uint32_t ones = 0x01010101;
    static __device__ void multiply(sum sums[4], const uint32_t a[4], const uint32_t b[2]) { egg_mma_s8(sums, a, b); }
    static __device__ sum join(sum a, sum b) { return a | b; }   /* multiples of 32 */
};

struct peak_bf {
    typedef float sum;
    enum { MULTIPLY_ADDS = 16 * 8 * 16 };
    static const uint32_t ones = 0x3F803F80;
    static __device__ void multiply(sum sums[4], const uint32_t a[4], const uint32_t b[2]) { egg_mma_bf16(sums, a, b); }
    static __device__ sum join(sum a, sum b) { return a + b; }   /* positive */
};

template <typename Kind>
static __global__ void peak_kernel(uint64_t rounds, uint32_t operand, typename Kind::sum *out)
{
    const uint32_t a[4] = {operand, operand, operand, operand}, b[2] = {operand, operand};
    typename Kind::sum sums[PEAK_CHAINS][4] = {}, total = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        EGG_UNROLL
        for (uint32_t k = 0; k < PEAK_CHAINS; k++) Kind::multiply(sums[k], a, b);
    }
    EGG_UNROLL
    for (uint32_t k = 0; k < PEAK_CHAINS; k++) {
        EGG_UNROLL
        for (uint32_t i = 0; i < 4; i++) total = Kind::join(total, sums[k][i]);
    }
    if (total == -1) *out = total;   /* never, but the compiler does not know */
}

template <typename Kind>
static uint64_t peak_by_mma(uint64_t rounds)
{
    const uint32_t blocks = PEAK_BLOCKS * egg_cuda_processors(), ones = Kind::ones;
    EGG_LAUNCH(peak_kernel<Kind>, blocks, PEAK_THREADS, 0, rounds, ones, (typename Kind::sum *)nullptr);
    return rounds * PEAK_CHAINS * Kind::MULTIPLY_ADDS * (PEAK_THREADS / EGG_WARP) * blocks;
}

static uint64_t peak_bf16(uint64_t rounds)
{
    return peak_by_mma<peak_bf>(rounds);
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
    egg_wgmma_end(sums);
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
    return egg_cuda_uses_wgmma() ? peak_by_wgmma(rounds) : peak_by_mma<peak_s8>(rounds);
}

extern "C" void egg_cuda_peak(egg_kernels *kernels)
{
    kernels->peak_i8 = peak_i8;
    kernels->peak_bf16 = peak_bf16;
}
