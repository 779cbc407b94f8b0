/* SPDX-License-Identifier: MIT */
/* A TensorBoard event file with scalars: TFRecords of hand-encoded protocol buffers, appended to. */
#ifndef EGG_TRAIN_TFEVENTS_H
#define EGG_TRAIN_TFEVENTS_H

#include <stdint.h>

#include "base/status.h"

typedef struct egg_tfevents egg_tfevents;

/* A new file "events.out.tfevents.<seconds>.<host>.<process>" in 'folder'. */
egg_status egg_tfevents_open(egg_tfevents **events, const char *folder, egg_error *error);
void egg_tfevents_close(egg_tfevents *events);   /* NULL is fine */

/* Buffered; failures are kept and reported by the next flush. 'tag' up to 64 bytes. */
void egg_tfevents_scalar(egg_tfevents *events, int64_t step, const char *tag, float value);
egg_status egg_tfevents_flush(egg_tfevents *events, egg_error *error);

/* For tests: one framed record with a scalar at wall time 'seconds' into 'out'; returns its bytes, at most 192. */
size_t egg_tfevents_encode_scalar(double seconds, int64_t step, const char *tag, float value, uint8_t *out);

#endif
