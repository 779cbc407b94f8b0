/* SPDX-License-Identifier: MIT */
#include "es/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void repair(egg_scores *scores, float *fitness, uint32_t members)
{
    float worst = INFINITY, best = -INFINITY;
    scores->invalid = 0;
    for (uint32_t i = 0; i < members; i++) {
        if (!isfinite(fitness[i])) continue;
        worst = fminf(worst, fitness[i]);
        best = fmaxf(best, fitness[i]);
    }
    if (worst > best) worst = best = 0;
    for (uint32_t i = 0; i < members; i++) {
        if (isfinite(fitness[i])) continue;
        fitness[i] = worst;
        scores->invalid++;
    }
    scores->worst = worst;
    scores->best = best;
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

static void score_group_zscore(const float *fitness, uint32_t n, double deviation, float *score)
{
    double mean = mean_of(fitness, n);
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

static void score_members(const egg_scores *scores, const egg_shaping *shaping, const float *fitness, uint32_t members,
                          float *score, uint32_t *order)
{
    uint32_t group = shaping->group ? shaping->group : members;
    double deviation = sqrt(scores->deviation * scores->deviation + tiny);
    for (uint32_t first = 0; first < members; first += group) {
        const float *f = fitness + first;
        switch (shaping->kind) {
        case EGG_SHAPING_ZSCORE: score_group_zscore(f, group, deviation, score + first); break;
        case EGG_SHAPING_RANK: score_group_rank(f, group, order, score + first); break;
        case EGG_SHAPING_SIGN: score_sign(f, group, shaping->antithetic, mean_of(f, group), score + first); break;
        case EGG_SHAPING_BASELINE: score_group_baseline(f, group, shaping->antithetic, score + first); break;
        case EGG_SHAPING_GIVEN: memcpy(score + first, f, group * sizeof *f); break;
        }
    }
}

void egg_scores_shape(egg_scores *scores, const egg_shaping *shaping, float *fitness, uint32_t members, float *score,
                      uint32_t *order)
{
    repair(scores, fitness, members);
    scores->mean = mean_of(fitness, members);
    scores->deviation = sqrt(variance_of(fitness, members, scores->mean));
    score_members(scores, shaping, fitness, members, score, order);

    double scale = 1 / sqrt((double)members);
    uint32_t pairs = egg_shaping_pairs(shaping, members);
    scores->ties = 0;
    for (uint32_t p = 0; p < pairs; p++) {
        double weight = shaping->antithetic ? (double)score[2 * (size_t)p] - score[2 * (size_t)p + 1] : score[p];
        if (egg_shaping_is_baseline(shaping, p)) weight = 0;
        else scores->ties += weight == 0;
        scores->weight[p] = (float)(weight * scale);
    }
}
