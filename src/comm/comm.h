/* SPDX-License-Identifier: MIT */
/*
 * The ranks of a run. All hold the same weights and the same seed; each evaluates a slice of the population, and all that
 * they exchange is fitness: from it every rank computes the same update.
 */
#ifndef EGG_COMM_COMM_H
#define EGG_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_comm egg_comm;

typedef struct egg_comm_ops {
    /* 'all' (size, bytes_each): every rank brings its own part and leaves with all of them. */
    egg_status (*allgather)(egg_comm *comm, void *all, size_t bytes_each, egg_error *error);
    void (*free)(egg_comm *comm);
} egg_comm_ops;

struct egg_comm {
    const egg_comm_ops *ops;
    uint32_t rank, size;
};

/* One rank: what a process without others has. */
egg_status egg_comm_open_self(egg_comm **comm, egg_error *error);
void egg_comm_close(egg_comm *comm);   /* NULL is fine */

egg_status egg_comm_allgather(egg_comm *comm, void *all, size_t bytes_each, egg_error *error);

#endif
