/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_KNAPSACK_H
#define EGG_ENVS_KNAPSACK_H

#include <stdint.h>

enum { EGG_KNAPSACK_ITEMS = 50 };

/* The state of Knapsack. */
typedef struct egg_knapsack {
    float weights[EGG_KNAPSACK_ITEMS], values[EGG_KNAPSACK_ITEMS];
    float budget;                          /* the weight that still fits */
    uint8_t packed[EGG_KNAPSACK_ITEMS];    /* 1: it is in the bag */
} egg_knapsack;

#endif
