/* SPDX-License-Identifier: MIT */
/*
 * The update of float parameters:
 *
 *   G = c sum_p w_p A_p B_p^T  for matrices,    G = sigma sum_p w_p N_p  for dense noise,    then the optimizer's step
 *
 * over all pairs in ascending order, the noise drawn again from its addresses. Cut into groups of whole rows whose size
 * depends on nothing but the parameter, so that any number of threads or ranks gives the same bits; on a device, so
 * does any number of groups in a call.
 */
#ifndef EGG_ES_UPDATE_F32_H
#define EGG_ES_UPDATE_F32_H

#include "base/threads.h"
#include "es/optimizer.h"
#include "es/perturb.h"
#include "es/shard.h"

typedef struct egg_update_f32 egg_update_f32;

typedef struct egg_update_shape {
    egg_optimizer optimizer;
    uint32_t rank;
    bool dense;                /* the law is dense: OpenES */
    uint32_t pairs;            /* the most that a run has; 0 = not known, which on a device it must be */
    uint32_t threads;
    egg_shard shard;           /* the rows whose moments and gradients are allocated; parts == 0: all */
} egg_update_shape;

/*
 * 'params' (count) must outlive the update; their moments are allocated here, and gradients where the optimizer clips.
 * Scratch is for 'threads' threads.
 */
egg_status egg_update_f32_open(egg_update_f32 **update, egg_param *params, uint32_t count,
                               const egg_update_shape *shape,
                               egg_error *error);
void egg_update_f32_close(egg_update_f32 *update);

/*
 * Bytes of the scratch, the moments and the gradients, without opening anything: in the host's memory, which with a
 * device is the moments alone, and on the device.
 */
uint64_t egg_update_f32_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape);
uint64_t egg_update_f32_device_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape);

typedef struct egg_update_stats {
    double gradient_norm;      /* before clipping */
} egg_update_stats;

/*
 * The update as ranks share it out. 'estimate' sums the gradient of the rows in our shard (at first all) and, unless
 * the optimizer clips, moves them at once; what it leaves of every group in egg_update_f32_squares() has to be there
 * for all shards when 'step' clips and moves the rest of ours; who has the rows of all shards then sends them to the
 * kernels (egg_params_send) and packs. egg_update_f32_groups() says which groups, of all, belong to a shard.
 */
void egg_update_f32_share(egg_update_f32 *update, egg_shard shard);
void egg_update_f32_shrink(egg_update_f32 *update, egg_shard shard);   /* between runs: keeps no moments of other rows */
egg_rows egg_update_f32_groups(const egg_update_f32 *update, egg_shard shard);
void egg_update_f32_estimate(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                             const float *weight, uint32_t pairs, uint64_t step, double lr);
double *egg_update_f32_squares(egg_update_f32 *update);
egg_update_stats egg_update_f32_step(egg_update_f32 *update, egg_pool *pool);
void egg_update_f32_pack(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool);

/*
 * All of it: moves and packs all parameters that are not frozen. weight (pairs) as egg_scores_shape gives it; 'step'
 * counts the steps of the run from 1.
 */
egg_update_stats egg_update_f32_run(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool,
                                    const egg_perturb *law, const float *weight, uint32_t pairs, uint64_t step,
                                                       double lr);

#endif
