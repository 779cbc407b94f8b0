/* SPDX-License-Identifier: MIT */
/* The multiply-adds of the product's tile without its loads and stores. */
#include "kernels/avx2/level.h"

enum { STEPS = 12, MACS = 32 };   /* into eight sums of 8 lanes, 4 products each, by way of five registers of pairs */

#define ADD(sum, pairs)                                                                                                \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm" #pairs "\n\tvpmaddwd %%ymm13, %%ymm" #pairs ", %%ymm" #pairs                  \
    "\n\tvpaddd %%ymm" #pairs ", %%ymm" #sum ", %%ymm" #sum "\n\t"

static uint64_t peak_i8_avx2(uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        __asm__ volatile(ADD(0, 8) ADD(1, 9) ADD(2, 10) ADD(3, 11) ADD(4, 12) ADD(5, 8) ADD(6, 9) ADD(7, 10) ADD(0, 11)
                         ADD(1, 12) ADD(2, 8) ADD(3, 9)
                         ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                             "xmm11", "xmm12");
    return rounds * STEPS * MACS;
}

enum { SUMS_F32 = 12, MACS_F32 = 8 };   /* the float tile's sums */

#define EACH_SUM(DO)                                                                                                   \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define ZERO(sum) "vxorps %%ymm" #sum ", %%ymm" #sum ", %%ymm" #sum "\n\t"
#define FUSED(sum) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" #sum "\n\t"

/* Of zeros: sums that grow would end as infinities, and leftovers might be slow denormals. */
static uint64_t peak_f32_avx2(uint64_t rounds)
{
    __asm__ volatile(EACH_SUM(ZERO) ZERO(14) ZERO(15)
                     ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                         "xmm11", "xmm14", "xmm15");
    for (uint64_t i = 0; i < rounds; i++)
        __asm__ volatile(EACH_SUM(FUSED)
                         ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                             "xmm11");
    return rounds * SUMS_F32 * MACS_F32;
}

void egg_avx2_peak(egg_kernels *kernels)
{
    kernels->peak_i8 = peak_i8_avx2;
    kernels->peak_f32 = peak_f32_avx2;
}
