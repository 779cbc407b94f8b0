/* SPDX-License-Identifier: MIT */
/* What a row's member adds to the sums of a product with float32 activations. */
#ifndef EGG_KERNELS_CUDA_FINISH_CUH
#define EGG_KERNELS_CUDA_FINISH_CUH

#include "kernels/cuda/rows.cuh"

/* To four outputs from o on: the factors in ascending order, then the bias. */
static __device__ __forceinline__ float4 egg_finish_four(const egg_linear_args &args, uint32_t b, uint32_t m,
                                                         uint32_t o, float4 sum)
{
    if (args.A) {
        const float *A = (const float *)args.A + (size_t)(m / 2) * args.rank * args.out + o;
        const float *t = (const float *)args.t + (size_t)b * args.rank;
        for (uint32_t k = 0; k < args.rank; k++, A += args.out) sum = egg_fma_four(t[k], egg_load_four(A), sum);
    }
    return args.bias ? egg_add_four(sum, egg_load_four(args.bias + m * args.bias_stride + o)) : sum;
}

/* The same for one. */
static __device__ __forceinline__ float egg_finish_one(const egg_linear_args &args, uint32_t b, uint32_t m, uint32_t o,
                                                       float sum)
{
    if (args.A) {
        const float *A = (const float *)args.A + (size_t)(m / 2) * args.rank * args.out + o;
        const float *t = (const float *)args.t + (size_t)b * args.rank;
        for (uint32_t k = 0; k < args.rank; k++, A += args.out) sum = __fmaf_rn(t[k], *A, sum);
    }
    return args.bias ? __fadd_rn(sum, args.bias[m * args.bias_stride + o]) : sum;
}

#endif
