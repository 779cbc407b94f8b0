/* SPDX-License-Identifier: MIT */
/* A TensorBoard event file with scalars: TFRecords of hand-encoded protocol buffers, appended to. */
#ifndef EGG_TRAIN_TFEVENTS_H
#define EGG_TRAIN_TFEVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_tfevents egg_tfevents;

/* A new file "events.out.tfevents.<seconds>.<host>.<process>" in 'folder', which must exist. */
egg_status egg_tfevents_open(egg_tfevents **events, const char *folder, egg_error *error);
void egg_tfevents_close(egg_tfevents *events);   /* NULL is fine */

/*
 * One point of the curve 'tag' (up to 64 bytes; the rest is cut off), stamped with the time of day and written at once.
 * What cannot be written is dropped whole; the next flush reports the first such failure, then it is forgotten.
 */
void egg_tfevents_scalar(egg_tfevents *events, int64_t step, const char *tag, float value);
egg_status egg_tfevents_flush(egg_tfevents *events, egg_error *error);

/* The framed record that a scalar at wall time 'seconds' becomes; returns its bytes. For tests: pure. */
enum { EGG_TFEVENTS_RECORD_BYTES = 192 };
size_t egg_tfevents_encode_scalar(double seconds, int64_t step, const char *tag, float value,
                                  uint8_t out[EGG_TFEVENTS_RECORD_BYTES]);

#endif
