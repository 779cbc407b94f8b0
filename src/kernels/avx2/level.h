/* SPDX-License-Identifier: MIT */
/* AVX2 with FMA (Haswell, Zen 1 and later), split by theme; each function sets its own slots. */
#ifndef EGG_KERNELS_AVX2_LEVEL_H
#define EGG_KERNELS_AVX2_LEVEL_H

#include <immintrin.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

void egg_avx2_noise(egg_kernels *kernels);
void egg_avx2_product(egg_kernels *kernels);
void egg_avx2_product_f32(egg_kernels *kernels);
void egg_avx2_elementwise(egg_kernels *kernels);
void egg_avx2_elementwise_f32(egg_kernels *kernels);
void egg_avx2_update(egg_kernels *kernels);
void egg_rwkv7_kernels_avx2(egg_rwkv7_kernels *kernels);
void egg_avx2_peak(egg_kernels *kernels);

/*
 * sum += u * s over the four unsigned and signed bytes of each lane; two neighbouring products must fit 16 bits. The
 * sum is tied to one register: gcc 12 else stores it at every step of some loops, see tests/check_spills.sh.
 */
EGG_INLINE void multiply_add(__m256i *sum, __m256i u, __m256i s)
{
    __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(products));
}

/* ------------------------------------------------------------------------- the vectors of elementwise_x86.h */

#define ISA(name) name##_avx2

enum { VEC = 32 };
typedef __m256i vec;
typedef int16_t vec_i16 __attribute__((vector_size(VEC)));
typedef uint16_t vec_u16 __attribute__((vector_size(VEC)));

/* The first VEC bytes at 'p', or 16 and zeros above: rows end after a multiple of EGG_ROW_QUANTUM. */
EGG_INLINE vec load_part(const void *p, size_t count)
{
    return count >= VEC ? _mm256_loadu_si256(p) : _mm256_zextsi128_si256(_mm_loadu_si128(p));
}

EGG_INLINE void store_part(void *p, vec v, size_t count)
{
    if (count >= VEC) _mm256_storeu_si256(p, v);
    else _mm_storeu_si128(p, _mm256_castsi256_si128(v));
}

/* Both halves of every 128-bit lane's bytes as words x << 8: the high half of a product of two such is x * y. */
EGG_INLINE vec shifted_low(vec bytes) { return _mm256_unpacklo_epi8(_mm256_setzero_si256(), bytes); }
EGG_INLINE vec shifted_high(vec bytes) { return _mm256_unpackhi_epi8(_mm256_setzero_si256(), bytes); }

/* From words of the two halves back to bytes in [-127, 127]: the instruction saturates at -128. */
EGG_INLINE vec pack_i8(vec low, vec high)
{
    return _mm256_max_epi8(_mm256_packs_epi16(low, high), _mm256_set1_epi8(-127));
}

EGG_INLINE vec add_saturated_i8(vec x, vec y)
{
    return _mm256_max_epi8(_mm256_adds_epi8(x, y), _mm256_set1_epi8(-127));
}

EGG_INLINE vec splat16(int32_t x) { return _mm256_set1_epi16((int16_t)x); }
EGG_INLINE vec add16(vec x, vec y) { return _mm256_add_epi16(x, y); }
EGG_INLINE vec sub16(vec x, vec y) { return _mm256_sub_epi16(x, y); }
EGG_INLINE vec or16(vec x, vec y) { return _mm256_or_si256(x, y); }
EGG_INLINE vec min16(vec x, vec y) { return _mm256_min_epi16(x, y); }
EGG_INLINE vec max16(vec x, vec y) { return _mm256_max_epi16(x, y); }
EGG_INLINE vec multiply_low16(vec x, vec y) { return _mm256_mullo_epi16(x, y); }
EGG_INLINE vec multiply_high16(vec x, vec y) { return _mm256_mulhi_epi16(x, y); }
EGG_INLINE vec multiply_high_u16(vec x, vec y) { return _mm256_mulhi_epu16(x, y); }
/* Written with operators, since an intrinsic's count must be a literal in some builds and a register in others. */
EGG_INLINE vec shift_left16(vec x, uint32_t by) { return (vec)((vec_i16)x << (int16_t)by); }
EGG_INLINE vec shift_right16(vec x, uint32_t by) { return (vec)((vec_i16)x >> (int16_t)by); }
EGG_INLINE vec shift_right_u16(vec x, uint32_t by) { return (vec)((vec_u16)x >> (uint16_t)by); }

/* 64-bit partial sums of the bytes' magnitudes, and the sum of these lanes. */
EGG_INLINE vec add_magnitudes(vec sums, vec bytes)
{
    return _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_abs_epi8(bytes), _mm256_setzero_si256()));
}

EGG_INLINE uint32_t sum_of_u64(vec sums)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
}

/* ------------------------------------------------------------------------------- the vectors of the float templates */

enum { F32_LANES = VEC / 4 };
typedef __m256 vec_f32;
typedef __m128 four_f32;
typedef uint32_t vec_u32 __attribute__((vector_size(VEC)));

EGG_INLINE vec_f32 splat_f32(float x) { return _mm256_set1_ps(x); }
EGG_INLINE vec_f32 load_f32(const float *p) { return _mm256_loadu_ps(p); }

/* bfloat16 is the upper half of a float. */
EGG_INLINE vec_f32 load_bf16(const uint16_t *p)
{
    const __m256i halves = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(halves, 16));
}

EGG_INLINE vec_f32 load_q8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

EGG_INLINE void store_f32(float *p, vec_f32 v) { _mm256_storeu_ps(p, v); }
/* The second where either is NaN or both are zeros. */
EGG_INLINE vec_f32 max_f32(vec_f32 x, vec_f32 y) { return _mm256_max_ps(x, y); }
EGG_INLINE vec_f32 min_f32(vec_f32 x, vec_f32 y) { return _mm256_min_ps(x, y); }

/* sum += x * y, rounded once; tied to one register as above. */
EGG_INLINE void multiply_add_f32(vec_f32 *sum, vec_f32 x, vec_f32 y)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(y));
}

EGG_INLINE four_f32 load_four(const float *p) { return _mm_loadu_ps(p); }
EGG_INLINE void store_four(float *p, four_f32 v) { _mm_storeu_ps(p, v); }
EGG_INLINE four_f32 root_four(four_f32 v) { return _mm_sqrt_ps(v); }

/* { sum of a's lanes, of b's, of c's, of d's }, added in the same order for all four */
EGG_INLINE four_f32 sum_lanes4_f32(vec_f32 a, vec_f32 b, vec_f32 c, vec_f32 d)
{
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256 abcd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    return _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1));
}

#endif
