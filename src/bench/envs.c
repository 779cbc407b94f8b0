/* SPDX-License-Identifier: MIT */
/* Steps a second of each environment on one thread, with random actions, resets counted in. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "bench/bench.h"
#include "envs/env.h"

enum { ACTION_SETS = 1024 };   /* drawn beforehand, to be used in turn */

typedef struct egg_bench_env {
    const egg_env *env;
    void *state;
    float *observation;    /* (observations) */
    float *actions;        /* (ACTION_SETS, action_size) */
    uint32_t action_size, steps;
    uint64_t episodes;
    bool ready;            /* 'init' has prepared the state */
} egg_bench_env;

static void draw_actions(egg_bench_env *bench)
{
    egg_words words = {.key = egg_key_make(1, EGG_DOMAIN_ROLLOUT)};
    const egg_env *env = bench->env;
    for (size_t i = 0; i < (size_t)ACTION_SETS * bench->action_size; i++)
        bench->actions[i] = env->discrete ? (float)egg_env_below(&words, env->actions)
                                          : egg_env_between(&words, env->action_low, env->action_high);
}

static egg_status open_env(egg_bench_env *bench, const egg_env *env, egg_error *error)
{
    *bench = (egg_bench_env){.env = env, .action_size = env->discrete ? 1 : env->actions};
    bench->state = egg_alloc(env->state_bytes);
    bench->observation = egg_alloc(env->observations * sizeof *bench->observation);
    bench->actions = egg_alloc((size_t)ACTION_SETS * bench->action_size * sizeof *bench->actions);
    if (!bench->state || !bench->observation || !bench->actions)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %s", env->name);
    memset(bench->state, 0, env->state_bytes);
    draw_actions(bench);
    egg_status status = env->init ? env->init(bench->state, error) : EGG_OK;
    bench->ready = status == EGG_OK;
    return status;
}

static void close_env(egg_bench_env *bench)
{
    if (bench->ready && bench->env->fini) bench->env->fini(bench->state);
    egg_free(bench->state);
    egg_free(bench->observation);
    egg_free(bench->actions);
}

static egg_status take_steps(void *context, egg_error *error)
{
    egg_bench_env *bench = context;
    const egg_env *env = bench->env;
    uint32_t in_episode = env->max_steps;
    (void)error;
    for (uint32_t i = 0; i < bench->steps; i++) {
        float reward;
        if (in_episode == env->max_steps) {
            env->reset(bench->state, bench->episodes++, bench->observation);
            in_episode = 0;
        }
        const float *action = bench->actions + (size_t)(i % ACTION_SETS) * bench->action_size;
        in_episode++;
        if (env->step(bench->state, action, bench->observation, &reward)) in_episode = env->max_steps;
    }
    return EGG_OK;
}

/* As many steps as take about a twentieth of a second. */
static void choose_steps(egg_bench_env *bench)
{
    enum { MAX_STEPS = 1 << 24 };
    double seconds = 0;
    for (bench->steps = 256; seconds < 0.05 && bench->steps < MAX_STEPS; bench->steps *= 2) {
        double begun = egg_clock_seconds();
        take_steps(bench, NULL);
        seconds = egg_clock_seconds() - begun;
    }
}

static egg_status measure(const egg_bench_setting *setting, const egg_env *env, egg_error *error)
{
    egg_bench_env bench;
    egg_status status = EGG_OK;
    EGG_TRY(open_env(&bench, env, error));
    choose_steps(&bench);
    egg_contender contender = {.name = "random actions, one thread", .run = take_steps, .context = &bench,
                               .work = bench.steps, .unit = "steps/s"};
    EGG_TRY(egg_contest(&contender, 1, setting->repetitions, error));
    egg_report_rate(&setting->report, env->name, &contender, setting->repetitions);
out:
    close_env(&bench);
    return status;
}

egg_status egg_bench_envs(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    for (size_t i = 0; status == EGG_OK && i < egg_env_count(); i++) {
        egg_env_entry entry = egg_env_at(i);
        if (!entry.missing) status = measure(setting, entry.env, error);
    }
    return status;
}
