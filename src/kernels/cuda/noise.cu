/* SPDX-License-Identifier: MIT */
/* Noise by its address: a thread draws a block of the generator, 16 bytes, for each pair that it takes. */
#include "kernels/cuda/noise.cuh"
#include "kernels/cuda/vectors.cuh"

static __global__ void noise_i8_kernel(const egg_noise_args args, uint32_t first, size_t blocks,
                                       const __grid_constant__ egg_magnitudes magnitudes)
{
    EGG_STATIC_SHARED(uint32_t, table, EGG_MAGNITUDE_WORDS);
    egg_magnitudes_spread(magnitudes, table);
    __syncthreads();
    EGG_EACH_VECTOR(v, p, blocks, args.pairs) {
        egg_vector x;
        egg_draw_block(args.key, args.at, p, first + (uint32_t)v, x.word);
        EGG_UNROLL
        for (uint32_t w = 0; w < 4; w++) x.word[w] = egg_normal_i8x4(x.word[w], table);
        egg_vector_store((int8_t *)args.out + p * args.out_stride + EGG_NOISE_BLOCK_I8 * v, x);
    }
}

static void noise_i8(const egg_noise_args *args)
{
    const size_t blocks = args->n / EGG_NOISE_BLOCK_I8;
    EGG_LAUNCH_VECTORS(noise_i8_kernel, blocks, args->pairs, *args, (uint32_t)(args->first / EGG_NOISE_BLOCK_I8),
                       blocks, egg_magnitudes_get());
}

static __global__ void noise_f32_kernel(const egg_noise_args args, uint32_t first, size_t blocks)
{
    EGG_EACH_VECTOR(v, p, blocks, args.pairs) {
        uint32_t x[4];
        egg_draw_block(args.key, args.at, p, first + (uint32_t)v, x);
        const float2 a = egg_draw_normal_f32(x[0], x[1]), b = egg_draw_normal_f32(x[2], x[3]);
        float4 *out = (float4 *)((float *)args.out + p * args.out_stride) + v;
        *out = make_float4(a.x, a.y, b.x, b.y);
    }
}

static void noise_f32(const egg_noise_args *args)
{
    const size_t blocks = args->n / EGG_NOISE_BLOCK_F32;
    EGG_LAUNCH_VECTORS(noise_f32_kernel, blocks, args->pairs, *args, (uint32_t)(args->first / EGG_NOISE_BLOCK_F32),
                       blocks);
}

extern "C" void egg_cuda_noise(egg_kernels *kernels)
{
    kernels->noise_i8 = noise_i8;
    kernels->noise_f32 = noise_f32;
}
