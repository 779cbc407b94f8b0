/* SPDX-License-Identifier: MIT */
/* AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later), split by theme; each function sets its own slots. */
#ifndef EGG_KERNELS_AVX512VNNI_LEVEL_H
#define EGG_KERNELS_AVX512VNNI_LEVEL_H

#include <immintrin.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

void egg_avx512vnni_noise(egg_kernels *kernels);
void egg_avx512vnni_product(egg_kernels *kernels);
void egg_avx512vnni_product_f32(egg_kernels *kernels);
void egg_avx512vnni_elementwise(egg_kernels *kernels);
void egg_avx512vnni_elementwise_f32(egg_kernels *kernels);
void egg_avx512vnni_update(egg_kernels *kernels);
void egg_rwkv7_kernels_avx512vnni(egg_rwkv7_kernels *kernels);
void egg_avx512vnni_peak(egg_kernels *kernels);

/* ------------------------------------------------------------------------- the vectors of elementwise_x86.h */

#define ISA(name) name##_avx512vnni

enum { VEC = 64 };
typedef __m512i vec;
typedef int16_t vec_i16 __attribute__((vector_size(VEC)));
typedef uint16_t vec_u16 __attribute__((vector_size(VEC)));

/* The first 'count' bytes at 'p', at most VEC, and zeros above; touches no byte beyond them. */
EGG_INLINE vec load_part(const void *p, size_t count)
{
    return count >= VEC ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((1ull << count) - 1, p);
}

EGG_INLINE void store_part(void *p, vec v, size_t count)
{
    if (count >= VEC) _mm512_storeu_si512(p, v);
    else _mm512_mask_storeu_epi8(p, (1ull << count) - 1, v);
}

/* Both halves of every 128-bit lane's bytes as words x << 8: the high half of a product of two such is x * y. */
EGG_INLINE vec shifted_low(vec bytes) { return _mm512_unpacklo_epi8(_mm512_setzero_si512(), bytes); }
EGG_INLINE vec shifted_high(vec bytes) { return _mm512_unpackhi_epi8(_mm512_setzero_si512(), bytes); }

/* From words of the two halves back to bytes in [-127, 127]: the instruction saturates at -128. */
EGG_INLINE vec pack_i8(vec low, vec high)
{
    return _mm512_max_epi8(_mm512_packs_epi16(low, high), _mm512_set1_epi8(-127));
}

EGG_INLINE vec add_saturated_i8(vec x, vec y)
{
    return _mm512_max_epi8(_mm512_adds_epi8(x, y), _mm512_set1_epi8(-127));
}

EGG_INLINE vec splat16(int32_t x) { return _mm512_set1_epi16((int16_t)x); }
EGG_INLINE vec add16(vec x, vec y) { return _mm512_add_epi16(x, y); }
EGG_INLINE vec sub16(vec x, vec y) { return _mm512_sub_epi16(x, y); }
EGG_INLINE vec or16(vec x, vec y) { return _mm512_or_si512(x, y); }
EGG_INLINE vec min16(vec x, vec y) { return _mm512_min_epi16(x, y); }
EGG_INLINE vec max16(vec x, vec y) { return _mm512_max_epi16(x, y); }
EGG_INLINE vec multiply_low16(vec x, vec y) { return _mm512_mullo_epi16(x, y); }
EGG_INLINE vec multiply_high16(vec x, vec y) { return _mm512_mulhi_epi16(x, y); }
EGG_INLINE vec multiply_high_u16(vec x, vec y) { return _mm512_mulhi_epu16(x, y); }
/* Written with operators, since an intrinsic's count must be a literal in some builds and a register in others. */
EGG_INLINE vec shift_left16(vec x, uint32_t by) { return (vec)((vec_i16)x << (int16_t)by); }
EGG_INLINE vec shift_right16(vec x, uint32_t by) { return (vec)((vec_i16)x >> (int16_t)by); }
EGG_INLINE vec shift_right_u16(vec x, uint32_t by) { return (vec)((vec_u16)x >> (uint16_t)by); }

/* 64-bit partial sums of the bytes' magnitudes, and the sum of these lanes. */
EGG_INLINE vec add_magnitudes(vec sums, vec bytes)
{
    return _mm512_add_epi64(sums, _mm512_sad_epu8(_mm512_abs_epi8(bytes), _mm512_setzero_si512()));
}

EGG_INLINE uint32_t sum_of_u64(vec sums) { return (uint32_t)_mm512_reduce_add_epi64(sums); }

/* ------------------------------------------------------------------------------- the vectors of the float templates */

enum { F32_LANES = VEC / 4 };
typedef __m512 vec_f32;
typedef __m128 four_f32;
typedef uint32_t vec_u32 __attribute__((vector_size(VEC)));

EGG_INLINE vec_f32 splat_f32(float x) { return _mm512_set1_ps(x); }
EGG_INLINE vec_f32 load_f32(const float *p) { return _mm512_loadu_ps(p); }

/* bfloat16 is the upper half of a float. */
EGG_INLINE vec_f32 load_bf16(const uint16_t *p)
{
    const __m512i halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
}

EGG_INLINE vec_f32 load_q8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

EGG_INLINE void store_f32(float *p, vec_f32 v) { _mm512_storeu_ps(p, v); }
/* The second where either is NaN or both are zeros. */
EGG_INLINE vec_f32 max_f32(vec_f32 x, vec_f32 y) { return _mm512_max_ps(x, y); }
EGG_INLINE vec_f32 min_f32(vec_f32 x, vec_f32 y) { return _mm512_min_ps(x, y); }

/* sum += x * y, rounded once; the sum is tied to one register, see multiply_add in tile.h. */
EGG_INLINE void multiply_add_f32(vec_f32 *sum, vec_f32 x, vec_f32 y)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
}

EGG_INLINE four_f32 load_four(const float *p) { return _mm_loadu_ps(p); }
EGG_INLINE void store_four(float *p, four_f32 v) { _mm_storeu_ps(p, v); }
EGG_INLINE four_f32 root_four(four_f32 v) { return _mm_sqrt_ps(v); }

/* { sum of a's lanes, of b's, of c's, of d's }, added in the same order for all four */
EGG_INLINE four_f32 sum_lanes4_f32(vec_f32 a, vec_f32 b, vec_f32 c, vec_f32 d)
{
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 abcd = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#endif
