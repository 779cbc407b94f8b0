/* SPDX-License-Identifier: MIT */
/*
 * Drawing within a kernel: the bits of src/random/noise.c. Floats are rounded operation by operation, which nvcc's
 * --fmad=false sees to, so they are equal as well.
 */
#ifndef EGG_KERNELS_CUDA_NOISE_CUH
#define EGG_KERNELS_CUDA_NOISE_CUH

#include "kernels/cuda/cuda.h"

template <uint32_t by> static __device__ __forceinline__ void egg_noise_mix(uint32_t &sum, uint32_t &word)
{
    sum += word;
    word = __funnelshift_l(word, word, by) ^ sum;
}

/* Two rounds: the words that are mixed into x[0] and x[2] change places in the second. */
template <uint32_t even_01, uint32_t even_23, uint32_t odd_03, uint32_t odd_21>
static __device__ __forceinline__ void egg_noise_two_rounds(uint32_t x[4])
{
    egg_noise_mix<even_01>(x[0], x[1]);
    egg_noise_mix<even_23>(x[2], x[3]);
    egg_noise_mix<odd_03>(x[0], x[3]);
    egg_noise_mix<odd_21>(x[2], x[1]);
}

template <uint32_t injection>
static __device__ __forceinline__ void egg_noise_inject(uint32_t x[4], const uint32_t key[5])
{
    EGG_UNROLL
    for (uint32_t i = 0; i < 4; i++) x[i] += key[(injection + i) % 5];
    x[3] += injection;
}

/* egg_noise_block, of the pair 'pair' after at.pair. */
static __device__ __forceinline__ void egg_draw_block(egg_key key, egg_noise_at at, uint32_t pair, uint32_t block,
                                                      uint32_t x[4])
{
    const uint32_t *k = key.word;
    const uint32_t schedule[5] = {k[0], k[1], k[2], k[3], 0x1BD11BDA ^ k[0] ^ k[1] ^ k[2] ^ k[3]};
    static_assert(EGG_NOISE_ROUNDS == 12, "the rounds are written out here");
    x[0] = block;
    x[1] = at.pair + pair;
    x[2] = at.epoch;
    x[3] = 2 * at.param + at.side;
    egg_noise_inject<0>(x, schedule);
    egg_noise_two_rounds<10, 26, 11, 21>(x);
    egg_noise_two_rounds<13, 27, 23, 5>(x);
    egg_noise_inject<1>(x, schedule);
    egg_noise_two_rounds<6, 20, 17, 11>(x);
    egg_noise_two_rounds<25, 10, 18, 20>(x);
    egg_noise_inject<2>(x, schedule);
    egg_noise_two_rounds<10, 26, 11, 21>(x);
    egg_noise_two_rounds<13, 27, 23, 5>(x);
    egg_noise_inject<3>(x, schedule);
}

/* ---------------------------------------------------------------------------------------------------- int8 normals */

/* egg_normal_i8_magnitude, four a word, as a kernel's argument. */
typedef struct egg_magnitudes {
    uint32_t word[32];
} egg_magnitudes;

static inline egg_magnitudes egg_magnitudes_get(void)
{
    egg_magnitudes magnitudes;
    memcpy(magnitudes.word, egg_normal_i8_magnitude, sizeof magnitudes.word);
    return magnitudes;
}

/*
 * The table in shared memory, a copy for each lane: word w of lane l at [32 w + l], which is in bank l, so that the
 * lanes of a warp look up whatever they like at once.
 */
enum { EGG_MAGNITUDE_WORDS = 32 * EGG_WARP };

/* By all threads of the block; then a barrier. */
static __device__ __forceinline__ void egg_magnitudes_spread(const egg_magnitudes &magnitudes, uint32_t *table)
{
    const uint32_t thread = threadIdx.x + blockDim.x * threadIdx.y, threads = blockDim.x * blockDim.y;
    for (uint32_t i = thread; i < EGG_MAGNITUDE_WORDS; i += threads) table[i] = magnitudes.word[i / EGG_WARP];
}

/* egg_normal_i8 of four random bytes. */
static __device__ __forceinline__ uint32_t egg_normal_i8x4(uint32_t bytes, const uint32_t *table)
{
    const uint32_t lane = (threadIdx.x + blockDim.x * threadIdx.y) % EGG_WARP;
    const uint8_t *mine = (const uint8_t *)(table + lane);
    uint32_t m[4];
    EGG_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t magnitude = bytes >> 8 * i & 127;
        m[i] = mine[magnitude / 4 * 4 * EGG_WARP + magnitude % 4];
    }
    const uint32_t magnitudes = m[0] | m[1] << 8 | m[2] << 16 | m[3] << 24, negative = bytes >> 7 & 0x01010101;
    const uint32_t inverted = magnitudes ^ 255 * negative;   /* -x = ~x + 1, without a carry between bytes */
    return ((inverted & 0x7F7F7F7F) + negative) ^ (inverted & 0x80808080);
}

/* ------------------------------------------------------------------------------------------------- float32 normals */

/* See log_f32 and egg_normal_f32 of src/random/noise.c. */
static __device__ __forceinline__ float egg_log_f32(float x)
{
    uint32_t bits = __float_as_uint(x);
    const int32_t exponent = (int32_t)(bits - 0x3F3504F3) >> 23;   /* the rest lies in [2^-1/2, 2^1/2) */
    bits -= (uint32_t)exponent << 23;
    const float m = __uint_as_float(bits), s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float series = 2.0f / 9.0f;
    series = series * z + 2.0f / 7.0f;
    series = series * z + 2.0f / 5.0f;
    series = series * z + 2.0f / 3.0f;
    series = series * z + 2.0f;
    return (float)exponent * 0.693147181f + s * series;
}

static __device__ __forceinline__ float2 egg_draw_normal_f32(uint32_t first, uint32_t second)
{
    const float uniform = ((float)(first >> 9) + 0.5f) * 1.1920928955078125e-7f;   /* 2^-23 */
    const float radius = sqrtf(-2.0f * egg_log_f32(uniform));
    const float t = (float)(int32_t)(second << 2) * (1.57079633f * 2.3283064365386963e-10f), z = t * t;   /* 2^-32 */
    const float sine = t * (1.0f + z * (-1.66666667e-1f + z * (8.33333333e-3f + z * -1.98412698e-4f)));
    const float cosine = 1.0f + z * (-0.5f + z * (4.16666667e-2f + z * (-1.38888889e-3f + z * 2.48015873e-5f)));
    const uint32_t quarter = second >> 30;
    const float c = quarter & 1 ? sine : cosine, s = quarter & 1 ? cosine : sine;
    return make_float2(radius * (quarter == 1 || quarter == 2 ? -c : c), radius * (quarter >= 2 ? -s : s));
}

#endif
