/* SPDX-License-Identifier: MIT */
/* Rows of int8, and of 16-byte blocks of noise, as vectors of 16 bytes: what a thread loads and stores at once. */
#ifndef EGG_KERNELS_CUDA_VECTORS_CUH
#define EGG_KERNELS_CUDA_VECTORS_CUH

#include "kernels/cuda/cuda.h"

enum { EGG_VECTOR = 16, EGG_VECTOR_THREADS = 256 };

/* Registers: indices are known once loops are unrolled. */
typedef struct egg_vector {
    uint32_t word[4];
} egg_vector;

static __device__ __forceinline__ egg_vector egg_vector_load(const int8_t *from)
{
    const uint4 v = *(const uint4 *)from;
    return {{v.x, v.y, v.z, v.w}};
}

static __device__ __forceinline__ void egg_vector_store(int8_t *to, egg_vector v)
{
    *(uint4 *)to = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
}

/* Element i, its sign extended. */
static __device__ __forceinline__ int32_t egg_vector_get(egg_vector v, uint32_t i)
{
    return (int8_t)(v.word[i / 4] >> 8 * (i % 4));
}

/* A word of four values in [-128, 127]. */
static __device__ __forceinline__ uint32_t egg_word_of(int32_t a, int32_t b, int32_t c, int32_t d)
{
    return egg_prmt(egg_prmt((uint32_t)a, (uint32_t)b, 0x0040), egg_prmt((uint32_t)c, (uint32_t)d, 0x0040), 0x5410);
}

static __device__ __forceinline__ egg_vector egg_vector_of(const int32_t values[EGG_VECTOR])
{
    egg_vector v;
    EGG_UNROLL
    for (uint32_t w = 0; w < 4; w++)
        v.word[w] = egg_word_of(values[4 * w], values[4 * w + 1], values[4 * w + 2], values[4 * w + 3]);
    return v;
}

/*
 * A thread for each vector of each row, neighbours along a row; where there are more rows than a grid is high, a thread
 * takes several.
 */
static inline dim3 egg_vectors_block(size_t vectors)
{
    uint32_t x = 1;
    while (x < EGG_VECTOR_THREADS && x < vectors) x *= 2;
    return dim3(x, EGG_VECTOR_THREADS / x);
}

static inline dim3 egg_vectors_grid(size_t vectors, uint32_t rows)
{
    const dim3 block = egg_vectors_block(vectors);
    const uint32_t highest = 65535, y = egg_divide_up(rows, block.y);
    return dim3((uint32_t)egg_divide_up<size_t>(vectors, block.x), y < highest ? y : highest);
}

#define EGG_EACH_VECTOR(v, row, vectors, rows)                                            \
    const size_t v = (size_t)blockIdx.x * blockDim.x + threadIdx.x;                       \
    if (v < (vectors))                                                                    \
        for (uint32_t row = blockIdx.y * blockDim.y + threadIdx.y; row < (rows); row += gridDim.y * blockDim.y)

#define EGG_LAUNCH_VECTORS(kernel, vectors, rows, ...)                                                           \
    do {                                                                                                         \
        if ((vectors) && (rows))                                                                                 \
            EGG_LAUNCH(kernel, egg_vectors_grid(vectors, rows), egg_vectors_block(vectors), 0, __VA_ARGS__);     \
    } while (0)

#endif
