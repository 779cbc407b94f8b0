/* SPDX-License-Identifier: MIT */
#include "train/watch.h"

#include "base/clock.h"

void egg_watch_stop_when(egg_watch *watch, egg_stop_fn *stop, void *context)
{
    watch->stop = stop;
    watch->stop_context = context;
}

double egg_watch_seconds(const egg_watch *watch)
{
    return egg_clock_seconds() - watch->origin;
}

egg_status egg_watch_look_up(egg_watch *watch, egg_ranks *ranks, double *seconds, egg_error *error)
{
    int64_t stops = watch->stop && watch->stop(watch->stop_context);
    *seconds = egg_watch_seconds(watch);
    egg_status status = egg_ranks_agree_real(ranks, EGG_OK, seconds, &stops, 1, error);
    if (status == EGG_OK && stops) watch->stopped = true;
    return status;
}
