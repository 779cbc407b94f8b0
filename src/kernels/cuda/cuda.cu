/* SPDX-License-Identifier: MIT */
/* The table of the level. A slot that no file fills stays NULL: a call must not find the host's kernel there. */
#include "kernels/cuda/cuda.h"

extern "C" void egg_kernels_cuda(egg_kernels *kernels, const egg_device *device)
{
    *kernels = {};
    kernels->level = "cuda";
    kernels->device = device;
    egg_cuda_noise(kernels);
    egg_cuda_product_i8(kernels);
    egg_cuda_elementwise_i8(kernels);
    egg_cuda_update_i8(kernels);
    egg_cuda_outer_i8(kernels);
    egg_cuda_gru_i8(kernels);
    egg_cuda_peak(kernels);
    egg_cuda_product_f32(kernels);
    egg_cuda_product_tensor(kernels);
    egg_cuda_elementwise_f32(kernels);
    egg_cuda_update_f32(kernels);
    egg_cuda_rwkv7(kernels);
    egg_cuda_sample(kernels);
}
