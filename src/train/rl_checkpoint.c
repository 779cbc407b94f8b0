/* SPDX-License-Identifier: MIT */
#include "train/rl_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/checkpoint_values.h"

/* ------------------------------------------------------------------------------------------------------------ save */

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
    egg_checkpoint_write_count(writer, "epoch", checkpoint->progress.epoch);
    egg_checkpoint_write_count(writer, "env_steps", checkpoint->progress.env_steps);
    egg_checkpoint_write_count(writer, "episodes", checkpoint->progress.episodes);
    egg_checkpoint_write_real(writer, "seconds", checkpoint->progress.seconds);
    egg_checkpoint_write_real(writer, "eval_return", checkpoint->progress.eval_return);
    egg_checkpoint_write_real(writer, "observation.count", normalizer->count);
    for (uint32_t i = 0; i < checkpoint->policy->param_count; i++)
        egg_checkpoint_write_param(writer, &checkpoint->policy->params[i]);
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
    egg_checkpoint_write_count(writer, "epoch", checkpoint->progress.epoch);
    egg_checkpoint_write_count(writer, "env_steps", checkpoint->progress.env_steps);
    if (isfinite(checkpoint->progress.eval_return)) {
        char text[40];
        snprintf(text, sizeof text, "%.6f", checkpoint->progress.eval_return);
        egg_safetensors_writer_metadata(writer, "eval_return", text);
    }
    return egg_safetensors_writer_commit(writer, error);
}

/* ------------------------------------------------------------------------------------------------------------ load */

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
    EGG_TRY(egg_checkpoint_read_count(file, path, "epoch", &progress->epoch, error));
    EGG_TRY(egg_checkpoint_read_count(file, path, "env_steps", &progress->env_steps, error));
    EGG_TRY(egg_checkpoint_read_count(file, path, "episodes", &progress->episodes, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "seconds", &progress->seconds, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "eval_return", &progress->eval_return, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "observation.count", &normalizer->count, error));
    for (uint32_t i = 0; i < checkpoint->policy->param_count; i++)
        EGG_TRY(egg_checkpoint_read_param(file, &checkpoint->policy->params[i], error));
    EGG_TRY(read_statistic(file, "observation.mean", normalizer->n, normalizer->mean, error));
    EGG_TRY(read_statistic(file, "observation.squares", normalizer->n, normalizer->squares, error));
out:
    egg_safetensors_close(file);
    return status;
}
