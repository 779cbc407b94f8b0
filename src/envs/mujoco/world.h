/* SPDX-License-Identifier: MIT */
/*
 * A simulated world: a model that all worlds of its kind share and only read, and data of its own. What MuJoCo reports
 * as an error, which by default ends the process, is here a failed call; its warnings are not written anywhere.
 */
#ifndef EGG_ENVS_MUJOCO_WORLD_H
#define EGG_ENVS_MUJOCO_WORLD_H

#include <stdbool.h>

#include <mujoco/mujoco.h>

#include "base/status.h"

enum { EGG_WORLD_KINDS = 4 };

/* What a model file must hold for its observations to have their size. */
typedef struct egg_world_shape {
    int positions, velocities, controls, bodies, sites;
} egg_world_shape;

typedef struct egg_world {
    uint32_t kind;         /* less than EGG_WORLD_KINDS */
    const mjModel *model;
    mjData *data;
} egg_world;

/* The first world of a kind loads the model from 'path', the last to close frees it. Any thread may open and close. */
egg_status egg_world_open(egg_world *world, uint32_t kind, const char *path, egg_world_shape shape, egg_error *error);
void egg_world_close(egg_world *world);   /* fine for zeros, and twice */

/* Forgets all that was and computes what follows from these positions and velocities. NULL: the model's, at rest. */
bool egg_world_place(egg_world *world, const double *positions, const double *velocities);

/*
 * 'frames' steps of the model under these controls. False where the simulation broke down: MuJoCo puts a state with
 * numbers that are not finite, or beyond 1e10, back to the model's own, and here its steps end there.
 */
bool egg_world_step(egg_world *world, const float *controls, int frames);

#endif
