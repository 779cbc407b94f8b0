/* SPDX-License-Identifier: MIT */
/* A fine-tuned RWKV-7 and its moments from the model that its run began with and the journal of the run. */
#include <math.h>

#include "base/memory.h"
#include "train/finetune_journal.h"
#include "train/finetune_settings.h"
#include "train/model_file.h"
#include "train/replay.h"
#include "train/rwkv7_file.h"

typedef struct replayed_model {
    egg_rwkv7 *model;
    egg_evolution *evolution;
    egg_finetune_progress progress;
} replayed_model;

static void close_state(void *state)
{
    replayed_model *replayed = state;
    if (!replayed) return;
    egg_evolution_close(replayed->evolution);
    egg_rwkv7_close(replayed->model);
    egg_free(replayed);
}

static egg_status read_model(egg_rwkv7 **model, const char *path, const egg_kernels *kernels, egg_hash *hash,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    EGG_TRY(egg_shards_open(&shards, path, error));
    EGG_TRY(egg_rwkv7_file_read(model, shards, kernels, EGG_RWKV7_TRAINING, error));
    EGG_TRY(egg_params_hash((*model)->params, (*model)->param_count, hash, error));
out:
    egg_shards_close(shards);
    return status;
}

static egg_status open_state(void **out, const egg_replay_source *source, egg_error *error)
{
    egg_status status = EGG_OK;
    replayed_model *replayed = egg_alloc(sizeof *replayed);
    *out = NULL;
    if (!replayed) return egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
    const egg_settings *s = egg_options_values(source->options);
    egg_evolution_shape evolution = egg_finetune_evolution(s, egg_pool_threads(source->pool));
    replayed->progress.valid = replayed->progress.base_valid = replayed->progress.best_valid = NAN;
    EGG_TRY(read_model(&replayed->model, s->base, source->kernels, &replayed->progress.base, error));
    EGG_TRY(egg_finetune_journal_check(source->run, source->name, replayed->progress.base, error));
    EGG_TRY(egg_finetune_freeze(s, replayed->model, error));
    egg_params_unpack(replayed->model->params, replayed->model->param_count);
    EGG_TRY(egg_evolution_open(&replayed->evolution, &evolution, replayed->model->params, replayed->model->param_count,
                               error));
    *out = replayed;
    replayed = NULL;
out:
    close_state(replayed);
    return status;
}

static egg_status apply(void *state, const egg_replay_source *source, const egg_journal_epoch *epoch, egg_error *error)
{
    replayed_model *replayed = state;
    egg_finetune_checkpoint checkpoint = {.model = replayed->model, .progress = replayed->progress};
    egg_status status = egg_finetune_journal_apply(&checkpoint, replayed->evolution, source->kernels, source->pool,
                                                   epoch, source->name, error);
    replayed->progress = checkpoint.progress;
    return status;
}

static const egg_param *params(const void *state, uint32_t *count)
{
    const replayed_model *replayed = state;
    *count = replayed->model->param_count;
    return replayed->model->params;
}

static egg_status state_hash(void *state, egg_hash *hash, egg_error *error)
{
    const replayed_model *replayed = state;
    (void)error;
    *hash = egg_params_state(replayed->model->params, replayed->model->param_count);
    return EGG_OK;
}

static egg_status model_hash(void *state, egg_hash *hash, egg_error *error)
{
    const replayed_model *replayed = state;
    return egg_params_hash(replayed->model->params, replayed->model->param_count, hash, error);
}

static egg_status load(void *state, const char *path, uint64_t *epoch, egg_error *error)
{
    replayed_model *replayed = state;
    egg_finetune_checkpoint checkpoint = {.model = replayed->model, .progress = replayed->progress};
    egg_status status = egg_finetune_checkpoint_load(&checkpoint, path, error);
    *epoch = checkpoint.progress.epoch;
    return status;
}

static egg_status file_hash(const egg_safetensors *file, const char *path, egg_hash *hash, egg_error *error)
{
    egg_kernels kernels;
    egg_rwkv7 *model = NULL;
    (void)file;
    egg_kernels_init(&kernels, 0);
    egg_status status = read_model(&model, path, &kernels, hash, error);
    egg_rwkv7_close(model);
    return status;
}

static egg_status save(void *state, const char *path, egg_error *error)
{
    const replayed_model *replayed = state;
    return egg_finetune_save_model(replayed->model, &replayed->progress, path, error);
}

const egg_replay_ops egg_replay_finetune = {
    .command = "finetune",
    .is_float = true,
    .check = egg_finetune_resolve,
    .open = open_state,
    .close = close_state,
    .apply = apply,
    .params = params,
    .state_hash = state_hash,
    .model_hash = model_hash,
    .load = load,
    .file_hash = file_hash,
    .save = save,
};
