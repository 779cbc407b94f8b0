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
    egg_replay_state base;
    egg_rwkv7 *model;
    egg_evolution *evolution;
    egg_finetune_progress progress;
} replayed_model;

static void close_state(void *state)
{
    replayed_model *replayed = state;
    egg_evolution_close(replayed->evolution);
    egg_rwkv7_close(replayed->model);
}

static egg_status read_model(replayed_model *replayed, const char *path, const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    EGG_TRY(egg_shards_open(&shards, path, error));
    EGG_TRY(egg_rwkv7_file_read(&replayed->model, shards, kernels, EGG_RWKV7_TRAINING, error));
    replayed->base = (egg_replay_state){replayed->model->params, replayed->model->param_count};
out:
    egg_shards_close(shards);
    return status;
}

static egg_status open_state(void *state, const egg_replay_source *source, egg_error *error)
{
    egg_status status = EGG_OK;
    replayed_model *replayed = state;
    egg_finetune_progress *progress = &replayed->progress;
    const egg_settings *s = egg_options_values(source->options);
    egg_evolution_shape evolution = egg_finetune_evolution(s, egg_pool_threads(source->pool));
    progress->valid = progress->base_valid = progress->best_valid = NAN;
    EGG_TRY(read_model(replayed, s->base, source->kernels, error));
    egg_param *params = replayed->base.params;
    uint32_t count = replayed->base.param_count;
    EGG_TRY(egg_params_hash(params, count, &progress->base, error));
    EGG_TRY(egg_finetune_journal_check(source->run, source->name, progress->base, error));
    EGG_TRY(egg_finetune_freeze(s, replayed->model, error));
    egg_params_unpack(params, count);
    EGG_TRY(egg_evolution_open(&replayed->evolution, &evolution, params, count, error));
out:
    return status;
}

static egg_status open_file(void *state, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_kernels kernels;
    (void)file;   /* read again, as what it may be: shards of a published model */
    egg_kernels_init(&kernels, 0);
    return read_model(state, path, &kernels, error);
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

static egg_status load(void *state, const char *path, uint64_t *epoch, egg_error *error)
{
    replayed_model *replayed = state;
    egg_finetune_checkpoint checkpoint = {.model = replayed->model, .progress = replayed->progress};
    egg_status status = egg_finetune_checkpoint_load(&checkpoint, path, error);
    *epoch = checkpoint.progress.epoch;
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
    .state_bytes = sizeof(replayed_model),
    .check = egg_finetune_resolve,
    .open = open_state,
    .open_file = open_file,
    .close = close_state,
    .apply = apply,
    .load = load,
    .save = save,
};
