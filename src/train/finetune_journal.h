/* SPDX-License-Identifier: MIT */
/* What the journal of a run of fine-tuning holds besides weights, and how an epoch is applied from it. */
#ifndef EGG_TRAIN_FINETUNE_JOURNAL_H
#define EGG_TRAIN_FINETUNE_JOURNAL_H

#include "es/evolution.h"
#include "train/finetune_checkpoint.h"
#include "train/journal.h"

enum { EGG_FINETUNE_FACTS_BYTES = 128, EGG_FINETUNE_EXTRA_BYTES = 32 };

/* Which model the run began with, by its hash. */
void egg_finetune_journal_facts(char facts[EGG_FINETUNE_FACTS_BYTES], egg_hash base);

/* EGG_ERR_FORMAT where a model of this hash is another than the run's. */
egg_status egg_finetune_journal_check(const egg_ledger_record *run, const char *name, egg_hash base, egg_error *error);

/* Silent epochs, the best epoch, the best and the first validation. */
void egg_finetune_journal_extra(uint8_t extra[EGG_FINETUNE_EXTRA_BYTES], const egg_finetune_progress *progress);

/* Moves the model and the progress of 'checkpoint' on by a recorded epoch. */
egg_status egg_finetune_journal_apply(egg_finetune_checkpoint *checkpoint, egg_evolution *evolution,
                                      const egg_kernels *kernels, egg_pool *pool, const egg_journal_epoch *epoch,
                                      const char *name, egg_error *error);

#endif
