/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_CARTPOLE_H
#define EGG_ENVS_CARTPOLE_H

/* The state of CartPole; the header lets a test begin from a recorded one. */
typedef struct egg_cartpole {
    double x, x_velocity, angle, angle_velocity;
} egg_cartpole;

#endif
