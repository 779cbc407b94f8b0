/* SPDX-License-Identifier: MIT */
/* Opening and closing a run of pretraining, and its plan. */
#include <math.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/launch.h"
#include "train/machine.h"
#include "train/plan.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/trainer.h"

/* --------------------------------------------------------------------------------------------------------- options */

static egg_status copy_paths(egg_text_list *list, const char *const *paths, size_t count, egg_error *error)
{
    list->paths = egg_alloc_array(count, sizeof *list->paths);
    if (!list->paths) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu paths", count);
    for (; list->count < count; list->count++) {
        list->paths[list->count] = egg_strdup(paths[list->count]);
        if (!list->paths[list->count]) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a path");
    }
    return EGG_OK;
}

static void free_paths(egg_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) egg_free(list->paths[i]);
    egg_free(list->paths);
    *list = (egg_text_list){0};
}

/* What rank 0 decides for all: options, the folder, the paths of the text. */
static egg_status choose(egg_trainer *trainer, const egg_options *given, const char *const *data, size_t count,
                         bool *resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_chosen chosen;
    status = egg_settings_choose(&chosen, given, egg_settings_resolve, error);
    trainer->options = chosen.options;
    trainer->folder = chosen.folder;
    *resumed = chosen.resumed;
    EGG_TRY(status);
    if (count) {
        EGG_TRY(copy_paths(&trainer->data, data, count, error));
    } else if (*resumed) {
        EGG_TRY(egg_run_path(trainer->folder, EGG_RUN_CONFIG, path, error));
        EGG_TRY(egg_options_load_data(path, &trainer->data.paths, &trainer->data.count, error));
    }
    if (!trainer->data.count)
        return egg_fail(error, EGG_ERR_ARGUMENT, "no text to train on: name a file or a directory");
    trainer->keeps = trainer->folder;
out:
    return status;
}

static egg_status open_options(egg_trainer *trainer, const egg_options *given, const char *const *data, size_t count,
                               bool *resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &trainer->ranks;
    if (ranks->rank == 0) status = choose(trainer, given, data, count, resumed, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_share_options(ranks, given, &trainer->options, error));
    EGG_TRY(egg_ranks_share_paths(ranks, &trainer->data.paths, &trainer->data.count, error));
    EGG_TRY(egg_ranks_share(ranks, resumed, sizeof *resumed, error));
    EGG_TRY(egg_ranks_share(ranks, &trainer->keeps, sizeof trainer->keeps, error));
    trainer->settings = egg_options_values(trainer->options);
    trainer->schedule = egg_settings_schedule(trainer->settings);
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ plan */

/* EGG_ERR_NOMEM where the run would not fit. */
static egg_status plan_run(egg_plan *plan, const egg_settings *settings, const egg_run_text *text,
                           const egg_kernels *kernels, uint64_t base_bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_model *shape = NULL;
    const egg_corpus *corpora[2] = {text->corpus, text->valid};
    EGG_TRY(egg_egg_open(&shape, egg_settings_shape(settings), NULL, error));
    egg_params_plan_for(shape->params, shape->param_count, kernels);
    EGG_TRY(egg_plan_run(plan, settings, shape, kernels, egg_machine_threads(kernels, settings->threads), corpora,
                         text->valid ? 2 : 1, text->train_bytes, base_bytes, error));
out:
    egg_model_free(shape);
    return status;
}

egg_status egg_trainer_plan(egg_plan *plan, const egg_options *options, const char *const *data, size_t data_count,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    egg_kernels kernels = {0};
    egg_run_text text = {0};
    uint64_t base_bytes = egg_system_resident_bytes();
    egg_options *resolved = egg_options_copy(options);
    *plan = (egg_plan){0};
    if (!resolved) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    EGG_TRY(egg_settings_resolve(resolved, error));
    const egg_settings *settings = egg_options_values(resolved);
    EGG_TRY(egg_machine_open(&kernels, settings->device, 0, error));
    EGG_TRY(egg_run_text_open(&text, settings, data, data_count, error));
    EGG_TRY(plan_run(plan, settings, &text, &kernels, base_bytes, error));
out:
    egg_run_text_close(&text);
    egg_machine_close(&kernels);
    egg_options_free(resolved);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- the machine */

static egg_status open_text(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_run_text_open(&trainer->text, trainer->settings, (const char *const *)trainer->data.paths,
                              trainer->data.count, error));
    trainer->progress.text = egg_corpus_hash(trainer->text.corpus);
    trainer->progress.text_bytes = egg_corpus_bytes(trainer->text.corpus);
    trainer->progress.valid_bits_per_byte = NAN;
out:
    return status;
}

static egg_status open_machine(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *settings = trainer->settings;
    EGG_TRY(egg_ranks_divide(&trainer->ranks, (uint32_t)settings->population / 2, error));
    uint32_t threads = egg_machine_threads(&trainer->kernels, settings->threads);
    EGG_TRY(egg_pool_open(&trainer->pool, threads, error));
    uint32_t rank = (uint32_t)settings->rank;
    egg_pretrain_shape shape = egg_settings_pretrain(settings, threads, trainer->text.train_bytes);
    egg_egg_init init = egg_settings_init(settings);

    EGG_TRY(egg_egg_open(&trainer->model, egg_settings_shape(settings), &trainer->kernels, error));
    egg_egg_init_weights(trainer->model, &init);
    if (settings->update == EGG_UPDATE_FRACTIONAL) EGG_TRY(egg_model_open_fractions(trainer->model, error));
    EGG_TRY(egg_pretrain_open(&trainer->task, &shape, trainer->model, trainer->text.corpus, error));
    EGG_TRY(egg_update_open(&trainer->update, trainer->model->params, trainer->model->param_count, rank, threads,
                            error));
    EGG_TRY(egg_scorer_open(&trainer->scorer, trainer->model, threads, error));
    EGG_TRY(egg_ranks_open_update(&trainer->ranks, settings->update_sharding, trainer->model->params,
                                  trainer->model->param_count, error));
    trainer->F = egg_alloc((size_t)settings->population / 2);
    trainer->difference = egg_alloc_array((size_t)settings->population / 2, sizeof *trainer->difference);
    if (!trainer->F || !trainer->difference)
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the fitness of the population");
out:
    return status;
}

/* What every rank opens for itself. */
static egg_status open_own(egg_trainer *trainer, uint64_t base_bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_plan plan;
    EGG_TRY(egg_machine_open(&trainer->kernels, trainer->settings->device, egg_launch_find().local_rank, error));
    EGG_TRY(open_text(trainer, error));
    EGG_TRY(plan_run(&plan, trainer->settings, &trainer->text, &trainer->kernels, base_bytes, error));
    EGG_TRY(open_machine(trainer, error));
    EGG_TRY(egg_run_text_measure(&trainer->text, &trainer->corpus_stats, error));
    EGG_TRY(egg_run_law(trainer->options, &trainer->law, error));
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ open */

/* Where a resumed run stands, from rank 0 to all. */
static egg_status share_state(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    size_t bytes;
    egg_ranks *ranks = &trainer->ranks;
    EGG_TRY(egg_ranks_share(ranks, &trainer->progress, sizeof trainer->progress, error));
    egg_params_fetch(trainer->model->params, trainer->model->param_count);
    EGG_TRY(egg_ranks_share_params(ranks, trainer->model->params, trainer->model->param_count, error));
    int8_t *states = egg_pretrain_states(trainer->task, &bytes);
    if (states) EGG_TRY(egg_ranks_scatter(ranks, states, bytes / ranks->pairs, error));
    egg_pretrain_states_changed(trainer->task);
out:
    return status;
}

egg_status egg_trainer_open(egg_trainer **out, const egg_options *options, const char *const *data, size_t data_count,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    bool resumed = false;
    *out = NULL;
    egg_trainer *trainer = egg_alloc(sizeof *trainer);
    if (!trainer) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a trainer");
    egg_ranks *ranks = &trainer->ranks;
    trainer->schedule.record = -1;
    double opened = trainer->watch.origin = egg_clock_seconds();
    EGG_TRY(egg_ranks_open(ranks, error));
    uint64_t base_bytes = egg_system_resident_bytes();
    EGG_TRY(open_options(trainer, options, data, data_count, &resumed, error));
    status = egg_machine_explain(&trainer->kernels, open_own(trainer, base_bytes, error), error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_compare(ranks, trainer->progress.text, "the texts to train on", error));
    if (trainer->folder) status = egg_trainer_open_folder(trainer, resumed, opened, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    if (resumed) EGG_TRY(share_state(trainer, error));
    egg_model_pack(trainer->model, &trainer->kernels);
    egg_update_share(trainer->update, ranks->shard);
    trainer->save_due = trainer->progress.seconds + trainer->settings->save_seconds;
    double progress = egg_schedule_progress(&trainer->schedule, trainer->progress.epoch, trainer->progress.seconds);
    trainer->validations = (uint64_t)(progress * (double)trainer->settings->validations);
    *out = trainer;
    trainer = NULL;
out:
    egg_trainer_close(trainer);
    return status;
}

void egg_trainer_close(egg_trainer *trainer)
{
    if (!trainer) return;
    egg_journal_close(trainer->journal);
    egg_metrics_close(trainer->metrics);
    egg_schedule_close_record(&trainer->schedule);
    egg_scorer_close(trainer->scorer);
    egg_update_close(trainer->update);
    egg_pretrain_close(trainer->task);
    egg_model_free(trainer->model);
    egg_pool_close(trainer->pool);
    egg_machine_close(&trainer->kernels);
    egg_run_text_close(&trainer->text);
    free_paths(&trainer->data);
    egg_options_free(trainer->options);
    egg_free(trainer->difference);
    egg_free(trainer->F);
    egg_free(trainer->folder);
    egg_free(trainer->law);
    egg_ranks_close(&trainer->ranks);
    egg_free(trainer);
}
