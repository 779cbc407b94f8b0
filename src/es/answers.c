/* SPDX-License-Identifier: MIT */
#include "es/answers.h"

#include <math.h>
#include <stddef.h>

static const double tiny = 1e-5;   /* added to variances, as egg_scores_shape does */

/* One question's column: what is not finite becomes its worst; counts it among the equal ones where it is. */
static void repair_question(egg_answer_scores *scores, float *S, uint32_t members, uint32_t questions)
{
    float worst = INFINITY, best = -INFINITY;
    for (uint32_t i = 0; i < members; i++) {
        float s = S[(size_t)i * questions];
        if (!isfinite(s)) continue;
        worst = fminf(worst, s);
        best = fmaxf(best, s);
    }
    if (worst > best) worst = best = 0;
    for (uint32_t i = 0; i < members; i++) {
        float *s = &S[(size_t)i * questions];
        if (isfinite(*s)) continue;
        *s = worst;
        scores->invalid++;
    }
    scores->equal += worst == best;
}

static void measure(egg_answer_scores *scores, const float *S, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t k = 0; k < count; k++) sum += S[k];
    scores->mean = sum / (double)count;
    for (size_t k = 0; k < count; k++) squares += (S[k] - scores->mean) * (S[k] - scores->mean);
    scores->deviation = sqrt(squares / (double)count);
}

static double mean_reward(const float *S, uint32_t questions)
{
    double sum = 0;
    for (uint32_t j = 0; j < questions; j++) sum += S[j];
    return sum / questions;
}

void egg_answers_fitness(egg_answer_scores *scores, float *S, uint32_t members, uint32_t questions, bool centred,
                         float *fitness)
{
    *scores = (egg_answer_scores){.best = -INFINITY, .worst = INFINITY};
    for (uint32_t j = 0; j < questions; j++) repair_question(scores, S + j, members, questions);
    measure(scores, S, (size_t)members * questions);
    /* The mean over questions of what is centred by question is the mean over questions, centred. */
    double deviation = sqrt(scores->deviation * scores->deviation + tiny);
    for (uint32_t i = 0; i < members; i++) {
        double mean = mean_reward(S + (size_t)i * questions, questions);
        scores->best = fmax(scores->best, mean);
        scores->worst = fmin(scores->worst, mean);
        fitness[i] = (float)(centred ? (mean - scores->mean) / deviation : mean);
    }
}
