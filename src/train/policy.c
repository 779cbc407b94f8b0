/* SPDX-License-Identifier: MIT */
/* A trained policy in use: evaluated, watched. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "eggroll.h"
#include "envs/plugin.h"
#include "tasks/rollout.h"
#include "train/describe.h"
#include "train/machine.h"
#include "train/options.h"
#include "train/policy.h"
#include "train/precision.h"
#include "train/run.h"

bool egg_policy_is(const char *path)
{
    char file_path[EGG_PATH_BYTES];
    egg_safetensors *file = NULL;
    if (egg_describe_model_path(path, file_path, sizeof file_path, NULL) != EGG_OK) return false;
    bool is = egg_safetensors_open(&file, file_path, NULL) == EGG_OK && egg_policy_file_is(file);
    egg_safetensors_close(file);
    return is;
}

static egg_status check_spaces(const egg_policy *policy, const char *path, egg_error *error)
{
    const egg_env *env = policy->env.env;
    const egg_mlp_shape *shape = &policy->mlp.shape;
    if (shape->inputs == env->observations && shape->outputs == env->actions && shape->deviation == !env->discrete)
        return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: a policy of %u observations and %u %s actions, but %s has %u and %u %s",
                    path,
                    shape->inputs, shape->outputs, shape->deviation ? "continuous" : "discrete", env->name,
                    env->observations, env->actions, env->discrete ? "discrete" : "continuous");
}

static egg_status open_policy(egg_policy **out, const char *path, const char *device, egg_precision precision,
                              egg_error *error)
{
    egg_status status = EGG_OK;
    char file_path[EGG_PATH_BYTES];
    egg_safetensors *file = NULL;
    *out = NULL;
    egg_policy *policy = egg_alloc(sizeof *policy);
    if (!policy) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a policy");
    EGG_TRY(egg_describe_model_path(path, file_path, sizeof file_path, error));
    EGG_TRY(egg_machine_open(&policy->kernels, device, 0, error));
    EGG_TRY(egg_safetensors_open(&file, file_path, error));
    EGG_TRY(egg_policy_file_read_as(&policy->mlp, &policy->normalizer, &policy->info, file, file_path, &policy->kernels,
                                    precision, error));
    EGG_TRY(egg_env_open(&policy->env, policy->info.environment, error));
    EGG_TRY(check_spaces(policy, file_path, error));
    *out = policy;
    policy = NULL;
out:
    egg_safetensors_close(file);
    egg_policy_close(policy);
    return status;
}

egg_status egg_policy_open(egg_policy **policy, const char *path, egg_error *error)
{
    return open_policy(policy, path, "cpu", (egg_precision){0}, error);
}

egg_status egg_policy_open_with(egg_policy **policy, const char *path, const egg_options *options, egg_error *error)
{
    const egg_settings *settings = egg_options_values(options);
    *policy = NULL;
    egg_status status = egg_precision_check(settings, error);
    return status == EGG_OK ? open_policy(policy, path, settings->device, egg_precision_of(settings), error) : status;
}

void egg_policy_close(egg_policy *policy)
{
    if (!policy) return;
    egg_mlp_close(&policy->mlp);
    egg_normalizer_close(&policy->normalizer);
    egg_env_close(&policy->env);
    egg_machine_close(&policy->kernels);
    egg_free(policy);
}

static egg_status open_rollout(egg_rollout **rollout, egg_policy *policy, uint32_t threads, uint32_t rows,
                               egg_error *error)
{
    const egg_rollout_shape shape = {.env = policy->env.env, .population = rows * threads, .episodes = 1, .rank = 1,
                                     .deterministic = policy->info.deterministic, .slots = rows, .threads = threads};
    return egg_rollout_open(rollout, &shape, &policy->mlp, &policy->normalizer, error);
}

static void summarize(egg_returns *result, const float *returns, uint32_t n)
{
    double sum = 0, squares = 0;
    result->best = -INFINITY;
    result->worst = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        sum += returns[i];
        result->best = fmax(result->best, returns[i]);
        result->worst = fmin(result->worst, returns[i]);
    }
    result->mean = sum / n;
    for (uint32_t i = 0; i < n; i++) squares += pow(returns[i] - result->mean, 2);
    result->deviation = sqrt(squares / n);
}

egg_status egg_policy_evaluate(egg_policy *policy, const egg_options *options, egg_returns *result, egg_error *error)
{
    enum { USUAL_EPISODES = 100, MOST_ROWS = 64, DEVICE_ROWS = 4096 };
    egg_status status = EGG_OK;
    const egg_settings *settings = egg_options_values(options);
    uint32_t n = settings->episodes ? (uint32_t)settings->episodes : USUAL_EPISODES;
    egg_pool *pool = NULL;
    egg_rollout *rollout = NULL;
    egg_rollout_stats stats = {0};
    float *returns = egg_alloc_array(n, sizeof *returns);
    *result = (egg_returns){0};
    if (!returns) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the returns of %u episodes", n);
    EGG_TRY(egg_pool_open(&pool, (uint32_t)settings->threads, error));
    const bool device = policy->kernels.device;
    uint32_t threads = egg_pool_threads(pool), rows = device ? n : (n + threads - 1) / threads;
    uint32_t most = device ? DEVICE_ROWS : MOST_ROWS;
    EGG_TRY(open_rollout(&rollout, policy, threads, rows < most ? rows : most, error));
    double begun = egg_clock_seconds();
    EGG_TRY(egg_rollout_play(rollout, &policy->kernels, pool, settings->seed, n, returns, &stats, error));
    if (stats.invalid) {
        status = egg_fail(error, EGG_ERR_FORMAT,
                          "%s gave rewards or observations that are not finite in %llu of %u episodes",
                          policy->env.env->name, (unsigned long long)stats.invalid, n);
        goto out;
    }
    summarize(result, returns, n);
    result->episodes = stats.episodes;
    result->env_steps = stats.steps;
    result->seconds = egg_clock_seconds() - begun;
out:
    egg_rollout_close(rollout);
    egg_pool_close(pool);
    egg_free(returns);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ watch */

enum { FRAME_BYTES = 1 << 16 };

typedef struct viewer {
    const egg_env *env;
    egg_frame_fn *show;
    void *context;
    char *text;                    /* (FRAME_BYTES) */
} viewer;

static bool show_state(void *context, const void *state, uint32_t steps, double total, bool ended)
{
    const viewer *v = context;
    if (v->env->render) v->env->render(state, v->text, FRAME_BYTES);
    return v->show(v->context, v->env->render ? v->text : NULL, steps, total, ended);
}

egg_status egg_policy_play(egg_policy *policy, uint64_t seed, egg_frame_fn *show, void *context, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rollout *rollout = NULL;
    viewer v = {.env = policy->env.env, .show = show, .context = context, .text = egg_alloc(FRAME_BYTES)};
    if (!v.text) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a frame");
    EGG_TRY(open_rollout(&rollout, policy, 1, 1, error));
    EGG_TRY(egg_rollout_watch(rollout, &policy->kernels, seed, show_state, &v, error));
out:
    egg_rollout_close(rollout);
    egg_free(v.text);
    return status;
}
