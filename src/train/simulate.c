/* SPDX-License-Identifier: MIT */
/* What an epoch takes on many ranks, from what one rank measured and a network of two numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/ternary.h"
#include "data/safetensors.h"
#include "eggroll.h"
#include "es/fitness.h"
#include "es/score.h"
#include "train/options.h"
#include "train/ranks.h"
#include "train/rl_settings.h"
#include "train/run.h"

enum { LEAST_EPOCHS = 8, SHAPED_PAIRS = 1 << 18, SHAPINGS = 3 };

static const double shard_overhead = 1.1;   /* as egg_ranks_decide() reckons */

/* An epoch of the run, on one rank. */
typedef struct measured {
    double pairs, rank;
    double tokens;                 /* or steps of an environment, of all members */
    double evaluate, update, other;   /* seconds */
    double shape;                  /* seconds of a pair: what every rank does for all pairs; measured here and now */
    bool is_float, is_vote;
    double fitness_bytes;          /* of a pair */
    double weight_bytes, parameters;
} measured;

/* --------------------------------------------------------------------------------------------------------- measured */

/* The number behind "key": in a line that ends at 'end'; NaN where there is none. */
static double figure(const char *line, const char *end, const char *key)
{
    char wanted[64], number[40];
    int length = snprintf(wanted, sizeof wanted, "\"%s\": ", key);
    for (const char *at = line; at + length < end; at++) {
        if (memcmp(at, wanted, (size_t)length) != 0) continue;
        size_t n = (size_t)(end - at - length) < sizeof number - 1 ? (size_t)(end - at - length) : sizeof number - 1;
        memcpy(number, at + length, n);
        number[n] = '\0';
        return strtod(number, NULL);
    }
    return NAN;
}

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_numbers);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

typedef struct epoch_figures {
    double *evaluate, *update, *whole, *tokens;   /* (count); of each epoch but the first */
    size_t count;
} epoch_figures;

static size_t count_lines(const egg_mapping *file)
{
    size_t lines = 0;
    for (size_t i = 0; i < file->bytes; i++) lines += file->data[i] == '\n';
    return lines;
}

/* An epoch that validated took longer than one; medians leave it out. */
static egg_status read_figures(epoch_figures *figures, const egg_mapping *file, const char *path, egg_error *error)
{
    double seconds = NAN, tokens = NAN;
    const char *line = (const char *)file->data, *end = line + file->bytes;
    for (const char *next; line < end && (next = memchr(line, '\n', (size_t)(end - line))); line = next + 1) {
        double now = figure(line, next, "seconds"), work = figure(line, next, "member_tokens");
        if (isnan(work)) work = figure(line, next, "env_steps");
        if (!isnan(figure(line, next, "ranks")))
            return egg_fail(error, EGG_ERR_FORMAT, "%s: the run was on several ranks; measure with one", path);
        size_t i = figures->count;
        figures->evaluate[i] = figure(line, next, "evaluate_seconds");
        figures->update[i] = figure(line, next, "update_seconds");
        figures->whole[i] = now - seconds;
        figures->tokens[i] = work - tokens;
        figures->count += !isnan(figures->whole[i]) && !isnan(figures->tokens[i]) && figures->whole[i] >= 0;
        seconds = now;
        tokens = work;
    }
    if (figures->count >= LEAST_EPOCHS) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: %zu measured epochs, expected at least %d", path, figures->count,
                    LEAST_EPOCHS);
}

static egg_status measure_epochs(measured *m, const char *run, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_mapping file = {0};
    epoch_figures figures = {0};
    double *numbers = NULL;
    EGG_TRY(egg_run_path(run, EGG_RUN_METRICS, path, error));
    EGG_TRY(egg_mapping_open(&file, path, error));
    size_t lines = count_lines(&file) + 1;
    numbers = egg_alloc_array(4 * lines, sizeof *numbers);
    if (!numbers) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its figures", path);
        goto out;
    }
    figures = (epoch_figures){.evaluate = numbers, .update = numbers + lines, .whole = numbers + 2 * lines,
                              .tokens = numbers + 3 * lines};
    EGG_TRY(read_figures(&figures, &file, path, error));
    m->evaluate = median(figures.evaluate, figures.count);
    m->update = median(figures.update, figures.count);
    m->other = fmax(0, median(figures.whole, figures.count) - m->evaluate - m->update);
    m->tokens = median(figures.tokens, figures.count);
out:
    egg_free(numbers);
    egg_mapping_close(&file);
    return status;
}

static egg_status read_weights(measured *m, const char *run, egg_error *error)
{
    char path[EGG_PATH_BYTES];
    egg_safetensors *file = NULL;
    egg_status status = egg_run_path(run, EGG_RUN_MODEL, path, error);
    if (status == EGG_OK) status = egg_safetensors_open(&file, path, error);
    for (size_t i = 0; status == EGG_OK && i < egg_safetensors_count(file); i++)
        m->weight_bytes += (double)egg_safetensors_at(file, i)->bytes;
    egg_safetensors_close(file);
    return status;
}

/* Bytes that a pair of a float model has on its way; ranks_update.c decides so. */
static double float_fitness_bytes(const egg_settings *s)
{
    egg_shaping shaping = egg_rl_evolution(s, 1).shaping;
    if (!egg_shaping_is_separable(&shaping, (uint32_t)s->population)) return shaping.antithetic ? 8 : 4;
    return shaping.kind == EGG_SHAPING_SIGN ? 0.2 : 4;
}

/* The configuration of a run of either kind. */
static egg_status read_config(measured *m, const char *run, egg_error *error)
{
    static const char *const kinds[] = {"pretrain", "rl"};
    char path[EGG_PATH_BYTES];
    egg_status status = egg_run_path(run, EGG_RUN_CONFIG, path, error);
    for (size_t i = 0; status == EGG_OK && i < EGG_COUNT(kinds); i++) {
        egg_options *options = egg_options_new(kinds[i]);
        if (!options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
        egg_status read = egg_options_load(options, path, error);
        const egg_settings *s = egg_options_values(options);
        bool is_rl = i == 1, alone = is_rl && s->pairs != 0, is_vote = !is_rl && s->update == EGG_UPDATE_VOTE;
        m->is_float = is_rl;
        m->is_vote = is_vote;
        m->pairs = (double)s->population / (alone ? 1 : 2);
        m->rank = (double)s->rank;
        m->fitness_bytes = is_rl ? float_fitness_bytes(s) : is_vote ? 0.2 : 4;
        m->parameters = m->weight_bytes / (is_rl ? sizeof(float) : sizeof(int8_t));
        egg_options_free(options);
        if (read == EGG_OK) return EGG_OK;
        if (i + 1 == EGG_COUNT(kinds)) status = read;
    }
    return status;
}

/* Integers: signs are unpacked and weighed; floats: z-scores. */
static egg_status time_shaping(measured *m, egg_error *error)
{
    enum { N = SHAPED_PAIRS };
    float *fitness = egg_alloc_array(2 * N, sizeof *fitness), *score = egg_alloc_array(2 * N, sizeof *score);
    float *weight = egg_alloc_array(N, sizeof *weight);
    int32_t *difference = egg_alloc_array(N, sizeof *difference);
    int8_t *F = egg_alloc(N);
    uint8_t *packed = egg_alloc(egg_ternary_bytes(N));
    bool there = fitness && score && weight && difference && F && packed;
    for (int i = 0; there && i < SHAPINGS; i++) {
        egg_fitness shaped = {.F = F};
        egg_scores scores = {.weight = weight};
        double begun = egg_clock_seconds();
        for (uint32_t p = 0; p < N; p++) difference[p] = (int32_t)(p * 2654435761u >> 16) - 32768;
        if (m->is_vote) {
            egg_ternary_pack(F, N, packed);
            egg_ternary_unpack(packed, N, F);
        }
        if (m->is_float)
            egg_scores_shape(&scores, &(egg_shaping){.kind = EGG_SHAPING_ZSCORE, .antithetic = true}, fitness, 2 * N,
                             score, NULL);
        else
            egg_fitness_shape(&shaped, m->is_vote ? EGG_RULE_VOTE : EGG_RULE_FRACTIONAL, difference, N);
        double seconds = (egg_clock_seconds() - begun) / N;
        if (i == 0 || seconds < m->shape) m->shape = seconds;
    }
    egg_free(fitness);
    egg_free(score);
    egg_free(weight);
    egg_free(difference);
    egg_free(F);
    egg_free(packed);
    return there ? EGG_OK : egg_fail(error, EGG_ERR_NOMEM, "no memory to measure shaping");
}

/* -------------------------------------------------------------------------------------------------------- predicted */

static double gather_seconds(const egg_settings *s, double ranks, double bytes)
{
    return ranks > 1 ? s->latency * ceil(log2(ranks)) + bytes * (ranks - 1) / ranks / s->bandwidth : 0;
}

static egg_simulated predict(const measured *m, const egg_settings *s, uint32_t ranks)
{
    const double R = ranks, members = s->members ? (double)s->members : m->pairs * 2;
    const double pairs = members / 2 * (s->weak ? R : 1), scale = pairs / m->pairs, slice = ceil(pairs / R) / pairs;
    const double shape = pairs * m->shape;
    double evaluate = m->evaluate * scale, update = fmax(0, m->update - m->pairs * m->shape) * scale;
    if (s->flops > 0) {
        evaluate = m->tokens * scale * m->parameters / s->flops;
        update = pairs * m->rank * m->parameters / s->flops;
    }
    const double whole = evaluate + shape + update + m->other, fitness = pairs * m->fitness_bytes;
    const double hops = ranks > 1 ? s->latency * ceil(log2(R)) : 0;
    const double sums = 4 * hops;   /* failures and sums, the clock, and meeting for a gather */
    const double rows = shard_overhead * update / R, row_exchange = gather_seconds(s, R, m->weight_bytes) + hops;
    egg_simulated row = {.ranks = ranks, .members = 2 * pairs, .evaluate_seconds = evaluate * slice,
                         .shape_seconds = shape, .other_seconds = m->other};
    row.rows = ranks > 1 && s->update_sharding != EGG_SHARDING_NONE &&
               (s->update_sharding == EGG_SHARDING_ROWS || rows + row_exchange < update);
    row.update_seconds = row.rows ? rows : update;
    row.exchange_seconds = gather_seconds(s, R, fitness) + sums + (row.rows ? row_exchange : 0);
    row.bytes_received = (R - 1) / R * (fitness + (row.rows ? m->weight_bytes : 0));
    row.epoch_seconds = row.evaluate_seconds + row.shape_seconds + row.update_seconds + row.exchange_seconds +
                        row.other_seconds;
    row.efficiency = whole / (R * row.epoch_seconds);
    return row;
}

egg_status egg_simulate(const char *run, const egg_options *options, egg_simulated_fn *write, void *context,
                        egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = egg_options_values(options);
    measured m = {0};
    EGG_TRY(read_weights(&m, run, error));
    EGG_TRY(read_config(&m, run, error));
    EGG_TRY(measure_epochs(&m, run, error));
    EGG_TRY(time_shaping(&m, error));
    for (uint64_t ranks = 1;; ranks *= 2) {
        if (ranks > s->ranks) ranks = s->ranks;
        egg_simulated row = predict(&m, s, (uint32_t)ranks);
        write(context, &row);
        if (ranks == s->ranks) break;
    }
out:
    return status;
}
