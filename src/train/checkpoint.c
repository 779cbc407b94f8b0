/* SPDX-License-Identifier: MIT */
#include "train/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATES_NAME "members.state"

/* "<parameter>.fraction" */
typedef char egg_fraction_name[EGG_PARAM_NAME_BYTES + 16];

static void fraction_name(const egg_param *param, egg_fraction_name name)
{
    snprintf(name, sizeof(egg_fraction_name), "%s.fraction", param->name);
}

static void write_progress(egg_safetensors_writer *writer, const egg_progress *progress)
{
    char text[40];
    snprintf(text, sizeof text, "%" PRIu64, progress->epoch);
    egg_safetensors_writer_metadata(writer, "epoch", text);
    snprintf(text, sizeof text, "%" PRIu64, progress->member_tokens);
    egg_safetensors_writer_metadata(writer, "member_tokens", text);
    snprintf(text, sizeof text, "%.17g", progress->seconds);
    egg_safetensors_writer_metadata(writer, "seconds", text);
    snprintf(text, sizeof text, "%.17g", progress->valid_bits_per_byte);
    egg_safetensors_writer_metadata(writer, "valid_bits_per_byte", text);
    egg_hash_text(progress->text, text);
    egg_safetensors_writer_metadata(writer, "text", text);
    snprintf(text, sizeof text, "%" PRIu64, progress->text_bytes);
    egg_safetensors_writer_metadata(writer, "text_bytes", text);
}

egg_status egg_checkpoint_save(const egg_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_safetensors_writer *writer;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    const egg_model *model = checkpoint->model;
    egg_model_file_write(writer, model);
    write_progress(writer, &checkpoint->progress);
    egg_safetensors_writer_metadata(writer, "law", checkpoint->law);
    for (uint32_t i = 0; i < model->param_count; i++) {
        const egg_param *param = &model->params[i];
        egg_fraction_name name;
        if (!param->fraction) continue;
        fraction_name(param, name);
        egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_I16, 2, (uint64_t[]){param->out, param->in},
                                      param->fraction);
    }
    if (checkpoint->states)
        egg_safetensors_writer_tensor(writer, STATES_NAME, EGG_TENSOR_I8, 1, (uint64_t[]){checkpoint->states_bytes},
                                      checkpoint->states);
    return egg_safetensors_writer_commit(writer, error);
}

void egg_progress_follow(egg_progress *progress, const egg_journal_epoch *epoch)
{
    progress->epoch = epoch->epoch;
    progress->member_tokens = epoch->position;
    progress->seconds = epoch->seconds;
    progress->valid_bits_per_byte = epoch->score;
}

egg_status egg_checkpoint_save_model(const egg_model *model, const egg_progress *progress, const char *path,
                                     egg_error *error)
{
    char text[40];
    egg_safetensors_writer *writer;
    egg_status status = egg_safetensors_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    egg_model_file_write(writer, model);
    snprintf(text, sizeof text, "%" PRIu64, progress->epoch);
    egg_safetensors_writer_metadata(writer, "epoch", text);
    snprintf(text, sizeof text, "%" PRIu64, progress->member_tokens);
    egg_safetensors_writer_metadata(writer, "member_tokens", text);
    if (isfinite(progress->valid_bits_per_byte)) {
        snprintf(text, sizeof text, "%.6f", progress->valid_bits_per_byte);
        egg_safetensors_writer_metadata(writer, "valid_bits_per_byte", text);
    }
    return egg_safetensors_writer_commit(writer, error);
}

static egg_status metadata(const egg_safetensors *file, const char *path, const char *key, const char **value,
                           egg_error *error)
{
    *value = egg_safetensors_metadata(file, key);
    if (*value) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a checkpoint of a run", path, key);
}

egg_status egg_checkpoint_progress(const egg_safetensors *file, const char *path, egg_progress *progress,
                                   egg_error *error)
{
    egg_status status = EGG_OK;
    const char *epoch, *tokens, *seconds, *bits, *text, *bytes;
    EGG_TRY(metadata(file, path, "epoch", &epoch, error));
    EGG_TRY(metadata(file, path, "member_tokens", &tokens, error));
    EGG_TRY(metadata(file, path, "seconds", &seconds, error));
    EGG_TRY(metadata(file, path, "valid_bits_per_byte", &bits, error));
    EGG_TRY(metadata(file, path, "text", &text, error));
    EGG_TRY(metadata(file, path, "text_bytes", &bytes, error));
    progress->epoch = strtoull(epoch, NULL, 10);
    progress->member_tokens = strtoull(tokens, NULL, 10);
    progress->seconds = strtod(seconds, NULL);
    progress->valid_bits_per_byte = strtod(bits, NULL);
    progress->text_bytes = strtoull(bytes, NULL, 10);
    if (strlen(text) != 32 || sscanf(text, "%16" SCNx64 "%16" SCNx64, &progress->text.high, &progress->text.low) != 2)
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: metadata 'text' is '%s', expected 32 hexadecimal digits", path,
                          text);
out:
    return status;
}

static egg_status load_fractions(const egg_safetensors *file, egg_model *model, egg_error *error)
{
    for (uint32_t i = 0; i < model->param_count; i++) {
        egg_param *param = &model->params[i];
        const egg_tensor *tensor;
        egg_fraction_name name;
        if (!param->fraction) continue;
        fraction_name(param, name);
        egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_I16, 2, (uint64_t[]){param->out, param->in},
                                                   &tensor, error);
        if (status != EGG_OK) return status;
        memcpy(param->fraction, tensor->data, egg_param_elements(param) * sizeof *param->fraction);
    }
    return EGG_OK;
}

egg_status egg_checkpoint_load(egg_checkpoint *checkpoint, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    EGG_TRY(egg_safetensors_open(&file, path, error));
    EGG_TRY(egg_checkpoint_progress(file, path, &checkpoint->progress, error));
    EGG_TRY(egg_model_file_fill(checkpoint->model, file, path, error));
    EGG_TRY(load_fractions(file, checkpoint->model, error));
    if (checkpoint->states) {
        const egg_tensor *tensor;
        EGG_TRY(egg_safetensors_expect(file, STATES_NAME, EGG_TENSOR_I8, 1, (uint64_t[]){checkpoint->states_bytes},
                                       &tensor, error));
        memcpy(checkpoint->states, tensor->data, checkpoint->states_bytes);
    }
out:
    egg_safetensors_close(file);
    return status;
}

egg_status egg_checkpoint_hash(const egg_safetensors *file, egg_hash *hash, egg_error *error)
{
    static const char *const keys[] = {"architecture", "width", "layers", "epoch", "text", "law"};
    egg_hasher *hasher;
    egg_status status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    for (size_t i = 0; i < EGG_COUNT(keys); i++) {
        const char *value = egg_safetensors_metadata(file, keys[i]);
        if (value) egg_hasher_add(hasher, value, strlen(value) + 1);
    }
    for (size_t i = 0; i < egg_safetensors_count(file); i++) {
        const egg_tensor *tensor = egg_safetensors_at(file, i);
        egg_hasher_add(hasher, tensor->name, strlen(tensor->name) + 1);
        egg_hasher_add(hasher, tensor->data, tensor->bytes);
    }
    *hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}
