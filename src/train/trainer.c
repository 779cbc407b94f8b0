/* SPDX-License-Identifier: MIT */
/* The epoch loop: evaluate, shape, update; and around it validating, saving, resuming. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "data/entropy.h"
#include "comm/launch.h"
#include "es/device_memory.h"
#include "es/update.h"
#include "tasks/score.h"
#include "train/checkpoint.h"
#include "train/journal.h"
#include "train/machine.h"
#include "train/metrics.h"
#include "train/plan.h"
#include "train/ranks.h"
#include "train/run.h"

/* A save takes at most about this share of the time of a run, however large the run's states are. */
static const double save_share = 0.05;

typedef struct egg_text_list {
    char **paths;
    size_t count;
} egg_text_list;

/* The text of a run, and which part of it is for what. */
typedef struct egg_run_text {
    egg_corpus *corpus;
    egg_corpus *valid;               /* NULL: a tail of 'corpus' is held out */
    uint64_t train_bytes;            /* [0, train_bytes) of 'corpus' */
    uint64_t valid_begin, valid_end; /* of the corpus that validates; empty: no validation */
} egg_run_text;

struct egg_trainer {
    egg_options *options;
    const egg_settings *settings;    /* of 'options' */
    egg_text_list data;
    egg_run_text text;
    egg_corpus_stats corpus_stats;

    egg_ranks ranks;
    egg_kernels kernels;
    bool opened_machine;
    egg_pool *pool;
    egg_model *model;
    egg_pretrain *task;
    egg_update *update;
    egg_scorer *scorer;
    int32_t *difference;             /* (pairs) of the members' losses */
    int8_t *F;                       /* (pairs) */

    double own_seconds;              /* that this rank's slice took to evaluate */
    egg_schedule schedule;
    egg_progress progress;
    double origin;                   /* clock at which progress.seconds was 0 */
    egg_score_result score;          /* of the last validation */
    uint64_t validations;            /* due so far by progress */

    egg_stop_fn *stop;               /* asked after every epoch; NULL: nobody is */
    void *stop_context;
    bool stopped;

    bool keeps;                      /* rank 0 has a folder */
    char *folder;                    /* NULL: nothing is kept on disk, at least not by this rank */
    char *law;                       /* the options that determine the run's course, for the checkpoint */
    egg_metrics *metrics;
    egg_journal *journal;            /* NULL: none is kept */
    egg_journal_info journal_info;
    double save_due;                 /* progress.seconds at which to save again */
};

/* ----------------------------------------------------------------------------------------------------------- text */

static void close_text(egg_run_text *text)
{
    egg_corpus_close(text->corpus);
    egg_corpus_close(text->valid);
    *text = (egg_run_text){0};
}

static const egg_corpus *valid_corpus(const egg_run_text *text)
{
    return text->valid ? text->valid : text->corpus;
}

static egg_status open_text(egg_run_text *text, const egg_settings *settings, const char *const *paths, size_t count,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    *text = (egg_run_text){0};
    EGG_TRY(egg_corpus_open(&text->corpus, paths, count, settings->field, NULL, error));
    uint64_t bytes = egg_corpus_bytes(text->corpus);
    text->train_bytes = bytes;
    if (*settings->valid) {
        const char *valid = settings->valid;
        EGG_TRY(egg_corpus_open(&text->valid, &valid, 1, settings->field, NULL, error));
        text->valid_end = egg_corpus_bytes(text->valid);
    } else {
        text->train_bytes = bytes - (uint64_t)((double)bytes * settings->valid_fraction);
        text->valid_begin = text->train_bytes;
        text->valid_end = bytes;
    }
    if (settings->valid_bytes && text->valid_end - text->valid_begin > settings->valid_bytes)
        text->valid_end = text->valid_begin + settings->valid_bytes;
out:
    return status;
}

static egg_status measure_text(egg_trainer *trainer, egg_error *error)
{
    const egg_run_text *text = &trainer->text;
    uint64_t valid_bytes = text->valid_end - text->valid_begin;
    trainer->corpus_stats = (egg_corpus_stats){.train_bytes = text->train_bytes, .valid_bytes = valid_bytes,
                                               .documents = egg_corpus_documents(text->corpus)};
    return egg_entropy(valid_corpus(text), text->valid_begin, valid_bytes, &trainer->corpus_stats.unigram_bits,
                       &trainer->corpus_stats.bigram_bits, error);
}

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

/* ------------------------------------------------------------------------------------------------------ the machine */

static egg_status check_memory(egg_trainer *trainer, uint64_t base_bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_model *shape = NULL;
    egg_plan plan;
    const egg_corpus *corpora[2] = {trainer->text.corpus, trainer->text.valid};
    EGG_TRY(egg_egg_open(&shape, egg_settings_shape(trainer->settings), NULL, error));
    egg_model_plan_for(shape, &trainer->kernels);
    EGG_TRY(egg_plan_run(&plan, trainer->settings, shape, &trainer->kernels, egg_machine_threads(&trainer->kernels, trainer->settings->threads), corpora,
                         corpora[1] ? 2 : 1, trainer->text.train_bytes, base_bytes, error));
out:
    egg_model_free(shape);
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
    if (!trainer->F || !trainer->difference) status = egg_fail(error, EGG_ERR_NOMEM,
                                                               "no memory for the fitness of the population");
out:
    return status;
}

/* ----------------------------------------------------------------------------------------------------- run folder */

static egg_status run_path(const egg_trainer *trainer, const char *name, char path[EGG_PATH_BYTES], egg_error *error)
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
    EGG_TRY(run_path(trainer, EGG_RUN_CHECKPOINT, path, error));
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

static egg_status write_save(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_checkpoint checkpoint = checkpoint_of(trainer);
    /* Metrics first: a resumed run drops lines behind its checkpoint, but could not make up for lines before it. */
    egg_status metrics = egg_metrics_flush(trainer->metrics, error);
    egg_status journal = egg_journal_save(trainer->journal, trainer->progress.epoch, error);
    EGG_TRY(run_path(trainer, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_checkpoint_save(&checkpoint, path, error));
    EGG_TRY(run_path(trainer, EGG_RUN_MODEL, path, error));
    EGG_TRY(egg_checkpoint_save_model(trainer->model, &trainer->progress, path, error));
    EGG_TRY(metrics);
    EGG_TRY(journal);
out:
    return status;
}

static egg_status open_folder(egg_trainer *trainer, bool resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_directory_remove_temporaries(trainer->folder);
    EGG_TRY(run_path(trainer, EGG_RUN_RATES, path, error));
    EGG_TRY(egg_schedule_open_record(&trainer->schedule, path, !resumed, error));
    EGG_TRY(egg_metrics_open(&trainer->metrics, trainer->folder, trainer->progress.epoch, error));
    if (!resumed) EGG_TRY(write_save(trainer, error));
    EGG_TRY(egg_run_write_config(trainer->folder, trainer->options, (const char *const *)trainer->data.paths,
                                 trainer->data.count, error));
out:
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- open */

/* What rank 0 decides for all: options, the folder, the text. */
static egg_status choose(egg_trainer *trainer, const egg_options *given, const char *const *data, size_t count,
                         bool *resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *folder;
    char path[EGG_PATH_BYTES];
    EGG_TRY(egg_run_folder(given, &folder, resumed, error));
    if (*folder) {
        trainer->folder = egg_strdup(folder);
        if (!trainer->folder) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a path");
    }
    if (*resumed) {
        EGG_TRY(egg_settings_resume(&trainer->options, given, folder, egg_settings_resolve, error));
    } else {
        trainer->options = egg_options_copy(given);
        if (!trainer->options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
        EGG_TRY(egg_settings_resolve(trainer->options, error));
        if (trainer->folder) EGG_TRY(egg_run_refuse_existing(trainer->folder, error));
    }
    if (count) {
        EGG_TRY(copy_paths(&trainer->data, data, count, error));
    } else if (*resumed) {
        EGG_TRY(run_path(trainer, EGG_RUN_CONFIG, path, error));
        EGG_TRY(egg_options_load_data(path, &trainer->data.paths, &trainer->data.count, error));
    }
    if (!trainer->data.count) return egg_fail(error, EGG_ERR_ARGUMENT,
                                              "no text to train on: name a file or a directory");
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

static egg_status open_data(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(open_text(&trainer->text, trainer->settings, (const char *const *)trainer->data.paths, trainer->data.count,
                      error));
    trainer->progress.text = egg_corpus_hash(trainer->text.corpus);
    trainer->progress.text_bytes = egg_corpus_bytes(trainer->text.corpus);
    trainer->progress.valid_bits_per_byte = NAN;
out:
    return status;
}

/* What every rank opens for itself. */
static egg_status open_own(egg_trainer *trainer, uint64_t base_bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_machine_open(&trainer->kernels, trainer->settings->device, egg_launch_find().local_rank, error));
    trainer->opened_machine = true;
    EGG_TRY(open_data(trainer, error));
    EGG_TRY(check_memory(trainer, base_bytes, error));
    EGG_TRY(open_machine(trainer, error));
    EGG_TRY(measure_text(trainer, error));
    EGG_TRY(egg_run_law(trainer->options, &trainer->law, error));
out:
    return status;
}

/* The folder, by the rank that keeps it. */
static egg_status open_run(egg_trainer *trainer, bool resumed, double opened, egg_error *error)
{
    egg_status status = EGG_OK;
    if (resumed) EGG_TRY(load_checkpoint(trainer, error));
    else EGG_TRY(egg_directory_create(trainer->folder, error));
    if (trainer->settings->journal == EGG_JOURNAL_ON) EGG_TRY(open_journal(trainer, resumed, error));
    trainer->origin = opened - trainer->progress.seconds;
    EGG_TRY(open_folder(trainer, resumed, error));
out:
    return status;
}

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
    double opened = trainer->origin = egg_clock_seconds();
    EGG_TRY(egg_ranks_open(ranks, error));
    uint64_t base_bytes = egg_system_resident_bytes();
    EGG_TRY(open_options(trainer, options, data, data_count, &resumed, error));
    status = open_own(trainer, base_bytes, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_compare(ranks, trainer->progress.text, "the texts to train on", error));
    if (trainer->folder) status = open_run(trainer, resumed, opened, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    if (resumed) EGG_TRY(share_state(trainer, error));
    egg_model_pack(trainer->model, &trainer->kernels);
    egg_update_share(trainer->update, ranks->shard);
    trainer->save_due = trainer->progress.seconds + trainer->settings->save_seconds;
    trainer->validations = (uint64_t)(egg_schedule_progress(&trainer->schedule, trainer->progress.epoch,
                                                            trainer->progress.seconds) *
                                      (double)trainer->settings->validations);
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
    if (trainer->opened_machine) egg_machine_close(&trainer->kernels);
    close_text(&trainer->text);
    free_paths(&trainer->data);
    egg_options_free(trainer->options);
    egg_free(trainer->difference);
    egg_free(trainer->F);
    egg_free(trainer->folder);
    egg_free(trainer->law);
    egg_ranks_close(&trainer->ranks);
    egg_free(trainer);
}

/* ---------------------------------------------------------------------------------------------------------- epoch */

static double elapsed(const egg_trainer *trainer)
{
    return egg_clock_seconds() - trainer->origin;
}

static int64_t sum_losses(egg_trainer *trainer, egg_slice slice)
{
    const int32_t *loss = egg_pretrain_loss(trainer->task) + 2 * (size_t)slice.first_pair;
    int64_t sum = 0;
    for (uint32_t i = 0; i < 2 * slice.pairs; i++) sum += loss[i];
    return sum;
}

static double weights_saturated(const egg_model *model)
{
    uint64_t saturated = 0;
    egg_params_fetch(model->params, model->param_count);
    for (uint32_t i = 0; i < model->param_count; i++) {
        const int8_t *w = model->params[i].data;
        size_t n = egg_param_elements(&model->params[i]);
        for (size_t k = 0; k < n; k++) saturated += w[k] == 127 || w[k] == -127;
    }
    return (double)saturated / (double)egg_model_parameters(model);
}

/*
 * Every rank's slice of the population, and then everybody's fitness. '*rate' becomes that of rank 0, whose clock and
 * record decide it.
 */
static egg_status evaluate(egg_trainer *trainer, const egg_perturb *law, double *rate, double *bits_per_byte,
                           egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *settings = trainer->settings;
    egg_ranks *ranks = &trainer->ranks;
    egg_slice slice = egg_ranks_slice(ranks);
    double begun = egg_clock_seconds();
    status = egg_pretrain_evaluate(trainer->task, &trainer->kernels, trainer->pool, law, trainer->progress.epoch, slice,
                                   error);
    trainer->own_seconds = egg_clock_seconds() - begun;
    int64_t loss = sum_losses(trainer, slice);
    EGG_TRY(egg_ranks_agree_real(ranks, status, rate, &loss, 1, error));
    egg_fitness_differences(egg_pretrain_loss(trainer->task) + 2 * (size_t)slice.first_pair, slice.pairs,
                            trainer->difference + slice.first_pair);
    EGG_TRY(egg_ranks_gather_differences(ranks, trainer->schedule.rule, trainer->difference, error));
    *bits_per_byte = (double)loss / (16.0 * (double)settings->population * (double)settings->seq_len);
out:
    return status;
}

/* Every rank's rows of the weights, and then everybody's; '*moved': weights that changed. */
static egg_status update(egg_trainer *trainer, const egg_perturb *law, const egg_step *step, int64_t *moved,
                         egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &trainer->ranks;
    egg_model *model = trainer->model;
    double begun = egg_clock_seconds();
    bool changed;
    *moved = (int64_t)egg_update_rows(trainer->update, &trainer->kernels, trainer->pool, law, step, trainer->F,
                                      ranks->pairs);
    double seconds = egg_clock_seconds() - begun;
    EGG_TRY(egg_device_wait(trainer->kernels.device, error));
    EGG_TRY(egg_ranks_gather_rows(ranks, model->params, model->param_count, EGG_SHARD_DATA, error));
    if (ranks->shard.parts > 1) EGG_TRY(egg_ranks_agree(ranks, EGG_OK, moved, 1, error));
    egg_params_send(model->params, model->param_count);
    egg_update_pack(trainer->update, &trainer->kernels, trainer->pool);
    EGG_TRY(egg_ranks_decide(ranks, seconds, model->params, model->param_count, &changed, error));
    if (changed) egg_update_share(trainer->update, ranks->shard);
out:
    return status;
}

/* Weighs the slices anew; members that change ranks take their states along. */
static egg_status balance(egg_trainer *trainer, egg_error *error)
{
    size_t bytes;
    int8_t *states = egg_pretrain_states(trainer->task, &bytes);
    egg_status status = egg_ranks_balance(&trainer->ranks, trainer->own_seconds, states, bytes / trainer->ranks.pairs,
                                          error);
    egg_pretrain_states_changed(trainer->task);
    return status;
}

/* Evaluates, shapes and updates. On failure nothing has changed, unless ranks have lost each other. */
static egg_status evolve(egg_trainer *trainer, egg_epoch_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    uint64_t epoch = trainer->progress.epoch;
    uint32_t pairs = trainer->ranks.pairs;
    egg_perturb law = egg_settings_law(trainer->settings, epoch);
    egg_fitness fitness = {.F = trainer->F};
    int64_t moved;

    stats->rate = trainer->schedule.rule == EGG_RULE_VOTE
                      ? egg_schedule_alpha(&trainer->schedule, epoch)
                      : egg_schedule_rate24(&trainer->schedule, epoch, elapsed(trainer)) * 0x1p-24;
    double begun = egg_clock_seconds();
    EGG_TRY(evaluate(trainer, &law, &stats->rate, &stats->train_bits_per_byte, error));
    double evaluated = egg_clock_seconds();
    egg_fitness_shape(&fitness, trainer->schedule.rule, trainer->difference, pairs);
    egg_step step = egg_settings_step(trainer->settings, stats->rate, trainer->F);
    EGG_TRY(update(trainer, &law, &step, &moved, error));
    double updated = egg_clock_seconds();
    if (trainer->ranks.size > 1) EGG_TRY(balance(trainer, error));

    stats->tied_pairs = (double)fitness.ties / pairs;
    stats->weights_moved = (double)moved / (double)egg_model_parameters(trainer->model);
    stats->evaluate_seconds = evaluated - begun;
    stats->update_seconds = updated - evaluated;
out:
    return status;
}

/* The run's clock is that of rank 0; and whether anybody wants an end. */
static egg_status look_up(egg_trainer *trainer, egg_error *error)
{
    int64_t stops = trainer->stop && trainer->stop(trainer->stop_context);
    trainer->progress.seconds = elapsed(trainer);
    egg_status status = egg_ranks_agree_real(&trainer->ranks, EGG_OK, &trainer->progress.seconds, &stops, 1, error);
    if (status == EGG_OK && stops) trainer->stopped = true;
    return status;
}

egg_status egg_trainer_validate(egg_trainer *trainer, double *bits_per_byte, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_run_text *text = &trainer->text;
    if (trainer->ranks.rank == 0)
        status = egg_scorer_run(trainer->scorer, &trainer->kernels, trainer->pool, valid_corpus(text),
                                text->valid_begin,
                                text->valid_end, &trainer->score, error);
    EGG_TRY(egg_ranks_agree(&trainer->ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_share(&trainer->ranks, &trainer->score, sizeof trainer->score, error));
    trainer->progress.valid_bits_per_byte = trainer->score.bits_per_byte;
    if (bits_per_byte) *bits_per_byte = trainer->score.bits_per_byte;
out:
    return status;
}

static bool budget_used(const egg_trainer *trainer)
{
    return egg_schedule_finished(&trainer->schedule, trainer->progress.epoch, trainer->progress.seconds);
}

/* Validations are spread evenly over the budget; the last one falls on its end. */
static bool validation_due(egg_trainer *trainer)
{
    double progress = egg_schedule_progress(&trainer->schedule, trainer->progress.epoch, trainer->progress.seconds);
    uint64_t due = (uint64_t)(progress * (double)trainer->settings->validations);
    bool now = due > trainer->validations || budget_used(trainer);
    trainer->validations = due;
    return now && trainer->text.valid_end - trainer->text.valid_begin >= 2;
}

static bool save_due(const egg_trainer *trainer)
{
    uint64_t every = trainer->settings->save_epochs;
    return trainer->keeps && (trainer->progress.seconds >= trainer->save_due ||
                               (every && trainer->progress.epoch % every == 0));
}

static void add_metrics(egg_trainer *trainer, const egg_epoch_stats *stats)
{
    const bool alone = trainer->ranks.size == 1;
    const double no = NAN;   /* figures of a validation that was not */
    const bool valid = stats->validated;
    const egg_metric figures[] = {
        {"member_tokens", NULL, (double)stats->member_tokens},
        {"text_bytes", NULL, (double)stats->text_bytes},
        {"seconds", NULL, stats->seconds},
        {"train_bits_per_byte", "bits_per_byte/train", stats->train_bits_per_byte},
        {"tied_pairs", "evolution/tied_pairs", stats->tied_pairs},
        {"weights_moved", "evolution/weights_moved", stats->weights_moved},
        {"rate", "evolution/rate", stats->rate},
        {"evaluate_seconds", "seconds/evaluate", stats->evaluate_seconds},
        {"update_seconds", "seconds/update", stats->update_seconds},
        {"valid_bits_per_byte", "bits_per_byte/valid", valid ? stats->valid_bits_per_byte : no},
        {"weights_saturated", "saturation/weights", valid ? stats->weights_saturated : no},
        {"activations_saturated", "saturation/activations", valid ? stats->activations_saturated : no},
        {"validate_seconds", NULL, valid ? stats->validate_seconds : no},
        {"ranks", NULL, alone ? no : (double)trainer->ranks.size},
        {"fitness_bytes_received", NULL, alone ? no : (double)trainer->ranks.fitness_bytes},
        {"bytes_received", NULL, alone ? no : (double)egg_ranks_traffic(&trainer->ranks)},
    };
    egg_metrics_add(trainer->metrics, stats->epoch, figures, EGG_COUNT(figures), valid);
}

/* The line of metrics first: a resumed run that takes the epoch from the journal could not make up for it. */
static void record_epoch(egg_trainer *trainer, const egg_epoch_stats *stats)
{
    if (!trainer->journal) return;
    egg_metrics_push(trainer->metrics);
    egg_journal_add(trainer->journal, &(egg_journal_epoch){
        .epoch = stats->epoch,
        .position = stats->member_tokens,
        .seconds = stats->seconds,
        .score = stats->valid_bits_per_byte,
        .rate = stats->rate,
        .pairs = (uint32_t)trainer->settings->population / 2,
        .weights = trainer->F,
        .partial = !egg_ranks_is_complete(&trainer->ranks, trainer->model->params, trainer->model->param_count),
    });
}

egg_status egg_trainer_epoch(egg_trainer *trainer, egg_epoch_stats *out, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_epoch_stats stats = {0};
    const egg_settings *settings = trainer->settings;
    EGG_TRY(evolve(trainer, &stats, error));
    stats.epoch = ++trainer->progress.epoch;
    stats.member_tokens = trainer->progress.member_tokens += settings->population * settings->seq_len;
    stats.text_bytes = stats.epoch * egg_pretrain_text_bytes(trainer->task);
    EGG_TRY(look_up(trainer, error));
    if (settings->check_epochs && stats.epoch % settings->check_epochs == 0) {
        if (trainer->ranks.size > 1) egg_params_fetch(trainer->model->params, trainer->model->param_count);
        EGG_TRY(egg_ranks_compare_weights(&trainer->ranks, trainer->model->params, trainer->model->param_count,
                                          stats.epoch,
                                          error));
    }

    stats.validated = validation_due(trainer);
    if (stats.validated) {
        double begun = egg_clock_seconds();
        EGG_TRY(egg_trainer_validate(trainer, NULL, error));
        stats.weights_saturated = weights_saturated(trainer->model);
        stats.validate_seconds = egg_clock_seconds() - begun;
        EGG_TRY(look_up(trainer, error));
    }
    stats.activations_saturated = trainer->score.saturated;
    stats.valid_bits_per_byte = trainer->progress.valid_bits_per_byte;
    stats.seconds = trainer->progress.seconds;
    stats.stopped = trainer->stopped;
    stats.progress = egg_schedule_progress(&trainer->schedule, stats.epoch, stats.seconds);
    add_metrics(trainer, &stats);
    record_epoch(trainer, &stats);
    if (save_due(trainer)) {
        status = egg_trainer_save(trainer, error);
        stats.saved = status == EGG_OK;
    }
    if (out) *out = stats;
out:
    return status;
}

bool egg_trainer_finished(const egg_trainer *trainer)
{
    return trainer->stopped || budget_used(trainer);
}

void egg_trainer_stop_when(egg_trainer *trainer, egg_stop_fn *stop, void *context)
{
    trainer->stop = stop;
    trainer->stop_context = context;
}

/* ----------------------------------------------------------------------------------------------------------- save */

egg_status egg_trainer_save(egg_trainer *trainer, egg_error *error)
{
    egg_status status = EGG_OK;
    size_t bytes;
    egg_ranks *ranks = &trainer->ranks;
    int8_t *states = egg_pretrain_states(trainer->task, &bytes);
    if (!trainer->keeps) return egg_fail(error, EGG_ERR_ARGUMENT, "--out: nothing is saved without a run folder");
    EGG_TRY(egg_ranks_may_save(ranks, error));
    double begun = egg_clock_seconds();
    trainer->save_due = trainer->progress.seconds + trainer->settings->save_seconds;   /* a failed one is tried again */
    EGG_TRY(egg_ranks_complete(ranks, trainer->model->params, trainer->model->param_count, error));
    if (states) EGG_TRY(egg_ranks_collect(ranks, states, bytes / ranks->pairs, error));
    if (trainer->folder) status = write_save(trainer, error);
    double patience = (egg_clock_seconds() - begun) / save_share;
    EGG_TRY(egg_ranks_agree_real(ranks, status, &patience, NULL, 0, error));
    if (patience > trainer->settings->save_seconds) trainer->save_due = trainer->progress.seconds + patience;
out:
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- asked */

egg_corpus_stats egg_trainer_corpus(const egg_trainer *trainer)
{
    return trainer->corpus_stats;
}

egg_journal_info egg_trainer_journal(const egg_trainer *trainer)
{
    return trainer->journal_info;
}

const char *egg_trainer_option(egg_trainer *trainer, const char *name)
{
    return egg_options_get(trainer->options, name);
}

egg_status egg_trainer_plan(egg_plan *plan, const egg_options *options, const char *const *data, size_t data_count,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    egg_kernels kernels = {0};
    egg_model *shape = NULL;
    egg_run_text text = {0};
    uint64_t base_bytes = egg_system_resident_bytes();
    egg_options *resolved = egg_options_copy(options);
    *plan = (egg_plan){0};
    if (!resolved) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    EGG_TRY(egg_settings_resolve(resolved, error));
    const egg_settings *settings = egg_options_values(resolved);
    EGG_TRY(egg_machine_open(&kernels, settings->device, 0, error));
    EGG_TRY(egg_egg_open(&shape, egg_settings_shape(settings), NULL, error));
    egg_model_plan_for(shape, &kernels);
    EGG_TRY(open_text(&text, settings, data, data_count, error));
    const egg_corpus *corpora[2] = {text.corpus, text.valid};
    EGG_TRY(egg_plan_run(plan, settings, shape, &kernels, egg_machine_threads(&kernels, settings->threads), corpora, text.valid ? 2 : 1,
                         text.train_bytes, base_bytes, error));
out:
    close_text(&text);
    egg_model_free(shape);
    egg_machine_close(&kernels);
    egg_options_free(resolved);
    return status;
}
