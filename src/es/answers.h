/* SPDX-License-Identifier: MIT */
/*
 * From the rewards of members that all answered the same questions to one fitness a member (paper section 6.3):
 *
 *   fitness[i] = mean_j (S_ij - mean_i S_ij) / deviation
 *
 * where the deviation is that of all rewards, sqrt(variance + 1e-5). Sums run in ascending order in double precision.
 */
#ifndef EGG_ES_ANSWERS_H
#define EGG_ES_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct egg_answer_scores {
    double mean, deviation;        /* of all rewards */
    double best, worst;            /* mean reward of a member */
    uint32_t equal;                /* questions that got the same reward from everybody */
    uint32_t invalid;              /* rewards that were not finite; they count as the question's worst that is */
} egg_answer_scores;

/*
 * S (members, questions), repaired in place. Where 'centred' is false the fitness is the mean of a member's rewards as
 * it is, and whoever comes next shapes it.
 */
void egg_answers_fitness(egg_answer_scores *scores, float *S, uint32_t members, uint32_t questions, bool centred,
                         float *fitness);

#endif
