/* SPDX-License-Identifier: MIT */
/*
 * The ranks of a run. All hold the same weights and the same seed; each evaluates a slice of the population, and all
 * that they must exchange is fitness: from it every rank computes the same update.
 *
 * Every function but open and close is collective: all ranks call it with the same sizes, in the same order. With one
 * rank none does anything. Numbers travel as they lie in memory, so ranks have to agree in byte order.
 */
#ifndef EGG_COMM_COMM_H
#define EGG_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_comm egg_comm;

/* What a way to communicate brings; the functions below are what to call. */
typedef struct egg_comm_ops {
    egg_status (*allgather)(egg_comm *comm, void *all, const size_t *bytes, egg_error *error);
    egg_status (*broadcast)(egg_comm *comm, void *data, size_t bytes, egg_error *error);
    egg_status (*sum)(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error);
    egg_status (*max)(egg_comm *comm, double *values, uint32_t count, egg_error *error);
    egg_status (*move)(egg_comm *comm, void *data, size_t unit, const uint64_t *from, const uint64_t *to,
                       egg_error *error);
    void (*free)(egg_comm *comm);
} egg_comm_ops;

struct egg_comm {
    const egg_comm_ops *ops;
    uint32_t rank, size;
    uint64_t received;         /* bytes that other ranks computed and this one got, so far */
    bool broken;               /* a call failed: the ranks no longer know of each other */
};

/*
 * The ranks that an MPI launcher started together, or a process alone. EGG_ERR_UNSUPPORTED: a launcher started several,
 * but this build has no MPI, or that of another launcher.
 */
egg_status egg_comm_open(egg_comm **comm, egg_error *error);
egg_status egg_comm_open_self(egg_comm **comm, egg_error *error);

/*
 * NULL is fine. Where the comm is broken MPI is not finalized: the caller should soon end this process, and with that
 * its launcher ends the others.
 */
void egg_comm_close(egg_comm *comm);

/*
 * Whether the ranks that are left of a comm that lost some can go on: it was closed by all of them, rank 0 is among
 * them, and egg_comm_open() will open one of them. Only where MPI has ULFM.
 */
bool egg_comm_remains(void);

/* Whether this build's MPI has ULFM. */
bool egg_comm_has_ulfm(void);

/*
 * 'all' holds a part of bytes[r] bytes of every rank r, one behind the other: every rank brings its own part, in its
 * place, and leaves with all of them.
 */
egg_status egg_comm_allgather(egg_comm *comm, void *all, const size_t *bytes, egg_error *error);

/* What rank 0 holds, to all. */
egg_status egg_comm_broadcast(egg_comm *comm, void *data, size_t bytes, egg_error *error);

/* values (count): sums over the ranks; maxima of numbers, of which none is NaN. */
egg_status egg_comm_sum(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error);
egg_status egg_comm_max(egg_comm *comm, double *values, uint32_t count, egg_error *error);

/*
 * 'data' is an array of units of 'unit' bytes, of which rank r holds [from[r], from[r+1]) and afterwards, too,
 * [to[r], to[r+1]). from, to (size + 1): ascending, with the same ends. Nothing is taken away.
 */
egg_status egg_comm_move(egg_comm *comm, void *data, size_t unit, const uint64_t *from, const uint64_t *to,
                         egg_error *error);

#endif
