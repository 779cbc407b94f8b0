/* SPDX-License-Identifier: MIT */
/* Whole epochs against inference, naive ES and one member at a time; and how cost grows with population and threads. */
#include <stdio.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/system.h"
#include "bench/bench.h"
#include "bench/rivals.h"
#include "es/update.h"
#include "models/egg.h"
#include "tasks/pretrain.h"

enum { SIGMA_SHIFT = 4, MAX_RIVAL_PAIRS = 8 };

/* A run without trainer: text, model, task, update. */
typedef struct egg_bench_run_state {
    const egg_bench_setting *setting;
    egg_pool *pool;
    egg_corpus *corpus;
    egg_model *model;
    egg_pretrain *task;
    egg_update *update;
    int32_t *difference;
    int8_t *F;
    uint32_t population, steps;
    uint64_t epoch;
    double evaluate_seconds, update_seconds;   /* of the last epoch */
} egg_bench_run_state;

/* Plain text will do: what is computed does not depend on what is read. */
static egg_status open_corpus(egg_corpus **corpus, egg_error *error)
{
    enum { TEXT_BYTES = 1 << 16 };
    static uint8_t text[TEXT_BYTES];
    egg_words words = {.key = egg_key_make(1, EGG_DOMAIN_SAMPLING)};
    for (size_t i = 0; i < TEXT_BYTES; i++) text[i] = (uint8_t)(32 + egg_words_next(&words) % 90);
    const void *documents[1] = {text};
    const size_t lengths[1] = {TEXT_BYTES};
    return egg_corpus_open_memory(corpus, documents, lengths, 1, error);
}

static void close_run(egg_bench_run_state *run)
{
    egg_update_close(run->update);
    egg_pretrain_close(run->task);
    egg_model_free(run->model);
    egg_corpus_close(run->corpus);
    egg_free(run->F);
    egg_free(run->difference);
}

static egg_status open_run(egg_bench_run_state *run, const egg_bench_setting *setting, egg_pool *pool, egg_shape shape,
                           uint32_t population, uint32_t steps, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t threads = egg_pool_threads(pool), rank = (uint32_t)setting->settings->rank;
    *run = (egg_bench_run_state){.setting = setting, .pool = pool, .population = population, .steps = steps};
    EGG_TRY(open_corpus(&run->corpus, error));
    EGG_TRY(egg_egg_open(&run->model, shape, &setting->kernels, error));
    egg_egg_init_weights(run->model, &(egg_egg_init){.seed = 1, .matrix = 16, .head = 16, .embedding = 16});
    egg_model_pack(run->model, &setting->kernels);
    egg_pretrain_shape task = {.population = population, .group = 2, .steps = steps, .rank = rank, .threads = threads,
                               .carry = setting->settings->state == EGG_STATE_CARRY,
                               .train_bytes = egg_corpus_bytes(run->corpus)};
    EGG_TRY(egg_pretrain_open(&run->task, &task, run->model, run->corpus, error));
    EGG_TRY(egg_update_open(&run->update, run->model->params, run->model->param_count, rank, threads, error));
    run->F = egg_alloc(population / 2);
    run->difference = egg_alloc_array(population / 2, sizeof *run->difference);
    if (!run->F || !run->difference) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a population of %u",
                                                       population);
out:
    return status;
}

static egg_slice all_of(const egg_bench_run_state *run)
{
    return (egg_slice){.first_pair = 0, .pairs = run->population / 2};
}

static egg_perturb law_of(const egg_bench_run_state *run)
{
    return egg_perturb_i8(1, (uint32_t)run->epoch, (uint32_t)run->setting->settings->rank, SIGMA_SHIFT);
}

/* The whole epoch under the vote rule with an unreachable threshold, so that the model stays what it was. */
static egg_status run_epoch(void *context, egg_error *error)
{
    egg_bench_run_state *run = context;
    egg_perturb law = law_of(run);
    egg_fitness fitness = {.F = run->F};
    egg_step step = {.rule = EGG_RULE_VOTE, .threshold = INT32_MAX};
    double begun = egg_clock_seconds();
    egg_status status = egg_pretrain_evaluate(run->task, &run->setting->kernels, run->pool, &law, run->epoch,
                                              all_of(run), error);
    double evaluated = egg_clock_seconds();
    if (status != EGG_OK) return status;
    egg_fitness_differences(egg_pretrain_loss(run->task), run->population / 2, run->difference);
    egg_fitness_shape(&fitness, EGG_RULE_VOTE, run->difference, run->population / 2);
    egg_update_run(run->update, &run->setting->kernels, run->pool, &law, &step, run->F, run->population / 2);
    run->evaluate_seconds = evaluated - begun;
    run->update_seconds = egg_clock_seconds() - evaluated;
    run->epoch++;
    return EGG_OK;
}

static egg_status run_evaluation(void *context, egg_error *error)
{
    egg_bench_run_state *run = context;
    egg_perturb law = law_of(run);
    return egg_pretrain_evaluate(run->task, &run->setting->kernels, run->pool, &law, run->epoch, all_of(run), error);
}

static egg_status run_inference(void *context, egg_error *error)
{
    egg_bench_run_state *run = context;
    return egg_pretrain_evaluate(run->task, &run->setting->kernels, run->pool, NULL, run->epoch, all_of(run), error);
}

static egg_status run_dense(void *context, egg_error *error)
{
    return egg_rival_dense(context, error);
}

static egg_status run_single(void *context, egg_error *error)
{
    return egg_rival_single(context, error);
}

static egg_status run_dots(void *context, egg_error *error)
{
    return egg_rival_dots(context, error);
}

/* Multiply-adds of one token: every weight of every matrix once. */
static double macs_per_token(const egg_model *model)
{
    double macs = 0;
    for (uint32_t i = 0; i < model->param_count; i++)
        if (model->params[i].kind == EGG_PARAM_MATRIX) macs += (double)egg_param_elements(&model->params[i]);
    return macs;
}

/* A device's share of the table: its memory and its kernels are not those of the rivals. */
static egg_status bench_device(const egg_bench_setting *setting, egg_shape shape, uint32_t population, uint32_t steps,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    enum { POPULATION, INFERENCE, EVALUATION, CONTENDERS };
    egg_bench_run_state run = {0};
    const uint32_t n = setting->repetitions;
    const egg_bench_report *report = &setting->report;
    const double tokens = (double)population * steps;
    char size[48];
    snprintf(size, sizeof size, "%ux%u N=%u T=%u", shape.layers, shape.width, population, steps);
    EGG_TRY(open_run(&run, setting, setting->pool, shape, population, steps, error));
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population, whole epoch", .run = run_epoch, .context = &run, .work = tokens,
                        .unit = "tokens/s"},
        [INFERENCE] = {.name = "inference", .run = run_inference, .context = &run, .work = tokens, .unit = "tokens/s"},
        [EVALUATION] = {.name = "population, evaluation", .run = run_evaluation, .context = &run, .work = tokens,
                        .unit = "tokens/s"},
    };
    EGG_TRY(egg_contest(contenders, CONTENDERS, n, error));
    for (size_t i = 0; i < CONTENDERS; i++) egg_report_rate(report, size, &contenders[i], n);
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_report_value(report, size, "multiply-adds of a token", "MAC", macs_per_token(run.model));
    egg_report_value(report, size, "update_share_of_epoch", "x",
                     run.update_seconds / (run.evaluate_seconds + run.update_seconds));
out:
    close_run(&run);
    return status;
}

static egg_status bench_size(const egg_bench_setting *setting, egg_shape shape, uint32_t population, uint32_t steps,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    enum { POPULATION, INFERENCE, EVALUATION, SINGLE, DOTS, DENSE, POPULATION_T1, DENSE_T1, PEAK, AVX2, CONTENDERS };
    egg_bench_run_state run = {0}, run1 = {0}, run_avx2 = {0};
    egg_bench_setting avx2 = *setting;   /* the level below, where there is one */
    bool below = (setting->levels & EGG_CPU_AVX2) && (setting->levels & EGG_CPU_AVX512VNNI);
    egg_rival *rival = NULL, *rival1 = NULL;
    uint32_t n = setting->repetitions, threads = egg_pool_threads(setting->pool);
    uint32_t pairs = MAX_RIVAL_PAIRS * threads < population / 2 ? MAX_RIVAL_PAIRS * threads : population / 2;
    const egg_bench_report *report = &setting->report;
    char size[48];
    snprintf(size, sizeof size, "%ux%u N=%u T=%u", shape.layers, shape.width, population, steps);
    EGG_TRY(open_run(&run, setting, setting->pool, shape, population, steps, error));
    EGG_TRY(open_run(&run1, setting, setting->pool, shape, population, 1, error));
    EGG_TRY(egg_rival_open(&rival, run.model, &setting->kernels, setting->pool, pairs, steps, error));
    EGG_TRY(egg_rival_open(&rival1, run.model, &setting->kernels, setting->pool, pairs, 1, error));

    if (below) {
        egg_kernels_init(&avx2.kernels, EGG_CPU_AVX2);
        EGG_TRY(open_run(&run_avx2, &avx2, setting->pool, shape, population, steps, error));
    }

    const char *unit = "tokens/s";
    double tokens = (double)population * steps, rival_tokens = 2.0 * pairs * steps;
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population, whole epoch", .run = run_epoch, .context = &run, .work = tokens,
                        .unit = unit},
        [INFERENCE] = {.name = "inference", .run = run_inference, .context = &run, .work = tokens, .unit = unit},
        [EVALUATION] = {.name = "population, evaluation", .run = run_evaluation, .context = &run, .work = tokens,
                        .unit = unit},
        [SINGLE] = {.name = "one member at a time", .run = run_single, .context = rival, .work = rival_tokens,
                    .unit = unit},
        [DOTS] = {.name = "one member at a time, dots", .run = run_dots, .context = rival, .work = rival_tokens,
                  .unit = unit},
        [DENSE] = {.name = "naive ES", .run = run_dense, .context = rival, .work = rival_tokens, .unit = unit},
        [POPULATION_T1] = {.name = "population, one token", .run = run_evaluation, .context = &run1,
                           .work = population, .unit = unit},
        [DENSE_T1] = {.name = "naive ES, one token", .run = run_dense, .context = rival1, .work = 2.0 * pairs,
                      .unit = unit},
        [PEAK] = egg_bench_peak(setting),
        [AVX2] = {.name = "population, whole epoch, avx2", .run = run_epoch, .context = &run_avx2, .work = tokens,
                  .unit = unit},
    };
    size_t count = below ? CONTENDERS : AVX2;
    EGG_TRY(egg_contest(contenders, count, n, error));
    for (size_t i = 0; i < count; i++) egg_report_rate(report, size, &contenders[i], n);
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_report_ratio(report, size, "population_vs_dense_t1", &contenders[POPULATION_T1], &contenders[DENSE_T1], n);
    egg_report_ratio(report, size, "population_vs_dense_t100", &contenders[EVALUATION], &contenders[DENSE], n);
    egg_report_ratio(report, size, "population_vs_single", &contenders[EVALUATION], &contenders[DOTS], n);
    egg_report_ratio(report, size, "population_vs_single_packed", &contenders[EVALUATION], &contenders[SINGLE], n);
    if (below) egg_report_ratio(report, size, "avx2_vs_avx512vnni", &contenders[AVX2], &contenders[POPULATION], n);
    egg_contender epoch_macs = contenders[POPULATION];
    epoch_macs.work *= 1e-9 * macs_per_token(run.model);
    egg_report_ratio(report, size, "epoch_share_of_peak", &epoch_macs, &contenders[PEAK], n);
    egg_report_value(report, size, "update_share_of_epoch", "x",
                     run.update_seconds / (run.evaluate_seconds + run.update_seconds));
out:
    egg_rival_close(rival1);
    egg_rival_close(rival);
    close_run(&run_avx2);
    close_run(&run1);
    close_run(&run);
    return status;
}

egg_status egg_bench_population(const egg_bench_setting *setting, egg_error *error)
{
    static const struct {
        egg_shape shape;
        uint32_t population;   /* smaller where an epoch of 4096 would take half a minute */
    } sizes[] = {{{64, 2}, 4096}, {{128, 4}, 4096}, {{256, 6}, 4096}, {{512, 8}, 1024}};
    const egg_settings *s = setting->settings;
    uint32_t steps = (uint32_t)s->seq_len;
    if (s->model == EGG_BENCH_MLP) return egg_bench_policies(setting, error);
    egg_status (*bench)(const egg_bench_setting *, egg_shape, uint32_t, uint32_t, egg_error *) =
        setting->kernels.device ? bench_device : bench_size;
    if (setting->one_size)
        return bench(setting, (egg_shape){(uint32_t)s->width, (uint32_t)s->layers}, (uint32_t)s->population, steps,
                     error);
    egg_status status = EGG_OK;
    for (size_t i = 0; i < EGG_COUNT(sizes); i++)
        EGG_TRY(bench(setting, sizes[i].shape, sizes[i].population, steps, error));
out:
    return status;
}

/* --------------------------------------------------------------------------------------------------------- scaling */

static egg_status bench_threads(const egg_bench_setting *setting, egg_shape shape, uint32_t steps, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t most = egg_pool_threads(setting->pool), population = 1024;
    egg_pool *pool = NULL;
    egg_bench_run_state run = {0};
    for (uint32_t threads = 1; threads <= most; threads = threads < most && 2 * threads > most ? most : 2 * threads) {
        char size[48];
        snprintf(size, sizeof size, "%ux%u N=%u T=%u, %u threads", shape.layers, shape.width, population, steps,
                 threads);
        EGG_TRY(egg_pool_open(&pool, threads, error));
        EGG_TRY(open_run(&run, setting, pool, shape, population, steps, error));
        egg_contender contender = {.name = "whole epoch", .run = run_epoch, .context = &run,
                                   .work = (double)population * steps, .unit = "tokens/s"};
        EGG_TRY(egg_contest(&contender, 1, setting->repetitions, error));
        egg_report_rate(&setting->report, size, &contender, setting->repetitions);
        close_run(&run);
        egg_pool_close(pool);
        run = (egg_bench_run_state){0};
        pool = NULL;
    }
out:
    close_run(&run);
    egg_pool_close(pool);
    return status;
}

/* Time and memory a member; expected to be flat. One token a member keeps 2^20 members within seconds. */
static egg_status bench_populations(const egg_bench_setting *setting, egg_shape shape, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_bench_run_state run = {0};
    for (uint32_t log2_population = 6; log2_population <= 20; log2_population += 2) {
        char size[48];
        uint32_t population = 1u << log2_population;
        snprintf(size, sizeof size, "%ux%u N=2^%u T=10", shape.layers, shape.width, log2_population);
        EGG_TRY(open_run(&run, setting, setting->pool, shape, population, 10, error));
        egg_contender contender = {.name = "whole epoch", .run = run_epoch, .context = &run, .work = population * 10.0,
                                   .unit = "tokens/s"};
        EGG_TRY(egg_contest(&contender, 1, setting->repetitions, error));
        egg_report_rate(&setting->report, size, &contender, setting->repetitions);
        size_t states;
        egg_pretrain_states(run.task, &states);
        egg_report_value(&setting->report, size, "recurrent states", "bytes/member", (double)states / population);
        egg_report_value(&setting->report, size, "fitness", "bytes/member", sizeof(int32_t) + 0.5);
        egg_report_value(&setting->report, size, "process", "MiB", (double)egg_system_resident_bytes() / 0x1p20);
        close_run(&run);
        run = (egg_bench_run_state){0};
    }
out:
    close_run(&run);
    return status;
}

egg_status egg_bench_scaling(const egg_bench_setting *setting, egg_error *error)
{
    const egg_settings *s = setting->settings;
    egg_shape shape = setting->one_size ? (egg_shape){(uint32_t)s->width, (uint32_t)s->layers} : (egg_shape){64, 1};
    egg_status status = bench_threads(setting, shape, (uint32_t)s->seq_len, error);
    return status == EGG_OK ? bench_populations(setting, shape, error) : status;
}
