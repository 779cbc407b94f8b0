/* SPDX-License-Identifier: MIT */
/*
 * All that a run needs to go on, in one file that is replaced atomically: weights, their fractions, the members'
 * recurrent states, the number of epochs done, and fingerprints of what must not change meanwhile. The noise needs
 * nothing: (seed, epoch) is its state.
 */
#ifndef EGG_TRAIN_CHECKPOINT_H
#define EGG_TRAIN_CHECKPOINT_H

#include "train/journal.h"
#include "train/model_file.h"

typedef struct egg_progress {
    uint64_t epoch;                  /* epochs done */
    uint64_t member_tokens;          /* read so far */
    double seconds;                  /* of training, validating and saving so far */
    double valid_bits_per_byte;      /* of the last validation; NaN before the first */
    egg_hash text;                   /* of the training and validation text */
    uint64_t text_bytes;             /* of both */
} egg_progress;

/* Weights and progress; 'states' (bytes) of the members, or NULL. 'law' names the options that fix the run's course. */
typedef struct egg_checkpoint {
    egg_model *model;
    int8_t *states;
    size_t states_bytes;
    egg_progress progress;
    const char *law;
} egg_checkpoint;

egg_status egg_checkpoint_save(const egg_checkpoint *checkpoint, const char *path, egg_error *error);

/*
 * Fills the model's parameters and fractions, the states, and the progress, all of which the caller has opened in the
 * right shapes. A checkpoint of another shape is refused by name.
 */
egg_status egg_checkpoint_load(egg_checkpoint *checkpoint, const char *path, egg_error *error);

/* After an epoch that was taken from a journal. */
void egg_progress_follow(egg_progress *progress, const egg_journal_epoch *epoch);

/* The weights and how they came about, as a model file. */
egg_status egg_checkpoint_save_model(const egg_model *model, const egg_progress *progress, const char *path,
                                     egg_error *error);

/* The progress alone. */
egg_status egg_checkpoint_progress(const egg_safetensors *file, const char *path, egg_progress *progress,
                                   egg_error *error);

/* A hash of all in the file that determines how the run goes on: everything but clock and scores. */
egg_status egg_checkpoint_hash(const egg_safetensors *file, egg_hash *hash, egg_error *error);

#endif
