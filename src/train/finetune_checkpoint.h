/* SPDX-License-Identifier: MIT */
/*
 * All that a run of fine-tuning needs to go on with the same bits, beside the model that it began with: the parameters
 * that evolve, what the optimizer keeps of them, and how far the run is.
 */
#ifndef EGG_TRAIN_FINETUNE_CHECKPOINT_H
#define EGG_TRAIN_FINETUNE_CHECKPOINT_H

#include "base/hash.h"
#include "models/rwkv7.h"

typedef struct egg_finetune_progress {
    uint64_t epoch;              /* done */
    uint64_t answers;            /* of all members, so far */
    uint64_t silent_epochs;      /* up to now, in a row */
    uint64_t best_epoch;
    double seconds;
    double valid, base_valid, best_valid;   /* NaN before the first */
    egg_hash base, questions;    /* of the model that the run began with, of the training questions */
} egg_finetune_progress;

typedef struct egg_finetune_checkpoint {
    egg_rwkv7 *model;
    egg_finetune_progress progress;
    const char *law;
} egg_finetune_checkpoint;

egg_status egg_finetune_checkpoint_save(const egg_finetune_checkpoint *checkpoint, const char *path, egg_error *error);

/*
 * Into the model that the run began with, frozen as then and opened with the same optimizer; does not pack. 'progress'
 * comes in with the hashes of what is there, all zero for questions that are not; EGG_ERR_FORMAT where the run had
 * others.
 */
egg_status egg_finetune_checkpoint_load(egg_finetune_checkpoint *checkpoint, const char *path, egg_error *error);

/* The model in its published form, with how far the run is. */
egg_status egg_finetune_save_model(const egg_rwkv7 *model, const egg_finetune_progress *progress, const char *path,
                                   egg_error *error);

#endif
