/* SPDX-License-Identifier: MIT */
#ifndef EGG_COMM_MPI_H
#define EGG_COMM_MPI_H

#include "comm/comm.h"
#include "comm/launch.h"

/* All ranks of MPI_COMM_WORLD. MPI is initialized, and finalized by close, where nobody has done so before. */
egg_status egg_comm_open_mpi(egg_comm **comm, egg_launch launch, egg_error *error);

/* See egg_comm_remains(). */
bool egg_comm_mpi_remains(void);

#endif
