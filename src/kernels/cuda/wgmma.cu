/* SPDX-License-Identifier: MIT */
/* How products are computed on the open device: by mma.sync, or by wgmma where somebody asks for it. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/wgmma.cuh"

static bool uses_wgmma;

bool egg_cuda_uses_wgmma(void)
{
    return uses_wgmma;
}

/* What EGGROLL_CUDA names; false: nothing that there is. */
static bool asked(bool *wgmma)
{
    const char *name = getenv("EGGROLL_CUDA");
    *wgmma = name && strcmp(name, "wgmma") == 0;
    return !name || !*name || *wgmma || strcmp(name, "mma") == 0;
}

extern "C" const char *egg_cuda_products(void)
{
    bool wgmma;
    if (!asked(&wgmma)) return "EGGROLL_CUDA names no way to multiply: expected mma or wgmma";
    return wgmma ? "wgmma" : "mma";
}

/* Whether the code that was loaded is that of sm_90a, and not a translation of an older one. */
static __global__ void look_for_wgmma(uint32_t *found)
{
    if (threadIdx.x == 0) *found = EGG_HAS_WGMMA;
}

static const char *find_wgmma(const char *device)
{
    static char why[512];
    uint32_t found = 0, *on_device = NULL;
    static const char looking[] = "looking for wgmma";
    if (!egg_cuda_check(cudaMalloc((void **)&on_device, sizeof found), looking)) return looking;
    EGG_LAUNCH(look_for_wgmma, 1, EGG_WARP, 0, on_device);
    egg_cuda_check(cudaMemcpyAsync(&found, on_device, sizeof found, cudaMemcpyDeviceToHost, egg_cuda_stream), looking);
    egg_cuda_check(cudaStreamSynchronize(egg_cuda_stream), looking);
    cudaFree(on_device);
    if (found) return NULL;
    snprintf(why, sizeof why, "EGGROLL_CUDA=wgmma: this build has no code of sm_90a that %s runs", device);
    return why;
}

const char *egg_cuda_choose_products(const char *device, int major, int minor)
{
    static char why[512];
    uses_wgmma = false;
    bool wgmma;
    if (!asked(&wgmma)) {
        snprintf(why, sizeof why, "EGGROLL_CUDA: '%.64s' is no way to multiply; expected mma or wgmma",
                 getenv("EGGROLL_CUDA"));
        return why;
    }
    if (!wgmma) return NULL;
    if (major != 9 || minor != 0) {
        snprintf(why, sizeof why, "EGGROLL_CUDA=wgmma is for compute capability 9.0; %s has %d.%d", device, major,
                 minor);
        return why;
    }
    const char *none = find_wgmma(device);
    uses_wgmma = !none;
    return none;
}
