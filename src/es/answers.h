/* SPDX-License-Identifier: MIT */
/*
 * From the rewards of members that all answered the same questions to one fitness a member (paper section 6.3):
 *
 *   fitness[i] = mean_j (S_ij - mean_i S_ij) / deviation
 *
 * where the deviation is that of all rewards, sqrt(variance + 1e-5). Sums over members are exact, those over a member's
 * questions run in ascending order in double precision, so that no fitness depends on which rank has whom.
 */
#ifndef EGG_ES_ANSWERS_H
#define EGG_ES_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "es/reduce.h"

typedef struct egg_answer_scores {
    double mean, deviation;        /* of all rewards */
    double best, worst;            /* mean reward of a member */
    uint32_t equal;                /* questions that got the same reward from everybody */
    uint32_t invalid;              /* rewards that were not finite; they count as the question's worst that is */
} egg_answer_scores;

/* The rewards of the members that are here, among those of all ranks. */
typedef struct egg_answers_part {
    float *S;                      /* (here, questions) repaired in place */
    egg_range *ranges;             /* (questions) scratch; leaves with the range of each question's rewards */
    uint32_t here, members;        /* members here, and of all ranks */
    uint32_t questions;
} egg_answers_part;

/*
 * fitness (here). Where 'centred' is false it is the mean of a member's rewards as it is, and whoever comes next shapes
 * it. Collective; comm == NULL: all members are here, and nothing fails.
 */
egg_status egg_answers_fitness(egg_answer_scores *scores, const egg_answers_part *part, bool centred, float *fitness,
                               egg_comm *comm, egg_error *error);

#endif
