/* SPDX-License-Identifier: MIT */
/*
 * Loaded into a rank with LD_PRELOAD, kills it with SIGKILL at a given point of its work:
 *
 *     EGG_KILL_RANK=1 EGG_KILL_AT=allgather:17:0        as the rank enters its 17th all-gather
 *     EGG_KILL_AT=sum:9:350                              350 microseconds after its 9th sum has begun
 *
 * A call is 'sum', 'allgather' or 'rename'. A delay other than 0 lies behind the call: behind a sum that ends an epoch
 * it falls into the next evaluation, behind a gather into an update.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(void)
{
    kill(getpid(), SIGKILL);
}

static void *die_later(void *microseconds)
{
    long delay = (long)microseconds;
    struct timespec time = {.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000};
    nanosleep(&time, NULL);
    die();
    return NULL;
}

/* Whether this rank is to die at such a call, in 'delay' microseconds. */
static bool is_last(const char *call, long *delay)
{
    static atomic_long calls;
    char name[32];
    long number;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *victim = getenv("EGG_KILL_RANK"), *at = getenv("EGG_KILL_AT");
    if (!rank) rank = getenv("PMI_RANK");
    if (!rank || !victim || !at || strcmp(rank, victim) != 0) return false;
    if (sscanf(at, "%31[^:]:%ld:%ld", name, &number, delay) != 3 || strcmp(name, call) != 0) return false;
    return ++calls == number;
}

static void begin(bool last, long delay)
{
    if (last && delay == 0) die();
}

static void end(bool last, long delay)
{
    pthread_t thread;
    if (last && pthread_create(&thread, NULL, die_later, (void *)delay) != 0) die();
}

int MPI_Iallreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request)
{
    long delay = 0;
    bool last = is_last("sum", &delay);
    begin(last, delay);
    int code = PMPI_Iallreduce(from, to, count, type, op, comm, request);
    end(last, delay);
    return code;
}

int MPI_Allgatherv(const void *from, int bytes, MPI_Datatype from_type, void *to, const int counts[],
                   const int places[], MPI_Datatype to_type, MPI_Comm comm)
{
    long delay = 0;
    bool last = is_last("allgather", &delay);
    begin(last, delay);
    int code = PMPI_Allgatherv(from, bytes, from_type, to, counts, places, to_type, comm);
    end(last, delay);
    return code;
}

int rename(const char *from, const char *to)
{
    static int (*next)(const char *, const char *);
    long delay = 0;
    bool last = is_last("rename", &delay);
    begin(last, delay);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "rename");
    int code = next(from, to);
    end(last, delay);
    return code;
}
