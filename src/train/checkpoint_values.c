/* SPDX-License-Identifier: MIT */
#include "train/checkpoint_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "<parameter>.moment1" */
typedef char moment_name[EGG_PARAM_NAME_BYTES + 16];

static void name_moment(const egg_param *param, uint32_t which, moment_name name)
{
    snprintf(name, sizeof(moment_name), "%s.moment%u", param->name, which + 1);
}

/* ------------------------------------------------------------------------------------------------------------ save */

void egg_checkpoint_write_count(egg_safetensors_writer *writer, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    egg_safetensors_writer_metadata(writer, key, text);
}

void egg_checkpoint_write_real(egg_safetensors_writer *writer, const char *key, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    egg_safetensors_writer_metadata(writer, key, text);
}

void egg_checkpoint_write_param(egg_safetensors_writer *writer, const egg_param *param)
{
    const uint64_t shape[2] = {param->out, param->in};
    egg_safetensors_writer_tensor(writer, param->name, EGG_TENSOR_F32, 2, shape, param->data);
    for (uint32_t i = 0; i < 2; i++) {
        moment_name name;
        if (!param->moment[i]) continue;
        name_moment(param, i, name);
        egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_F32, 2, shape, param->moment[i]);
    }
}

/* ------------------------------------------------------------------------------------------------------------ load */

egg_status egg_checkpoint_read_text(const egg_safetensors *file, const char *path, const char *key, const char **text,
                                    egg_error *error)
{
    *text = egg_safetensors_metadata(file, key);
    if (*text) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a checkpoint of a run", path, key);
}

egg_status egg_checkpoint_read_real(const egg_safetensors *file, const char *path, const char *key, double *value,
                                    egg_error *error)
{
    const char *text;
    egg_status status = egg_checkpoint_read_text(file, path, key, &text, error);
    if (status == EGG_OK) *value = strtod(text, NULL);
    return status;
}

egg_status egg_checkpoint_read_count(const egg_safetensors *file, const char *path, const char *key, uint64_t *value,
                                     egg_error *error)
{
    const char *text;
    egg_status status = egg_checkpoint_read_text(file, path, key, &text, error);
    if (status == EGG_OK) *value = strtoull(text, NULL, 10);
    return status;
}

static egg_status read_tensor(const egg_safetensors *file, const char *name, const egg_param *param, float *out,
                              egg_error *error)
{
    const egg_tensor *tensor;
    egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_F32, 2, (uint64_t[]){param->out, param->in},
                                               &tensor, error);
    if (status == EGG_OK) memcpy(out, tensor->data, egg_param_elements(param) * sizeof *out);
    return status;
}

egg_status egg_checkpoint_read_param(const egg_safetensors *file, egg_param *param, egg_error *error)
{
    egg_status status = read_tensor(file, param->name, param, param->data, error);
    for (uint32_t i = 0; status == EGG_OK && i < 2; i++) {
        moment_name name;
        if (!param->moment[i]) continue;
        name_moment(param, i, name);
        status = read_tensor(file, name, param, param->moment[i], error);
    }
    return status;
}
