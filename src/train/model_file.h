/* SPDX-License-Identifier: MIT */
/*
 * Models as safetensors files: a tensor a parameter, under its name, int8; what is needed to build the model in the
 * metadata: format = "eggroll", architecture, width, layers. Vectors have one dimension.
 */
#ifndef EGG_TRAIN_MODEL_FILE_H
#define EGG_TRAIN_MODEL_FILE_H

#include "base/hash.h"
#include "data/safetensors.h"
#include "models/model.h"

/* Adds metadata and parameters of the model to a file being written; the model must live until the commit. */
void egg_model_file_write(egg_safetensors_writer *writer, const egg_model *model);

/* The shape in a file's metadata. EGG_ERR_FORMAT where it is no model of ours or of an architecture we do not know. */
egg_status egg_model_file_shape(const egg_safetensors *file, const char *path, egg_shape *shape, egg_error *error);

/*
 * Copies the weights into a model of the same shape, without packing. Every tensor is checked: name, type, shape,
 * range.
 */
egg_status egg_model_file_fill(egg_model *model, const egg_safetensors *file, const char *path, egg_error *error);

/* Builds the model in 'file' and packs it for 'kernels'. */
egg_status egg_model_file_read(egg_model **model, const egg_safetensors *file, const char *path,
                               const egg_kernels *kernels, egg_error *error);

/* A hash of the weights alone: names, shapes and values, without padding. */
egg_status egg_params_hash(const egg_param *params, uint32_t count, egg_hash *hash, egg_error *error);
egg_status egg_model_hash(const egg_model *model, egg_hash *hash, egg_error *error);

#endif
