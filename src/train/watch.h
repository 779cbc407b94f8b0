/* SPDX-License-Identifier: MIT */
/* The clock of a run, and who may end it before its budget does: the same for all kinds of runs. */
#ifndef EGG_TRAIN_WATCH_H
#define EGG_TRAIN_WATCH_H

#include <stdbool.h>

#include "eggroll.h"
#include "train/ranks.h"

typedef struct egg_watch {
    double origin;           /* clock at which the run's seconds were 0 */
    egg_stop_fn *stop;       /* asked after every epoch; NULL: nobody is */
    void *stop_context;
    bool stopped;            /* somebody, on any rank, wanted an end */
} egg_watch;

void egg_watch_stop_when(egg_watch *watch, egg_stop_fn *stop, void *context);

/* Of the run, so far. */
double egg_watch_seconds(const egg_watch *watch);

/* Collective. '*seconds' becomes the time of the run, by the clock of rank 0; and whether anybody wants an end. */
egg_status egg_watch_look_up(egg_watch *watch, egg_ranks *ranks, double *seconds, egg_error *error);

#endif
