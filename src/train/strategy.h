/* SPDX-License-Identifier: MIT */
/* What a strategy is made of: evolution whose members the user evaluates. eggroll.h has what can be done with it. */
#ifndef EGG_TRAIN_STRATEGY_H
#define EGG_TRAIN_STRATEGY_H

#include "es/evolution.h"

struct egg_strategy {
    char *law;                     /* the options that decide over bits, a line each */
    egg_evolution_shape shape;
    egg_kernels kernels;
    egg_pool *pool;
    egg_param *params;             /* (count) */
    uint32_t count;
    egg_evolution *evolution;
    float *fitness;                /* (population) */
    uint64_t epoch;                /* done */
};

#endif
