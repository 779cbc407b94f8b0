/* SPDX-License-Identifier: MIT */
/* All that a run of reinforcement learning needs to go on with the same bits. */
#ifndef EGG_TRAIN_RL_CHECKPOINT_H
#define EGG_TRAIN_RL_CHECKPOINT_H

#include "models/mlp.h"
#include "tasks/normalizer.h"
#include "train/policy_file.h"

typedef struct egg_rl_progress {
    uint64_t epoch;              /* done */
    uint64_t env_steps, episodes;
    double seconds;
    double eval_return;          /* of the last evaluation; NaN before the first */
} egg_rl_progress;

typedef struct egg_rl_checkpoint {
    egg_mlp *policy;             /* weights and what the optimizer keeps of them */
    egg_normalizer *normalizer;
    egg_rl_progress progress;
    const char *law;
} egg_rl_checkpoint;

egg_status egg_rl_checkpoint_save(const egg_rl_checkpoint *checkpoint, const char *path, egg_error *error);

/*
 * The policy and how it came about, as a policy file. 'info' is of the run; 'plain' (egg_policy_floats) is scratch.
 */
egg_status egg_rl_checkpoint_save_policy(const egg_rl_checkpoint *checkpoint, const egg_policy_info *info, float *plain,
                                         const char *path, egg_error *error);

/* Into a policy and a normalizer of the same shape, opened with the same optimizer; does not pack. */
egg_status egg_rl_checkpoint_load(egg_rl_checkpoint *checkpoint, const char *path, egg_error *error);

#endif
