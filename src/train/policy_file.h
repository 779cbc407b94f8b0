/* SPDX-License-Identifier: MIT */
/*
 * Policies as safetensors files: a float32 tensor a parameter, without padding; "observation.shift" and
 * "observation.scale", what observations are normalized by; in the metadata what is needed to build and play it: format
 * = "eggroll", architecture = "mlp", environment, inputs, outputs, width, layers, activation, actions, policy.
 */
#ifndef EGG_TRAIN_POLICY_FILE_H
#define EGG_TRAIN_POLICY_FILE_H

#include "data/safetensors.h"
#include "models/mlp.h"
#include "tasks/normalizer.h"

#define EGG_POLICY_ARCHITECTURE "mlp"

typedef struct egg_policy_info {
    char environment[256];           /* a name, or the path of a plug-in */
    bool deterministic;
} egg_policy_info;

/* Floats of all parameters without padding. */
size_t egg_policy_floats(const egg_mlp *mlp);

/* 'plain' (egg_policy_floats) and everything else must live until the commit. */
void egg_policy_file_write(egg_safetensors_writer *writer, const egg_mlp *mlp, const egg_normalizer *normalizer,
                           const egg_policy_info *info, float *plain);

/* Builds the policy of a file, to multiply in float32 or as 'precision' says, and packs it. */
egg_status egg_policy_file_read(egg_mlp *mlp, egg_normalizer *normalizer, egg_policy_info *info,
                                const egg_safetensors *file, const char *path, const egg_kernels *kernels,
                                egg_error *error);
egg_status egg_policy_file_read_as(egg_mlp *mlp, egg_normalizer *normalizer, egg_policy_info *info,
                                   const egg_safetensors *file, const char *path, const egg_kernels *kernels,
                                   egg_precision precision, egg_error *error);

/* Whether a file is a policy of ours. */
bool egg_policy_file_is(const egg_safetensors *file);

#endif
