/* SPDX-License-Identifier: MIT */
/* int8: what is done to each element, or to each row by itself. */
#include "kernels/cuda/cuda.h"

/* Sixteen int8 values, as they are loaded and stored. */
union lanes16 {
    int4 words;
    int8_t value[16];
};

static __global__ void add_kernel(int8_t *Y, const int8_t *X, size_t vectors)
{
    const size_t v = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (v >= vectors) return;
    lanes16 x, y;
    x.words = ((const int4 *)X)[v];
    y.words = ((const int4 *)Y)[v];
    EGG_UNROLL
    for (uint32_t i = 0; i < 16; i++) y.value[i] = (int8_t)egg_clip_i8(y.value[i] + x.value[i]);
    ((int4 *)Y)[v] = y.words;
}

static void add_i8(void *Y, const void *X, size_t n)
{
    const size_t vectors = n / 16;
    const uint32_t threads = 256;
    EGG_LAUNCH(add_kernel, (uint32_t)egg_divide_up<size_t>(vectors, threads), threads, 0, (int8_t *)Y,
               (const int8_t *)X, vectors);
}

extern "C" void egg_cuda_elementwise_i8(egg_kernels *kernels)
{
    kernels->add_i8 = add_i8;
}
