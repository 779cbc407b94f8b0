/* SPDX-License-Identifier: MIT */
/* Addressed noise, sixteen blocks of the generator at a time. */
#include "kernels/avx512vnni/level.h"

EGG_INLINE vec interleave_low32(vec a, vec b) { return _mm512_unpacklo_epi32(a, b); }
EGG_INLINE vec interleave_high32(vec a, vec b) { return _mm512_unpackhi_epi32(a, b); }
EGG_INLINE vec interleave_low64(vec a, vec b) { return _mm512_unpacklo_epi64(a, b); }
EGG_INLINE vec interleave_high64(vec a, vec b) { return _mm512_unpackhi_epi64(a, b); }
EGG_INLINE vec square_root(vec x) { return _mm512_castps_si512(_mm512_sqrt_ps(_mm512_castsi512_ps(x))); }

/* 128 bytes fit two registers, which one permutation looks up. */
typedef struct magnitude_table {
    vec low, high;
} magnitude_table;

EGG_INLINE magnitude_table magnitude_table_make(const int8_t *bytes)
{
    return (magnitude_table){_mm512_loadu_si512(bytes), _mm512_loadu_si512(bytes + 64)};
}

EGG_INLINE vec normal_i8(vec bytes, const magnitude_table *table)
{
    vec magnitude = _mm512_permutex2var_epi8(table->low, bytes, table->high);   /* by bits 0...6 */
    return _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(bytes), _mm512_setzero_si512(), magnitude);
}

#include "kernels/noise_x86.h"

void egg_avx512vnni_noise(egg_kernels *kernels)
{
    kernels->noise_i8 = ISA(noise_i8);
    kernels->noise_f32 = ISA(noise_f32);
}
