/* SPDX-License-Identifier: MIT */
/* oneDNN's int8 product as a peer to measure against; absent unless the build found the library. */
#ifndef EGG_BENCH_ONEDNN_H
#define EGG_BENCH_ONEDNN_H

#include "base/status.h"

typedef struct egg_onednn egg_onednn;

/* C (rows, out) int32 = X (rows, in) W^T (out, in), weights packed beforehand; '*peer' = NULL in a build without it. */
egg_status egg_onednn_open(egg_onednn **peer, const int8_t *X, const int8_t *W, uint32_t rows, uint32_t out,
                           uint32_t in, egg_error *error);
void egg_onednn_close(egg_onednn *peer);   /* NULL is fine */
egg_status egg_onednn_run(void *peer, egg_error *error);   /* on one thread */

#endif
