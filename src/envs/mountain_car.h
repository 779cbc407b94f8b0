/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_MOUNTAIN_CAR_H
#define EGG_ENVS_MOUNTAIN_CAR_H

/* The state of MountainCarContinuous, which is also its observation. */
typedef struct egg_mountain_car {
    float position, velocity;
} egg_mountain_car;

#endif
