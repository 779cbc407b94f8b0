/* SPDX-License-Identifier: MIT */
/* A policy, its moments and the statistics of its observations from the journal of its run. */
#include <math.h>

#include "base/memory.h"
#include "train/model_file.h"
#include "train/replay.h"
#include "train/rl_journal.h"
#include "train/rl_settings.h"

typedef struct replayed_policy {
    const egg_settings *settings;
    egg_mlp policy;
    egg_normalizer normalizer;
    egg_evolution *evolution;
    egg_policy_info info;
    egg_rl_progress progress;
    float *plain;              /* the weights without padding */
} replayed_policy;

static void close_state(void *state)
{
    replayed_policy *replayed = state;
    if (!replayed) return;
    egg_evolution_close(replayed->evolution);
    egg_normalizer_close(&replayed->normalizer);
    egg_mlp_close(&replayed->policy);
    egg_free(replayed->plain);
    egg_free(replayed);
}

static egg_status open_state(void **out, const egg_replay_source *source, egg_error *error)
{
    egg_status status = EGG_OK;
    replayed_policy *replayed = egg_alloc(sizeof *replayed);
    *out = NULL;
    if (!replayed) return egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
    const egg_settings *s = replayed->settings = egg_options_values(source->options);
    egg_mlp_shape shape = {.width = (uint32_t)s->policy_width, .layers = (uint32_t)s->policy_layers,
                           .activation = (egg_activation)s->activation};
    egg_evolution_shape evolution = egg_rl_evolution(s, egg_pool_threads(source->pool));
    replayed->info.deterministic = s->policy == 1;
    replayed->progress.eval_return = NAN;
    EGG_TRY(egg_rl_journal_read_facts(source->run, source->name, &shape, &replayed->info, error));
    EGG_TRY(egg_mlp_open(&replayed->policy, &shape, source->kernels, error));
    if (*s->freeze) EGG_TRY(egg_params_freeze(replayed->policy.params, replayed->policy.param_count, s->freeze, error));
    EGG_TRY(egg_normalizer_open(&replayed->normalizer, shape.inputs, error));
    egg_mlp_init_weights(&replayed->policy, s->seed, (float)s->head_scale, (float)s->log_std);
    egg_params_unpack(replayed->policy.params, replayed->policy.param_count);
    EGG_TRY(egg_evolution_open(&replayed->evolution, &evolution, replayed->policy.params, replayed->policy.param_count,
                               error));
    replayed->plain = egg_alloc_array(egg_policy_floats(&replayed->policy), sizeof *replayed->plain);
    if (!replayed->plain) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a policy");
        goto out;
    }
    *out = replayed;
    replayed = NULL;
out:
    close_state(replayed);
    return status;
}

static egg_rl_checkpoint checkpoint_of(replayed_policy *replayed)
{
    egg_normalizer_refresh(&replayed->normalizer, replayed->settings->normalize == 0);
    return (egg_rl_checkpoint){.policy = &replayed->policy, .normalizer = &replayed->normalizer,
                               .progress = replayed->progress};
}

static egg_status apply(void *state, const egg_replay_source *source, const egg_journal_epoch *epoch, egg_error *error)
{
    replayed_policy *replayed = state;
    egg_rl_checkpoint checkpoint = checkpoint_of(replayed);
    egg_status status = egg_rl_journal_apply(&checkpoint, replayed->evolution, source->kernels, source->pool, epoch,
                                             source->name, error);
    replayed->progress = checkpoint.progress;
    return status;
}

static const egg_param *params(const void *state, uint32_t *count)
{
    const replayed_policy *replayed = state;
    *count = replayed->policy.param_count;
    return replayed->policy.params;
}

static egg_status state_hash(void *state, egg_hash *hash, egg_error *error)
{
    const replayed_policy *replayed = state;
    const egg_normalizer *normalizer = &replayed->normalizer;
    egg_hash weights = egg_params_state(replayed->policy.params, replayed->policy.param_count);
    egg_hasher *hasher;
    egg_status status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    egg_hasher_add(hasher, &weights, sizeof weights);
    egg_hasher_add(hasher, &normalizer->count, sizeof normalizer->count);
    egg_hasher_add(hasher, normalizer->mean, normalizer->n * sizeof *normalizer->mean);
    egg_hasher_add(hasher, normalizer->squares, normalizer->n * sizeof *normalizer->squares);
    *hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}

/* Of the weights, and of what observations are shifted and scaled by. */
static egg_status hash_policy(const egg_mlp *policy, const egg_normalizer *normalizer, egg_hash *hash, egg_error *error)
{
    egg_hash weights;
    egg_hasher *hasher;
    egg_status status = egg_params_hash(policy->params, policy->param_count, &weights, error);
    if (status == EGG_OK) status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    egg_hasher_add(hasher, &weights, sizeof weights);
    egg_hasher_add(hasher, normalizer->shift, normalizer->n * sizeof *normalizer->shift);
    egg_hasher_add(hasher, normalizer->scale, normalizer->n * sizeof *normalizer->scale);
    *hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}

static egg_status model_hash(void *state, egg_hash *hash, egg_error *error)
{
    replayed_policy *replayed = state;
    checkpoint_of(replayed);
    return hash_policy(&replayed->policy, &replayed->normalizer, hash, error);
}

static egg_status load(void *state, const char *path, uint64_t *epoch, egg_error *error)
{
    egg_rl_checkpoint checkpoint = checkpoint_of(state);
    egg_status status = egg_rl_checkpoint_load(&checkpoint, path, error);
    *epoch = checkpoint.progress.epoch;
    return status;
}

static egg_status file_hash(const egg_safetensors *file, const char *path, egg_hash *hash, egg_error *error)
{
    egg_kernels kernels;
    egg_mlp policy;
    egg_normalizer normalizer;
    egg_policy_info info;
    egg_kernels_init(&kernels, 0);
    egg_status status = egg_policy_file_read(&policy, &normalizer, &info, file, path, &kernels, error);
    if (status != EGG_OK) return status;
    status = hash_policy(&policy, &normalizer, hash, error);
    egg_mlp_close(&policy);
    egg_normalizer_close(&normalizer);
    return status;
}

static egg_status save(void *state, const char *path, egg_error *error)
{
    replayed_policy *replayed = state;
    egg_rl_checkpoint checkpoint = checkpoint_of(replayed);
    return egg_rl_checkpoint_save_policy(&checkpoint, &replayed->info, replayed->plain, path, error);
}

const egg_replay_ops egg_replay_rl = {
    .command = "rl",
    .is_float = true,
    .check = egg_rl_check,
    .open = open_state,
    .close = close_state,
    .apply = apply,
    .params = params,
    .state_hash = state_hash,
    .model_hash = model_hash,
    .load = load,
    .file_hash = file_hash,
    .save = save,
};
