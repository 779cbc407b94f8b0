/* SPDX-License-Identifier: MIT */
/* What a run of pretraining keeps in its folder: checkpoint, model, journal, metrics, rates, configuration. */
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/trainer.h"

static egg_status path_of(const egg_trainer *trainer, const char *name, char path[EGG_PATH_BYTES], egg_error *error)
{
    return egg_run_path(trainer->folder, name, path, error);
}

static egg_checkpoint checkpoint_of(egg_trainer *trainer)
{
    egg_checkpoint checkpoint = {.model = trainer->model, .progress = trainer->progress, .law = trainer->law};
    egg_params_fetch(trainer->model->params, trainer->model->param_count);
    checkpoint.states = egg_pretrain_states(trainer->task, &checkpoint.states_bytes);
    return checkpoint;
}

static egg_status load_checkpoint(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_checkpoint checkpoint = checkpoint_of(trainer);
    egg_progress now = trainer->progress;
    EGG_TRY(path_of(trainer, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_checkpoint_load(&checkpoint, path, error));
    egg_model_pack(trainer->model, &trainer->kernels);
    egg_pretrain_states_changed(trainer->task);
    trainer->progress = checkpoint.progress;
    if (now.text.high != trainer->progress.text.high || now.text.low != trainer->progress.text.low)
        status = egg_fail(error, EGG_ERR_ARGUMENT,
                          "--resume: the text in '%s'%s is not the one of the run in '%s', which has %" PRIu64
                          " bytes; found %" PRIu64,
                          trainer->data.paths[0], trainer->data.count > 1 ? " and the rest" : "", trainer->folder,
                          trainer->progress.text_bytes, now.text_bytes);
out:
    return status;
}

/* An epoch from the journal in place of its evaluation. */
static egg_status apply_recorded(void *context, const egg_journal_epoch *epoch, const char *name, egg_error *error)
{
    egg_trainer *trainer = context;
    uint32_t pairs = (uint32_t)trainer->settings->population / 2;
    egg_status status = egg_journal_weights(epoch, EGG_I8, trainer->F, pairs, name, error);
    if (status != EGG_OK) return status;
    egg_perturb law = egg_settings_law(trainer->settings, epoch->epoch - 1);
    egg_step step = egg_settings_step(trainer->settings, epoch->rate, trainer->F);
    egg_update_run(trainer->update, &trainer->kernels, trainer->pool, &law, &step, trainer->F, pairs);
    egg_progress_follow(&trainer->progress, epoch);
    return EGG_OK;
}

/*
 * Carried states are results of evaluating and not in the journal: with them the epochs behind the checkpoint run
 * again.
 */
static egg_status open_journal(egg_trainer *trainer, bool resumed, egg_error *error)
{
    char facts[128], hash[33];
    egg_journal_tail tail = {.epoch = trainer->progress.epoch, .usable = trainer->settings->state == EGG_STATE_RESET,
                             .context = trainer, .apply = apply_recorded};
    egg_hash_text(trainer->progress.text, hash);
    snprintf(facts, sizeof facts, "text=%s\ntext_bytes=%" PRIu64 "\n", hash, trainer->progress.text_bytes);
    egg_journal_run run = {.folder = trainer->folder, .options = trainer->options,
                           .data = (const char *const *)trainer->data.paths, .data_count = trainer->data.count,
                           .kernels = trainer->kernels.level, .facts = facts, .params = trainer->model->params,
                           .param_count = trainer->model->param_count, .dtype = EGG_I8,
                           .pairs = (uint32_t)trainer->settings->population / 2};
    if (!resumed) return egg_journal_begin(&trainer->journal, &run, error);
    egg_status status = egg_journal_resume(&trainer->journal, &run, &tail, error);
    trainer->journal_info = (egg_journal_info){.replayed_epochs = tail.applied, .torn_bytes = tail.torn_bytes};
    return status;
}

egg_status egg_trainer_write(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_checkpoint checkpoint = checkpoint_of(trainer);
    /* Metrics first: a resumed run drops lines behind its checkpoint, but could not make up for lines before it. */
    egg_status metrics = egg_metrics_flush(trainer->metrics, error);
    egg_status journal = egg_journal_save(trainer->journal, trainer->progress.epoch, error);
    EGG_TRY(path_of(trainer, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_checkpoint_save(&checkpoint, path, error));
    EGG_TRY(path_of(trainer, EGG_RUN_MODEL, path, error));
    EGG_TRY(egg_checkpoint_save_model(trainer->model, &trainer->progress, path, error));
    EGG_TRY(metrics);
    EGG_TRY(journal);
out:
    return status;
}

static egg_status open_files(egg_trainer *trainer, bool resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_directory_remove_temporaries(trainer->folder);
    EGG_TRY(path_of(trainer, EGG_RUN_RATES, path, error));
    EGG_TRY(egg_schedule_open_record(&trainer->schedule, path, !resumed, error));
    EGG_TRY(egg_metrics_open(&trainer->metrics, trainer->folder, trainer->progress.epoch, error));
    /* Epochs that the journal gave are as good as done, and perhaps the last. */
    if (!resumed || trainer->journal_info.replayed_epochs) EGG_TRY(egg_trainer_write(trainer, error));
    EGG_TRY(egg_run_write_config(trainer->folder, trainer->options, (const char *const *)trainer->data.paths,
                                 trainer->data.count, error));
out:
    return status;
}

egg_status egg_trainer_open_folder(egg_trainer *trainer, bool resumed, double opened, egg_error *error)
{
    egg_status status = EGG_OK;
    if (resumed) EGG_TRY(load_checkpoint(trainer, error));
    else EGG_TRY(egg_directory_create(trainer->folder, error));
    if (trainer->settings->journal == EGG_JOURNAL_ON) EGG_TRY(open_journal(trainer, resumed, error));
    trainer->watch.origin = opened - trainer->progress.seconds;
    EGG_TRY(open_files(trainer, resumed, error));
out:
    return status;
}
