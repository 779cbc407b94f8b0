/* SPDX-License-Identifier: MIT */
/* What a run writes down about itself: metrics.jsonl, a line an epoch, and a TensorBoard event file. */
#ifndef EGG_TRAIN_METRICS_H
#define EGG_TRAIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_metrics egg_metrics;

/* Opens or creates the files in 'folder'; lines of epochs after 'epoch', which a resumed run repeats, are dropped. */
egg_status egg_metrics_open(egg_metrics **metrics, const char *folder, uint64_t epoch, egg_error *error);
void egg_metrics_close(egg_metrics *metrics);

/* One figure of an epoch: its key in metrics.jsonl, and its tag among the events, NULL where it is not for eyes. */
typedef struct egg_metric {
    const char *key, *tag;
    double value;              /* not written where it is not finite */
} egg_metric;

/*
 * Writes the figures of an epoch; 'important' ones (a validation among them) go into the event file at once, others
 * once a second. Buffered; failures are kept and reported by the next flush. NULL metrics do nothing.
 */
void egg_metrics_add(egg_metrics *metrics, uint64_t epoch, const egg_metric *figures, size_t count, bool important);

/* Hands the lines so far to the system, so that they outlive the process; failures as with add. */
void egg_metrics_push(egg_metrics *metrics);
egg_status egg_metrics_flush(egg_metrics *metrics, egg_error *error);

#endif
