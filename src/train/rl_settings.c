/* SPDX-License-Identifier: MIT */
#include "train/rl_settings.h"

#include "envs/plugin.h"
#include "train/precision.h"
#include "train/presets.h"

egg_status egg_evolution_resolve(egg_options *options, egg_error *error)
{
    const egg_settings *s = egg_options_values(options);
    if (s->algorithm == EGG_ALGORITHM_OPENES) egg_options_resolve_integer(options, "rank", 1);
    if (s->optimizer == EGG_OPTIMIZER_ADAMW && s->weight_decay == 0)
        egg_options_resolve_number(options, "weight-decay", 1e-4);
    if (s->sigma <= 0)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--sigma: expected more than 0, found %g: nothing would be perturbed",
                        s->sigma);
    egg_shaping shaping = egg_rl_evolution(s, 1).shaping;
    egg_error reason = {0};
    if (egg_shaping_check(&shaping, (uint32_t)s->population, &reason) != EGG_OK)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--population: %s", reason.text);
    return EGG_OK;
}

egg_status egg_rl_check(egg_options *options, egg_error *error)
{
    const egg_settings *s = egg_options_values(options);
    if (s->policy_width % EGG_ROW_QUANTUM)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--policy-width: %llu is not a multiple of %d",
                        (unsigned long long)s->policy_width, EGG_ROW_QUANTUM);
    egg_status status = egg_precision_check(s, error);
    return status == EGG_OK ? egg_evolution_resolve(options, error) : status;
}

egg_status egg_rl_resolve(egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_env_handle handle = {0};
    const egg_settings *s = egg_options_values(options);
    if (!*s->env) return egg_fail(error, EGG_ERR_ARGUMENT,
                                  "ENV is missing: name an environment that `eggroll envs` lists");
    EGG_TRY(egg_env_open(&handle, s->env, error));
    bool bounded = s->epochs || s->env_steps || s->minutes != 0 || s->target != 0;
    EGG_TRY(egg_preset_apply(options, handle.env->name, error));
    if (bounded && !egg_options_is_set(options, "env-steps")) egg_options_resolve_integer(options, "env-steps", 0);
    if (!s->epochs && !s->env_steps && s->minutes == 0) egg_options_resolve_number(options, "minutes", 1);
    if (s->episodes == 0) egg_options_resolve_integer(options, "episodes", 1);
    if (s->weights == EGG_WEIGHTS_AUTO) EGG_TRY(egg_options_set(options, "weights", "f32", error));
    EGG_TRY(egg_rl_check(options, error));
out:
    egg_env_close(&handle);
    return status;
}

static egg_shaping shaping_of(const egg_settings *s)
{
    return (egg_shaping){.kind = (egg_shaping_kind)s->shaping, .group = (uint32_t)s->group,
                         .antithetic = s->pairs == 0};
}

egg_evolution_shape egg_rl_evolution(const egg_settings *s, uint32_t threads)
{
    return (egg_evolution_shape){
        .seed = s->seed,
        .population = (uint32_t)s->population,
        .rank = (uint32_t)s->rank,
        .dense = s->algorithm == EGG_ALGORITHM_OPENES,
        .sigma = s->sigma,
        .sigma_decay = s->sigma_decay,
        .rate = s->rate,
        .rate_decay = s->rate_decay,
        .noise_reuse = s->noise_reuse,
        .shaping = shaping_of(s),
        .optimizer = {.kind = (egg_optimizer_kind)s->optimizer, .beta1 = (float)s->beta1, .beta2 = (float)s->beta2,
                      .epsilon = (float)s->epsilon, .weight_decay = (float)s->weight_decay,
                      .clip = (float)s->clip_norm},
        .threads = threads,
    };
}

egg_rollout_shape egg_rl_rollout(const egg_settings *s, const egg_env *env, uint32_t threads)
{
    return (egg_rollout_shape){
        .env = env,
        .population = (uint32_t)s->population,
        .episodes = (uint32_t)s->episodes,
        .antithetic = s->pairs == 0,
        .shaping = shaping_of(s),
        .rank = (uint32_t)s->rank,
        .dense = s->algorithm == EGG_ALGORITHM_OPENES,
        .deterministic = s->policy == 1,
        .seeds = (egg_episode_seeds)s->episode_seeds,
        .seed = s->seed,
        .max_steps = (uint32_t)s->max_steps,
        .slots = (uint32_t)s->slots,
        .threads = threads,
    };
}

egg_mlp_shape egg_rl_policy(const egg_settings *s, const egg_env *env)
{
    egg_mlp_shape shape = egg_rollout_policy_shape(env, (uint32_t)s->policy_width, (uint32_t)s->policy_layers,
                                                   (egg_activation)s->activation);
    shape.precision = egg_precision_of(s);
    return shape;
}
