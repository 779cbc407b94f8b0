/* SPDX-License-Identifier: MIT */
/*
 * Reinforcement learning: every member of a population plays episodes of an environment with its own perturbed policy;
 * its raw fitness is its mean return (paper section 6.2).
 *
 * Threads keep a table of rows, one an episode in flight. An episode that ends gives up its row, a pair that is done
 * gives its slot of the bank to the next pair, so that the shared products stay full until the last pairs. Where the
 * policy is on a device there is one table, a large one: the policy's step is the device's, and the threads share out
 * the environments. No result depends on who played next to whom.
 */
#ifndef EGG_TASKS_ROLLOUT_H
#define EGG_TASKS_ROLLOUT_H

#include "base/threads.h"
#include "envs/env.h"
#include "es/device_memory.h"
#include "es/score.h"
#include "models/mlp.h"
#include "tasks/normalizer.h"
#include "tasks/slice.h"

/* Who plays the same episodes, with the same luck. */
typedef enum egg_episode_seeds {
    EGG_SEEDS_PAIR,      /* the two members of a pair */
    EGG_SEEDS_EPOCH,     /* all members of an epoch */
    EGG_SEEDS_MEMBER     /* nobody */
} egg_episode_seeds;

typedef struct egg_rollout_shape {
    const egg_env *env;
    uint32_t population, episodes;    /* members; episodes that each plays */
    bool antithetic;
    egg_shaping shaping;              /* says which pairs stay unperturbed */
    uint32_t rank;
    bool dense;                       /* full-rank noise */
    bool deterministic;               /* the likeliest action or the mean, instead of a draw */
    egg_episode_seeds seeds;
    uint64_t seed;
    uint32_t max_steps;               /* of an episode of training; 0 = the environment's own, as for a score */
    uint32_t slots;                   /* pairs that a table has in flight, without effect on results; 0 = chosen */
    uint32_t threads;
} egg_rollout_shape;

typedef struct egg_rollout egg_rollout;

/* The environment, the policy and the normalizer must outlive the task. */
egg_status egg_rollout_open(egg_rollout **rollout, const egg_rollout_shape *shape, const egg_mlp *policy,
                            egg_normalizer *normalizer, egg_error *error);
void egg_rollout_close(egg_rollout *rollout);

/* What it will hold, environments' own allocations aside. */
egg_memory_bytes egg_rollout_bytes(const egg_rollout_shape *shape, const egg_mlp *policy);

/* The shape of the policy that an environment asks for. */
egg_mlp_shape egg_rollout_policy_shape(const egg_env *env, uint32_t width, uint32_t layers, egg_activation activation);

typedef struct egg_rollout_stats {
    uint64_t steps;                   /* of the environment, all members */
    uint64_t episodes, cut;           /* ended; of these by the bound on steps */
    uint64_t invalid;                 /* episodes that gave a reward or observation that is not finite */
} egg_rollout_stats;

/*
 * Plays the episodes of the pairs of 'slice' in epoch 'epoch' and leaves their fitness at the members' places of
 * egg_rollout_fitness; NaN for a member with an invalid episode. Observations of some pairs are kept for
 * egg_rollout_learn_observations.
 */
egg_status egg_rollout_evaluate(egg_rollout *rollout, const egg_kernels *kernels, egg_pool *pool,
                                const egg_perturb *law,
                                uint64_t epoch, egg_slice slice, egg_rollout_stats *stats, egg_error *error);
float *egg_rollout_fitness(egg_rollout *rollout);   /* (population) */

/*
 * The observations kept of the last evaluation: (samples, bytes_each), one of every 'stride'th pair, from pair 0 on.
 * Those of pairs outside its slice are the caller's to fill in before they are learned.
 */
double *egg_rollout_samples(egg_rollout *rollout, uint32_t *stride, size_t *bytes_each);

/* Adds the observations of the last evaluation to the normalizer, in the order of the pairs. */
void egg_rollout_learn_observations(egg_rollout *rollout);

/*
 * Plays 'count' episodes with the unperturbed policy on seeds that no epoch uses: returns (count). 'seed' names the set
 * of episodes.
 */
egg_status egg_rollout_play(egg_rollout *rollout, const egg_kernels *kernels, egg_pool *pool, uint64_t seed,
                            uint32_t count, float *returns, egg_rollout_stats *stats, egg_error *error);

/* What play sees between steps: the state after 'steps' steps. Return false to stop. */
typedef bool egg_rollout_watch_fn(void *context, const void *state, uint32_t steps, double total, bool ended);

/* One episode of the unperturbed policy, step by step, for somebody who watches. */
egg_status egg_rollout_watch(egg_rollout *rollout, const egg_kernels *kernels, uint64_t seed,
                             egg_rollout_watch_fn *watch, void *context, egg_error *error);

#endif
