/* SPDX-License-Identifier: MIT */
/* A run is a folder; these are its files. */
#ifndef EGG_TRAIN_RUN_H
#define EGG_TRAIN_RUN_H

#define EGG_RUN_CONFIG "config.json"                   /* the resolved options and the data */
#define EGG_RUN_MODEL "model.safetensors"              /* the int8 weights, for use */
#define EGG_RUN_CHECKPOINT "checkpoint.safetensors"    /* all that resuming needs */
#define EGG_RUN_RATES "rates.bin"                      /* of a run bounded by time */
#define EGG_RUN_METRICS "metrics.jsonl"                /* a line an epoch */

enum { EGG_PATH_BYTES = 4096 };

#endif
