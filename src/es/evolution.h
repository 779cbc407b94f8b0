/* SPDX-License-Identifier: MIT */
/*
 * Evolution of float parameters, epoch by epoch: which law perturbs them, and how the fitness of the population moves
 * them. What reinforcement learning, fine-tuning and ask/tell have in common; who evaluates the members is their
 * affair.
 */
#ifndef EGG_ES_EVOLUTION_H
#define EGG_ES_EVOLUTION_H

#include "es/score.h"
#include "es/update_f32.h"

typedef struct egg_evolution_shape {
    uint64_t seed;
    uint32_t population, rank;
    bool dense;                    /* full-rank noise: OpenES */
    double sigma, sigma_decay;     /* sigma of epoch t: sigma * sigma_decay^(t - sigma_epoch) */
    double rate, rate_decay;       /* learning rate likewise */
    uint64_t sigma_epoch, rate_epoch;   /* from which epoch on they hold; 0 unless they were set on the way */
    uint64_t noise_reuse;          /* epochs that share one draw of noise; 0 = all of them */
    egg_shaping shaping;
    egg_optimizer optimizer;
    uint32_t threads;
    egg_shard shard;               /* as in egg_update_shape */
} egg_evolution_shape;

typedef struct egg_evolution egg_evolution;

/* 'params' (count) float32, packed; must outlive the evolution. EGG_ERR_ARGUMENT where population and groups misfit. */
egg_status egg_evolution_open(egg_evolution **evolution, const egg_evolution_shape *shape, egg_param *params,
                              uint32_t count, egg_error *error);
void egg_evolution_close(egg_evolution *evolution);
uint64_t egg_evolution_bytes(const egg_evolution_shape *shape, const egg_param *params, uint32_t count);
uint64_t egg_evolution_device_bytes(const egg_evolution_shape *shape, const egg_param *params, uint32_t count);

double egg_evolution_sigma(const egg_evolution_shape *shape, uint64_t epoch);
double egg_evolution_rate(const egg_evolution_shape *shape, uint64_t epoch);

/* Takes over sigma and rate, their decays and their epochs from 'shape': for schedules that no decay expresses. */
void egg_evolution_reschedule(egg_evolution *evolution, const egg_evolution_shape *shape);

/* The law of epoch 'epoch', counted from 0. */
egg_perturb egg_evolution_law(const egg_evolution_shape *shape, uint64_t epoch);

typedef struct egg_evolution_stats {
    egg_scores scores;             /* 'weight' belongs to the evolution */
    double sigma, rate, gradient_norm;
} egg_evolution_stats;

/* Shapes fitness (population), which is repaired in place, and moves the parameters: the end of epoch 'epoch'. */
egg_evolution_stats egg_evolution_tell(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool,
                                       uint64_t epoch, float *fitness);

/*
 * The weights of the pairs (count), as the last tell shaped them, and the second half of tell alone: moves the
 * parameters by what is in there.
 */
float *egg_evolution_weights(egg_evolution *evolution, uint32_t *count);
egg_update_stats egg_evolution_apply(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool,
                                     uint64_t epoch, double rate);

/* The first half of tell alone; gradient_norm is left 0. */
egg_evolution_stats egg_evolution_score(egg_evolution *evolution, uint64_t epoch, float *fitness);

/*
 * The first half as ranks share it out, where the shaping is separable: each shapes the fitness (population) of its
 * pairs, which it has in their places, into their weights. Those of all have to be there before 'ties' are counted and
 * the parameters move.
 */
egg_status egg_evolution_score_part(egg_evolution *evolution, uint64_t epoch, float *fitness, uint32_t first_pair,
                                    uint32_t pairs, egg_comm *comm, egg_evolution_stats *stats, egg_error *error);
void egg_evolution_count_ties(const egg_evolution *evolution, egg_evolution_stats *stats);
const egg_shaping *egg_evolution_shaping(const egg_evolution *evolution, uint32_t *population);

/*
 * The second half as ranks share it out: the estimate of the gradient of this rank's rows. The rest is left to do with
 * the update (update_f32.h), which knows the gradient's norm, too.
 */
void egg_evolution_estimate(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool, uint64_t epoch,
                            double rate);
egg_update_f32 *egg_evolution_update(egg_evolution *evolution);

#endif
