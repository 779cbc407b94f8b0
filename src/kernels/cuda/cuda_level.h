/* SPDX-License-Identifier: MIT */
/*
 * The CUDA level: the kernel table on an NVIDIA GPU. A library built without it has the same functions, which answer
 * why there is no device, so that callers need no #ifdef.
 */
#ifndef EGG_KERNELS_CUDA_CUDA_LEVEL_H
#define EGG_KERNELS_CUDA_CUDA_LEVEL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/device.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct egg_cuda_info {
    char name[256];                /* as its maker calls it; where there are no devices: why, see below */
    uint64_t memory_bytes;
    uint32_t major, minor;         /* compute capability */
    uint32_t processors;           /* streaming multiprocessors */
} egg_cuda_info;

/*
 * How many devices there are; describes the first 'max' of them in 'list'. 0: there is none, and list[0].name, if max
 * is not 0, says why: built without CUDA, no driver, a driver that is too old, ...
 */
uint32_t egg_cuda_devices(egg_cuda_info *list, uint32_t max);

/*
 * Makes device 'index' the process's device; the same one again where it is open already. It is open until everybody who
 * opened it has closed it. NULL: that cannot be, and '*why' says why, a text that stays.
 */
const egg_device *egg_cuda_open(uint32_t index, const char **why);

/* Fills the whole table. 'device' is what egg_cuda_open returned. */
void egg_kernels_cuda(egg_kernels *kernels, const egg_device *device);

/*
 * By which instructions large products are to be computed: "mma" or, where the environment variable EGGROLL_CUDA says
 * so, "wgmma", which only devices of capability 9.0 have; or what is wrong with that variable. Both give the same bits.
 */
const char *egg_cuda_products(void);

/* The last one waits for the device and lets go of it; what was taken from it and not given back is lost. */
void egg_cuda_close(void);

/*
 * For tests: 'bytes' of the host's memory which the device reaches by the same pointer, page aligned, gone with the
 * device; NULL where there is no more.
 */
void *egg_cuda_take_shared(size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
