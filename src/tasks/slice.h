/* SPDX-License-Identifier: MIT */
#ifndef EGG_TASKS_SLICE_H
#define EGG_TASKS_SLICE_H

#include <stdint.h>

/* The pairs that a rank evaluates. */
typedef struct egg_slice {
    uint32_t first_pair, pairs;
} egg_slice;

#endif
