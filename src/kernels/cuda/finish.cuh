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

/* The same for 'n' rows b at once: their loads are on their way together, and not each behind the results of the last. */
template <int n>
static __device__ __forceinline__ void egg_finish_rows(const egg_linear_args &args, const uint32_t (&b)[n], uint32_t o,
                                                       float4 (&sum)[n])
{
    uint32_t m[n];
    float4 some[n];
    float t[n];
    EGG_UNROLL
    for (int i = 0; i < n; i++) m[i] = egg_cuda_row_member(args.member, b[i], args.steps);
    EGG_NO_UNROLL
    for (uint32_t k = 0; args.A && k < args.rank; k++) {
        EGG_UNROLL
        for (int i = 0; i < n; i++) {
            some[i] = egg_load_four((const float *)args.A + ((size_t)(m[i] / 2) * args.rank + k) * args.out + o);
            t[i] = ((const float *)args.t)[(size_t)b[i] * args.rank + k];
        }
        EGG_UNROLL
        for (int i = 0; i < n; i++) sum[i] = egg_fma_four(t[i], some[i], sum[i]);
    }
    if (!args.bias) return;
    EGG_UNROLL
    for (int i = 0; i < n; i++) some[i] = egg_load_four(args.bias + m[i] * args.bias_stride + o);
    EGG_UNROLL
    for (int i = 0; i < n; i++) sum[i] = egg_add_four(sum[i], some[i]);
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
