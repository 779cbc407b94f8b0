/* SPDX-License-Identifier: MIT */
/* What a model file or a run is, as JSON text; and what this build is. Free with egg_free. */
#ifndef EGG_TRAIN_DESCRIBE_H
#define EGG_TRAIN_DESCRIBE_H

#include "base/status.h"

/* Where the weights of a model or run lie: 'path' itself, or the model file in the run folder. */
egg_status egg_describe_model_path(const char *path, char *out, size_t size, egg_error *error);

egg_status egg_describe_path(const char *path, char **json, egg_error *error);
egg_status egg_describe_envs(char **json, egg_error *error);
/* 'devices': with the GPUs, which takes a moment to find out. */
egg_status egg_describe_build(char **json, bool devices, egg_error *error);

#endif
