/* SPDX-License-Identifier: MIT */
#ifndef EGG_BASE_CLOCK_H
#define EGG_BASE_CLOCK_H

#include <time.h>

/* Seconds since some fixed moment; never goes back. For measuring and for budgets in time, never for randomness. */
static inline double egg_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
