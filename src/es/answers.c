/* SPDX-License-Identifier: MIT */
#include "es/answers.h"

#include <math.h>
#include <stddef.h>

static const double tiny = 1e-5;   /* added to variances, as egg_scores_shape does */

static egg_range range_of(const float *S, uint32_t members, uint32_t questions)
{
    egg_range range = egg_range_empty();
    for (uint32_t i = 0; i < members; i++) {
        float s = S[(size_t)i * questions];
        if (!isfinite(s)) continue;
        range.low = fmin(range.low, s);
        range.high = fmax(range.high, s);
    }
    return range;
}

/* Question by question, a column each: what is not finite becomes the worst that is; counts what it repairs here. */
static egg_status repair(egg_answer_scores *scores, float *S, uint32_t here, uint32_t questions, egg_range *ranges,
                         egg_comm *comm, egg_error *error)
{
    for (uint32_t j = 0; j < questions; j++) ranges[j] = range_of(S + j, here, questions);
    egg_status status = egg_reduce_ranges(comm, ranges, questions, error);
    for (uint32_t j = 0; j < questions; j++) {
        if (ranges[j].low > ranges[j].high) ranges[j] = (egg_range){0, 0};
        scores->equal += ranges[j].low == ranges[j].high;
    }
    for (size_t k = 0; k < (size_t)here * questions; k++) {
        if (isfinite(S[k])) continue;
        S[k] = (float)ranges[k % questions].low;
        scores->invalid++;
    }
    return status;
}

static egg_status measure(egg_answer_scores *scores, const float *S, size_t here, size_t all, egg_comm *comm,
                          egg_error *error)
{
    egg_status status = EGG_OK;
    egg_exact_sum sum = {0}, squares = {0};
    int64_t invalid = scores->invalid;
    for (size_t k = 0; k < here; k++) egg_exact_add(&sum, S[k]);
    EGG_TRY(egg_reduce_sum(comm, &sum, &invalid, 1, error));
    scores->invalid = (uint32_t)invalid;
    const double mean = scores->mean = egg_exact_value(&sum) / (double)all;
    for (size_t k = 0; k < here; k++) egg_exact_add(&squares, (S[k] - mean) * (S[k] - mean));
    EGG_TRY(egg_reduce_sum(comm, &squares, NULL, 0, error));
    scores->deviation = sqrt(egg_exact_value(&squares) / (double)all);
out:
    return status;
}

static double mean_reward(const float *S, uint32_t questions)
{
    double sum = 0;
    for (uint32_t j = 0; j < questions; j++) sum += S[j];
    return sum / questions;
}

egg_status egg_answers_fitness(egg_answer_scores *scores, const egg_answers_part *part, bool centred, float *fitness,
                               egg_comm *comm, egg_error *error)
{
    egg_status status = EGG_OK;
    const uint32_t here = part->here, questions = part->questions;
    egg_range best = egg_range_empty();
    *scores = (egg_answer_scores){0};
    EGG_TRY(repair(scores, part->S, here, questions, part->ranges, comm, error));
    EGG_TRY(measure(scores, part->S, (size_t)here * questions, (size_t)part->members * questions, comm, error));
    /* The mean over questions of what is centred by question is the mean over questions, centred. */
    double deviation = sqrt(scores->deviation * scores->deviation + tiny);
    for (uint32_t i = 0; i < here; i++) {
        double mean = mean_reward(part->S + (size_t)i * questions, questions);
        best.low = fmin(best.low, mean);
        best.high = fmax(best.high, mean);
        fitness[i] = (float)(centred ? (mean - scores->mean) / deviation : mean);
    }
    EGG_TRY(egg_reduce_ranges(comm, &best, 1, error));
    scores->worst = best.low;
    scores->best = best.high;
out:
    return status;
}
