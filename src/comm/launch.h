/* SPDX-License-Identifier: MIT */
/*
 * Whether an MPI launcher started this process, from what launchers leave in the environment: a process that nobody
 * launched must not touch MPI, which would start daemons, take signals and fail where none is set up.
 */
#ifndef EGG_COMM_LAUNCH_H
#define EGG_COMM_LAUNCH_H

#include <stdint.h>

typedef struct egg_launch {
    const char *variable;      /* that tells of the launcher; NULL: there is none */
    uint32_t rank;
    uint32_t size;             /* 0: the launcher does not tell */
    uint32_t local_rank;       /* among those of this machine; 0 also where the launcher does not tell */
} egg_launch;

/* EGGROLL_MPI=off makes it find none. */
egg_launch egg_launch_find(void);

#endif
