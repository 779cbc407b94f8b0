/* SPDX-License-Identifier: MIT */
/* What the host does for a device in reinforcement learning: a pretended one has to give the processor's bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "es/device_memory.h"
#include "es/evolution.h"
#include "pretended_device.h"
#include "tasks/rollout.h"

enum { POPULATION = 20, EPISODES = 2, EPOCHS = 4, BOUND = 9, PLAYED = 5, WIDTH = 144, LAYERS = 1 };

/* ------------------------------------------------------------------------------------------------- an environment */

/* Two numbers that actions push around; episodes are of different lengths. */
typedef struct probe {
    float x[2];
    uint32_t steps, last;
} probe;

static void observe(const probe *p, float *observation)
{
    observation[0] = p->x[0];
    observation[1] = 10 + 5 * p->x[1];
    observation[2] = (float)p->steps / 8;
}

static void probe_reset(void *state, uint64_t seed, float *observation)
{
    probe *p = state;
    *p = (probe){.x = {0.5f, (float)(seed % 7) / 7}, .last = 3 + (uint32_t)(seed % 11)};
    observe(p, observation);
}

static bool probe_step(void *state, const float *action, float *observation, float *reward)
{
    probe *p = state;
    for (int i = 0; i < 2; i++) p->x[i] += 0.1f * action[i];
    *reward = 1 - p->x[0] * p->x[0] - p->x[1] * p->x[1];
    observe(p, observation);
    return ++p->steps == p->last;
}

static const egg_env env = {
    .version = EGG_ENV_VERSION, .name = "Probe", .summary = "", .observations = 3, .actions = 2, .action_low = -2,
    .action_high = 2, .max_steps = BOUND, .state_bytes = sizeof(probe), .reset = probe_reset, .step = probe_step,
};

/* ------------------------------------------------------------------------------------------------------------ runs */

typedef struct run_kind {
    egg_optimizer_kind optimizer;
    float clip;
    bool dense, baseline, frozen_deviation;
    uint32_t rank, slots, threads;
} run_kind;

typedef struct result {
    egg_hash states[EPOCHS];
    float fitness[EPOCHS][POPULATION], returns[PLAYED];
    double norms[EPOCHS], shift[3];
    egg_rollout_stats stats[EPOCHS];
    double watched;
} result;

typedef struct stage {
    egg_mlp policy;
    egg_normalizer normalizer;
    egg_rollout *rollout;
    egg_evolution *evolution;
    egg_evolution_shape evolution_shape;
} rl_stage;

static egg_shaping shaping_of(const run_kind *kind)
{
    return (egg_shaping){.kind = kind->baseline ? EGG_SHAPING_BASELINE : EGG_SHAPING_ZSCORE,
                         .group = kind->baseline ? 10 : 0, .antithetic = true};
}

static egg_rollout_shape rollout_shape(const run_kind *kind)
{
    return (egg_rollout_shape){.env = &env, .population = POPULATION, .episodes = EPISODES, .antithetic = true,
                               .shaping = shaping_of(kind), .rank = kind->rank, .dense = kind->dense, .seed = 5,
                               .slots = kind->slots, .threads = kind->threads};
}

static egg_evolution_shape evolution_shape(const run_kind *kind)
{
    return (egg_evolution_shape){
        .seed = 9, .population = POPULATION, .rank = kind->rank, .dense = kind->dense, .sigma = 0.05, .sigma_decay = 0.9,
        .rate = 0.1, .rate_decay = 0.8, .noise_reuse = 1, .shaping = shaping_of(kind), .threads = kind->threads,
        .optimizer = {.kind = kind->optimizer, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f, .clip = kind->clip},
    };
}

static egg_status open_stage(rl_stage *stage, const run_kind *kind, const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_mlp_shape shape = egg_rollout_policy_shape(&env, WIDTH, LAYERS, EGG_ACTIVATION_TANH);
    const egg_rollout_shape rollout = rollout_shape(kind);
    stage->evolution_shape = evolution_shape(kind);
    EGG_TRY(egg_mlp_open(&stage->policy, &shape, kernels, error));
    if (kind->frozen_deviation)
        EGG_TRY(egg_params_freeze(stage->policy.params, stage->policy.param_count, "log_std", error));
    EGG_TRY(egg_normalizer_open(&stage->normalizer, env.observations, error));
    egg_mlp_init_weights(&stage->policy, 3, 1, -1);
    EGG_TRY(egg_evolution_open(&stage->evolution, &stage->evolution_shape, stage->policy.params,
                               stage->policy.param_count, error));
    EGG_TRY(egg_rollout_open(&stage->rollout, &rollout, &stage->policy, &stage->normalizer, error));
    egg_mlp_pack(&stage->policy, kernels);
    egg_normalizer_refresh(&stage->normalizer, true);
out:
    return status;
}

static void close_stage(rl_stage *stage)
{
    egg_rollout_close(stage->rollout);
    egg_evolution_close(stage->evolution);
    egg_normalizer_close(&stage->normalizer);
    egg_mlp_close(&stage->policy);
}

static bool watch(void *context, const void *state, uint32_t steps, double total, bool ended)
{
    (void)state, (void)steps, (void)ended;
    *(double *)context = total;
    return true;
}

static void run_epoch(rl_stage *stage, const egg_kernels *kernels, egg_pool *pool, uint64_t epoch, result *out)
{
    const egg_perturb law = egg_evolution_law(&stage->evolution_shape, epoch);
    const egg_slice all = {.pairs = POPULATION / 2};
    assert_int_equal(egg_rollout_evaluate(stage->rollout, kernels, pool, &law, epoch, all, &out->stats[epoch], NULL),
                     EGG_OK);
    memcpy(out->fitness[epoch], egg_rollout_fitness(stage->rollout), sizeof out->fitness[epoch]);
    out->norms[epoch] = egg_evolution_tell(stage->evolution, kernels, pool, epoch,
                                           egg_rollout_fitness(stage->rollout)).gradient_norm;
    out->states[epoch] = egg_params_state(stage->policy.params, stage->policy.param_count);
    egg_rollout_learn_observations(stage->rollout);
    egg_normalizer_refresh(&stage->normalizer, true);
}

static void run(const egg_kernels *kernels, const run_kind *kind, result *out)
{
    rl_stage stage = {0};
    egg_pool *pool;
    memset(out, 0, sizeof *out);
    assert_int_equal(egg_pool_open(&pool, kind->threads, NULL), EGG_OK);
    assert_int_equal(open_stage(&stage, kind, kernels, NULL), EGG_OK);
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) run_epoch(&stage, kernels, pool, epoch, out);
    memcpy(out->shift, stage.normalizer.mean, sizeof out->shift);
    assert_int_equal(egg_rollout_play(stage.rollout, kernels, pool, 77, PLAYED, out->returns, NULL, NULL), EGG_OK);
    assert_int_equal(egg_rollout_watch(stage.rollout, kernels, 78, watch, &out->watched, NULL), EGG_OK);
    close_stage(&stage);
    egg_pool_close(pool);
}

static const run_kind kinds[] = {
    {.optimizer = EGG_OPTIMIZER_ADAM, .clip = 0.01f, .rank = 2, .threads = 3},
    {.optimizer = EGG_OPTIMIZER_SGD, .clip = 0.01f, .rank = 1, .slots = 3, .threads = 1},
    {.optimizer = EGG_OPTIMIZER_MOMENTUM, .rank = 1, .dense = true, .threads = 2},
    {.optimizer = EGG_OPTIMIZER_ADAMW, .rank = 3, .baseline = true, .frozen_deviation = true, .slots = 4, .threads = 2},
};

static void test_same_bits(void **state)
{
    (void)state;
    static result expected, found;
    const egg_kernels host = pretended_kernels(false), device = pretended_kernels(true);
    for (size_t i = 0; i < EGG_COUNT(kinds); i++) {
        run(&host, &kinds[i], &expected);
        run(&device, &kinds[i], &found);
        assert_memory_equal(&found, &expected, sizeof found);
        assert_true(expected.stats[0].cut > 0 && expected.stats[0].cut < expected.stats[0].episodes);
        assert_int_equal(pretended_blocks(), 0);
    }
}

/* Evaluating and updating bring nothing back but what the host needs: scores, deviations and squares, no weights. */
static void test_weights_stay(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    static result out;
    rl_stage stage = {0};
    assert_int_equal(open_stage(&stage, &kinds[0], &kernels, NULL), EGG_OK);
    const egg_perturb law = egg_evolution_law(&stage.evolution_shape, 0);
    assert_int_equal(egg_rollout_evaluate(stage.rollout, &kernels, NULL, &law, 0, (egg_slice){0, POPULATION / 2},
                                          &out.stats[0], NULL), EGG_OK);
    assert_true(pretended.downloaded > 0);
    pretended.downloaded = 0;
    egg_evolution_tell(stage.evolution, &kernels, NULL, 0, egg_rollout_fitness(stage.rollout));
    assert_in_range(pretended.downloaded, 1, 64 * sizeof(double));
    close_stage(&stage);
}

/* What a run takes of the device is what was planned. */
static void test_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(kinds); i++) {
        const egg_kernels kernels = pretended_kernels(true);
        const egg_mlp_shape shape = egg_rollout_policy_shape(&env, WIDTH, LAYERS, EGG_ACTIVATION_TANH);
        const egg_rollout_shape rollout = rollout_shape(&kinds[i]);
        const egg_evolution_shape evolution = evolution_shape(&kinds[i]);
        egg_mlp planned;
        rl_stage stage = {0};
        assert_int_equal(egg_mlp_open(&planned, &shape, NULL, NULL), EGG_OK);
        if (kinds[i].frozen_deviation) planned.params[planned.param_count - 1].frozen = true;
        uint64_t plan = 0;
        for (uint32_t p = 0; p < planned.param_count; p++) {
            planned.params[p].device = kernels.device;
            plan += egg_param_device_bytes(&planned.params[p], &kernels);
        }
        plan += egg_rollout_bytes(&rollout, &planned).device +
                egg_evolution_device_bytes(&evolution, planned.params, planned.param_count);
        pretended.taken = 0;
        assert_int_equal(open_stage(&stage, &kinds[i], &kernels, NULL), EGG_OK);
        assert_in_range(pretended.taken, plan - 1024, plan);   /* pointers to the noise are planned there, too */
        close_stage(&stage);
        egg_mlp_close(&planned);
    }
}

/* Whichever block the device cannot give: an error that says so, and all others given back. */
static void test_no_memory(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    size_t refusals = 0;
    for (size_t allowed = 0;; allowed++) {
        rl_stage stage = {0};
        egg_error error = {0};
        pretended.left = allowed;
        egg_status status = open_stage(&stage, &kinds[0], &kernels, &error);
        close_stage(&stage);
        assert_int_equal(pretended_blocks(), 0);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_non_null(strstr(error.text, "no memory"));
        refusals++;
    }
    pretended.left = SIZE_MAX;
    assert_true(refusals > 30);
}

/* An error of the device ends an evaluation, with its text. */
static void test_device_fails(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    static result out;
    rl_stage stage = {0};
    egg_error error = {0};
    assert_int_equal(open_stage(&stage, &kinds[0], &kernels, NULL), EGG_OK);
    const egg_perturb law = egg_evolution_law(&stage.evolution_shape, 0);
    pretended.failure = "an illegal memory access was encountered";
    assert_int_equal(egg_rollout_evaluate(stage.rollout, &kernels, NULL, &law, 0, (egg_slice){0, POPULATION / 2},
                                          &out.stats[0], &error), EGG_ERR_DEVICE);
    assert_non_null(strstr(error.text, "a pretended device: an illegal"));
    assert_int_equal(egg_rollout_play(stage.rollout, &kernels, NULL, 1, PLAYED, out.returns, NULL, &error),
                     EGG_ERR_DEVICE);
    assert_int_equal(egg_rollout_watch(stage.rollout, &kernels, 1, watch, &out.watched, &error), EGG_ERR_DEVICE);
    pretended.failure = NULL;
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_weights_stay),
                                       cmocka_unit_test(test_plan), cmocka_unit_test(test_no_memory),
                                       cmocka_unit_test(test_device_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
