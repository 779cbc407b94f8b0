/* SPDX-License-Identifier: MIT */
#ifndef EGG_TRAIN_MACHINE_H
#define EGG_TRAIN_MACHINE_H

#include "base/status.h"
#include "kernels/kernels.h"

/* The kernel levels of this processor, within what EGGROLL_ISA allows; refuses a value that names no level. */
egg_status egg_machine_levels(uint32_t *levels, egg_error *error);

/* The kernel table of this processor, within what EGGROLL_ISA allows; refuses a value that names no level. */
egg_status egg_machine_kernels(egg_kernels *kernels, egg_error *error);

#endif
