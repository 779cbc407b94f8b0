/* SPDX-License-Identifier: MIT */
#include "kernels/kernels.h"

#include "base/cpu.h"

void egg_kernels_init(egg_kernels *kernels, uint32_t levels)
{
    egg_kernels_ref(kernels);
    egg_rwkv7_kernels_ref(&kernels->rwkv7);
    (void)levels;
#ifdef EGG_HAVE_NEON
    if (levels & EGG_CPU_NEON) egg_kernels_neon(kernels);
#endif
#ifdef EGG_HAVE_AVX2
    if (levels & EGG_CPU_AVX2) egg_kernels_avx2(kernels);
#endif
#ifdef EGG_HAVE_AVX512VNNI
    if (levels & EGG_CPU_AVX512VNNI) egg_kernels_avx512vnni(kernels);
#endif
}
