/* SPDX-License-Identifier: MIT */
/* What the journal of a run of reinforcement learning holds besides weights, and how an epoch is applied from it. */
#ifndef EGG_TRAIN_RL_JOURNAL_H
#define EGG_TRAIN_RL_JOURNAL_H

#include "es/evolution.h"
#include "train/journal.h"
#include "train/rl_checkpoint.h"

enum { EGG_RL_FACTS_BYTES = 512 };

/* The shape of the policy and its environment, so that neither the environment nor MuJoCo is needed for rebuilding. */
void egg_rl_journal_facts(char facts[EGG_RL_FACTS_BYTES], const egg_mlp_shape *shape, const egg_policy_info *info);
egg_status egg_rl_journal_read_facts(const egg_ledger_record *run, const char *name, egg_mlp_shape *shape,
                                     egg_policy_info *info, egg_error *error);

/* The episodes so far and the statistics of the observations: returns the bytes written. */
size_t egg_rl_journal_extra_bytes(const egg_normalizer *normalizer);
size_t egg_rl_journal_extra(uint8_t *extra, const egg_normalizer *normalizer, uint64_t episodes);

/*
 * Moves the policy and the progress of 'checkpoint' on by a recorded epoch, and sets the statistics of its normalizer,
 * which the caller refreshes.
 */
egg_status egg_rl_journal_apply(egg_rl_checkpoint *checkpoint, egg_evolution *evolution, const egg_kernels *kernels,
                                egg_pool *pool, const egg_journal_epoch *epoch, const char *name, egg_error *error);

#endif
