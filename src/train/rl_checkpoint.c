/* SPDX-License-Identifier: MIT */
#include "train/rl_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/safetensors.h"

/* "<parameter>.moment1" */
typedef char moment_name[EGG_PARAM_NAME_BYTES + 16];

static void name_moment(const egg_param *param, uint32_t which, moment_name name)
{
    snprintf(name, sizeof(moment_name), "%s.moment%u", param->name, which + 1);
}

/* ------------------------------------------------------------------------------------------------------------ save */

static void write_count(egg_safetensors_writer *writer, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    egg_safetensors_writer_metadata(writer, key, text);
}

static void write_real(egg_safetensors_writer *writer, const char *key, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    egg_safetensors_writer_metadata(writer, key, text);
}

static void write_param(egg_safetensors_writer *writer, const egg_param *param)
{
    const uint64_t shape[2] = {param->out, param->in};   /* with its padding: this file is for nobody else */
    egg_safetensors_writer_tensor(writer, param->name, EGG_TENSOR_F32, 2, shape, param->data);
    for (uint32_t i = 0; i < 2; i++) {
        moment_name name;
        if (!param->moment[i]) continue;
        name_moment(param, i, name);
        egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_F32, 2, shape, param->moment[i]);
    }
}

egg_status egg_rl_checkpoint_save(const egg_rl_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_safetensors_writer *writer;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    const egg_normalizer *normalizer = checkpoint->normalizer;
    const uint64_t n = normalizer->n;
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", EGG_POLICY_ARCHITECTURE);
    egg_safetensors_writer_metadata(writer, "law", checkpoint->law);
    write_count(writer, "epoch", checkpoint->progress.epoch);
    write_count(writer, "env_steps", checkpoint->progress.env_steps);
    write_count(writer, "episodes", checkpoint->progress.episodes);
    write_real(writer, "seconds", checkpoint->progress.seconds);
    write_real(writer, "eval_return", checkpoint->progress.eval_return);
    write_real(writer, "observation.count", normalizer->count);
    for (uint32_t i = 0; i < checkpoint->policy->param_count; i++) write_param(writer, &checkpoint->policy->params[i]);
    egg_safetensors_writer_tensor(writer, "observation.mean", EGG_TENSOR_F64, 1, &n, normalizer->mean);
    egg_safetensors_writer_tensor(writer, "observation.squares", EGG_TENSOR_F64, 1, &n, normalizer->squares);
    return egg_safetensors_writer_commit(writer, error);
}

egg_status egg_rl_checkpoint_save_policy(const egg_rl_checkpoint *checkpoint, const egg_policy_info *info, float *plain,
                                         const char *path, egg_error *error)
{
    egg_safetensors_writer *writer;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    egg_policy_file_write(writer, checkpoint->policy, checkpoint->normalizer, info, plain);
    write_count(writer, "epoch", checkpoint->progress.epoch);
    write_count(writer, "env_steps", checkpoint->progress.env_steps);
    if (isfinite(checkpoint->progress.eval_return)) {
        char text[40];
        snprintf(text, sizeof text, "%.6f", checkpoint->progress.eval_return);
        egg_safetensors_writer_metadata(writer, "eval_return", text);
    }
    return egg_safetensors_writer_commit(writer, error);
}

/* ------------------------------------------------------------------------------------------------------------ load */

static egg_status read_real(const egg_safetensors *file, const char *path, const char *key, double *value,
                            egg_error *error)
{
    const char *text = egg_safetensors_metadata(file, key);
    if (!text) return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a checkpoint of a run", path,
                               key);
    *value = strtod(text, NULL);
    return EGG_OK;
}

static egg_status read_count(const egg_safetensors *file, const char *path, const char *key, uint64_t *value,
                             egg_error *error)
{
    double real;
    egg_status status = read_real(file, path, key, &real, error);
    if (status == EGG_OK) *value = strtoull(egg_safetensors_metadata(file, key), NULL, 10);
    return status;
}

static egg_status read_tensor(const egg_safetensors *file, const char *name, const egg_param *param, float *out,
                              egg_error *error)
{
    const egg_tensor *tensor;
    egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_F32, 2, (uint64_t[]){param->out, param->in},
                                               &tensor,
                                               error);
    if (status == EGG_OK) memcpy(out, tensor->data, egg_param_elements(param) * sizeof *out);
    return status;
}

static egg_status read_param(const egg_safetensors *file, egg_param *param, egg_error *error)
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

static egg_status read_statistic(const egg_safetensors *file, const char *name, uint32_t n, double *out,
                                 egg_error *error)
{
    const egg_tensor *tensor;
    const uint64_t shape = n;
    egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_F64, 1, &shape, &tensor, error);
    if (status == EGG_OK) memcpy(out, tensor->data, n * sizeof *out);
    return status;
}

egg_status egg_rl_checkpoint_load(egg_rl_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    egg_rl_progress *progress = &checkpoint->progress;
    egg_normalizer *normalizer = checkpoint->normalizer;
    EGG_TRY(egg_safetensors_open(&file, path, error));
    EGG_TRY(read_count(file, path, "epoch", &progress->epoch, error));
    EGG_TRY(read_count(file, path, "env_steps", &progress->env_steps, error));
    EGG_TRY(read_count(file, path, "episodes", &progress->episodes, error));
    EGG_TRY(read_real(file, path, "seconds", &progress->seconds, error));
    EGG_TRY(read_real(file, path, "eval_return", &progress->eval_return, error));
    EGG_TRY(read_real(file, path, "observation.count", &normalizer->count, error));
    for (uint32_t i = 0; i < checkpoint->policy->param_count; i++)
        EGG_TRY(read_param(file, &checkpoint->policy->params[i], error));
    EGG_TRY(read_statistic(file, "observation.mean", normalizer->n, normalizer->mean, error));
    EGG_TRY(read_statistic(file, "observation.squares", normalizer->n, normalizer->squares, error));
out:
    egg_safetensors_close(file);
    return status;
}
