/* SPDX-License-Identifier: MIT */
/*
 * Watching a run: a table with a line kept for every validation and, on a terminal, a live line below it that is
 * rewritten as the run goes on. Elsewhere the kept lines alone, without control characters.
 */
#ifndef EGG_PROGRAM_PROGRESS_H
#define EGG_PROGRAM_PROGRESS_H

#include "eggroll.h"

struct progress_mark {
    double clock;                              /* seconds */
    uint64_t epoch;                            /* done by then */
};

struct progress {
    bool quiet, titled, live;                  /* live: a line stands there to be rewritten */
    double drawn;                              /* clock of the last live line */
    struct progress_mark earlier, later, now;  /* speeds are measured from 'earlier', some seconds ago, to 'now' */
};

void progress_open(struct progress *progress, bool quiet);
void progress_epoch(struct progress *progress, const egg_epoch_stats *stats);
void progress_clear(struct progress *progress);   /* takes the live line away, before something else is printed */

#endif
