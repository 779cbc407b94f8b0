/* SPDX-License-Identifier: MIT */
/* The multiply-adds of the product's tile without its loads and stores. */
#include "kernels/avx512vnni/level.h"

enum { SUMS = 24, MACS = 64, MACS_F32 = 16 };   /* as many independent sums as the tiles have, each of 16 lanes */

#define ALL_SUMS                                                                                                       \
    ADD(0) ADD(1) ADD(2) ADD(3) ADD(4) ADD(5) ADD(6) ADD(7) ADD(8) ADD(9) ADD(10) ADD(11) ADD(12) ADD(13) ADD(14)      \
    ADD(15) ADD(16) ADD(17) ADD(18) ADD(19) ADD(20) ADD(21) ADD(22) ADD(23)
#define SUM_REGISTERS                                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
    "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23"

static uint64_t peak_i8_avx512vnni(uint64_t rounds)
{
#define ADD(sum) "vpdpbusd %%zmm31, %%zmm30, %%zmm" #sum "\n\t"
    for (uint64_t i = 0; i < rounds; i++) __asm__ volatile(ALL_SUMS ::: SUM_REGISTERS);
#undef ADD
    return rounds * SUMS * MACS;
}

/* Of zeros: sums that grow would end as infinities, and leftovers might be slow denormals. */
static uint64_t peak_f32_avx512vnni(uint64_t rounds)
{
#define ADD(sum) "vpxord %%zmm" #sum ", %%zmm" #sum ", %%zmm" #sum "\n\t"
    __asm__ volatile(ALL_SUMS ADD(30) ADD(31) ::: SUM_REGISTERS, "xmm30", "xmm31");
#undef ADD
#define ADD(sum) "vfmadd231ps %%zmm31, %%zmm30, %%zmm" #sum "\n\t"
    for (uint64_t i = 0; i < rounds; i++) __asm__ volatile(ALL_SUMS ::: SUM_REGISTERS);
#undef ADD
    return rounds * SUMS * MACS_F32;
}

void egg_avx512vnni_peak(egg_kernels *kernels)
{
    kernels->peak_i8 = peak_i8_avx512vnni;
    kernels->peak_f32 = peak_f32_avx512vnni;
}
