/* SPDX-License-Identifier: MIT */
/* Between the emulator's two sides: how the stream has a kernel run. */
#ifndef EGG_TESTS_CUDA_EMULATOR_LAUNCHER_H
#define EGG_TESTS_CUDA_EMULATOR_LAUNCHER_H

#include "cuda_emulator.h"

static const size_t EGG_EMULATOR_SHARED_BYTES = 227 << 10;

/* Blocks one after another, to the end. */
void egg_emulator_run_kernel(const char *name, egg_emulator_call *call, dim3 grid, dim3 block, size_t shared_bytes);

/* Whether a block may have so many threads, whole warps, and bytes of shared memory. */
bool egg_emulator_fits(uint64_t threads, size_t shared_bytes);

#endif
