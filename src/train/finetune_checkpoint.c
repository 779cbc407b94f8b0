/* SPDX-License-Identifier: MIT */
#include "train/finetune_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/checkpoint_values.h"
#include "train/rwkv7_file.h"

/* ------------------------------------------------------------------------------------------------------------ save */

static void write_hash(egg_safetensors_writer *writer, const char *key, egg_hash hash)
{
    char text[33];
    egg_hash_text(hash, text);
    egg_safetensors_writer_metadata(writer, key, text);
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
    egg_checkpoint_write_count(writer, "epoch", progress->epoch);
    egg_checkpoint_write_count(writer, "answers", progress->answers);
    egg_checkpoint_write_count(writer, "silent_epochs", progress->silent_epochs);
    egg_checkpoint_write_count(writer, "best_epoch", progress->best_epoch);
    egg_checkpoint_write_real(writer, "seconds", progress->seconds);
    egg_checkpoint_write_real(writer, "valid", progress->valid);
    egg_checkpoint_write_real(writer, "base_valid", progress->base_valid);
    egg_checkpoint_write_real(writer, "best_valid", progress->best_valid);
    write_hash(writer, "base", progress->base);
    write_hash(writer, "questions", progress->questions);
    for (uint32_t i = 0; i < checkpoint->model->param_count; i++)
        if (!checkpoint->model->params[i].frozen) egg_checkpoint_write_param(writer, &checkpoint->model->params[i]);
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

static egg_status check_hash(const egg_safetensors *file, const char *path, const char *key, const char *what,
                             egg_hash hash, egg_error *error)
{
    const char *expected;
    char found[33];
    egg_status status = egg_checkpoint_read_text(file, path, key, &expected, error);
    if (status != EGG_OK) return status;
    egg_hash_text(hash, found);
    if (strcmp(found, expected) == 0) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: %s: the run had those of hash %s, found %s", path, what, expected,
                    found);
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
    EGG_TRY(egg_checkpoint_read_count(file, path, "epoch", &progress->epoch, error));
    EGG_TRY(egg_checkpoint_read_count(file, path, "answers", &progress->answers, error));
    EGG_TRY(egg_checkpoint_read_count(file, path, "silent_epochs", &progress->silent_epochs, error));
    EGG_TRY(egg_checkpoint_read_count(file, path, "best_epoch", &progress->best_epoch, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "seconds", &progress->seconds, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "valid", &progress->valid, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "base_valid", &progress->base_valid, error));
    EGG_TRY(egg_checkpoint_read_real(file, path, "best_valid", &progress->best_valid, error));
    for (uint32_t i = 0; i < checkpoint->model->param_count; i++) {
        egg_param *param = &checkpoint->model->params[i];
        if (!param->frozen) EGG_TRY(egg_checkpoint_read_param(file, param, error));
    }
out:
    egg_safetensors_close(file);
    return status;
}
