/* SPDX-License-Identifier: MIT */
/* What a run of reinforcement learning would hold in memory. */
#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "comm/launch.h"
#include "eggroll.h"
#include "envs/plugin.h"
#include "train/machine.h"
#include "train/plan.h"
#include "train/policy_file.h"
#include "train/ranks.h"
#include "train/rl_settings.h"
#include "train/settings.h"

typedef struct planned_run {
    egg_chosen chosen;
    const egg_settings *settings;
    egg_env_handle env;
    egg_kernels kernels;
    egg_mlp policy;                  /* without weights */
    uint64_t held;                   /* bytes of the process before anything else */
} planned_run;

static egg_status open_planned(planned_run *run, const egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    run->held = egg_system_resident_bytes();
    EGG_TRY(egg_settings_choose(&run->chosen, options, egg_rl_resolve, error));
    const egg_settings *s = run->settings = egg_options_values(run->chosen.options);
    EGG_TRY(egg_env_open(&run->env, s->env, error));
    EGG_TRY(egg_machine_open(&run->kernels, s->device, egg_launch_find().local_rank, error));
    egg_mlp_shape shape = egg_rl_policy(s, run->env.env);
    EGG_TRY(egg_mlp_open(&run->policy, &shape, NULL, error));
    if (*s->freeze) EGG_TRY(egg_params_freeze(run->policy.params, run->policy.param_count, s->freeze, error));
    egg_params_plan_for(run->policy.params, run->policy.param_count, &run->kernels);
out:
    return status;
}

/* Nobody is asked: a plan is of this rank alone. */
static egg_status add_up(const planned_run *run, egg_plan *plan, egg_error *error)
{
    const egg_settings *s = run->settings;
    const egg_mlp *policy = &run->policy;
    const uint32_t threads = s->threads ? (uint32_t)s->threads : egg_processor_count();
    const uint32_t ranks = egg_launch_find().size, sharding = (uint32_t)s->update_sharding;
    const egg_rollout_shape rollout = egg_rl_rollout(s, run->env.env, threads);
    const egg_memory_bytes episodes = egg_rollout_bytes(&rollout, policy);
    egg_evolution_shape shape = egg_rl_evolution(s, threads);
    shape.shard = egg_ranks_first_shard(0, ranks, sharding);
    const egg_memory_bytes parameters = egg_params_bytes(policy->params, policy->param_count, &run->kernels);
    uint64_t exchanged = egg_ranks_update_bytes(ranks, sharding, policy->params, policy->param_count);
    uint64_t kept = egg_policy_floats(policy) * sizeof(float) + s->eval_episodes * sizeof(float);

    *plan = (egg_plan){.parameters = egg_mlp_parameters(policy), .epochs = s->epochs,
                       .available_bytes = egg_system_available_bytes()};
    egg_plan_add(plan, "program", egg_plan_program_bytes(run->held, threads));
    egg_plan_add(plan, "parameters, a copy to save", parameters.host + kept);
    egg_plan_add(plan, run->kernels.device ? "optimizer" : "optimizer, scratch for updating",
                 egg_evolution_bytes(&shape, policy->params, policy->param_count));
    if (exchanged) egg_plan_add(plan, "rows on their way between ranks", exchanged);
    egg_plan_add(plan, "episodes in flight, returns", episodes.host);
    if (run->kernels.device) {
        plan->device_available_bytes = egg_plan_device_available(run->kernels.device);
        egg_plan_add_device(plan, "device: parameters", parameters.device);
        egg_plan_add_device(plan, "device: optimizer, scratch for updating",
                            egg_evolution_device_bytes(&shape, policy->params, policy->param_count));
        egg_plan_add_device(plan, "device: noise, scratch for the policy", episodes.device);
    }
    return egg_plan_check(plan, run->held, 0, error);
}

egg_status egg_rl_plan(egg_plan *plan, const egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    planned_run run = {0};
    *plan = (egg_plan){0};
    EGG_TRY(open_planned(&run, options, error));
    EGG_TRY(add_up(&run, plan, error));
out:
    egg_mlp_close(&run.policy);
    egg_env_close(&run.env);
    egg_machine_close(&run.kernels);
    egg_options_free(run.chosen.options);
    egg_free(run.chosen.folder);
    return status;
}
