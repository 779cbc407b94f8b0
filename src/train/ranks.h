/* SPDX-License-Identifier: MIT */
/*
 * A run over several ranks, as all kinds of runs do it: who evaluates what, what is exchanged, and how ranks fail
 * together. docs/distributed.md describes it. With one rank, none of this does anything.
 *
 * Rank 0 reads and writes the run folder, and its clock is the run's. Functions with 'error' are collective unless they
 * say otherwise: all ranks call them, in the same order.
 */
#ifndef EGG_TRAIN_RANKS_H
#define EGG_TRAIN_RANKS_H

#include "base/hash.h"
#include "comm/comm.h"
#include "es/evolution.h"
#include "es/fitness.h"
#include "tasks/slice.h"
#include "train/options.h"

typedef struct egg_ranks {
    egg_comm *comm;
    uint32_t rank, size;
    bool differ;               /* the weights of two ranks were found to differ: nothing may be saved any more */

    /* slices */
    uint32_t pairs;
    uint64_t *bounds;          /* (size + 1) rank r evaluates the pairs [bounds[r], bounds[r+1]) */
    uint64_t *next;            /* (size + 1) */
    float *speeds;             /* (size) pairs a second */
    float speed;               /* our own, smoothed; 0: not known */
    uint32_t measured;         /* epochs since the slices were last weighed */
    size_t *bytes;             /* (size) of parts in a gather */
    uint8_t *signs;            /* of all pairs, packed; where only signs count */

    /* the update */
    egg_shard shard;           /* {0, 1}: every rank updates all rows */
    bool undecided;            /* --update-sharding auto, before the first update */
    void *rows;                /* (rows_bytes) of all shards, between gathering and putting them in place */
    size_t rows_bytes;
    void *all_rows;            /* (all_rows_bytes) moments of all, while egg_ranks_widen() holds them; else NULL */
    size_t all_rows_bytes;
    struct egg_own_rows *own_rows;   /* (parameters) what they stand in for */

    uint64_t fitness_bytes;    /* of the last epoch: received */
    uint64_t counted;          /* of comm->received, by egg_ranks_traffic */
} egg_ranks;

enum { EGG_SHARDING_NONE = 0, EGG_SHARDING_ROWS = 1, EGG_SHARDING_AUTO = 2 };   /* in the order of options.def */

egg_status egg_ranks_open(egg_ranks *ranks, egg_error *error);
void egg_ranks_close(egg_ranks *ranks);   /* all zeros are fine */

/* ------------------------------------------------------------------------------------------------------- agreement */

/*
 * Every rank brings the status of what it did alone. Where all are EGG_OK values (count <= 8) become their sums over
 * the ranks; else all ranks leave with the failure of the first that failed.
 */
egg_status egg_ranks_agree(egg_ranks *ranks, egg_status own, int64_t *values, uint32_t count, egg_error *error);

/* The same, and '*real' becomes that of rank 0. count <= 7. */
egg_status egg_ranks_agree_real(egg_ranks *ranks, egg_status own, double *real, int64_t *values, uint32_t count,
                                 egg_error *error);

/*
 * What rank 0 has, to all: bytes; options, of which a rank keeps its own --threads; a list of paths. On the other ranks
 * '*options' and '*paths' are made here.
 */
egg_status egg_ranks_share(egg_ranks *ranks, void *data, size_t bytes, egg_error *error);
egg_status egg_ranks_share_options(egg_ranks *ranks, const egg_options *given, egg_options **options, egg_error *error);
egg_status egg_ranks_share_paths(egg_ranks *ranks, char ***paths, size_t *count, egg_error *error);

/*
 * Parameters that evolve, with fractions and moments. Where rows are shared out rank 0 is wide. What the host then has
 * still has to be sent to its kernels (egg_params_send).
 */
egg_status egg_ranks_share_params(egg_ranks *ranks, egg_param *params, uint32_t count, egg_error *error);

/* Refuses hashes that are not those of all other ranks; names the rank that differs, its host, and 'what' it is of. */
egg_status egg_ranks_compare(egg_ranks *ranks, egg_hash hash, const char *what, egg_error *error);

/* The same for weights after an epoch; sets 'differ'. */
egg_status egg_ranks_compare_weights(egg_ranks *ranks, const egg_param *params, uint32_t count, uint64_t epoch,
                                     egg_error *error);

/*
 * The kernel table of option "device", which all ranks have: of the processor with levels that all have, or of every
 * rank's GPU. To be closed with egg_machine_close(); on failure, too, where kernels->device is set.
 */
egg_status egg_ranks_machine(egg_ranks *ranks, const char *device, egg_kernels *kernels, egg_error *error);

/* Not collective: EGG_ERR_COMM where the state of this rank must not be saved. */
egg_status egg_ranks_may_save(const egg_ranks *ranks, egg_error *error);

/* ----------------------------------------------------------------------------------------------------------- slices */

/* Divides 'pairs' evenly. Not collective. */
egg_status egg_ranks_divide(egg_ranks *ranks, uint32_t pairs, egg_error *error);

egg_slice egg_ranks_slice(const egg_ranks *ranks);   /* of this rank */

/*
 * After an epoch in which this rank's slice took 'seconds': now and then the slices are weighed anew by the speeds of
 * all. 'held' (pairs, bytes_each): what a rank keeps of its pairs from epoch to epoch, which moves along; NULL:
 * nothing.
 */
egg_status egg_ranks_balance(egg_ranks *ranks, double seconds, void *held, size_t bytes_each, egg_error *error);

/* bounds (size + 1) of 'pairs' by speeds (size); one that is not positive counts as the mean of the others. */
void egg_ranks_weigh(const float *speeds, uint32_t size, uint32_t pairs, uint64_t *bounds);

/* data (pairs, bytes_each): every rank brings its slice and leaves with all. Of the fitness of an epoch. */
egg_status egg_ranks_gather(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error);

/* The same of data (pairs / stride, rounded up; bytes_each) that belongs to every so manieth pair, from pair 0 on. */
egg_status egg_ranks_gather_every(egg_ranks *ranks, uint32_t stride, void *data, size_t bytes_each, egg_error *error);

/* This rank's share of 'count' things that are the same work each: they begin at '*first'. Not collective. */
uint32_t egg_ranks_share_of(const egg_ranks *ranks, uint32_t count, uint32_t *first);

/* data (count, bytes_each): every rank brings its share and leaves with all. */
egg_status egg_ranks_gather_shares(egg_ranks *ranks, uint32_t count, void *data, size_t bytes_each, egg_error *error);

/* difference (pairs), as egg_fitness_shape needs it: under 'vote' only signs travel, five a byte. */
egg_status egg_ranks_gather_differences(egg_ranks *ranks, egg_rule rule, int32_t *difference, egg_error *error);

/* weight (pairs) of float models; where each is 0 or +-unit, unit > 0, only signs travel. */
egg_status egg_ranks_gather_weights(egg_ranks *ranks, float unit, float *weight, egg_error *error);

/* 'data' (pairs, bytes_each): to rank 0, which then has all, and from it. */
egg_status egg_ranks_collect(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error);
egg_status egg_ranks_scatter(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error);

/* Bytes received since the last call. Not collective. */
uint64_t egg_ranks_traffic(egg_ranks *ranks);

/* ------------------------------------------------------------------------------------------------------- the update */

/* Prepares what 'sharding' needs; ranks->shard says whether rows are shared out. Not collective. */
egg_status egg_ranks_open_update(egg_ranks *ranks, uint32_t sharding, const egg_param *params, uint32_t count,
                                 egg_error *error);

/*
 * That part of all parameters: every rank brings its shard's rows and leaves with all. Nothing where rows are not
 * shared.
 */
egg_status egg_ranks_gather_rows(egg_ranks *ranks, egg_param *params, uint32_t count, egg_shard_part part,
                                 egg_error *error);

/* Whether this rank has fractions and moments of all rows. Not collective. */
bool egg_ranks_is_complete(const egg_ranks *ranks, const egg_param *params, uint32_t count);

/*
 * Fractions, too, to every rank, and moments to rank 0, in a temporary file of 'folder' (rank 0's; NULL elsewhere): so
 * that rank 0 is complete until egg_ranks_narrow().
 */
egg_status egg_ranks_complete(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count,
                              egg_error *error);

/*
 * Moments and gradients under 'rows': a rank has those of its shard. 'widen' gives it room for all, where it does not
 * have it, with its own in their places and zeros elsewhere, and room on the kernels' device, to which moments are still
 * to be sent; 'narrow' takes that away again and keeps its own. A run that is closed has to be narrow. Not collective.
 */
egg_status egg_ranks_widen(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count, egg_error *error);
void egg_ranks_narrow(egg_ranks *ranks, egg_param *params, uint32_t count);
bool egg_ranks_has_all_moments(const egg_ranks *ranks, const egg_param *params, uint32_t count);

/* Moments to rank 0, which becomes wide, and from rank 0, which is, to those that need them. */
egg_status egg_ranks_collect_moments(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count,
                                     egg_error *error);
egg_status egg_ranks_share_moments(egg_ranks *ranks, egg_param *params, uint32_t count, egg_error *error);

/* The memory for rows that are exchanged, of a rank among 'size'; and the shard that a run begins with. */
uint64_t egg_ranks_update_bytes(uint32_t size, uint32_t sharding, const egg_param *params, uint32_t count);
egg_shard egg_ranks_first_shard(uint32_t rank, uint32_t size, uint32_t sharding);

/*
 * Behind the first update, which took 'seconds' on all rows, --update-sharding auto is decided: '*changed' where
 * ranks->shard is another from now on.
 */
egg_status egg_ranks_decide(egg_ranks *ranks, double seconds, egg_param *params, uint32_t count, bool *changed,
                            egg_error *error);

/*
 * egg_evolution_tell() by all ranks, each of which brings the fitness of its slice, in its place; on the other places of
 * 'fitness' nothing is said. 'params' (count) are those of the evolution.
 */
egg_status egg_ranks_tell(egg_ranks *ranks, egg_evolution *evolution, egg_param *params, uint32_t count,
                          const egg_kernels *kernels, egg_pool *pool, uint64_t epoch, float *fitness,
                          egg_evolution_stats *stats, egg_error *error);

#endif
