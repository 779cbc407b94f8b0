/* SPDX-License-Identifier: MIT */
/* Runs of fine-tuning: the epoch loop over a course and evolution, validations, the best model, saving, resuming. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/launch.h"
#include "eggroll.h"
#include "es/answers.h"
#include "es/device_memory.h"
#include "train/finetune_journal.h"
#include "train/finetune_settings.h"
#include "train/machine.h"
#include "train/metrics.h"
#include "train/model_file.h"
#include "train/plan.h"
#include "train/precision.h"
#include "train/ranks.h"
#include "train/run.h"
#include "train/rwkv7_file.h"
#include "train/settings.h"
#include "train/watch.h"

struct egg_finetune {
    egg_options *options;
    const egg_settings *settings;    /* of 'options' */
    egg_stops stops;

    egg_ranks ranks;
    egg_kernels kernels;
    egg_pool *pool;
    egg_rwkv7 *model;
    egg_tokenizer *tokenizer;
    egg_language language;
    egg_course *course;
    egg_course_facts facts;
    egg_evolution_shape shape;
    egg_evolution *evolution;
    float *S;                        /* (population, questions) from the first member of our slice on */
    egg_range *ranges;               /* (questions) */
    float *fitness;                  /* (population) */

    egg_finetune_progress progress;
    egg_watch watch;

    bool keeps;                      /* rank 0 has a folder */
    char *folder;                    /* NULL: nothing is kept on disk, at least not by this rank */
    char *law;
    egg_metrics *metrics;
    egg_journal *journal;            /* NULL: none is kept */
    egg_journal_info journal_info;
    bool broken;                     /* an update was not finite: what is in the folder is better than what is here */
    double save_due;
};

/* ------------------------------------------------------------------------------------------------------------ open */

/* What rank 0 decides for all: options and the folder. */
static egg_status choose(egg_finetune *finetune, const egg_options *given, bool *resumed, egg_error *error)
{
    egg_chosen chosen;
    egg_status status = egg_settings_choose(&chosen, given, egg_finetune_resolve, error);
    finetune->options = chosen.options;
    finetune->folder = chosen.folder;
    finetune->keeps = chosen.folder;
    *resumed = chosen.resumed;
    return status;
}

static egg_status open_options(egg_finetune *finetune, const egg_options *given, bool *resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &finetune->ranks;
    if (ranks->rank == 0) status = choose(finetune, given, resumed, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_share_options(ranks, given, &finetune->options, error));
    EGG_TRY(egg_ranks_share(ranks, resumed, sizeof *resumed, error));
    EGG_TRY(egg_ranks_share(ranks, &finetune->keeps, sizeof finetune->keeps, error));
    finetune->settings = egg_options_values(finetune->options);
out:
    return status;
}

/* The model, or, where 'weights' is false, its shape alone; '*file_bytes' becomes the size of its tensors. */
static egg_status open_model(egg_finetune *finetune, bool weights, uint64_t *file_bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    EGG_TRY(egg_shards_open(&shards, finetune->settings->base, error));
    *file_bytes = 0;
    for (size_t i = 0; i < egg_shards_count(shards); i++) *file_bytes += egg_shards_at(shards, i)->bytes;
    EGG_TRY(egg_rwkv7_file_read_as(&finetune->model, shards, weights ? &finetune->kernels : NULL, EGG_RWKV7_TRAINING,
                                   (egg_weights)finetune->settings->weights, error));
    egg_rwkv7_round_activations(finetune->model, egg_precision_of(finetune->settings).bf16_activations);
    if (!weights) egg_params_plan_for(finetune->model->params, finetune->model->param_count, &finetune->kernels);
    if (weights)
        EGG_TRY(
            egg_params_hash(finetune->model->params, finetune->model->param_count, &finetune->progress.base, error));
    EGG_TRY(egg_finetune_freeze(finetune->settings, finetune->model, error));
out:
    egg_shards_close(shards);
    return status;
}

/* Questions come after the model's shape, whose vocabulary they are in, and before all that is large. */
static egg_status open_course(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = finetune->settings;
    uint32_t pairs = (uint32_t)s->population / 2;
    egg_course_shape course = egg_finetune_course(s, pairs, &finetune->stops, egg_pool_threads(finetune->pool));
    EGG_TRY(egg_language_tokenizer(&finetune->tokenizer, finetune->model, s->vocab, error));
    finetune->language = (egg_language){.model = finetune->model, .tokenizer = finetune->tokenizer,
                                        .kernels = &finetune->kernels};
    EGG_TRY(egg_language_check(&finetune->language, error));
    EGG_TRY(egg_course_open(&finetune->course, &course, &finetune->language, error));
    EGG_TRY(egg_course_about(finetune->course, &finetune->facts, error));
    finetune->progress.questions = finetune->facts.hash;
out:
    return status;
}

static egg_status open_machine(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_stops_open(&finetune->stops, finetune->settings->stop, error));
    const uint32_t threads = egg_machine_threads(&finetune->kernels, finetune->settings->threads);
    EGG_TRY(egg_pool_open(&finetune->pool, threads, error));
    finetune->shape = egg_finetune_evolution(finetune->settings, egg_pool_threads(finetune->pool));
out:
    return status;
}

static egg_status open_all(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = finetune->settings;
    uint64_t file_bytes;
    EGG_TRY(open_machine(finetune, error));
    EGG_TRY(open_model(finetune, true, &file_bytes, error));
    EGG_TRY(open_course(finetune, error));
    EGG_TRY(egg_course_begin(finetune->course, error));
    EGG_TRY(egg_ranks_divide(&finetune->ranks, (uint32_t)s->population / 2, error));
    EGG_TRY(egg_ranks_open_update(&finetune->ranks, s->update_sharding, finetune->model->params,
                                  finetune->model->param_count, error));
    finetune->shape.shard = finetune->ranks.shard;
    EGG_TRY(egg_evolution_open(&finetune->evolution, &finetune->shape, finetune->model->params,
                               finetune->model->param_count, error));
    EGG_TRY(egg_run_law(finetune->options, &finetune->law, error));
    finetune->S = egg_alloc_array((size_t)s->population * s->questions, sizeof *finetune->S);
    finetune->fitness = egg_alloc_array((size_t)s->population, sizeof *finetune->fitness);
    finetune->ranges = egg_alloc_array((size_t)s->questions, sizeof *finetune->ranges);
    if (!finetune->S || !finetune->fitness || !finetune->ranges)
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the rewards of %" PRIu64 " members", s->population);
out:
    return status;
}

static egg_finetune_checkpoint checkpoint_of(egg_finetune *finetune)
{
    return (egg_finetune_checkpoint){.model = finetune->model, .progress = finetune->progress, .law = finetune->law};
}

static egg_status load_checkpoint(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_finetune_checkpoint checkpoint = checkpoint_of(finetune);
    EGG_TRY(egg_run_path(finetune->folder, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_finetune_checkpoint_load(&checkpoint, path, error));
    egg_params_send(finetune->model->params, finetune->model->param_count);
    finetune->progress = checkpoint.progress;
out:
    return status;
}

/* An epoch from the journal in place of its evaluation. */
static egg_status apply_recorded(void *context, const egg_journal_epoch *epoch, const char *name, egg_error *error)
{
    egg_finetune *finetune = context;
    egg_finetune_checkpoint checkpoint = checkpoint_of(finetune);
    egg_status status = egg_finetune_journal_apply(&checkpoint, finetune->evolution, &finetune->kernels, finetune->pool,
                                                   epoch, name, error);
    finetune->progress = checkpoint.progress;
    return status;
}

static egg_status open_journal(egg_finetune *finetune, bool resumed, egg_error *error)
{
    char facts[EGG_FINETUNE_FACTS_BYTES];
    egg_journal_tail tail = {.epoch = finetune->progress.epoch,
                             .usable = true,
                             .context = finetune,
                             .apply = apply_recorded};
    egg_finetune_journal_facts(facts, finetune->progress.base);
    egg_journal_run run = {.folder = finetune->folder,
                           .options = finetune->options,
                           .kernels = finetune->kernels.level,
                           .facts = facts,
                           .params = finetune->model->params,
                           .param_count = finetune->model->param_count,
                           .dtype = EGG_F32,
                           .extra_bytes = EGG_FINETUNE_EXTRA_BYTES};
    egg_evolution_weights(finetune->evolution, &run.pairs);
    if (!resumed) return egg_journal_begin(&finetune->journal, &run, error);
    egg_status status = egg_journal_resume(&finetune->journal, &run, &tail, error);
    finetune->journal_info = (egg_journal_info){.replayed_epochs = tail.applied, .torn_bytes = tail.torn_bytes};
    return status;
}

/* Weights and moments to the host; what a broken device gave would be no state to go on from. */
static egg_status fetch_model(const egg_finetune *finetune, egg_error *error)
{
    egg_params_fetch(finetune->model->params, finetune->model->param_count);
    return egg_device_wait(finetune->kernels.device, error);
}

static egg_status write_model(const egg_finetune *finetune, const char *name, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    EGG_TRY(egg_run_path(finetune->folder, name, path, error));
    EGG_TRY(fetch_model(finetune, error));
    EGG_TRY(egg_finetune_save_model(finetune->model, &finetune->progress, path, error));
out:
    return status;
}

static egg_status write_save(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_finetune_checkpoint checkpoint = checkpoint_of(finetune);
    egg_status metrics =
        egg_metrics_flush(finetune->metrics, error); /* first: lines behind a checkpoint can be dropped */
    egg_status journal = egg_journal_save(finetune->journal, finetune->progress.epoch, error);
    EGG_TRY(fetch_model(finetune, error));
    EGG_TRY(egg_run_path(finetune->folder, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_finetune_checkpoint_save(&checkpoint, path, error));
    EGG_TRY(write_model(finetune, EGG_RUN_MODEL, error));
    EGG_TRY(metrics);
    EGG_TRY(journal);
out:
    return status;
}

static egg_status open_folder(egg_finetune *finetune, bool resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_directory_remove_temporaries(finetune->folder);
    EGG_TRY(egg_metrics_open(&finetune->metrics, finetune->folder, finetune->progress.epoch, error));
    /* Epochs that the journal gave are as good as done, and perhaps the last. */
    if (!resumed || finetune->journal_info.replayed_epochs) EGG_TRY(write_save(finetune, error));
    EGG_TRY(egg_run_write_config(finetune->folder, finetune->options, NULL, 0, error));
out:
    return status;
}

/* The folder, by the rank that keeps it. */
static egg_status open_run(egg_finetune *finetune, bool resumed, double opened, egg_error *error)
{
    egg_status status = EGG_OK;
    if (!resumed) EGG_TRY(egg_directory_create(finetune->folder, error));
    EGG_TRY(egg_ranks_widen(&finetune->ranks, finetune->folder, finetune->model->params, finetune->model->param_count,
                            error));
    if (resumed) EGG_TRY(load_checkpoint(finetune, error));
    if (finetune->settings->journal == EGG_JOURNAL_ON) EGG_TRY(open_journal(finetune, resumed, error));
    finetune->watch.origin = opened - finetune->progress.seconds;
    EGG_TRY(open_folder(finetune, resumed, error));
out:
    return status;
}

/* Every rank reads the model and the questions by itself. */
static egg_status compare_inputs(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_ranks_compare(&finetune->ranks, finetune->progress.base, "the models to begin with", error));
    EGG_TRY(egg_ranks_compare(&finetune->ranks, finetune->facts.hash, "the questions to train on", error));
    EGG_TRY(egg_ranks_compare(&finetune->ranks, finetune->facts.valid_hash, "the held-out questions", error));
out:
    return status;
}

/* Where a resumed run stands, from rank 0 to all. */
static egg_status share_state(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = finetune->model;
    EGG_TRY(egg_ranks_share(&finetune->ranks, &finetune->progress, sizeof finetune->progress, error));
    egg_params_fetch(model->params, model->param_count);
    EGG_TRY(egg_ranks_share_params(&finetune->ranks, model->params, model->param_count, error));
    egg_params_send(model->params, model->param_count);
    for (uint32_t i = 0; i < model->param_count; i++)
        if (!model->params[i].frozen) egg_param_pack(&model->params[i], &finetune->kernels);
out:
    return status;
}

egg_status egg_finetune_open(egg_finetune **out, const egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    bool resumed = false;
    *out = NULL;
    egg_finetune *finetune = egg_alloc(sizeof *finetune);
    if (!finetune) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a run");
    egg_ranks *ranks = &finetune->ranks;
    double opened = finetune->watch.origin = egg_clock_seconds();
    finetune->progress.valid = finetune->progress.base_valid = finetune->progress.best_valid = NAN;
    EGG_TRY(egg_ranks_open(ranks, error));
    EGG_TRY(open_options(finetune, options, &resumed, error));
    EGG_TRY(egg_ranks_machine(ranks, finetune->settings->device, &finetune->kernels, error));
    status = egg_machine_explain(&finetune->kernels, open_all(finetune, error), error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(compare_inputs(finetune, error));
    if (finetune->folder) status = open_run(finetune, resumed, opened, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    if (resumed) EGG_TRY(share_state(finetune, error));
    egg_ranks_narrow(ranks, finetune->model->params, finetune->model->param_count);
    egg_update_f32_share(egg_evolution_update(finetune->evolution), ranks->shard);
    finetune->save_due = finetune->progress.seconds + finetune->settings->save_seconds;
    *out = finetune;
    finetune = NULL;
out:
    egg_finetune_close(finetune);
    return status;
}

void egg_finetune_close(egg_finetune *finetune)
{
    if (!finetune) return;
    if (finetune->model) egg_ranks_narrow(&finetune->ranks, finetune->model->params, finetune->model->param_count);
    egg_journal_close(finetune->journal);
    egg_metrics_close(finetune->metrics);
    egg_course_close(finetune->course);
    egg_evolution_close(finetune->evolution);
    egg_tokenizer_close(finetune->tokenizer);
    egg_rwkv7_close(finetune->model);
    egg_pool_close(finetune->pool);
    egg_machine_close(&finetune->kernels);
    egg_stops_close(&finetune->stops);
    egg_options_free(finetune->options);
    egg_free(finetune->S);
    egg_free(finetune->ranges);
    egg_free(finetune->fitness);
    egg_free(finetune->folder);
    egg_free(finetune->law);
    egg_ranks_close(&finetune->ranks);
    egg_free(finetune);
}

/* ----------------------------------------------------------------------------------------------------------- epoch */

static double share(double used, double bound)
{
    return bound > 0 ? fmin(1, used / bound) : 0;
}

/* The bound that is nearest decides. */
static double progress_of(const egg_finetune *finetune)
{
    const egg_settings *s = finetune->settings;
    return fmax(share((double)finetune->progress.epoch, (double)s->epochs),
                share(finetune->progress.seconds, 60 * s->minutes));
}

static bool lower_is_better(const egg_finetune *finetune)
{
    return finetune->settings->task == EGG_COURSE_SFT;
}

static bool is_better(const egg_finetune *finetune, double a, double b)
{
    return lower_is_better(finetune) ? a < b : a > b;
}

static bool budget_used(const egg_finetune *finetune)
{
    double target = finetune->settings->target, valid = finetune->progress.valid;
    bool reached = target != 0 && isfinite(valid) && !is_better(finetune, target, valid);
    return reached || progress_of(finetune) >= 1;
}

bool egg_finetune_finished(const egg_finetune *finetune)
{
    return finetune->watch.stopped || budget_used(finetune);
}

void egg_finetune_stop_when(egg_finetune *finetune, egg_stop_fn *stop, void *context)
{
    egg_watch_stop_when(&finetune->watch, stop, context);
}

/* Sums over the ranks, and what rates are of: '*threads' of all ranks. */
static egg_status add_answers(egg_finetune *finetune, egg_status own, egg_answers_stats *answers, uint32_t *threads,
                              egg_error *error)
{
    const double second = 1e9;   /* in the units in which times are added up */
    int64_t sums[] = {(int64_t)answers->answers,
                      (int64_t)answers->cut,
                      (int64_t)answers->prompt_tokens,
                      (int64_t)answers->answer_tokens,
                      (int64_t)(answers->prompt_seconds * second),
                      (int64_t)(answers->answer_seconds * second),
                      egg_pool_threads(finetune->pool)};
    egg_status status = egg_ranks_agree(&finetune->ranks, own, sums, EGG_COUNT(sums), error);
    *answers = (egg_answers_stats){.answers = (uint64_t)sums[0],
                                   .cut = (uint64_t)sums[1],
                                   .prompt_tokens = (uint64_t)sums[2],
                                   .answer_tokens = (uint64_t)sums[3],
                                   .prompt_seconds = (double)sums[4] / second,
                                   .answer_seconds = (double)sums[5] / second};
    *threads = (uint32_t)sums[6];
    return status;
}

static void tell_of_answers(const egg_answers_stats *answers, uint32_t threads, egg_finetune_stats *stats)
{
    stats->answers = answers->answers;
    stats->cut_answers = answers->cut;
    stats->answer_tokens = (double)answers->answer_tokens / (double)answers->answers;
    stats->prompt_rate =
        answers->prompt_seconds > 0 ? (double)answers->prompt_tokens * threads / answers->prompt_seconds : 0;
    stats->answer_rate =
        answers->answer_seconds > 0 ? (double)answers->answer_tokens * threads / answers->answer_seconds : 0;
}

/* Every rank's slice of the population: the fitness of its members, what all rewards were, and '*seconds' of our slice. */
static egg_status evaluate_population(egg_finetune *finetune, egg_answer_scores *scores, egg_finetune_stats *stats,
                                      double *seconds, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = finetune->settings;
    const egg_slice slice = egg_ranks_slice(&finetune->ranks);
    const egg_answers_part part = {.S = finetune->S, .ranges = finetune->ranges, .here = 2 * slice.pairs,
                                   .members = (uint32_t)s->population, .questions = (uint32_t)s->questions};
    egg_perturb law = egg_evolution_law(&finetune->shape, finetune->progress.epoch);
    egg_course_stats course;
    uint32_t threads;
    double begun = egg_clock_seconds();
    status = egg_course_evaluate(finetune->course, finetune->pool, &law, finetune->progress.epoch, slice, finetune->S,
                                 &course, error);
    if (status == EGG_OK) status = egg_device_wait(finetune->kernels.device, error);
    *seconds = egg_clock_seconds() - begun;
    EGG_TRY(add_answers(finetune, status, &course.answers, &threads, error));
    tell_of_answers(&course.answers, threads, stats);
    stats->reward_seconds = course.reward_seconds;
    EGG_TRY(egg_answers_fitness(scores, &part, egg_finetune_is_centred(s),
                                finetune->fitness + 2 * (size_t)slice.first_pair, finetune->ranks.comm, error));
out:
    return status;
}

static egg_status evolve(egg_finetune *finetune, egg_finetune_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = finetune->settings;
    uint32_t population = (uint32_t)s->population, questions = (uint32_t)s->questions;
    egg_answer_scores scores;
    egg_evolution_stats evolved;
    double begun = egg_clock_seconds(), answering;
    EGG_TRY(evaluate_population(finetune, &scores, stats, &answering, error));
    double evaluated = egg_clock_seconds();
    EGG_TRY(egg_ranks_tell(&finetune->ranks, finetune->evolution, finetune->model->params, finetune->model->param_count,
                           &finetune->kernels, finetune->pool, finetune->progress.epoch, finetune->fitness, &evolved,
                           error));
    EGG_TRY(egg_device_wait(finetune->kernels.device, error));
    EGG_TRY(egg_ranks_balance(&finetune->ranks, answering, NULL, 0, error));
    if (!isfinite(evolved.gradient_norm)) {
        finetune->broken = true;
        status = egg_fail(error, EGG_ERR_ARGUMENT,
                          "epoch %" PRIu64 ": the update is no longer finite; the model has grown "
                          "beyond all bounds: lower --rate, or give --clip-norm or --weight-decay",
                          finetune->progress.epoch + 1);
        goto out;
    }
    double updated = egg_clock_seconds();

    bool silent = evolved.scores.ties == population / 2;
    finetune->progress.silent_epochs = silent ? finetune->progress.silent_epochs + 1 : 0;
    finetune->progress.answers += stats->answers;
    stats->reward_mean = scores.mean;
    stats->reward_deviation = scores.deviation;
    stats->reward_best = scores.best;
    stats->reward_worst = scores.worst;
    stats->equal_questions = (double)scores.equal / questions;
    stats->tied_pairs = (double)evolved.scores.ties / (population / 2);
    stats->silent_epochs = finetune->progress.silent_epochs;
    stats->sigma = evolved.sigma;
    stats->rate = evolved.rate;
    stats->gradient_norm = evolved.gradient_norm;
    stats->evaluate_seconds = evaluated - begun - stats->reward_seconds;
    stats->update_seconds = updated - evaluated;
out:
    return status;
}

/* Every rank a share of the held-out questions. */
egg_status egg_finetune_validate(egg_finetune *finetune, double *valid, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &finetune->ranks;
    uint32_t count, first;
    float *rewards = egg_course_held_out(finetune->course, &count);
    uint32_t own = egg_ranks_share_of(ranks, count, &first);
    status = egg_course_validate(finetune->course, finetune->pool, first, own, error);
    if (status == EGG_OK) status = egg_device_wait(finetune->kernels.device, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_gather_shares(ranks, count, rewards, sizeof *rewards, error));
    *valid = egg_course_score(finetune->course);
out:
    return status;
}

/* Also keeps the model where it is the best so far; the one that the run began with needs no copy. */
static egg_status validate(egg_finetune *finetune, double *seconds, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_finetune_progress *progress = &finetune->progress;
    double begun = egg_clock_seconds();
    EGG_TRY(egg_finetune_validate(finetune, &progress->valid, error));
    *seconds = egg_clock_seconds() - begun;
    if (!isnan(progress->best_valid) && !is_better(finetune, progress->valid, progress->best_valid)) goto out;
    progress->best_valid = progress->valid;
    progress->best_epoch = progress->epoch;
    if (finetune->folder && progress->epoch) status = write_model(finetune, EGG_RUN_BEST, error);
    EGG_TRY(egg_ranks_agree(&finetune->ranks, status, NULL, 0, error));
out:
    return status;
}

/* What the run begins from, before its first epoch. */
static egg_status validate_base(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    double seconds;
    if (finetune->progress.epoch || !isnan(finetune->progress.base_valid)) return EGG_OK;
    EGG_TRY(validate(finetune, &seconds, error));
    finetune->progress.base_valid = finetune->progress.valid;
    const egg_metric figures[] = {{"valid", "valid", finetune->progress.valid}, {"validate_seconds", NULL, seconds}};
    egg_metrics_add(finetune->metrics, 0, figures, EGG_COUNT(figures), true);
out:
    return status;
}

static void add_metrics(egg_finetune *finetune, const egg_finetune_stats *stats)
{
    const bool alone = finetune->ranks.size == 1;
    const double no = NAN;
    const egg_metric figures[] = {
        {"seconds", NULL, stats->seconds},
        {"reward_mean", "reward/mean", stats->reward_mean},
        {"reward_best", "reward/best", stats->reward_best},
        {"reward_worst", NULL, stats->reward_worst},
        {"reward_deviation", "reward/deviation", stats->reward_deviation},
        {"equal_questions", "reward/equal_questions", stats->equal_questions},
        {"tied_pairs", "evolution/tied_pairs", stats->tied_pairs},
        {"sigma", "evolution/sigma", stats->sigma},
        {"rate", "evolution/rate", stats->rate},
        {"gradient_norm", "evolution/gradient_norm", stats->gradient_norm},
        {"answers", NULL, (double)stats->answers},
        {"cut_answers", "answers/cut", (double)stats->cut_answers},
        {"answer_tokens", "answers/tokens", stats->answer_tokens},
        {"prompt_rate", "rate/prompt_tokens", stats->prompt_rate},
        {"answer_rate", "rate/answer_tokens", stats->answer_rate},
        {"evaluate_seconds", "seconds/evaluate", stats->evaluate_seconds},
        {"reward_seconds", "seconds/reward", stats->reward_seconds},
        {"update_seconds", "seconds/update", stats->update_seconds},
        {"valid", "valid", stats->validated ? stats->valid : no},
        {"validate_seconds", NULL, stats->validated ? stats->validate_seconds : no},
        {"ranks", NULL, alone ? no : (double)finetune->ranks.size},
        {"fitness_bytes_received", NULL, alone ? no : (double)finetune->ranks.fitness_bytes},
        {"bytes_received", NULL, alone ? no : (double)egg_ranks_traffic(&finetune->ranks)},
    };
    egg_metrics_add(finetune->metrics, stats->epoch, figures, EGG_COUNT(figures), stats->validated);
}

static bool save_due(const egg_finetune *finetune)
{
    uint64_t every = finetune->settings->save_epochs;
    return finetune->keeps &&
           (finetune->progress.seconds >= finetune->save_due || (every && finetune->progress.epoch % every == 0));
}

/* The line of metrics first: a resumed run that takes the epoch from the journal could not make up for it. */
static void record_epoch(egg_finetune *finetune, double rate)
{
    uint8_t extra[EGG_FINETUNE_EXTRA_BYTES];
    if (!finetune->journal) return;
    egg_journal_epoch epoch = {.epoch = finetune->progress.epoch, .position = finetune->progress.answers,
                               .seconds = finetune->progress.seconds, .score = finetune->progress.valid, .rate = rate,
                               .extra = extra, .extra_bytes = sizeof extra};
    epoch.partial = !egg_ranks_is_complete(&finetune->ranks, finetune->model->params, finetune->model->param_count);
    epoch.weights = egg_evolution_weights(finetune->evolution, &epoch.pairs);
    egg_finetune_journal_extra(extra, &finetune->progress);
    egg_metrics_push(finetune->metrics);
    egg_journal_add(finetune->journal, &epoch);
}

egg_status egg_finetune_epoch(egg_finetune *finetune, egg_finetune_stats *out, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_finetune_stats stats = {0};
    egg_finetune_progress *progress = &finetune->progress;
    EGG_TRY(validate_base(finetune, error));
    EGG_TRY(evolve(finetune, &stats, error));
    stats.epoch = ++progress->epoch;
    EGG_TRY(egg_watch_look_up(&finetune->watch, &finetune->ranks, &finetune->progress.seconds, error));
    if (finetune->settings->check_epochs && stats.epoch % finetune->settings->check_epochs == 0)
        EGG_TRY(egg_ranks_compare_weights(&finetune->ranks, finetune->model->params, finetune->model->param_count,
                                          stats.epoch, error));
    stats.validated = progress->epoch % finetune->settings->eval_epochs == 0 || progress_of(finetune) >= 1;
    if (stats.validated) {
        EGG_TRY(validate(finetune, &stats.validate_seconds, error));
        EGG_TRY(egg_watch_look_up(&finetune->watch, &finetune->ranks, &finetune->progress.seconds, error));
    }
    stats.seconds = progress->seconds;
    stats.stopped = finetune->watch.stopped;
    stats.progress = budget_used(finetune) ? 1 : progress_of(finetune);
    stats.valid = progress->valid;
    stats.base_valid = progress->base_valid;
    stats.best_valid = progress->best_valid;
    stats.best_epoch = progress->best_epoch;
    add_metrics(finetune, &stats);
    record_epoch(finetune, stats.rate);
    if (save_due(finetune)) {
        status = egg_finetune_save(finetune, error);
        stats.saved = status == EGG_OK;
    }
    if (out) *out = stats;
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ save */

egg_status egg_finetune_save(egg_finetune *finetune, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &finetune->ranks;
    if (!finetune->keeps) return egg_fail(error, EGG_ERR_ARGUMENT, "--out: nothing is saved without a run folder");
    if (finetune->broken)
        return egg_fail(error, EGG_ERR_ARGUMENT, "'%s' keeps its last good save: the weights are not finite",
                        finetune->folder ? finetune->folder : "the run");
    EGG_TRY(egg_ranks_may_save(ranks, error));
    finetune->save_due = finetune->progress.seconds + finetune->settings->save_seconds;
    status = egg_ranks_complete(ranks, finetune->folder, finetune->model->params, finetune->model->param_count, error);
    if (finetune->folder && status == EGG_OK) status = write_save(finetune, error);
    egg_ranks_narrow(ranks, finetune->model->params, finetune->model->param_count);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
out:
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- facts */

egg_journal_info egg_finetune_journal(const egg_finetune *finetune)
{
    return finetune->journal_info;
}

egg_finetune_facts egg_finetune_about(const egg_finetune *finetune)
{
    egg_finetune_facts facts = {.parameters = egg_rwkv7_parameters(finetune->model),
                                .train_questions = finetune->facts.train_questions,
                                .valid_questions = finetune->facts.valid_questions,
                                .lower_is_better = lower_is_better(finetune)};
    for (uint32_t i = 0; i < finetune->model->param_count; i++)
        if (!finetune->model->params[i].frozen) facts.evolved += egg_param_elements(&finetune->model->params[i]);
    return facts;
}

const char *egg_finetune_option(egg_finetune *finetune, const char *name)
{
    return egg_options_get(finetune->options, name);
}

/* What of it is on the kernels' device. */
static void add_device(const egg_finetune *finetune, egg_plan *plan)
{
    const egg_rwkv7 *model = finetune->model;
    plan->device_available_bytes = egg_plan_device_available(finetune->kernels.device);
    egg_plan_add_device(plan, "device: parameters", egg_rwkv7_device_bytes(model, &finetune->kernels));
    egg_plan_add_device(plan, "device: optimizer, scratch for updating",
                        egg_evolution_device_bytes(&finetune->shape, model->params, model->param_count));
    egg_plan_add_device(plan, "device: states, noise, logits, scratch", finetune->facts.task_bytes.device);
}

/* Adds up what open_all would hold. Reading the model needs its file in memory, but only until the rest is opened. */
static egg_status add_up(egg_finetune *finetune, uint64_t file_bytes, egg_plan *plan, egg_error *error)
{
    const egg_settings *s = finetune->settings;
    const egg_rwkv7 *model = finetune->model;
    uint32_t threads = egg_pool_threads(finetune->pool);
    uint64_t held = egg_system_resident_bytes();
    uint32_t ranks = egg_launch_find().size;   /* nobody is asked: a plan is of this rank alone */
    finetune->shape.shard = egg_ranks_first_shard(0, ranks, (uint32_t)s->update_sharding);
    uint64_t evolution = egg_evolution_bytes(&finetune->shape, model->params, model->param_count);
    uint64_t exchanged = egg_ranks_update_bytes(ranks, (uint32_t)s->update_sharding, model->params, model->param_count);
    uint64_t rewards = s->population * (s->questions + 1) * sizeof(float);
    uint64_t later = evolution + exchanged + rewards + finetune->facts.task_bytes.host;
    *plan = (egg_plan){.parameters = egg_rwkv7_parameters(model), .epochs = s->epochs,
                       .available_bytes = egg_system_available_bytes()};
    egg_plan_add(plan, "program, vocabulary and questions", egg_plan_program_bytes(held, threads));
    egg_plan_add(plan, "parameters", egg_rwkv7_bytes(model, &finetune->kernels));
    egg_plan_add(plan, "optimizer, scratch for updating", evolution);
    if (exchanged) egg_plan_add(plan, "rows on their way between ranks", exchanged);
    egg_plan_add(plan,
                 s->task == EGG_COURSE_SFT ? "states, logits, scratch for reading"
                                           : "states, answers, scratch for answering",
                 finetune->facts.task_bytes.host);
    egg_plan_add(plan, "rewards of the members", rewards);
    if (finetune->kernels.device) add_device(finetune, plan);
    if (file_bytes > later) egg_plan_add(plan, "the model's file, while it is read", file_bytes - later);
    return egg_plan_check(plan, held, 0, error);
}

egg_status egg_finetune_plan(egg_plan *plan, const egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    bool resumed;
    uint64_t file_bytes;
    *plan = (egg_plan){0};
    egg_finetune *finetune = egg_alloc(sizeof *finetune);
    if (!finetune) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a plan");
    EGG_TRY(choose(finetune, options, &resumed, error));
    finetune->settings = egg_options_values(finetune->options);
    EGG_TRY(egg_machine_open(&finetune->kernels, finetune->settings->device, 0, error));
    EGG_TRY(open_machine(finetune, error));
    EGG_TRY(open_model(finetune, false, &file_bytes, error));
    EGG_TRY(open_course(finetune, error));
    EGG_TRY(add_up(finetune, file_bytes, plan, error));
out:
    egg_finetune_close(finetune);
    return status;
}
