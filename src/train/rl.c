/* SPDX-License-Identifier: MIT */
/* Runs of reinforcement learning: the epoch loop over rollout and evolution, evaluations, saving, resuming. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "eggroll.h"
#include "envs/plugin.h"
#include "es/device_memory.h"
#include "train/journal.h"
#include "train/machine.h"
#include "train/metrics.h"
#include "train/policy_file.h"
#include "train/ranks.h"
#include "train/rl_checkpoint.h"
#include "train/rl_journal.h"
#include "train/rl_settings.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/watch.h"

struct egg_rl {
    egg_options *options;
    const egg_settings *settings;    /* of 'options' */
    egg_env_handle env;

    egg_ranks ranks;
    egg_kernels kernels;
    egg_pool *pool;
    egg_mlp policy;
    egg_normalizer normalizer;
    egg_rollout *rollout;
    egg_evolution_shape shape;
    egg_evolution *evolution;
    float *returns;                  /* (eval_episodes) */
    float *plain;                    /* the weights without padding, for saving */

    egg_rl_progress progress;
    double eval_deviation;
    egg_watch watch;

    bool keeps;                      /* rank 0 has a folder */
    char *folder;                    /* NULL: nothing is kept on disk, at least not by this rank */
    char *law;
    egg_metrics *metrics;
    egg_journal *journal;            /* NULL: none is kept */
    egg_journal_info journal_info;
    uint8_t *extra;                  /* what the record of an epoch holds besides weights */
    double save_due;
    bool broken;                     /* an update was not finite: what is in the folder is better than what is here */
};

/* ------------------------------------------------------------------------------------------------------------ open */

/* What rank 0 decides for all: options and the folder. */
static egg_status choose(egg_rl *rl, const egg_options *given, bool *resumed, egg_error *error)
{
    egg_chosen chosen;
    egg_status status = egg_settings_choose(&chosen, given, egg_rl_resolve, error);
    rl->options = chosen.options;
    rl->folder = chosen.folder;
    rl->keeps = chosen.folder;
    *resumed = chosen.resumed;
    return status;
}

static egg_status open_options(egg_rl *rl, const egg_options *given, bool *resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    if (rl->ranks.rank == 0) status = choose(rl, given, resumed, error);
    EGG_TRY(egg_ranks_agree(&rl->ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_share_options(&rl->ranks, given, &rl->options, error));
    EGG_TRY(egg_ranks_share(&rl->ranks, resumed, sizeof *resumed, error));
    EGG_TRY(egg_ranks_share(&rl->ranks, &rl->keeps, sizeof rl->keeps, error));
    rl->settings = egg_options_values(rl->options);
out:
    return status;
}

static egg_status open_machine(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = rl->settings;
    EGG_TRY(egg_pool_open(&rl->pool, (uint32_t)s->threads, error));
    EGG_TRY(egg_env_open(&rl->env, s->env, error));
    uint32_t threads = egg_pool_threads(rl->pool);
    egg_mlp_shape policy = egg_rl_policy(s, rl->env.env);
    egg_rollout_shape rollout = egg_rl_rollout(s, rl->env.env, threads);
    rl->shape = egg_rl_evolution(s, threads);
    EGG_TRY(egg_mlp_open(&rl->policy, &policy, &rl->kernels, error));
    if (*s->freeze) EGG_TRY(egg_params_freeze(rl->policy.params, rl->policy.param_count, s->freeze, error));
    EGG_TRY(egg_normalizer_open(&rl->normalizer, rl->env.env->observations, error));
    egg_mlp_init_weights(&rl->policy, s->seed, (float)s->head_scale, (float)s->log_std);
    EGG_TRY(egg_ranks_open_update(&rl->ranks, s->update_sharding, rl->policy.params, rl->policy.param_count, error));
    rl->shape.shard = rl->ranks.shard;
    EGG_TRY(egg_evolution_open(&rl->evolution, &rl->shape, rl->policy.params, rl->policy.param_count, error));
    EGG_TRY(egg_rollout_open(&rl->rollout, &rollout, &rl->policy, &rl->normalizer, error));
    EGG_TRY(egg_ranks_divide(&rl->ranks, egg_shaping_pairs(&rl->shape.shaping, rl->shape.population), error));
    EGG_TRY(egg_run_law(rl->options, &rl->law, error));
    rl->returns = egg_alloc_array((size_t)s->eval_episodes, sizeof *rl->returns);
    rl->plain = egg_alloc_array(egg_policy_floats(&rl->policy), sizeof *rl->plain);
    if (!rl->returns || !rl->plain) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for evaluations");
out:
    return status;
}

static egg_rl_checkpoint checkpoint_of(egg_rl *rl)
{
    return (egg_rl_checkpoint){.policy = &rl->policy, .normalizer = &rl->normalizer, .progress = rl->progress,
                               .law = rl->law};
}

static egg_status load_checkpoint(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_rl_checkpoint checkpoint = checkpoint_of(rl);
    EGG_TRY(egg_run_path(rl->folder, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_rl_checkpoint_load(&checkpoint, path, error));
    rl->progress = checkpoint.progress;
out:
    return status;
}

static egg_policy_info policy_info(const egg_rl *rl)
{
    egg_policy_info info = {.deterministic = rl->settings->policy == 1};
    snprintf(info.environment, sizeof info.environment, "%s", rl->env.library ? rl->settings->env : rl->env.env->name);
    return info;
}

/* An epoch from the journal in place of its evaluation. */
static egg_status apply_recorded(void *context, const egg_journal_epoch *epoch, const char *name, egg_error *error)
{
    egg_rl *rl = context;
    egg_rl_checkpoint checkpoint = checkpoint_of(rl);
    egg_status status = egg_rl_journal_apply(&checkpoint, rl->evolution, &rl->kernels, rl->pool, epoch, name, error);
    rl->progress = checkpoint.progress;
    return status;
}

static egg_status open_journal(egg_rl *rl, bool resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    char facts[EGG_RL_FACTS_BYTES];
    egg_policy_info info = policy_info(rl);
    egg_journal_tail tail = {.epoch = rl->progress.epoch, .usable = true, .context = rl, .apply = apply_recorded};
    egg_rl_journal_facts(facts, &rl->policy.shape, &info);
    egg_journal_run run = {.folder = rl->folder, .options = rl->options, .kernels = rl->kernels.level, .facts = facts,
                           .params = rl->policy.params, .param_count = rl->policy.param_count, .dtype = EGG_F32,
                           .extra_bytes = egg_rl_journal_extra_bytes(&rl->normalizer)};
    egg_evolution_weights(rl->evolution, &run.pairs);
    rl->extra = egg_alloc(run.extra_bytes);
    if (!rl->extra) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the journal");
    if (!resumed) return egg_journal_begin(&rl->journal, &run, error);
    EGG_TRY(egg_journal_resume(&rl->journal, &run, &tail, error));
    egg_normalizer_refresh(&rl->normalizer, rl->settings->normalize == 0);
out:
    rl->journal_info = (egg_journal_info){.replayed_epochs = tail.applied, .torn_bytes = tail.torn_bytes};
    return status;
}

/* Weights and moments to the host; what a broken device gave would be no state to go on from. */
static egg_status fetch_policy(const egg_rl *rl, egg_error *error)
{
    egg_params_fetch(rl->policy.params, rl->policy.param_count);
    return egg_device_wait(rl->kernels.device, error);
}

static egg_status write_save(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_rl_checkpoint checkpoint = checkpoint_of(rl);
    egg_policy_info info = policy_info(rl);
    EGG_TRY(fetch_policy(rl, error));
    egg_status metrics = egg_metrics_flush(rl->metrics, error);   /* first: lines behind a checkpoint can be dropped */
    egg_status journal = egg_journal_save(rl->journal, rl->progress.epoch, error);
    EGG_TRY(egg_run_path(rl->folder, EGG_RUN_CHECKPOINT, path, error));
    EGG_TRY(egg_rl_checkpoint_save(&checkpoint, path, error));
    EGG_TRY(egg_run_path(rl->folder, EGG_RUN_MODEL, path, error));
    EGG_TRY(egg_rl_checkpoint_save_policy(&checkpoint, &info, rl->plain, path, error));
    EGG_TRY(metrics);
    EGG_TRY(journal);
out:
    return status;
}

static egg_status open_folder(egg_rl *rl, bool resumed, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_directory_remove_temporaries(rl->folder);
    EGG_TRY(egg_metrics_open(&rl->metrics, rl->folder, rl->progress.epoch, error));
    /* Epochs that the journal gave are as good as done, and perhaps the last. */
    if (!resumed || rl->journal_info.replayed_epochs) EGG_TRY(write_save(rl, error));
    EGG_TRY(egg_run_write_config(rl->folder, rl->options, NULL, 0, error));
out:
    return status;
}

/* The folder, by the rank that keeps it. */
static egg_status open_run(egg_rl *rl, bool resumed, double opened, egg_error *error)
{
    egg_status status = EGG_OK;
    if (!resumed) EGG_TRY(egg_directory_create(rl->folder, error));
    EGG_TRY(egg_ranks_widen(&rl->ranks, rl->folder, rl->policy.params, rl->policy.param_count, error));
    if (resumed) EGG_TRY(load_checkpoint(rl, error));
    egg_params_send(rl->policy.params, rl->policy.param_count);   /* for epochs that the journal has */
    if (rl->settings->journal == EGG_JOURNAL_ON) EGG_TRY(open_journal(rl, resumed, error));
    rl->watch.origin = opened - rl->progress.seconds;
    EGG_TRY(open_folder(rl, resumed, error));
out:
    return status;
}

/* Where a resumed run stands, from rank 0 to all. */
static egg_status share_state(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_normalizer *normalizer = &rl->normalizer;
    EGG_TRY(egg_ranks_share(&rl->ranks, &rl->progress, sizeof rl->progress, error));
    EGG_TRY(egg_ranks_share_params(&rl->ranks, rl->policy.params, rl->policy.param_count, error));
    EGG_TRY(egg_ranks_share(&rl->ranks, &normalizer->count, sizeof normalizer->count, error));
    EGG_TRY(egg_ranks_share(&rl->ranks, normalizer->mean, normalizer->n * sizeof *normalizer->mean, error));
    EGG_TRY(egg_ranks_share(&rl->ranks, normalizer->squares, normalizer->n * sizeof *normalizer->squares, error));
out:
    return status;
}

egg_status egg_rl_open(egg_rl **out, const egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    bool resumed = false;
    *out = NULL;
    egg_rl *rl = egg_alloc(sizeof *rl);
    if (!rl) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a run");
    double opened = rl->watch.origin = egg_clock_seconds();
    rl->progress.eval_return = rl->eval_deviation = NAN;
    EGG_TRY(egg_ranks_open(&rl->ranks, error));
    EGG_TRY(open_options(rl, options, &resumed, error));
    EGG_TRY(egg_ranks_machine(&rl->ranks, rl->settings->device, &rl->kernels, error));
    status = egg_machine_explain(&rl->kernels, open_machine(rl, error), error);
    EGG_TRY(egg_ranks_agree(&rl->ranks, status, NULL, 0, error));
    if (rl->folder) status = open_run(rl, resumed, opened, error);
    EGG_TRY(egg_ranks_agree(&rl->ranks, status, NULL, 0, error));
    if (resumed) EGG_TRY(share_state(rl, error));
    egg_ranks_narrow(&rl->ranks, rl->policy.params, rl->policy.param_count);
    egg_mlp_pack(&rl->policy, &rl->kernels);
    egg_normalizer_refresh(&rl->normalizer, rl->settings->normalize == 0);
    egg_update_f32_share(egg_evolution_update(rl->evolution), rl->ranks.shard);
    rl->save_due = rl->progress.seconds + rl->settings->save_seconds;
    *out = rl;
    rl = NULL;
out:
    egg_rl_close(rl);
    return status;
}

void egg_rl_close(egg_rl *rl)
{
    if (!rl) return;
    egg_ranks_narrow(&rl->ranks, rl->policy.params, rl->policy.param_count);
    egg_journal_close(rl->journal);
    egg_metrics_close(rl->metrics);
    egg_rollout_close(rl->rollout);
    egg_evolution_close(rl->evolution);
    egg_normalizer_close(&rl->normalizer);
    egg_mlp_close(&rl->policy);
    egg_env_close(&rl->env);
    egg_machine_close(&rl->kernels);
    egg_pool_close(rl->pool);
    egg_options_free(rl->options);
    egg_free(rl->returns);
    egg_free(rl->plain);
    egg_free(rl->extra);
    egg_free(rl->folder);
    egg_free(rl->law);
    egg_ranks_close(&rl->ranks);
    egg_free(rl);
}

/* ----------------------------------------------------------------------------------------------------------- epoch */

static double share(double used, double bound)
{
    return bound > 0 ? fmin(1, used / bound) : 0;
}

/* The bound that is nearest decides. */
static double progress_of(const egg_rl *rl)
{
    const egg_settings *s = rl->settings;
    double epochs = share((double)rl->progress.epoch, (double)s->epochs);
    double steps = share((double)rl->progress.env_steps, (double)s->env_steps);
    return fmax(fmax(epochs, steps), share(rl->progress.seconds, 60 * s->minutes));
}

static bool budget_used(const egg_rl *rl)
{
    bool reached = rl->settings->target != 0 && rl->progress.eval_return >= rl->settings->target;
    return reached || progress_of(rl) >= 1;
}

bool egg_rl_finished(const egg_rl *rl)
{
    return rl->watch.stopped || budget_used(rl);
}

void egg_rl_stop_when(egg_rl *rl, egg_stop_fn *stop, void *context)
{
    egg_watch_stop_when(&rl->watch, stop, context);
}

/* Every rank's slice of the population; then everybody's observations, and 'stats' of all. '*seconds' of our slice. */
static egg_status evaluate_population(egg_rl *rl, const egg_perturb *law, egg_rollout_stats *stats, double *seconds,
                                      egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ranks *ranks = &rl->ranks;
    uint32_t stride;
    size_t sample_bytes;
    double begun = egg_clock_seconds();
    status = egg_rollout_evaluate(rl->rollout, &rl->kernels, rl->pool, law, rl->progress.epoch, egg_ranks_slice(ranks),
                                  stats,
                                  error);
    *seconds = egg_clock_seconds() - begun;
    int64_t sums[] = {(int64_t)stats->steps, (int64_t)stats->episodes, (int64_t)stats->cut, (int64_t)stats->invalid};
    EGG_TRY(egg_ranks_agree(ranks, status, sums, EGG_COUNT(sums), error));
    *stats = (egg_rollout_stats){.steps = (uint64_t)sums[0], .episodes = (uint64_t)sums[1], .cut = (uint64_t)sums[2],
                                 .invalid = (uint64_t)sums[3]};
    double *samples = egg_rollout_samples(rl->rollout, &stride, &sample_bytes);
    EGG_TRY(egg_ranks_gather_every(ranks, stride, samples, sample_bytes, error));
out:
    return status;
}

static egg_status evolve(egg_rl *rl, egg_rl_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rollout_stats played;
    egg_evolution_stats evolved;
    egg_perturb law = egg_evolution_law(&rl->shape, rl->progress.epoch);
    double begun = egg_clock_seconds(), playing;
    EGG_TRY(evaluate_population(rl, &law, &played, &playing, error));
    double evaluated = egg_clock_seconds();
    EGG_TRY(egg_ranks_tell(&rl->ranks, rl->evolution, rl->policy.params, rl->policy.param_count, &rl->kernels, rl->pool,
                           rl->progress.epoch, egg_rollout_fitness(rl->rollout), &evolved, error));
    if (rl->kernels.device)
        EGG_TRY(egg_ranks_agree(&rl->ranks, egg_device_wait(rl->kernels.device, error), NULL, 0, error));
    EGG_TRY(egg_ranks_balance(&rl->ranks, playing, NULL, 0, error));
    if (!isfinite(evolved.gradient_norm)) {
        rl->broken = true;
        status = egg_fail(error, EGG_ERR_ARGUMENT,
                          "epoch %" PRIu64 ": the update is no longer finite; the policy has grown "
                          "beyond all bounds: lower --rate, or give --clip-norm or --weight-decay",
                          rl->progress.epoch + 1);
        goto out;
    }
    egg_rollout_learn_observations(rl->rollout);
    egg_normalizer_refresh(&rl->normalizer, rl->settings->normalize == 0);
    double updated = egg_clock_seconds();

    rl->progress.env_steps += played.steps;
    rl->progress.episodes += played.episodes;
    stats->cut = played.cut;
    stats->invalid = played.invalid;
    stats->return_mean = evolved.scores.mean;
    stats->return_best = evolved.scores.best;
    stats->return_worst = evolved.scores.worst;
    stats->return_deviation = evolved.scores.deviation;
    stats->tied_pairs = (double)evolved.scores.ties / egg_shaping_pairs(&rl->shape.shaping, rl->shape.population);
    stats->sigma = evolved.sigma;
    stats->rate = evolved.rate;
    stats->gradient_norm = evolved.gradient_norm;
    stats->evaluate_seconds = evaluated - begun;
    stats->update_seconds = updated - evaluated;
out:
    return status;
}

/* The seeds of the evaluation after an epoch: from an address that neither training nor other evaluations use. */
static uint64_t eval_seed(const egg_rl *rl)
{
    enum { WORDS_OF_EVALUATIONS = 2 };
    uint32_t words[4];
    egg_noise_at at = {.epoch = (uint32_t)rl->progress.epoch, .param = WORDS_OF_EVALUATIONS};
    egg_noise_block(egg_key_make(rl->settings->seed, EGG_DOMAIN_ROLLOUT), at, 0, words);
    return words[0] | (uint64_t)words[1] << 32;
}

/* Rank 0 plays; the others hear of it. */
static egg_status evaluate_policy(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t n = (uint32_t)rl->settings->eval_episodes;
    double sum = 0, squares = 0;
    if (rl->ranks.rank == 0)
        status = egg_rollout_play(rl->rollout, &rl->kernels, rl->pool, eval_seed(rl), n, rl->returns, NULL, error);
    for (uint32_t i = 0; i < n; i++) sum += rl->returns[i];
    double mean = sum / n;
    for (uint32_t i = 0; i < n; i++) squares += pow(rl->returns[i] - mean, 2);
    EGG_TRY(egg_ranks_agree_real(&rl->ranks, status, &mean, NULL, 0, error));
    rl->progress.eval_return = mean;
    rl->eval_deviation = sqrt(squares / n);
out:
    return status;
}

static void add_metrics(egg_rl *rl, const egg_rl_stats *stats)
{
    const bool alone = rl->ranks.size == 1;
    const double no = NAN;
    const egg_metric figures[] = {
        {"env_steps", NULL, (double)stats->env_steps},
        {"episodes", NULL, (double)stats->episodes},
        {"seconds", NULL, stats->seconds},
        {"return_mean", "return/mean", stats->return_mean},
        {"return_best", "return/best", stats->return_best},
        {"return_worst", NULL, stats->return_worst},
        {"return_deviation", "return/deviation", stats->return_deviation},
        {"tied_pairs", "evolution/tied_pairs", stats->tied_pairs},
        {"sigma", "evolution/sigma", stats->sigma},
        {"rate", "evolution/rate", stats->rate},
        {"gradient_norm", "evolution/gradient_norm", stats->gradient_norm},
        {"cut_episodes", NULL, (double)stats->cut},
        {"invalid_episodes", "episodes/invalid", (double)stats->invalid},
        {"evaluate_seconds", "seconds/evaluate", stats->evaluate_seconds},
        {"update_seconds", "seconds/update", stats->update_seconds},
        {"eval_return", "return/eval", stats->evaluated ? stats->eval_return : no},
        {"eval_deviation", NULL, stats->evaluated ? stats->eval_deviation : no},
        {"eval_seconds", NULL, stats->evaluated ? stats->eval_seconds : no},
        {"ranks", NULL, alone ? no : (double)rl->ranks.size},
        {"fitness_bytes_received", NULL, alone ? no : (double)rl->ranks.fitness_bytes},
        {"bytes_received", NULL, alone ? no : (double)egg_ranks_traffic(&rl->ranks)},
    };
    egg_metrics_add(rl->metrics, stats->epoch, figures, EGG_COUNT(figures), stats->evaluated);
}

static bool save_due(const egg_rl *rl)
{
    uint64_t every = rl->settings->save_epochs;
    return rl->keeps && (rl->progress.seconds >= rl->save_due || (every && rl->progress.epoch % every == 0));
}

/* The line of metrics first: a resumed run that takes the epoch from the journal could not make up for it. */
static void record_epoch(egg_rl *rl, double rate)
{
    if (!rl->journal) return;
    egg_journal_epoch epoch = {.epoch = rl->progress.epoch, .position = rl->progress.env_steps,
                               .seconds = rl->progress.seconds, .score = rl->progress.eval_return, .rate = rate,
                               .extra = rl->extra};
    epoch.partial = !egg_ranks_is_complete(&rl->ranks, rl->policy.params, rl->policy.param_count);
    epoch.weights = egg_evolution_weights(rl->evolution, &epoch.pairs);
    epoch.extra_bytes = egg_rl_journal_extra(rl->extra, &rl->normalizer, rl->progress.episodes);
    egg_metrics_push(rl->metrics);
    egg_journal_add(rl->journal, &epoch);
}

egg_status egg_rl_epoch(egg_rl *rl, egg_rl_stats *out, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rl_stats stats = {0};
    EGG_TRY(evolve(rl, &stats, error));
    stats.epoch = ++rl->progress.epoch;
    EGG_TRY(egg_watch_look_up(&rl->watch, &rl->ranks, &rl->progress.seconds, error));
    if (rl->settings->check_epochs && stats.epoch % rl->settings->check_epochs == 0)
        EGG_TRY(egg_ranks_compare_weights(&rl->ranks, rl->policy.params, rl->policy.param_count, stats.epoch, error));
    stats.evaluated = rl->progress.epoch % rl->settings->eval_epochs == 0 || progress_of(rl) >= 1;
    if (stats.evaluated) {
        double begun = egg_clock_seconds();
        EGG_TRY(evaluate_policy(rl, error));
        stats.eval_seconds = egg_clock_seconds() - begun;
        EGG_TRY(egg_watch_look_up(&rl->watch, &rl->ranks, &rl->progress.seconds, error));
    }
    stats.env_steps = rl->progress.env_steps;
    stats.episodes = rl->progress.episodes;
    stats.seconds = rl->progress.seconds;
    stats.stopped = rl->watch.stopped;
    stats.progress = budget_used(rl) ? 1 : progress_of(rl);
    stats.eval_return = rl->progress.eval_return;
    stats.eval_deviation = rl->eval_deviation;
    add_metrics(rl, &stats);
    record_epoch(rl, stats.rate);
    if (save_due(rl)) {
        status = egg_rl_save(rl, error);
        stats.saved = status == EGG_OK;
    }
    if (out) *out = stats;
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ save */

egg_status egg_rl_save(egg_rl *rl, egg_error *error)
{
    egg_status status = EGG_OK;
    if (!rl->keeps) return egg_fail(error, EGG_ERR_ARGUMENT, "--out: nothing is saved without a run folder");
    if (rl->broken)
        return egg_fail(error, EGG_ERR_ARGUMENT, "'%s' keeps its last good save: the weights are not finite",
                        rl->folder ? rl->folder : "the run");
    EGG_TRY(egg_ranks_may_save(&rl->ranks, error));
    rl->save_due = rl->progress.seconds + rl->settings->save_seconds;
    EGG_TRY(egg_ranks_agree(&rl->ranks, fetch_policy(rl, error), NULL, 0, error));
    status = egg_ranks_complete(&rl->ranks, rl->folder, rl->policy.params, rl->policy.param_count, error);
    if (rl->folder && status == EGG_OK) status = write_save(rl, error);
    egg_ranks_narrow(&rl->ranks, rl->policy.params, rl->policy.param_count);
    EGG_TRY(egg_ranks_agree(&rl->ranks, status, NULL, 0, error));
out:
    return status;
}

egg_journal_info egg_rl_journal(const egg_rl *rl)
{
    return rl->journal_info;
}

uint64_t egg_rl_parameters(const egg_rl *rl)
{
    return egg_mlp_parameters(&rl->policy);
}

const char *egg_rl_option(egg_rl *rl, const char *name)
{
    return egg_options_get(rl->options, name);
}
