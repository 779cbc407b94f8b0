/* SPDX-License-Identifier: MIT */
/* Being asked to stop: the first signal is noted, for the program to end in order; the second ends it at once. */
#ifndef EGG_PROGRAM_INTERRUPT_H
#define EGG_PROGRAM_INTERRUPT_H

#include <stdbool.h>

/*
 * From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1, which mpirun passes on to all ranks, are noted, but for those that
 * the program was started to ignore.
 */
void interrupt_catch(void);

int interrupt_signal(void);   /* the number of the signal that came; 0: none */
bool interrupt_wanted(void *context);   /* whether one came, in the form of an egg_stop_fn */

#endif
