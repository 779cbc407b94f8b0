/* SPDX-License-Identifier: MIT */
/* In place of the CUDA level where the library is built without it. */
#include "kernels/cuda/cuda_level.h"
#include "kernels/cuda/tensor.h"

#include <string.h>

static const char without[] = "this build has no CUDA: it was configured without nvcc, or with EGG_CUDA=OFF";

uint32_t egg_cuda_devices(egg_cuda_info *list, uint32_t max)
{
    if (max) {
        list[0] = (egg_cuda_info){.major = 0};
        memcpy(list[0].name, without, sizeof without);
    }
    return 0;
}

const egg_device *egg_cuda_open(uint32_t index, const char **why)
{
    (void)index;
    *why = without;
    return NULL;
}

/* No device to fill it for. */
void egg_kernels_cuda(egg_kernels *kernels, const egg_device *device)
{
    (void)kernels;
    (void)device;
}

const char *egg_cuda_products(void)
{
    return "none";
}

void egg_cuda_close(void)
{
}

void *egg_cuda_take_shared(size_t bytes)
{
    (void)bytes;
    return NULL;
}

/* Nobody has a device to call these for. */
bool egg_cuda_tensor_fits(const egg_tensor_args *args)
{
    (void)args;
    return false;
}

void egg_cuda_tensor_shrink(const egg_tensor_args *args)
{
    (void)args;
}

void egg_cuda_tensor_linear(const egg_tensor_args *args)
{
    (void)args;
}

void egg_cuda_tensor_dense(const egg_tensor_args *args)
{
    (void)args;
}

const char *egg_cuda_cublas(const char **why)
{
    *why = without;
    return NULL;
}

void egg_cuda_cublas_linear(const egg_tensor_args *args)
{
    (void)args;
}

void egg_cuda_tensor_round(const float *from, size_t n, uint16_t *to)
{
    (void)from;
    (void)n;
    (void)to;
}
