/* SPDX-License-Identifier: MIT */
#include "train/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "es/device_memory.h"
#include "kernels/cuda/cuda_level.h"

egg_status egg_machine_levels(uint32_t *levels, egg_error *error)
{
    const char *unknown;
    *levels = egg_cpu_levels(&unknown);
    if (!unknown) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT,
                    "EGGROLL_ISA: '%s' is no kernel level; expected ref, neon, avx2 or avx512vnni",
                    unknown);
}

egg_status egg_machine_kernels(egg_kernels *kernels, egg_error *error)
{
    uint32_t levels;
    egg_status status = egg_machine_levels(&levels, error);
    if (status == EGG_OK) egg_kernels_init(kernels, levels);
    return status;
}

/* "cuda", "cuda:3": '*index' UINT32_MAX where none is named. */
static bool read_cuda(const char *device, uint32_t *index)
{
    *index = UINT32_MAX;
    if (strcmp(device, "cuda") == 0) return true;
    if (strncmp(device, "cuda:", 5) != 0) return false;
    const char *digits = device + 5;
    size_t length = strlen(digits);
    if (length < 1 || length > 4 || strspn(digits, "0123456789") != length) return false;
    *index = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

static egg_status open_cuda(egg_kernels *kernels, uint32_t index, uint32_t local_rank, egg_error *error)
{
    const char *why;
    egg_cuda_info first;
    uint32_t count = egg_cuda_devices(&first, 1);
    if (!count) return egg_fail(error, EGG_ERR_DEVICE, "--device: there is no GPU to use: %s", first.name);
    if (index == UINT32_MAX) index = local_rank % count;
    if (index >= count)
        return egg_fail(error, EGG_ERR_DEVICE, "--device: there is no cuda:%u; this machine has %u, from cuda:0 on",
                        index, count);
    const egg_device *device = egg_cuda_open(index, &why);
    if (!device) return egg_fail(error, EGG_ERR_DEVICE, "--device: cuda:%u cannot be used: %s", index, why);
    egg_kernels_init(kernels, 0);
    egg_kernels_cuda(kernels, device);
    return EGG_OK;
}

egg_status egg_machine_open(egg_kernels *kernels, const char *device, uint32_t local_rank, egg_error *error)
{
    uint32_t index;
    if (!*device || strcmp(device, "cpu") == 0) return egg_machine_kernels(kernels, error);
    if (read_cuda(device, &index)) return open_cuda(kernels, index, local_rank, error);
    return egg_fail(error, EGG_ERR_ARGUMENT, "--device: expected cpu, cuda or cuda:N, found '%s'", device);
}

void egg_machine_close(const egg_kernels *kernels)
{
    if (kernels->device) egg_cuda_close();
}

egg_status egg_machine_explain(const egg_kernels *kernels, egg_status status, egg_error *error)
{
    if (status == EGG_OK || !kernels->device || !kernels->device->wait()) return status;
    return egg_device_wait(kernels->device, error);
}

uint32_t egg_machine_threads(const egg_kernels *kernels, uint64_t threads)
{
    if (kernels->device) return 1;
    return threads ? (uint32_t)threads : egg_processor_count();
}
