/* SPDX-License-Identifier: MIT */
#include "comm/launch.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static uint32_t number(const char *name)
{
    const char *text = name ? getenv(name) : NULL;
    unsigned long value = text ? strtoul(text, NULL, 10) : 0;
    return value < UINT32_MAX ? (uint32_t)value : 0;
}

egg_launch egg_launch_find(void)
{
    static const struct {
        const char *rank, *size, *local_rank;
    } known[] = {
        /* Open MPI's mpirun; MPICH and Intel MPI's mpirun, srun --mpi=pmi2; srun --mpi=pmix, PRRTE */
        {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
        {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
        {"PMIX_RANK", "SLURM_NTASKS", "SLURM_LOCALID"},
    };
    const char *mode = getenv("EGGROLL_MPI");
    if (mode && strcmp(mode, "off") == 0) return (egg_launch){0};
    for (size_t i = 0; i < EGG_COUNT(known); i++)
        if (getenv(known[i].rank))
            return (egg_launch){.variable = known[i].rank, .rank = number(known[i].rank),
                                .size = number(known[i].size), .local_rank = number(known[i].local_rank)};
    return (egg_launch){0};
}
