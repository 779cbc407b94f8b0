/* SPDX-License-Identifier: MIT */
#include "train/machine.h"

#include "base/cpu.h"

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
