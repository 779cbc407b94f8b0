/* SPDX-License-Identifier: MIT */
#include "kernels/avx512vnni/level.h"

void egg_kernels_avx512vnni(egg_kernels *kernels)
{
    kernels->level = "avx512vnni";
    egg_avx512vnni_noise(kernels);
    egg_avx512vnni_product(kernels);
    egg_avx512vnni_product_f32(kernels);
    egg_avx512vnni_elementwise(kernels);
    egg_avx512vnni_elementwise_f32(kernels);
    egg_avx512vnni_update(kernels);
    egg_rwkv7_kernels_avx512vnni(&kernels->rwkv7);
    egg_avx512vnni_peak(kernels);
}
