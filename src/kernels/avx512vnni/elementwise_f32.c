/* SPDX-License-Identifier: MIT */
/* The template's float32 kernels that touch each value once. */
#include "kernels/avx512vnni/level.h"
#include "kernels/elementwise_f32_x86.h"

void egg_avx512vnni_elementwise_f32(egg_kernels *kernels)
{
    kernels->weigh_f32 = weigh_f32_avx512vnni;
}
