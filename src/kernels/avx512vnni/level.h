/* SPDX-License-Identifier: MIT */
/* AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later), split by theme; each function sets its own slots. */
#ifndef EGG_KERNELS_AVX512VNNI_LEVEL_H
#define EGG_KERNELS_AVX512VNNI_LEVEL_H

#include <immintrin.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

void egg_avx512vnni_noise(egg_kernels *kernels);
void egg_avx512vnni_product(egg_kernels *kernels);
void egg_avx512vnni_elementwise(egg_kernels *kernels);
void egg_avx512vnni_update(egg_kernels *kernels);

/* The first 'count' <= 64 bytes at 'p', zeros above; touches no byte beyond them. */
EGG_INLINE __m512i load_part(const void *p, size_t count)
{
    return count >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((1ull << count) - 1, p);
}

EGG_INLINE void store_part(void *p, __m512i v, size_t count)
{
    if (count >= 64) _mm512_storeu_si512(p, v);
    else _mm512_mask_storeu_epi8(p, (1ull << count) - 1, v);
}

/* Sixteen int8 to 16-bit lanes as x << 8, in the order that _mm512_packs_epi16 undoes. mulhi of two such is x * y. */
EGG_INLINE __m512i high_bytes_low(__m512i x)
{
    return _mm512_unpacklo_epi8(_mm512_setzero_si512(), x);
}

EGG_INLINE __m512i high_bytes_high(__m512i x)
{
    return _mm512_unpackhi_epi8(_mm512_setzero_si512(), x);
}

/* int16 lanes to int8 in [-127, 127]: the instruction saturates at -128. */
EGG_INLINE __m512i pack_i8(__m512i low, __m512i high)
{
    return _mm512_max_epi8(_mm512_packs_epi16(low, high), _mm512_set1_epi8(-127));
}

/* The lanes of a vector of words that the rest of a row fills: all 32 or, at its end, 16. */
EGG_INLINE __mmask32 lanes_of(size_t left)
{
    return left >= 32 ? UINT32_MAX : UINT16_MAX;
}

/* int8 values as int16, in order; zeros in the other lanes. */
EGG_INLINE __m512i load_words(const int8_t *p, __mmask32 lanes)
{
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes, p));
}

/* { sum of a's lanes, of b's, of c's, of d's } */
EGG_INLINE __m128i sum_lanes4(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

#endif
