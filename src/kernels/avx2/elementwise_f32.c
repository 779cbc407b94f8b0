/* SPDX-License-Identifier: MIT */
/* The template's float32 kernels that touch every value once. */
#include <stdbool.h>

#include "kernels/avx2/level.h"
#include "kernels/elementwise_f32.h"

void egg_avx2_elementwise_f32(egg_kernels *kernels)
{
    kernels->perturb_vector_f32 = perturb_vector_f32_avx2;
    kernels->layer_norm_f32 = layer_norm_f32_avx2;
    kernels->add_f32 = add_f32_avx2;
    kernels->relu_f32 = relu_f32_avx2;
    kernels->tanh_f32 = tanh_f32_avx2;
    kernels->weigh_f32 = weigh_f32_avx2;
}
