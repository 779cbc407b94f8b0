/* SPDX-License-Identifier: MIT */
/* The weights of a language model from the journal of its run. */
#include <math.h>

#include "base/memory.h"
#include "es/update.h"
#include "train/checkpoint.h"
#include "train/replay.h"

typedef struct replayed_model {
    egg_replay_state base;
    const egg_settings *settings;
    egg_model *model;
    egg_update *update;
    int8_t *F;                 /* (pairs) */
    egg_progress progress;
} replayed_model;

static void close_state(void *state)
{
    replayed_model *replayed = state;
    egg_update_close(replayed->update);
    egg_model_free(replayed->model);
    egg_free(replayed->F);
}

static void take(replayed_model *replayed, egg_model *model)
{
    replayed->model = model;
    replayed->base = (egg_replay_state){model->params, model->param_count};
}

static egg_status open_state(void *state, const egg_replay_source *source, egg_error *error)
{
    egg_status status = EGG_OK;
    replayed_model *replayed = state;
    egg_model *model;
    const egg_settings *settings = replayed->settings = egg_options_values(source->options);
    egg_egg_init init = egg_settings_init(settings);
    uint32_t pairs = (uint32_t)settings->population / 2;
    replayed->progress.valid_bits_per_byte = NAN;
    EGG_TRY(egg_egg_open(&model, egg_settings_shape(settings), source->kernels, error));
    take(replayed, model);
    egg_egg_init_weights(model, &init);
    if (settings->update == EGG_UPDATE_FRACTIONAL) EGG_TRY(egg_model_open_fractions(model, error));
    egg_params_unpack(model->params, model->param_count);
    EGG_TRY(egg_update_open(&replayed->update, model->params, model->param_count, (uint32_t)settings->rank,
                            egg_pool_threads(source->pool), error));
    replayed->F = egg_alloc(pairs);
    if (!replayed->F) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u pairs", pairs);
out:
    return status;
}

static egg_status open_file(void *state, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_kernels kernels;
    egg_model *model;
    egg_kernels_init(&kernels, 0);
    egg_status status = egg_model_file_read(&model, file, path, &kernels, error);
    if (status == EGG_OK) take(state, model);
    return status;
}

static egg_status apply(void *state, const egg_replay_source *source, const egg_journal_epoch *epoch, egg_error *error)
{
    replayed_model *replayed = state;
    const egg_settings *settings = replayed->settings;
    uint32_t pairs = (uint32_t)settings->population / 2;
    egg_status status = egg_journal_weights(epoch, EGG_I8, replayed->F, pairs, source->name, error);
    if (status != EGG_OK) return status;
    egg_perturb law = egg_settings_law(settings, epoch->epoch - 1);
    egg_step step = egg_settings_step(settings, epoch->rate, replayed->F);
    egg_update_run(replayed->update, source->kernels, source->pool, &law, &step, replayed->F, pairs);
    egg_progress_follow(&replayed->progress, epoch);
    return EGG_OK;
}

static egg_status load(void *state, const char *path, uint64_t *epoch, egg_error *error)
{
    replayed_model *replayed = state;
    egg_checkpoint checkpoint = {.model = replayed->model};
    egg_status status = egg_checkpoint_load(&checkpoint, path, error);
    *epoch = checkpoint.progress.epoch;
    return status;
}

static egg_status save(void *state, const char *path, egg_error *error)
{
    const replayed_model *replayed = state;
    return egg_checkpoint_save_model(replayed->model, &replayed->progress, path, error);
}

const egg_replay_ops egg_replay_pretrain = {
    .command = "pretrain",
    .state_bytes = sizeof(replayed_model),
    .check = egg_settings_resolve,
    .open = open_state,
    .open_file = open_file,
    .close = close_state,
    .apply = apply,
    .load = load,
    .save = save,
};
