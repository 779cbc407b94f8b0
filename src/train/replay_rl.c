/* SPDX-License-Identifier: MIT */
/* A policy, its moments and the statistics of its observations from the journal of its run. */
#include <math.h>

#include "base/memory.h"
#include "train/model_file.h"
#include "train/replay.h"
#include "train/rl_journal.h"
#include "train/rl_settings.h"

typedef struct replayed_policy {
    egg_replay_state base;
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
    egg_evolution_close(replayed->evolution);
    egg_normalizer_close(&replayed->normalizer);
    egg_mlp_close(&replayed->policy);
    egg_free(replayed->plain);
}

static egg_status open_state(void *state, const egg_replay_source *source, egg_error *error)
{
    egg_status status = EGG_OK;
    replayed_policy *replayed = state;
    egg_mlp *policy = &replayed->policy;
    const egg_settings *s = replayed->settings = egg_options_values(source->options);
    egg_mlp_shape shape = {.width = (uint32_t)s->policy_width, .layers = (uint32_t)s->policy_layers,
                           .activation = (egg_activation)s->activation};
    egg_evolution_shape evolution = egg_rl_evolution(s, egg_pool_threads(source->pool));
    replayed->info.deterministic = s->policy == 1;
    replayed->progress.eval_return = NAN;
    EGG_TRY(egg_rl_journal_read_facts(source->run, source->name, &shape, &replayed->info, error));
    EGG_TRY(egg_mlp_open(policy, &shape, source->kernels, error));
    replayed->base = (egg_replay_state){policy->params, policy->param_count};
    if (*s->freeze) EGG_TRY(egg_params_freeze(policy->params, policy->param_count, s->freeze, error));
    EGG_TRY(egg_normalizer_open(&replayed->normalizer, shape.inputs, error));
    egg_mlp_init_weights(policy, s->seed, (float)s->head_scale, (float)s->log_std);
    egg_params_unpack(policy->params, policy->param_count);
    EGG_TRY(egg_evolution_open(&replayed->evolution, &evolution, policy->params, policy->param_count, error));
    replayed->plain = egg_alloc_array(egg_policy_floats(policy), sizeof *replayed->plain);
    if (!replayed->plain) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a policy");
out:
    return status;
}

static egg_status open_file(void *state, const egg_safetensors *file, const char *path, egg_error *error)
{
    replayed_policy *replayed = state;
    egg_mlp *policy = &replayed->policy;
    egg_kernels kernels;
    egg_kernels_init(&kernels, 0);
    egg_status status = egg_policy_file_read(policy, &replayed->normalizer, &replayed->info, file, path, &kernels,
                                             error);
    if (status == EGG_OK) replayed->base = (egg_replay_state){policy->params, policy->param_count};
    return status;
}

static egg_rl_checkpoint checkpoint_of(replayed_policy *replayed)
{
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
    egg_normalizer_refresh(&replayed->normalizer, replayed->settings->normalize == 0);
    return status;
}

static void hash_state(const void *state, egg_hasher *hasher)
{
    const egg_normalizer *normalizer = &((const replayed_policy *)state)->normalizer;
    egg_hasher_add(hasher, &normalizer->count, sizeof normalizer->count);
    egg_hasher_add(hasher, normalizer->mean, normalizer->n * sizeof *normalizer->mean);
    egg_hasher_add(hasher, normalizer->squares, normalizer->n * sizeof *normalizer->squares);
}

/* What observations are shifted and scaled by. */
static void hash_model(const void *state, egg_hasher *hasher)
{
    const egg_normalizer *normalizer = &((const replayed_policy *)state)->normalizer;
    egg_hasher_add(hasher, normalizer->shift, normalizer->n * sizeof *normalizer->shift);
    egg_hasher_add(hasher, normalizer->scale, normalizer->n * sizeof *normalizer->scale);
}

static egg_status load(void *state, const char *path, uint64_t *epoch, egg_error *error)
{
    egg_rl_checkpoint checkpoint = checkpoint_of(state);
    egg_status status = egg_rl_checkpoint_load(&checkpoint, path, error);
    *epoch = checkpoint.progress.epoch;
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
    .state_bytes = sizeof(replayed_policy),
    .check = egg_rl_check,
    .open = open_state,
    .open_file = open_file,
    .close = close_state,
    .apply = apply,
    .hash_state = hash_state,
    .hash_model = hash_model,
    .load = load,
    .save = save,
};
