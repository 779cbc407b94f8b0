/* SPDX-License-Identifier: MIT */
/* The one file that knows MPI: the functions of egg_comm in terms of MPI 3. */
#include "comm/mpi.h"

#include <limits.h>
#include <mpi.h>
#ifdef OPEN_MPI
#include <mpi-ext.h>
#endif
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

/* Counts of MPI are ints. */
enum { PIECE_BYTES = 1 << 30 };

/* In seconds: how long a rank waits for the others at full attention, and the longest nap that it takes after that. */
static const double attention = 250e-6, longest_nap = 1e-3;

/* What outlives a comm: MPI begins once in a process. */
static struct {
    bool owns_mpi;             /* initialized here */
    bool has_lost;             /* some ranks, once */
    bool has_left;
    MPI_Comm left;             /* the ranks that were left when a comm ended that had lost others */
} process;

typedef struct mpi_comm {
    egg_comm base;
    MPI_Comm world;            /* a copy of MPI_COMM_WORLD: our messages and those of other users do not meet */
    int *counts, *places;      /* (size) of an all-gather */
    MPI_Request *requests;     /* (2 * size) of a move */
    MPI_Status *statuses;      /* the same; ignoring them as MPICH lets one makes gcc warn */
} mpi_comm;

static mpi_comm *mpi_of(egg_comm *comm)
{
    return (mpi_comm *)comm;   /* 'base' comes first */
}

/*
 * A code of MPI as a status; the text names this rank and its host: the rank that is missing cannot speak for itself.
 */
static egg_status check(const egg_comm *comm, int code, const char *what, egg_error *error)
{
    char reason[MPI_MAX_ERROR_STRING] = "", host[MPI_MAX_PROCESSOR_NAME] = "";
    int length;
    if (code == MPI_SUCCESS) return EGG_OK;
    MPI_Error_string(code, reason, &length);
    MPI_Get_processor_name(host, &length);
    return egg_fail(error, EGG_ERR_COMM, "rank %u of %u on %s: %s failed: %.300s", comm->rank, comm->size, host, what,
                    reason);
}

/* --------------------------------------------------------------------------------------------------------- waiting */

static void nap(double seconds)
{
    struct timespec time = {.tv_nsec = (long)(1e9 * (seconds < longest_nap ? seconds : longest_nap))};
    nanosleep(&time, NULL);
}

/*
 * MPI waits by asking all the time. Ranks whose epochs take unequally long would keep processors from those that still
 * work, if they share them with each other or with other programs: who waits for long takes naps, each a sixteenth of
 * the wait so far.
 */
static int await(MPI_Request *request)
{
    const double begun = egg_clock_seconds();
    MPI_Status ignored;
    for (int done = 0;;) {
        int code = MPI_Test(request, &done, &ignored);
        if (code != MPI_SUCCESS || done) return code;
        double waited = egg_clock_seconds() - begun;
        if (waited < attention) sched_yield();
        else nap(waited / 16);
    }
}

/* Until all ranks are here. What follows takes no longer than the network does. */
static int meet(MPI_Comm world)
{
    MPI_Request request;
    int code = MPI_Ibarrier(world, &request);
    return code == MPI_SUCCESS ? await(&request) : code;
}

/* ------------------------------------------------------------------------------------------------------ operations */

static egg_status broadcast_from(egg_comm *comm, void *data, size_t bytes, int root, egg_error *error)
{
    MPI_Comm world = mpi_of(comm)->world;
    int code = meet(world);
    for (size_t done = 0; code == MPI_SUCCESS && done < bytes; done += PIECE_BYTES) {
        size_t piece = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        code = MPI_Bcast((char *)data + done, (int)piece, MPI_BYTE, root, world);
    }
    return check(comm, code, "a broadcast", error);
}

static egg_status broadcast(egg_comm *comm, void *data, size_t bytes, egg_error *error)
{
    return broadcast_from(comm, data, bytes, 0, error);
}

/* Parts that an int cannot count go round one by one. */
static egg_status allgather_large(egg_comm *comm, void *all, const size_t *bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    char *part = all;
    for (uint32_t r = 0; status == EGG_OK && r < comm->size; part += bytes[r++])
        status = broadcast_from(comm, part, bytes[r], (int)r, error);
    return status;
}

static egg_status allgather(egg_comm *comm, void *all, const size_t *bytes, egg_error *error)
{
    mpi_comm *mpi = mpi_of(comm);
    size_t total = 0;
    for (uint32_t r = 0; r < comm->size; r++) {
        if (total > INT_MAX || bytes[r] > INT_MAX) return allgather_large(comm, all, bytes, error);
        mpi->places[r] = (int)total;
        mpi->counts[r] = (int)bytes[r];
        total += bytes[r];
    }
    int code = meet(mpi->world);
    if (code == MPI_SUCCESS)
        code = MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, all, mpi->counts, mpi->places, MPI_BYTE, mpi->world);
    return check(comm, code, "an all-gather", error);
}

static egg_status sum(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error)
{
    MPI_Request request;
    int code = MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_INT64_T, MPI_SUM, mpi_of(comm)->world, &request);
    if (code == MPI_SUCCESS) code = await(&request);
    return check(comm, code, "a sum", error);
}

static egg_status max(egg_comm *comm, double *values, uint32_t count, egg_error *error)
{
    MPI_Request request;
    int code = MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_MAX, mpi_of(comm)->world, &request);
    if (code == MPI_SUCCESS) code = await(&request);
    return check(comm, code, "a maximum", error);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What of the units goes from rank 'source' to rank 'target', piece 'piece' of it; false: nothing. */
static bool find_piece(size_t unit, const uint64_t *from, const uint64_t *to, uint32_t source, uint32_t target,
                       uint64_t piece, size_t *at, int *count)
{
    uint64_t begin = later(from[source], to[target]), end = earlier(from[source + 1], to[target + 1]);
    if (source == target || begin >= end) return false;
    uint64_t bytes = (end - begin) * unit, done = piece * PIECE_BYTES;
    if (done >= bytes) return false;
    *at = begin * unit + done;
    *count = (int)earlier(bytes - done, PIECE_BYTES);
    return true;
}

/* Every two ranks exchange piece number 'piece' of what goes between them; '*more': there was any here. */
static egg_status move_pieces(egg_comm *comm, void *data, size_t unit, const uint64_t *from, const uint64_t *to,
                              uint64_t piece, bool *more, egg_error *error)
{
    mpi_comm *mpi = mpi_of(comm);
    int code = MPI_SUCCESS, requests = 0, count;
    size_t at;
    for (uint32_t r = 0; r < comm->size && code == MPI_SUCCESS; r++)
        if (find_piece(unit, from, to, r, comm->rank, piece, &at, &count))
            code = MPI_Irecv((char *)data + at, count, MPI_BYTE, (int)r, 0, mpi->world, &mpi->requests[requests++]);
    for (uint32_t r = 0; r < comm->size && code == MPI_SUCCESS; r++)
        if (find_piece(unit, from, to, comm->rank, r, piece, &at, &count))
            code = MPI_Isend((char *)data + at, count, MPI_BYTE, (int)r, 0, mpi->world, &mpi->requests[requests++]);
    if (code == MPI_SUCCESS) code = MPI_Waitall(requests, mpi->requests, mpi->statuses);
    *more = requests > 0;
    return check(comm, code, "moving members", error);
}

static egg_status move(egg_comm *comm, void *data, size_t unit, const uint64_t *from, const uint64_t *to,
                       egg_error *error)
{
    egg_status status = check(comm, meet(mpi_of(comm)->world), "moving members", error);
    bool more = true;
    for (uint64_t piece = 0; more && status == EGG_OK; piece++)
        status = move_pieces(comm, data, unit, from, to, piece, &more, error);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- open, close */

/*
 * User Level Failure Mitigation, by which ranks that have lost others make a communicator of their own. Open MPI has it
 * from version 5 on, where mpirun is given --with-ft ulfm. MPICH declares the functions, but those of 4.0 (ch4) end the
 * program when they are called.
 */
#ifdef OMPI_HAVE_MPI_EXT_FTMPI
static bool survives(void)
{
    int *enabled, found;
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_FT, &enabled, &found);
    return found && *enabled;
}

/* Rank 0 keeps the run: without it nobody can go on. */
static bool has_first(MPI_Comm before, MPI_Comm now)
{
    MPI_Group old, left;
    int first = 0, place;
    MPI_Comm_group(before, &old);
    MPI_Comm_group(now, &left);
    MPI_Group_translate_ranks(old, 1, &first, left, &place);
    MPI_Group_free(&old);
    MPI_Group_free(&left);
    return place != MPI_UNDEFINED;
}

/* Makes 'process.left'. Nothing comes of it where none was lost, or rank 0. */
static void shrink(MPI_Comm world)
{
    MPI_Comm left;
    int before, now;
    if (MPIX_Comm_shrink(world, &left) != MPI_SUCCESS) return;
    MPI_Comm_size(world, &before);
    MPI_Comm_size(left, &now);
    if (now == before || !has_first(world, left)) return;
    MPI_Comm_set_errhandler(left, MPI_ERRORS_RETURN);
    process.left = left;
    process.has_lost = process.has_left = true;
}

/* A rank may be lost when some have gone on already: all must know of it, and want the same. True: none was lost. */
static bool part(const mpi_comm *mpi)
{
    enum { ALL_WELL = 1, ALL_LOST = 2 };
    if (!survives()) return !mpi->base.broken;
    int votes = mpi->base.broken ? ALL_LOST : ALL_WELL;
    if (mpi->base.broken) MPIX_Comm_revoke(mpi->world);
    MPIX_Comm_agree(mpi->world, &votes);   /* its code tells of lost ranks; the votes are the others' */
    if (votes == ALL_LOST) shrink(mpi->world);
    return votes == ALL_WELL;
}
#else
static bool part(const mpi_comm *mpi)
{
    return !mpi->base.broken;
}
#endif

/*
 * Once ranks are lost MPI is not finalized: those that are left would wait for what never comes, Open MPI 5.0's at
 * times for ever even after they have shrunk. A process that ends so makes launchers end the others, if it fails.
 */
static void free_mpi(egg_comm *comm)
{
    mpi_comm *mpi = mpi_of(comm);
    if (mpi->world == MPI_COMM_NULL) {
        if (!comm->broken && process.owns_mpi) MPI_Finalize();
    } else if (part(mpi) && !process.has_lost) {
        MPI_Comm_free(&mpi->world);
        if (process.owns_mpi) MPI_Finalize();
    }
    egg_free(mpi->counts);
    egg_free(mpi->places);
    egg_free(mpi->requests);
    egg_free(mpi->statuses);
    egg_free(mpi);
}

bool egg_comm_mpi_remains(void)
{
    return process.has_left;
}

bool egg_comm_has_ulfm(void)
{
#ifdef OMPI_HAVE_MPI_EXT_FTMPI
    return true;
#else
    return false;
#endif
}

static const egg_comm_ops mpi_ops = {.allgather = allgather, .broadcast = broadcast, .sum = sum, .max = max,
                                     .move = move, .free = free_mpi};

static egg_status initialize(egg_error *error)
{
    int initialized, finalized, level;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized) return egg_fail(error, EGG_ERR_COMM, "MPI has ended in this process and cannot begin again");
    if (initialized) return EGG_OK;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return egg_fail(error, EGG_ERR_COMM, "MPI does not start");
    process.owns_mpi = true;
    return EGG_OK;
}

/* The ranks of a run that lost others, or all. */
static egg_status open_world(mpi_comm *mpi, egg_error *error)
{
    if (!process.has_left) return check(&mpi->base, MPI_Comm_dup(MPI_COMM_WORLD, &mpi->world), "a communicator", error);
    mpi->world = process.left;
    process.has_left = false;
    return EGG_OK;
}

/* A launcher of another MPI starts processes that do not see each other. */
static egg_status check_launch(const egg_comm *comm, egg_launch launch, egg_error *error)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (launch.rank == comm->rank && (!launch.size || launch.size == comm->size)) return EGG_OK;
    MPI_Get_library_version(library, &length);
    library[strcspn(library, "\n,")] = '\0';
    return egg_fail(error, EGG_ERR_UNSUPPORTED,
                    "%s: this is rank %u of %u to the launcher, but rank %u of %u to MPI; start it with the mpirun of "
                    "%.100s, or with EGGROLL_MPI=off",
                    launch.variable, launch.rank, launch.size, comm->rank, comm->size, library);
}

egg_status egg_comm_open_mpi(egg_comm **out, egg_launch launch, egg_error *error)
{
    egg_status status = EGG_OK;
    int rank, size;
    const bool goes_on = process.has_left;
    *out = NULL;
    mpi_comm *mpi = egg_alloc(sizeof *mpi);
    if (!mpi) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the ranks");
    mpi->base.ops = &mpi_ops;
    mpi->world = MPI_COMM_NULL;
    EGG_TRY(initialize(error));
    EGG_TRY(open_world(mpi, error));
    MPI_Comm_set_errhandler(mpi->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(mpi->world, &rank);
    MPI_Comm_size(mpi->world, &size);
    mpi->base.rank = (uint32_t)rank;
    mpi->base.size = (uint32_t)size;
    if (!goes_on) EGG_TRY(check_launch(&mpi->base, launch, error));
    mpi->counts = egg_alloc_array((size_t)size, sizeof *mpi->counts);
    mpi->places = egg_alloc_array((size_t)size, sizeof *mpi->places);
    mpi->requests = egg_alloc_array(2 * (size_t)size, sizeof *mpi->requests);
    mpi->statuses = egg_alloc_array(2 * (size_t)size, sizeof *mpi->statuses);
    if (!mpi->counts || !mpi->places || !mpi->requests || !mpi->statuses) {
        mpi->base.broken = true;   /* the other ranks have gone on */
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %d ranks", size);
        goto out;
    }
    *out = &mpi->base;
    mpi = NULL;
out:
    if (mpi) free_mpi(&mpi->base);
    return status;
}
