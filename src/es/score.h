/* SPDX-License-Identifier: MIT */
/*
 * From real-valued fitness to one weight a pair (float models; docs/math.md has the formulas). Sums over all members are
 * exact, those over a group run in ascending order in double precision, so that the weights do not depend on how
 * members are shared out.
 */
#ifndef EGG_ES_SCORE_H
#define EGG_ES_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"

typedef enum egg_shaping_kind {
    EGG_SHAPING_ZSCORE,     /* (f - mean) / sqrt(variance + 1e-5), the variance over all members */
    EGG_SHAPING_RANK,       /* centred ranks in [-1/2, 1/2]; members that tie share the mean of their ranks */
    EGG_SHAPING_SIGN,       /* +1 for the better member of a pair, -1 for the other, 0 for both if they tie */
    EGG_SHAPING_BASELINE,   /* (f - fitness of the group's unperturbed pair) / sqrt(variance within the group + 1e-5) */
    EGG_SHAPING_GIVEN       /* the fitness as it is, shaped before (es/answers.h) */
} egg_shaping_kind;

typedef struct egg_shaping {
    egg_shaping_kind kind;
    uint32_t group;         /* consecutive members that are compared with each other (one question); 0 = all */
    bool antithetic;        /* members 2p and 2p+1 carry the two signs; else each member has noise of its own, sign + */
} egg_shaping;

typedef struct egg_scores {
    float *weight;          /* (pairs) antithetic: (score[2p] - score[2p+1]) / sqrt(N), else score[p] / sqrt(N) */
    double mean, deviation, best, worst;   /* of the fitness */
    uint32_t ties;          /* pairs, or members without pairs, whose weight is 0 although they are no baseline */
    uint32_t invalid;       /* members whose fitness was not finite; they count as the worst that is */
} egg_scores;

/* Members that share one draw of noise: the unit of addresses. */
static inline uint32_t egg_shaping_pairs(const egg_shaping *shaping, uint32_t members)
{
    return shaping->antithetic ? members / 2 : members;
}

/* Whether pair 'pair' stays unperturbed: with a baseline the first pair of every group. */
bool egg_shaping_is_baseline(const egg_shaping *shaping, uint32_t pair);

/* Refuses a group that does not divide the members or is too small for its kind. */
egg_status egg_shaping_check(const egg_shaping *shaping, uint32_t members, egg_error *error);

/*
 * fitness (members), higher is better; what is not finite is replaced by the worst finite value (0 if there is none).
 * scratch (members) and order (members) are the caller's; order is used by ranks only.
 */
void egg_scores_shape(egg_scores *scores, const egg_shaping *shaping, float *fitness, uint32_t members, float *scratch,
                      uint32_t *order);

/*
 * Whether the score of a member depends on no more than its pair and figures of all members, so that ranks need only
 * exchange weights. Else each needs the fitness of all.
 */
bool egg_shaping_is_separable(const egg_shaping *shaping, uint32_t members);

/*
 * The same by several ranks, where that is so: fitness (here), scratch (here) and scores->weight are those of the
 * members of this rank, whole pairs; 'members' counts all. Collective; 'ties' is left to count once the weights are
 * gathered. comm == NULL: all are here.
 */
egg_status egg_scores_shape_part(egg_scores *scores, const egg_shaping *shaping, float *fitness, uint32_t here,
                                 uint32_t members, egg_comm *comm, float *scratch, egg_error *error);
void egg_scores_count_ties(egg_scores *scores, const egg_shaping *shaping, uint32_t members);

#endif
