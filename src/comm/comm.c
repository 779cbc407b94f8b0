/* SPDX-License-Identifier: MIT */
#include "comm/comm.h"

#include "comm/launch.h"
#include "comm/mpi.h"

#ifndef EGG_HAVE_MPI
egg_status egg_comm_open_mpi(egg_comm **comm, egg_launch launch, egg_error *error)
{
    *comm = NULL;
    return egg_fail(error, EGG_ERR_UNSUPPORTED,
                    "%s: this process is one of several that a launcher started, but the program was built without MPI",
                    launch.variable);
}

bool egg_comm_mpi_remains(void)
{
    return false;
}

bool egg_comm_has_ulfm(void)
{
    return false;
}
#endif

egg_status egg_comm_open(egg_comm **comm, egg_error *error)
{
    egg_launch launch = egg_launch_find();
    return launch.variable ? egg_comm_open_mpi(comm, launch, error) : egg_comm_open_self(comm, error);
}

void egg_comm_close(egg_comm *comm)
{
    if (comm) comm->ops->free(comm);
}

bool egg_comm_remains(void)
{
    return egg_comm_mpi_remains();
}

/* After a failure nobody knows what the others wait for: nothing more is tried. */
static egg_status note(egg_comm *comm, egg_status status)
{
    if (status != EGG_OK) comm->broken = true;
    return status;
}

static egg_status check(const egg_comm *comm, egg_error *error)
{
    return comm->broken ? egg_fail(error, EGG_ERR_COMM, "rank %u has lost the other ranks", comm->rank) : EGG_OK;
}

egg_status egg_comm_allgather(egg_comm *comm, void *all, const size_t *bytes, egg_error *error)
{
    if (comm->size == 1) return EGG_OK;
    egg_status status = check(comm, error);
    if (status == EGG_OK) status = note(comm, comm->ops->allgather(comm, all, bytes, error));
    for (uint32_t r = 0; status == EGG_OK && r < comm->size; r++)
        if (r != comm->rank) comm->received += bytes[r];
    return status;
}

egg_status egg_comm_broadcast(egg_comm *comm, void *data, size_t bytes, egg_error *error)
{
    if (comm->size == 1 || bytes == 0) return EGG_OK;
    egg_status status = check(comm, error);
    if (status == EGG_OK) status = note(comm, comm->ops->broadcast(comm, data, bytes, error));
    if (status == EGG_OK && comm->rank) comm->received += bytes;
    return status;
}

egg_status egg_comm_sum(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error)
{
    if (comm->size == 1) return EGG_OK;
    egg_status status = check(comm, error);
    if (status == EGG_OK) status = note(comm, comm->ops->sum(comm, values, count, error));
    if (status == EGG_OK) comm->received += count * sizeof *values;
    return status;
}

egg_status egg_comm_max(egg_comm *comm, double *values, uint32_t count, egg_error *error)
{
    if (comm->size == 1) return EGG_OK;
    egg_status status = check(comm, error);
    if (status == EGG_OK) status = note(comm, comm->ops->max(comm, values, count, error));
    if (status == EGG_OK) comm->received += count * sizeof *values;
    return status;
}

static uint64_t length(uint64_t begin, uint64_t end)
{
    return end > begin ? end - begin : 0;
}

egg_status egg_comm_move(egg_comm *comm, void *data, size_t unit, const uint64_t *from, const uint64_t *to,
                         egg_error *error)
{
    if (comm->size == 1) return EGG_OK;
    egg_status status = check(comm, error);
    if (status == EGG_OK) status = note(comm, comm->ops->move(comm, data, unit, from, to, error));
    if (status != EGG_OK) return status;
    const uint64_t *old = from + comm->rank, *now = to + comm->rank;
    uint64_t kept = length(old[0] > now[0] ? old[0] : now[0], old[1] < now[1] ? old[1] : now[1]);
    comm->received += (now[1] - now[0] - kept) * unit;
    return EGG_OK;
}
