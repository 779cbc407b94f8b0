/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_PENDULUM_H
#define EGG_ENVS_PENDULUM_H

/* The state of Pendulum: angle 0 stands upright, and is never wrapped. */
typedef struct egg_pendulum {
    double angle, velocity;
} egg_pendulum;

#endif
