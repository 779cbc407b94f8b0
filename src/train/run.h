/* SPDX-License-Identifier: MIT */
/* A run is a folder: its files, and what every kind of run does with it. */
#ifndef EGG_TRAIN_RUN_H
#define EGG_TRAIN_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define EGG_RUN_CONFIG "config.json"                   /* the resolved options and the data */
#define EGG_RUN_MODEL "model.safetensors"              /* the weights, for use */
#define EGG_RUN_CHECKPOINT "checkpoint.safetensors"    /* all that resuming needs */
#define EGG_RUN_BEST "best.safetensors"                /* fine-tuning: the weights that validated best */
#define EGG_RUN_RATES "rates.bin"                      /* of a run bounded by time */
#define EGG_RUN_METRICS "metrics.jsonl"                /* a line an epoch */
#define EGG_RUN_JOURNAL "journal.egg"                  /* what each epoch told the weights */

enum { EGG_PATH_BYTES = 4096 };

/* Path of a file of the run. */
egg_status egg_run_path(const char *folder, const char *name, char path[EGG_PATH_BYTES], egg_error *error);

/* A folder holds a run once its configuration is there, which is written last. */
egg_status egg_run_refuse_existing(const char *folder, egg_error *error);
egg_status egg_run_write_config(const char *folder, const egg_options *options, const char *const *data,
                                size_t data_count, egg_error *error);

/* The folder that the options name, by "resume" or "out"; "" for none. */
egg_status egg_run_folder(const egg_options *options, const char **folder, bool *resumed, egg_error *error);

/* "name=value" a line, of every option that may not differ between two runs with equal bits. Free with egg_free. */
egg_status egg_run_law(egg_options *options, char **law, egg_error *error);

#endif
