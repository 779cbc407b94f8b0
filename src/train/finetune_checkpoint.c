/* SPDX-License-Identifier: MIT */
#include "train/finetune_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/safetensors.h"
#include "train/rwkv7_file.h"

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

static void write_hash(egg_safetensors_writer *writer, const char *key, egg_hash hash)
{
    char text[33];
    egg_hash_text(hash, text);
    egg_safetensors_writer_metadata(writer, key, text);
}

static void write_param(egg_safetensors_writer *writer, const egg_param *param)
{
    const uint64_t shape[2] = {param->out, param->in};   /* in our order: this file is for nobody else */
    egg_safetensors_writer_tensor(writer, param->name, EGG_TENSOR_F32, 2, shape, param->data);
    for (uint32_t i = 0; i < 2; i++) {
        moment_name name;
        if (!param->moment[i]) continue;
        name_moment(param, i, name);
        egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_F32, 2, shape, param->moment[i]);
    }
}

egg_status egg_finetune_checkpoint_save(const egg_finetune_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_safetensors_writer *writer;
    const egg_finetune_progress *progress = &checkpoint->progress;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", "finetune");
    egg_safetensors_writer_metadata(writer, "law", checkpoint->law);
    write_count(writer, "epoch", progress->epoch);
    write_count(writer, "answers", progress->answers);
    write_count(writer, "silent_epochs", progress->silent_epochs);
    write_count(writer, "best_epoch", progress->best_epoch);
    write_real(writer, "seconds", progress->seconds);
    write_real(writer, "valid", progress->valid);
    write_real(writer, "base_valid", progress->base_valid);
    write_real(writer, "best_valid", progress->best_valid);
    write_hash(writer, "base", progress->base);
    write_hash(writer, "questions", progress->questions);
    for (uint32_t i = 0; i < checkpoint->model->param_count; i++)
        if (!checkpoint->model->params[i].frozen) write_param(writer, &checkpoint->model->params[i]);
    return egg_safetensors_writer_commit(writer, error);
}

egg_status egg_finetune_save_model(const egg_rwkv7 *model, const egg_finetune_progress *progress, const char *path,
                                   egg_error *error)
{
    char epoch[24], valid[40];
    const egg_metadata metadata[] = {{"epoch", epoch}, {"valid", valid}};
    snprintf(epoch, sizeof epoch, "%" PRIu64, progress->epoch);
    snprintf(valid, sizeof valid, "%.6f", progress->valid);
    return egg_rwkv7_file_write(model, path, EGG_TENSOR_F32, metadata, isfinite(progress->valid) ? 2 : 1, error);
}

/* ------------------------------------------------------------------------------------------------------------ load */

static egg_status read_text(const egg_safetensors *file, const char *path, const char *key, const char **text,
                            egg_error *error)
{
    *text = egg_safetensors_metadata(file, key);
    if (*text) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a checkpoint of fine-tuning", path, key);
}

static egg_status read_real(const egg_safetensors *file, const char *path, const char *key, double *value,
                            egg_error *error)
{
    const char *text;
    egg_status status = read_text(file, path, key, &text, error);
    if (status == EGG_OK) *value = strtod(text, NULL);
    return status;
}

static egg_status read_count(const egg_safetensors *file, const char *path, const char *key, uint64_t *value,
                             egg_error *error)
{
    const char *text;
    egg_status status = read_text(file, path, key, &text, error);
    if (status == EGG_OK) *value = strtoull(text, NULL, 10);
    return status;
}

static egg_status check_hash(const egg_safetensors *file, const char *path, const char *key, const char *what,
                             egg_hash hash, egg_error *error)
{
    const char *expected;
    char found[33];
    egg_status status = read_text(file, path, key, &expected, error);
    if (status != EGG_OK) return status;
    egg_hash_text(hash, found);
    if (strcmp(found, expected) == 0) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: %s: the run had those of hash %s, found %s", path, what, expected,
                    found);
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

egg_status egg_finetune_checkpoint_load(egg_finetune_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    egg_finetune_progress *progress = &checkpoint->progress;
    EGG_TRY(egg_safetensors_open(&file, path, error));
    EGG_TRY(check_hash(file, path, "base", "weights of the model to begin with", progress->base, error));
    if (progress->questions.high || progress->questions.low)
        EGG_TRY(check_hash(file, path, "questions", "questions to train on", progress->questions, error));
    EGG_TRY(read_count(file, path, "epoch", &progress->epoch, error));
    EGG_TRY(read_count(file, path, "answers", &progress->answers, error));
    EGG_TRY(read_count(file, path, "silent_epochs", &progress->silent_epochs, error));
    EGG_TRY(read_count(file, path, "best_epoch", &progress->best_epoch, error));
    EGG_TRY(read_real(file, path, "seconds", &progress->seconds, error));
    EGG_TRY(read_real(file, path, "valid", &progress->valid, error));
    EGG_TRY(read_real(file, path, "base_valid", &progress->base_valid, error));
    EGG_TRY(read_real(file, path, "best_valid", &progress->best_valid, error));
    for (uint32_t i = 0; i < checkpoint->model->param_count; i++)
        if (!checkpoint->model->params[i].frozen) EGG_TRY(read_param(file, &checkpoint->model->params[i], error));
out:
    egg_safetensors_close(file);
    return status;
}
