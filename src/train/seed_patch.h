/* SPDX-License-Identifier: MIT */
/*
 * What rebuilds a tuned model from the one it began with: the options that fix the law, and one weight a pair and epoch,
 * which with the seed say the whole update. While a run runs the weights are a record that grows; a patch is the record,
 * the options and the hashes of both models in one small safetensors file.
 */
#ifndef EGG_TRAIN_SEED_PATCH_H
#define EGG_TRAIN_SEED_PATCH_H

#include "base/hash.h"
#include "es/evolution.h"
#include "models/rwkv7.h"

/* ------------------------------------------------------------------------------------------------------- the record */

typedef struct egg_weight_record {
    int file;                    /* -1: none is kept */
    uint32_t pairs;
    uint64_t epochs;             /* in it */
    int failure;                 /* errno of the first write that failed */
} egg_weight_record;

/* Opens or creates the file with the weights of 'epochs' epochs; what a resumed run will repeat is dropped. */
egg_status egg_weight_record_open(egg_weight_record *record, const char *path, uint32_t pairs, uint64_t epochs,
                                  egg_error *error);
void egg_weight_record_close(egg_weight_record *record);
void egg_weight_record_add(egg_weight_record *record, const float *weight);   /* (pairs) of the next epoch */
egg_status egg_weight_record_flush(egg_weight_record *record, const char *path, egg_error *error);

/* -------------------------------------------------------------------------------------------------------- the patch */

/* The options that fix it, "name=value" a line. Free with egg_free; NULL: no memory. */
char *egg_seed_patch_law(egg_options *options);

typedef struct egg_seed_patch {
    const char *law;             /* of egg_seed_patch_law */
    const char *kernels;         /* the level that made the model */
    egg_hash base, tuned;        /* weights of both models */
} egg_seed_patch;

/* From the record at 'record_path', of 'pairs' and 'epochs'. */
egg_status egg_seed_patch_write(const egg_seed_patch *patch, const char *record_path, uint32_t pairs, uint64_t epochs,
                                const char *path, egg_error *error);

#endif
