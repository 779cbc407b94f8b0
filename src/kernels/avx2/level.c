/* SPDX-License-Identifier: MIT */
#include "kernels/avx2/level.h"

void egg_kernels_avx2(egg_kernels *kernels)
{
    kernels->level = "avx2";
    egg_avx2_noise(kernels);
    egg_avx2_product(kernels);
    egg_avx2_product_f32(kernels);
    egg_avx2_elementwise(kernels);
    egg_avx2_elementwise_f32(kernels);
    egg_avx2_update(kernels);
    egg_rwkv7_kernels_avx2(&kernels->rwkv7);
    egg_avx2_peak(kernels);
}
