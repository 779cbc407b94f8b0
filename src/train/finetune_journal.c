/* SPDX-License-Identifier: MIT */
#include "train/finetune_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void egg_finetune_journal_facts(char facts[EGG_FINETUNE_FACTS_BYTES], egg_hash base)
{
    char text[33];
    egg_hash_text(base, text);
    snprintf(facts, EGG_FINETUNE_FACTS_BYTES, "model=%s\n", text);
}

egg_status egg_finetune_journal_check(const egg_ledger_record *run, const char *name, egg_hash base, egg_error *error)
{
    char expected[40] = "", found[33];
    egg_hash_text(base, found);
    if (egg_journal_fact(run, "model", expected, sizeof expected) && strcmp(expected, found) == 0) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: the run began with a model of hash '%s', found one of '%s'", name,
                    expected,
                    found);
}

void egg_finetune_journal_extra(uint8_t extra[EGG_FINETUNE_EXTRA_BYTES], const egg_finetune_progress *progress)
{
    memcpy(extra, &progress->silent_epochs, 8);
    memcpy(extra + 8, &progress->best_epoch, 8);
    memcpy(extra + 16, &progress->best_valid, 8);
    memcpy(extra + 24, &progress->base_valid, 8);
}

egg_status egg_finetune_journal_apply(egg_finetune_checkpoint *checkpoint, egg_evolution *evolution,
                                      const egg_kernels *kernels, egg_pool *pool, const egg_journal_epoch *epoch,
                                      const char *name, egg_error *error)
{
    egg_finetune_progress *progress = &checkpoint->progress;
    const uint8_t *extra = epoch->extra;
    uint32_t pairs;
    float *weights = egg_evolution_weights(evolution, &pairs);
    egg_status status = egg_journal_weights(epoch, EGG_F32, weights, pairs, name, error);
    if (status != EGG_OK) return status;
    if (epoch->extra_bytes != EGG_FINETUNE_EXTRA_BYTES)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: epoch %" PRIu64 " has %zu bytes of progress, expected %d", name,
                        epoch->epoch, epoch->extra_bytes, EGG_FINETUNE_EXTRA_BYTES);
    egg_evolution_apply(evolution, kernels, pool, epoch->epoch - 1, epoch->rate);
    memcpy(&progress->silent_epochs, extra, 8);
    memcpy(&progress->best_epoch, extra + 8, 8);
    memcpy(&progress->best_valid, extra + 16, 8);
    memcpy(&progress->base_valid, extra + 24, 8);
    progress->epoch = epoch->epoch;
    progress->answers = epoch->position;
    progress->seconds = epoch->seconds;
    progress->valid = epoch->score;
    return EGG_OK;
}
