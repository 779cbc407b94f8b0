/* SPDX-License-Identifier: MIT */
/* Addressed noise, eight blocks of the generator at a time. */
#include "kernels/avx2/level.h"

EGG_INLINE vec interleave_low32(vec a, vec b) { return _mm256_unpacklo_epi32(a, b); }
EGG_INLINE vec interleave_high32(vec a, vec b) { return _mm256_unpackhi_epi32(a, b); }
EGG_INLINE vec interleave_low64(vec a, vec b) { return _mm256_unpacklo_epi64(a, b); }
EGG_INLINE vec interleave_high64(vec a, vec b) { return _mm256_unpackhi_epi64(a, b); }
EGG_INLINE vec square_root(vec x) { return _mm256_castps_si256(_mm256_sqrt_ps(_mm256_castsi256_ps(x))); }

/*
 * A table of 128 bytes by shuffles of 16. The index falls by 16 from one shuffle to the next, and a negative one looks
 * up zero: shuffles 0...i / 16 contribute. All but the first hold the difference to the table before, so that the
 * exclusive ors of those that do leave the entry itself.
 */
typedef struct magnitude_table {
    vec difference[8];
} magnitude_table;

EGG_INLINE magnitude_table magnitude_table_make(const int8_t *bytes)
{
    magnitude_table table;
    vec before = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 8; i++) {
        vec part = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)));
        table.difference[i] = _mm256_xor_si256(part, before);
        before = part;
    }
    return table;
}

EGG_INLINE vec normal_i8(vec bytes, const magnitude_table *table)
{
    const vec sixteen = _mm256_set1_epi8(16);
    vec index = _mm256_and_si256(bytes, _mm256_set1_epi8(127));
    vec magnitude = _mm256_shuffle_epi8(table->difference[0], index);
    for (uint32_t i = 1; i < 8; i++) {
        index = _mm256_sub_epi8(index, sixteen);
        magnitude = _mm256_xor_si256(magnitude, _mm256_shuffle_epi8(table->difference[i], index));
    }
    return _mm256_sign_epi8(magnitude, _mm256_or_si256(bytes, _mm256_set1_epi8(1)));   /* 0 would give 0 */
}

#include "kernels/noise_x86.h"

void egg_avx2_noise(egg_kernels *kernels)
{
    kernels->noise_i8 = ISA(noise_i8);
    kernels->noise_f32 = ISA(noise_f32);
}
