/* SPDX-License-Identifier: MIT */
/* The vectors of the float templates for NEON; the level's integer kernels are in kernels_neon.c. */
#ifndef EGG_KERNELS_NEON_LEVEL_H
#define EGG_KERNELS_NEON_LEVEL_H

#include <arm_neon.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

void egg_neon_product_f32(egg_kernels *kernels);
void egg_neon_elementwise_f32(egg_kernels *kernels);
void egg_rwkv7_kernels_neon(egg_rwkv7_kernels *kernels);

#define ISA(name) name##_neon

enum { VEC = 16, F32_LANES = VEC / 4 };
typedef float32x4_t vec_f32, four_f32;
typedef uint32_t vec_u32 __attribute__((vector_size(VEC)));

EGG_INLINE vec_f32 splat_f32(float x) { return vdupq_n_f32(x); }
EGG_INLINE vec_f32 load_f32(const float *p) { return vld1q_f32(p); }

/* bfloat16 is the upper half of a float. */
EGG_INLINE vec_f32 load_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }

EGG_INLINE vec_f32 load_q8(const int8_t *p)
{
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}

EGG_INLINE void store_f32(float *p, vec_f32 v) { vst1q_f32(p, v); }

/* The second where either is NaN or both are zeros. */
EGG_INLINE vec_f32 max_f32(vec_f32 x, vec_f32 y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
EGG_INLINE vec_f32 min_f32(vec_f32 x, vec_f32 y) { return vbslq_f32(vcltq_f32(x, y), x, y); }

/* sum += x * y, rounded once */
EGG_INLINE void multiply_add_f32(vec_f32 *sum, vec_f32 x, vec_f32 y) { *sum = vfmaq_f32(*sum, x, y); }

EGG_INLINE four_f32 load_four(const float *p) { return vld1q_f32(p); }
EGG_INLINE void store_four(float *p, four_f32 v) { vst1q_f32(p, v); }
EGG_INLINE four_f32 root_four(four_f32 v) { return vsqrtq_f32(v); }

/* { sum of a's lanes, of b's, of c's, of d's }, added in the same order for all four */
EGG_INLINE four_f32 sum_lanes4_f32(vec_f32 a, vec_f32 b, vec_f32 c, vec_f32 d)
{
    return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
}

#endif
