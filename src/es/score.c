/* SPDX-License-Identifier: MIT */
#include "es/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "es/reduce.h"

static const double tiny = 1e-5;   /* added to variances, as the reference implementation does */

bool egg_shaping_is_baseline(const egg_shaping *shaping, uint32_t pair)
{
    if (shaping->kind != EGG_SHAPING_BASELINE) return false;
    uint32_t pairs = egg_shaping_pairs(shaping, shaping->group);
    return pairs ? pair % pairs == 0 : pair == 0;
}

egg_status egg_shaping_check(const egg_shaping *shaping, uint32_t members, egg_error *error)
{
    uint32_t group = shaping->group ? shaping->group : members, least = shaping->kind == EGG_SHAPING_BASELINE ? 4 : 2;
    if (shaping->antithetic && (members % 2 || group % 2))
        return egg_fail(error, EGG_ERR_ARGUMENT, "population %u in groups of %u: antithetic pairs need even numbers",
                        members, group);
    if (group < least || members % group)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "groups of %u members: expected at least %u, and a divisor of %u members",
                        group, least, members);
    return EGG_OK;
}

/* ------------------------------------------------------------------------------------------------------- statistics */

/* What is not finite becomes the worst that is, wherever that is; counts what it repairs here. */
static egg_status repair(egg_scores *scores, float *fitness, uint32_t here, egg_comm *comm, egg_error *error)
{
    egg_range range = egg_range_empty();
    for (uint32_t i = 0; i < here; i++) {
        if (!isfinite(fitness[i])) continue;
        range.low = fmin(range.low, fitness[i]);
        range.high = fmax(range.high, fitness[i]);
    }
    egg_status status = egg_reduce_ranges(comm, &range, 1, error);
    if (range.low > range.high) range = (egg_range){0, 0};
    scores->worst = range.low;
    scores->best = range.high;
    scores->invalid = 0;
    for (uint32_t i = 0; i < here; i++) {
        if (isfinite(fitness[i])) continue;
        fitness[i] = (float)range.low;
        scores->invalid++;
    }
    return status;
}

/* Repairs the fitness of the members that are here, and measures that of all. */
static egg_status measure(egg_scores *scores, float *fitness, uint32_t here, uint32_t members, egg_comm *comm,
                          egg_error *error)
{
    egg_status status = EGG_OK;
    egg_exact_sum sum = {0}, squares = {0};
    EGG_TRY(repair(scores, fitness, here, comm, error));
    int64_t invalid = scores->invalid;
    for (uint32_t i = 0; i < here; i++) egg_exact_add(&sum, fitness[i]);
    EGG_TRY(egg_reduce_sum(comm, &sum, &invalid, 1, error));
    scores->invalid = (uint32_t)invalid;
    const double mean = scores->mean = egg_exact_value(&sum) / members;
    for (uint32_t i = 0; i < here; i++) egg_exact_add(&squares, (fitness[i] - mean) * (fitness[i] - mean));
    EGG_TRY(egg_reduce_sum(comm, &squares, NULL, 0, error));
    scores->deviation = sqrt(egg_exact_value(&squares) / members);
out:
    return status;
}

static double mean_of(const float *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static double variance_of(const float *x, uint32_t n, double mean)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum / n;
}

/* ----------------------------------------------------------------------------------------------------------- scores */

static void score_zscore(const float *fitness, uint32_t n, double mean, double deviation, float *score)
{
    for (uint32_t i = 0; i < n; i++) score[i] = (float)((fitness[i] - mean) / deviation);
}

static void score_group_baseline(const float *fitness, uint32_t n, bool antithetic, float *score)
{
    uint32_t skipped = antithetic ? 2 : 1;
    double base = mean_of(fitness, skipped), mean = mean_of(fitness, n);
    double deviation = sqrt(variance_of(fitness, n, mean) + tiny);
    for (uint32_t i = 0; i < n; i++) score[i] = i < skipped ? 0 : (float)((fitness[i] - base) / deviation);
}

/* Sorts the indices 'order' by fitness, equal ones by index: a heap sort, since qsort cannot be told of 'fitness'. */
static bool comes_after(const float *fitness, uint32_t a, uint32_t b)
{
    return fitness[a] > fitness[b] || (fitness[a] == fitness[b] && a > b);
}

static void sift(const float *fitness, uint32_t *order, uint32_t root, uint32_t n)
{
    uint32_t value = order[root];
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && comes_after(fitness, order[child + 1], order[child])) child++;
        if (!comes_after(fitness, order[child], value)) break;
        order[root] = order[child];
    }
    order[root] = value;
}

static void sort_by_fitness(const float *fitness, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = n / 2; i-- > 0;) sift(fitness, order, i, n);
    for (uint32_t end = n; end-- > 1;) {
        uint32_t last = order[end];
        order[end] = order[0];
        order[0] = last;
        sift(fitness, order, 0, end);
    }
}

static void score_group_rank(const float *fitness, uint32_t n, uint32_t *order, float *score)
{
    sort_by_fitness(fitness, order, n);
    for (uint32_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && fitness[order[end]] == fitness[order[first]];) end++;
        double rank = 0.5 * ((double)first + (double)end - 1);
        for (uint32_t i = first; i < end; i++) score[order[i]] = (float)(rank / (n - 1) - 0.5);
    }
}

static void score_sign(const float *fitness, uint32_t n, bool antithetic, double mean, float *score)
{
    for (uint32_t i = 0; i < n; i++) {
        double other = antithetic ? fitness[i ^ 1] : mean;
        score[i] = (float)((fitness[i] > other) - (fitness[i] < other));
    }
}

static double spread_of(const egg_scores *scores)
{
    return sqrt(scores->deviation * scores->deviation + tiny);
}

static void score_group(const egg_scores *scores, const egg_shaping *shaping, const float *f, uint32_t group,
                        float *score, uint32_t *order)
{
    switch (shaping->kind) {
    case EGG_SHAPING_ZSCORE: score_zscore(f, group, mean_of(f, group), spread_of(scores), score); break;
    case EGG_SHAPING_RANK: score_group_rank(f, group, order, score); break;
    case EGG_SHAPING_SIGN: score_sign(f, group, shaping->antithetic, mean_of(f, group), score); break;
    case EGG_SHAPING_BASELINE: score_group_baseline(f, group, shaping->antithetic, score); break;
    case EGG_SHAPING_GIVEN: memcpy(score, f, group * sizeof *f); break;
    }
}

/* ---------------------------------------------------------------------------------------------------------- weights */

static void weigh(const egg_shaping *shaping, const float *score, uint32_t pairs, uint32_t members, float *weight)
{
    const double scale = 1 / sqrt((double)members);
    for (uint32_t p = 0; p < pairs; p++) {
        double difference = shaping->antithetic ? (double)score[2 * (size_t)p] - score[2 * (size_t)p + 1] : score[p];
        weight[p] = egg_shaping_is_baseline(shaping, p) ? 0 : (float)(difference * scale);
    }
}

void egg_scores_count_ties(egg_scores *scores, const egg_shaping *shaping, uint32_t members)
{
    uint32_t pairs = egg_shaping_pairs(shaping, members);
    scores->ties = 0;
    for (uint32_t p = 0; p < pairs; p++) scores->ties += scores->weight[p] == 0 && !egg_shaping_is_baseline(shaping, p);
}

/* ------------------------------------------------------------------------------------------------------------ shape */

bool egg_shaping_is_separable(const egg_shaping *shaping, uint32_t members)
{
    bool grouped = shaping->group && shaping->group != members;
    switch (shaping->kind) {
    case EGG_SHAPING_ZSCORE: return !grouped;
    case EGG_SHAPING_SIGN: return !grouped || shaping->antithetic;
    case EGG_SHAPING_GIVEN: return true;
    case EGG_SHAPING_RANK:
    case EGG_SHAPING_BASELINE: break;
    }
    return false;
}

egg_status egg_scores_shape_part(egg_scores *scores, const egg_shaping *shaping, float *fitness, uint32_t here,
                                 uint32_t members, egg_comm *comm, float *scratch, egg_error *error)
{
    egg_status status = measure(scores, fitness, here, members, comm, error);
    if (status != EGG_OK) return status;
    switch (shaping->kind) {
    case EGG_SHAPING_ZSCORE: score_zscore(fitness, here, scores->mean, spread_of(scores), scratch); break;
    case EGG_SHAPING_SIGN: score_sign(fitness, here, shaping->antithetic, scores->mean, scratch); break;
    case EGG_SHAPING_GIVEN: if (here) memcpy(scratch, fitness, here * sizeof *fitness); break;
    case EGG_SHAPING_RANK:
    case EGG_SHAPING_BASELINE: break;
    }
    weigh(shaping, scratch, egg_shaping_pairs(shaping, here), members, scores->weight);
    return EGG_OK;
}

void egg_scores_shape(egg_scores *scores, const egg_shaping *shaping, float *fitness, uint32_t members, float *score,
                      uint32_t *order)
{
    uint32_t group = shaping->group ? shaping->group : members;
    if (egg_shaping_is_separable(shaping, members)) {
        egg_scores_shape_part(scores, shaping, fitness, members, members, NULL, score, NULL);
    } else {
        measure(scores, fitness, members, members, NULL, NULL);
        for (uint32_t first = 0; first < members; first += group)
            score_group(scores, shaping, fitness + first, group, score + first, order);
        weigh(shaping, score, egg_shaping_pairs(shaping, members), members, scores->weight);
    }
    egg_scores_count_ties(scores, shaping, members);
}
