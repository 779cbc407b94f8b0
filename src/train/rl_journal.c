/* SPDX-License-Identifier: MIT */
#include "train/rl_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void egg_rl_journal_facts(char facts[EGG_RL_FACTS_BYTES], const egg_mlp_shape *shape, const egg_policy_info *info)
{
    snprintf(facts, EGG_RL_FACTS_BYTES, "environment=%s\ninputs=%u\noutputs=%u\nactions=%s\n", info->environment,
             shape->inputs, shape->outputs, shape->deviation ? "continuous" : "discrete");
}

static egg_status read_number(const egg_ledger_record *run, const char *name, const char *key, uint32_t *value,
                              egg_error *error)
{
    char text[24] = "", *end;
    bool there = egg_journal_fact(run, key, text, sizeof text);
    unsigned long number = strtoul(text, &end, 10);
    if (!there || !*text || *end || number == 0 || number > 1 << 20)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: record %" PRIu64 ": '%s' is '%s', expected a number from 1 to %d",
                        name, run->number, key, text, 1 << 20);
    *value = (uint32_t)number;
    return EGG_OK;
}

egg_status egg_rl_journal_read_facts(const egg_ledger_record *run, const char *name, egg_mlp_shape *shape,
                                     egg_policy_info *info, egg_error *error)
{
    egg_status status = EGG_OK;
    char actions[16] = "";
    EGG_TRY(read_number(run, name, "inputs", &shape->inputs, error));
    EGG_TRY(read_number(run, name, "outputs", &shape->outputs, error));
    if (!egg_journal_fact(run, "environment", info->environment, sizeof info->environment) ||
        !egg_journal_fact(run, "actions", actions, sizeof actions))
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: record %" PRIu64 " names no environment or no actions", name,
                          run->number);
    shape->deviation = strcmp(actions, "continuous") == 0;
out:
    return status;
}

size_t egg_rl_journal_extra_bytes(const egg_normalizer *normalizer)
{
    return 8 + sizeof(double) + 2 * normalizer->n * sizeof(double);
}

size_t egg_rl_journal_extra(uint8_t *extra, const egg_normalizer *normalizer, uint64_t episodes)
{
    size_t each = normalizer->n * sizeof(double);
    memcpy(extra, &episodes, 8);
    memcpy(extra + 8, &normalizer->count, 8);
    memcpy(extra + 16, normalizer->mean, each);
    memcpy(extra + 16 + each, normalizer->squares, each);
    return egg_rl_journal_extra_bytes(normalizer);
}

egg_status egg_rl_journal_apply(egg_rl_checkpoint *checkpoint, egg_evolution *evolution, const egg_kernels *kernels,
                                egg_pool *pool, const egg_journal_epoch *epoch, const char *name, egg_error *error)
{
    egg_normalizer *normalizer = checkpoint->normalizer;
    egg_rl_progress *progress = &checkpoint->progress;
    const uint8_t *extra = epoch->extra;
    size_t each = normalizer->n * sizeof(double);
    uint32_t pairs;
    float *weights = egg_evolution_weights(evolution, &pairs);
    egg_status status = egg_journal_weights(epoch, EGG_F32, weights, pairs, name, error);
    if (status != EGG_OK) return status;
    if (epoch->extra_bytes != egg_rl_journal_extra_bytes(normalizer))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: epoch %" PRIu64 " has %zu bytes of statistics, expected %zu", name,
                        epoch->epoch, epoch->extra_bytes, egg_rl_journal_extra_bytes(normalizer));
    egg_evolution_apply(evolution, kernels, pool, epoch->epoch - 1, epoch->rate);
    memcpy(&progress->episodes, extra, 8);
    memcpy(&normalizer->count, extra + 8, 8);
    memcpy(normalizer->mean, extra + 16, each);
    memcpy(normalizer->squares, extra + 16 + each, each);
    progress->epoch = epoch->epoch;
    progress->env_steps = epoch->position;
    progress->seconds = epoch->seconds;
    progress->eval_return = epoch->score;
    return EGG_OK;
}
