/* SPDX-License-Identifier: MIT */
/*
 * A table of the processor's own kernels with a pretended device, whose memory is apart from the host's: it has to give
 * the processor's bits. A copy that is missing leaves zeros or old values behind; a pointer of the host in place of the
 * device's is not found among what was taken. Memory that the device still lends can be counted, and refused.
 */
#ifndef EGG_TESTS_PRETENDED_DEVICE_H
#define EGG_TESTS_PRETENDED_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct pretended_device {
    size_t left;                   /* how often memory may still be taken; at first without end */
    uint64_t downloaded, taken;    /* bytes so far */
    const char *failure;           /* what wait() says */
} pretended_device;

extern pretended_device pretended;

egg_kernels pretended_kernels(bool on_device);
size_t pretended_blocks(void);     /* that were taken and not given back */

#endif
