/* SPDX-License-Identifier: MIT */
/* The epoch loop: evaluate, shape, update; and around it validating and saving. */
#include "train/trainer.h"

#include <math.h>

#include "base/clock.h"
#include "es/device_memory.h"
#include "train/settings.h"

/* A save takes at most about this share of the time of a run, however large the run's states are. */
static const double save_share = 0.05;

/* ----------------------------------------------------------------------------------------------------------- epoch */

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
                      : egg_schedule_rate24(&trainer->schedule, epoch, egg_watch_seconds(&trainer->watch)) * 0x1p-24;
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

egg_status egg_trainer_validate(egg_trainer *trainer, double *bits_per_byte, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_run_text *text = &trainer->text;
    if (trainer->ranks.rank == 0)
        status = egg_scorer_run(trainer->scorer, &trainer->kernels, trainer->pool, egg_run_text_valid(text),
                                text->valid_begin, text->valid_end, &trainer->score, error);
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
    EGG_TRY(egg_watch_look_up(&trainer->watch, &trainer->ranks, &trainer->progress.seconds, error));
    if (settings->check_epochs && stats.epoch % settings->check_epochs == 0) {
        if (trainer->ranks.size > 1) egg_params_fetch(trainer->model->params, trainer->model->param_count);
        EGG_TRY(egg_ranks_compare_weights(&trainer->ranks, trainer->model->params, trainer->model->param_count,
                                          stats.epoch, error));
    }

    stats.validated = validation_due(trainer);
    if (stats.validated) {
        double begun = egg_clock_seconds();
        EGG_TRY(egg_trainer_validate(trainer, NULL, error));
        stats.weights_saturated = weights_saturated(trainer->model);
        stats.validate_seconds = egg_clock_seconds() - begun;
        EGG_TRY(egg_watch_look_up(&trainer->watch, &trainer->ranks, &trainer->progress.seconds, error));
    }
    stats.activations_saturated = trainer->score.saturated;
    stats.valid_bits_per_byte = trainer->progress.valid_bits_per_byte;
    stats.seconds = trainer->progress.seconds;
    stats.stopped = trainer->watch.stopped;
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
    return trainer->watch.stopped || budget_used(trainer);
}

void egg_trainer_stop_when(egg_trainer *trainer, egg_stop_fn *stop, void *context)
{
    egg_watch_stop_when(&trainer->watch, stop, context);
}

/* ------------------------------------------------------------------------------------------------------------ save */

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
    EGG_TRY(egg_ranks_complete(ranks, trainer->folder, trainer->model->params, trainer->model->param_count, error));
    if (states) EGG_TRY(egg_ranks_collect(ranks, states, bytes / ranks->pairs, error));
    if (trainer->folder) status = egg_trainer_write(trainer, error);
    double patience = (egg_clock_seconds() - begun) / save_share;
    EGG_TRY(egg_ranks_agree_real(ranks, status, &patience, NULL, 0, error));
    if (patience > trainer->settings->save_seconds) trainer->save_due = trainer->progress.seconds + patience;
out:
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- asked */

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
