/* SPDX-License-Identifier: MIT */
/*
 * How large a step each epoch takes, and when the budget is used.
 *
 *   fractional   rate = initial * (1 - progress)        in units of 2^-24, integers only
 *   vote         alpha = 1000 / (15 epoch + 1000)       the paper's 1 / (0.015 t + 1), or a constant
 *
 * Bounded by epochs, progress counts epochs and a run is reproducible from its seed. Bounded by time, progress follows
 * the clock: then the rate of every epoch goes into a record, and a resumed run repeats from the record the epochs that
 * it had lost, with the same bits.
 */
#ifndef EGG_TRAIN_SCHEDULE_H
#define EGG_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "es/fitness.h"

typedef struct egg_schedule {
    egg_rule rule;
    uint32_t initial24;        /* fractional: learning rate, 2^24 = 1.0 */
    double alpha;              /* vote: constant alpha, 0 = the paper's */
    uint64_t epochs;           /* bound, 0 = none */
    double seconds;            /* bound, 0 = none */
    int record;                /* file descriptor of the record of rates, -1 = none */
} egg_schedule;

/* Share of the budget used, 0...1; more than 1 never. */
double egg_schedule_progress(const egg_schedule *schedule, uint64_t epoch, double elapsed);
bool egg_schedule_finished(const egg_schedule *schedule, uint64_t epoch, double elapsed);

/* Rate (fractional) of the epoch with this number, counted from 0; at least 1. Reads the record, or writes it. */
uint32_t egg_schedule_rate24(const egg_schedule *schedule, uint64_t epoch, double elapsed);
double egg_schedule_alpha(const egg_schedule *schedule, uint64_t epoch);

/* Opens the record of a run bounded by time, 'anew' or to go on with; does nothing for other schedules. */
egg_status egg_schedule_open_record(egg_schedule *schedule, const char *path, bool anew, egg_error *error);
void egg_schedule_close_record(egg_schedule *schedule);

#endif
