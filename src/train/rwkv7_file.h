/* SPDX-License-Identifier: MIT */
/* RWKV-7 models as published: safetensors of one or several files, F32, BF16 or F16, shapes read from the tensors. */
#ifndef EGG_TRAIN_RWKV7_FILE_H
#define EGG_TRAIN_RWKV7_FILE_H

#include "data/shards.h"
#include "models/rwkv7.h"
#include "train/precision.h"

/* Whether the tensors have the names of an RWKV-7, if perhaps not all of them: what is missing is then told by name. */
bool egg_rwkv7_file_is_one(const egg_shards *shards);

/* EGG_ERR_FORMAT names a tensor that is missing, or whose shape cannot be, and what was expected. */
egg_status egg_rwkv7_file_shape(const egg_shards *shards, egg_rwkv7_shape *shape, egg_error *error);

typedef enum egg_rwkv7_use {
    EGG_RWKV7_INFERENCE,    /* weights are kept in the kernels' order only: half the memory */
    EGG_RWKV7_TRAINING
} egg_rwkv7_use;

/*
 * Builds the model, some rows of a tensor at a time, and packs it. Every tensor is checked: name, type, shape. All is
 * frozen but the matrices of the layers.
 *
 * For training there are float32 weights in any case, which the update changes; 'weights' then says how the copies are
 * held that matrices multiply with. The first form is that of EGG_WEIGHTS_AUTO. With kernels == NULL: the same without
 * memory for weights, to plan with.
 */
egg_status egg_rwkv7_file_read(egg_rwkv7 **model, const egg_shards *shards, const egg_kernels *kernels,
                               egg_rwkv7_use use, egg_error *error);
egg_status egg_rwkv7_file_read_as(egg_rwkv7 **model, const egg_shards *shards, const egg_kernels *kernels,
                                  egg_rwkv7_use use, egg_weights weights, egg_error *error);

/*
 * Writes a model that was opened for training under the names and in the layout that others read, as F32 or BF16
 * (rounded to nearest, ties to even). 'metadata' (count) goes with it.
 */
typedef struct egg_metadata {
    const char *key, *value;
} egg_metadata;

egg_status egg_rwkv7_file_write(const egg_rwkv7 *model, const char *path, egg_tensor_type type,
                                const egg_metadata *metadata, size_t count, egg_error *error);

#endif
