/* SPDX-License-Identifier: MIT */
/* Everything that touches each activation once: the template's kernels, and the loss. */
#include "kernels/avx2/level.h"
#include "kernels/elementwise_x86.h"
#include "kernels/loss_tables.h"

typedef struct exp2_table {
    __m256i low, high;   /* entries 0...7 and 8...15 */
} exp2_table;

/*
 * With z = 255 - y, EXP2(y) = egg_exp2_mantissa[15 - z % 16] >> (12 + z / 16): the table is reversed and shifted by 12
 * once, two permutations look up by the low three bits of a lane, and z is the logit with its lower seven bits flipped.
 */
static exp2_table exp2_table_make(void)
{
    const __m256i reverse = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    __m256i first = _mm256_loadu_si256((const __m256i *)egg_exp2_mantissa);
    __m256i last = _mm256_loadu_si256((const __m256i *)(egg_exp2_mantissa + 8));
    return (exp2_table){_mm256_srli_epi32(_mm256_permutevar8x32_epi32(last, reverse), 12),
                        _mm256_srli_epi32(_mm256_permutevar8x32_epi32(first, reverse), 12)};
}

EGG_INLINE __m256i exp2_of(__m128i z, const exp2_table *table)
{
    __m256i wide = _mm256_cvtepu8_epi32(z);
    __m256 low = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(table->low, wide));
    __m256 high = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(table->high, wide));
    __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 28));   /* a blend looks at the sign */
    __m256i mantissa = _mm256_castps_si256(_mm256_blendv_ps(low, high, bit3));
    return _mm256_srlv_epi32(mantissa, _mm256_srli_epi32(wide, 4));
}

static void loss_i8_avx2(const egg_loss_args *args)
{
    const exp2_table table = exp2_table_make();
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *logits = args->logits + b * args->stride;
        __m256i sum = _mm256_setzero_si256();
        for (uint32_t k = 0; k < 256; k += 16) {
            __m128i z = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(logits + k)), _mm_set1_epi8(127));
            sum = _mm256_add_epi32(sum, exp2_of(z, &table));
            sum = _mm256_add_epi32(sum, exp2_of(_mm_unpackhi_epi64(z, z), &table));
        }
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 1));
        args->loss[b] = egg_log2_i32((uint32_t)_mm_cvtsi128_si32(four)) - (logits[args->targets[b]] + 128);
    }
}

void egg_avx2_elementwise(egg_kernels *kernels)
{
    kernels->embed_i8 = embed_i8_avx2;
    kernels->perturb_vector_i8 = perturb_vector_i8_avx2;
    kernels->layer_norm_i8 = layer_norm_i8_avx2;
    kernels->add_i8 = add_i8_avx2;
    kernels->gru_gate_i8 = gru_gate_i8_avx2;
    kernels->gru_blend_i8 = gru_blend_i8_avx2;
    kernels->loss_i8 = loss_i8_avx2;
    kernels->weigh_i8 = weigh_i8_avx2;
}
