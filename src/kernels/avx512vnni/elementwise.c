/* SPDX-License-Identifier: MIT */
/* Everything that touches each activation once: the template's kernels, and the loss. */
#include "kernels/avx512vnni/level.h"
#include "kernels/elementwise_x86.h"
#include "kernels/loss_tables.h"

/*
 * With z = 255 - y, EXP2(y) = egg_exp2_mantissa[15 - z % 16] >> (12 + z / 16): the table is reversed and shifted by 12
 * once, a permutation looks up by the low four bits of a lane, and z is the logit with its lower seven bits flipped.
 */
EGG_INLINE __m512i exp2_of(const int8_t *logits, __m512i table)
{
    __m128i z = _mm_xor_si128(_mm_loadu_si128((const __m128i *)logits), _mm_set1_epi8(127));
    __m512i wide = _mm512_cvtepu8_epi32(z);
    return _mm512_srlv_epi32(_mm512_permutexvar_epi32(wide, table), _mm512_srli_epi32(wide, 4));
}

EGG_INLINE int32_t log2_of(uint32_t v, __m512i thresholds)
{
    uint32_t zeros = (uint32_t)__builtin_clz(v);
    __mmask16 reached = _mm512_cmple_epu32_mask(thresholds, _mm512_set1_epi32((int32_t)(v << zeros)));
    return 16 * (int32_t)(31 - zeros) - 64 + __builtin_popcount(reached) - 1;
}

static void loss_i8_avx512vnni(const egg_loss_args *args)
{
    const __m512i reverse = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i mantissas = _mm512_loadu_si512(egg_exp2_mantissa);
    const __m512i table = _mm512_srli_epi32(_mm512_permutexvar_epi32(reverse, mantissas), 12);
    const __m512i thresholds = _mm512_loadu_si512(egg_log2_threshold);
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *logits = args->logits + b * args->stride;
        __m512i sum = _mm512_setzero_si512();
        for (uint32_t k = 0; k < 256; k += 16) sum = _mm512_add_epi32(sum, exp2_of(logits + k, table));
        uint32_t total = (uint32_t)_mm512_reduce_add_epi32(sum);
        args->loss[b] = log2_of(total, thresholds) - (logits[args->targets[b]] + 128);
    }
}

void egg_avx512vnni_elementwise(egg_kernels *kernels)
{
    kernels->embed_i8 = embed_i8_avx512vnni;
    kernels->perturb_vector_i8 = perturb_vector_i8_avx512vnni;
    kernels->layer_norm_i8 = layer_norm_i8_avx512vnni;
    kernels->add_i8 = add_i8_avx512vnni;
    kernels->gru_gate_i8 = gru_gate_i8_avx512vnni;
    kernels->gru_blend_i8 = gru_blend_i8_avx512vnni;
    kernels->loss_i8 = loss_i8_avx512vnni;
    kernels->weigh_i8 = weigh_i8_avx512vnni;
}
