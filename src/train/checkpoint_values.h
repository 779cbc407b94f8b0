/* SPDX-License-Identifier: MIT */
/* What the checkpoints of float runs have in common: numbers in the metadata, weights with what the optimizer keeps. */
#ifndef EGG_TRAIN_CHECKPOINT_VALUES_H
#define EGG_TRAIN_CHECKPOINT_VALUES_H

#include "data/safetensors.h"
#include "es/param.h"

void egg_checkpoint_write_count(egg_safetensors_writer *writer, const char *key, uint64_t value);
void egg_checkpoint_write_real(egg_safetensors_writer *writer, const char *key, double value);   /* reads back equal */

/* Weights and moments in our order and padding: such a file is for nobody else. They must live until the commit. */
void egg_checkpoint_write_param(egg_safetensors_writer *writer, const egg_param *param);

/* EGG_ERR_FORMAT names the file and the key or tensor that is missing or misshapen. */
egg_status egg_checkpoint_read_text(const egg_safetensors *file, const char *path, const char *key, const char **text,
                                    egg_error *error);
egg_status egg_checkpoint_read_count(const egg_safetensors *file, const char *path, const char *key, uint64_t *value,
                                     egg_error *error);
egg_status egg_checkpoint_read_real(const egg_safetensors *file, const char *path, const char *key, double *value,
                                    egg_error *error);

/* Into a parameter of the same shape, with the moments that it has. */
egg_status egg_checkpoint_read_param(const egg_safetensors *file, egg_param *param, egg_error *error);

#endif
