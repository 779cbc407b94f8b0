/* SPDX-License-Identifier: MIT */
#ifndef EGG_TRAIN_MACHINE_H
#define EGG_TRAIN_MACHINE_H

#include "base/status.h"
#include "kernels/kernels.h"

/* The kernel levels of this processor, within what EGGROLL_ISA allows; refuses a value that names no level. */
egg_status egg_machine_levels(uint32_t *levels, egg_error *error);

/* The kernel table of this processor, within what EGGROLL_ISA allows; refuses a value that names no level. */
egg_status egg_machine_kernels(egg_kernels *kernels, egg_error *error);

/*
 * The kernel table of option "device": the processor's ("cpu"), or that of a GPU ("cuda", "cuda:N"). 'local_rank' tells
 * the ranks of one machine apart, which take its devices in turn where no N is given. To be closed when nothing of the
 * device is in use any more. EGG_ERR_ARGUMENT: a word that names none; EGG_ERR_DEVICE: there is no such device, or this
 * build knows none.
 */
egg_status egg_machine_open(egg_kernels *kernels, const char *device, uint32_t local_rank, egg_error *error);
void egg_machine_close(const egg_kernels *kernels);

/*
 * The status of what was done with these kernels: a device that has failed gives no memory any more, so where it has, that
 * is what went wrong.
 */
egg_status egg_machine_explain(const egg_kernels *kernels, egg_status status, egg_error *error);

/* Threads that a pool has beside these kernels: one talks to a device. 'threads': the option's, 0 = one a processor. */
uint32_t egg_machine_threads(const egg_kernels *kernels, uint64_t threads);

#endif
