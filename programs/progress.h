/* SPDX-License-Identifier: MIT */
/*
 * Watching a run: a table with a line kept now and then, for every validation say, and on a terminal a live line below
 * it that is rewritten as the run goes on. Elsewhere the kept lines alone, without control characters.
 */
#ifndef EGG_PROGRAM_PROGRESS_H
#define EGG_PROGRAM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

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

/* To be told of every epoch: whether it should be shown now, which 'kept' lines always are unless quiet. */
bool progress_due(struct progress *progress, uint64_t epoch, bool kept);

/* Shows a line, under 'title' if it is the first. */
void progress_show(struct progress *progress, const char *title, const char *line, bool kept);

/* A second's share of something of which there were 'total' in all epochs so far, equally many in each. */
double progress_rate(const struct progress *progress, uint64_t total);
void progress_clear(struct progress *progress);   /* takes the live line away, before something else is printed */

#endif
