/* SPDX-License-Identifier: MIT */
/* What a trained policy is made of; eggroll.h has what can be done with it. */
#ifndef EGG_TRAIN_POLICY_H
#define EGG_TRAIN_POLICY_H

#include "envs/plugin.h"
#include "train/policy_file.h"

struct egg_policy {
    egg_kernels kernels;
    egg_mlp mlp;
    egg_normalizer normalizer;
    egg_policy_info info;
    egg_env_handle env;
};

#endif
