/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_ACROBOT_H
#define EGG_ENVS_ACROBOT_H

/* The state of Acrobot: angle 0 hangs down, the second angle is relative to the first link. */
typedef struct egg_acrobot {
    double angle[2], velocity[2];
} egg_acrobot;

#endif
