/* SPDX-License-Identifier: MIT */
/* What a run writes down about itself: metrics.jsonl, a line an epoch, and a TensorBoard event file. */
#ifndef EGG_TRAIN_METRICS_H
#define EGG_TRAIN_METRICS_H

#include "base/status.h"

typedef struct egg_metrics egg_metrics;

/* Opens or creates the files in 'folder'; lines of epochs after 'epoch', which a resumed run repeats, are dropped. */
egg_status egg_metrics_open(egg_metrics **metrics, const char *folder, uint64_t epoch, egg_error *error);
void egg_metrics_close(egg_metrics *metrics);

/* Buffered; failures are kept and reported by the next flush. NULL metrics do nothing. */
void egg_metrics_add(egg_metrics *metrics, const egg_epoch_stats *stats);
egg_status egg_metrics_flush(egg_metrics *metrics, egg_error *error);

#endif
