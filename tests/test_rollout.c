/* SPDX-License-Identifier: MIT */
/* The rollout task on environments whose episodes can be told beforehand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "es/evolution.h"
#include "tasks/rollout.h"

enum { WIDTH = 32, LAYERS = 2, BOUND = 40, LOG = 1 << 16, RANK = 2 };

static egg_kernels kernels;

/* ------------------------------------------------------------------------------------------------- an environment */

/* Two numbers that the actions push around; nothing random unless 'fault' looks at the seed. */
typedef struct probe {
    float x[2];
    uint32_t steps;
    uint64_t seed;
} probe;

typedef enum fault { NO_FAULT, NAN_REWARD, INFINITE_OBSERVATION, NAN_AT_RESET } fault;

/* Written by tests of one thread only. */
static fault probe_fault;
static float logged[LOG][3];
static uint64_t seeds[LOG];
static uint32_t log_count, seed_count;
static int prepared, refused_at = -1;

static bool is_faulty(const probe *p)
{
    return p->seed % 3 == 0;
}

static void observe(const probe *p, float *observation)
{
    observation[0] = p->x[0];
    observation[1] = 10 + 5 * p->x[1];
    observation[2] = (float)p->steps / 8;
    if (log_count < LOG) memcpy(logged[log_count++], observation, sizeof logged[0]);
}

static void probe_reset(void *state, uint64_t seed, float *observation)
{
    probe *p = state;
    *p = (probe){.x = {0.5f, -0.25f}, .seed = seed};
    if (seed_count < LOG) seeds[seed_count++] = seed;
    observe(p, observation);
    if (probe_fault == NAN_AT_RESET && is_faulty(p)) observation[1] = NAN;
}

static bool probe_step(void *state, const float *action, float *observation, float *reward)
{
    probe *p = state;
    p->steps++;
    for (int i = 0; i < 2; i++) p->x[i] += 0.1f * action[i];
    *reward = -(p->x[0] - 1) * (p->x[0] - 1) - p->x[1] * p->x[1] - 0.01f * action[0] * action[0];
    if (p->steps < BOUND) observe(p, observation);   /* the last one is nobody's: the episode is cut there */
    bool now = p->steps == 5 && is_faulty(p);
    if (now && probe_fault == NAN_REWARD) *reward = NAN;
    if (now && probe_fault == INFINITE_OBSERVATION) observation[0] = INFINITY;
    return false;
}

static egg_status probe_init(void *state, egg_error *error)
{
    (void)state;
    if (prepared == refused_at) return egg_fail(error, EGG_ERR_UNSUPPORTED, "the probe cannot");
    prepared++;
    return EGG_OK;
}

static void probe_fini(void *state)
{
    (void)state;
    prepared--;
}

static const egg_env probe_env = {
    .version = EGG_ENV_VERSION, .name = "Probe", .summary = "", .observations = 3, .actions = 2, .action_low = -2,
    .action_high = 2, .max_steps = BOUND, .state_bytes = sizeof(probe), .init = probe_init, .fini = probe_fini,
    .reset = probe_reset, .step = probe_step,
};

/* --------------------------------------------------------------------------------------------------------- a stage */

typedef struct stage {
    egg_mlp policy;
    egg_normalizer normalizer;
    egg_pool *pool;
    egg_rollout *rollout;
    egg_rollout_shape shape;
} stage;

static void stage_open(stage *s, egg_rollout_shape shape)
{
    egg_error error = {0};
    egg_mlp_shape policy = egg_rollout_policy_shape(shape.env, WIDTH, LAYERS, EGG_ACTIVATION_PQN);
    if (!shape.threads) shape.threads = 1;
    if (!shape.episodes) shape.episodes = 1;
    if (!shape.rank) shape.rank = RANK;
    shape.shaping.antithetic = shape.antithetic;
    *s = (stage){.shape = shape};
    assert_int_equal(egg_mlp_open(&s->policy, &policy, &kernels, NULL), EGG_OK);
    egg_mlp_init_weights(&s->policy, 3, 1, -1);
    egg_mlp_pack(&s->policy, &kernels);
    assert_int_equal(egg_normalizer_open(&s->normalizer, shape.env->observations, NULL), EGG_OK);
    assert_int_equal(egg_pool_open(&s->pool, shape.threads, NULL), EGG_OK);
    if (egg_rollout_open(&s->rollout, &shape, &s->policy, &s->normalizer, &error)) fail_msg("%s", error.text);
    log_count = seed_count = 0;
}

static void stage_close(stage *s)
{
    egg_rollout_close(s->rollout);
    egg_pool_close(s->pool);
    egg_normalizer_close(&s->normalizer);
    egg_mlp_close(&s->policy);
}

static egg_perturb law_of(const stage *s, float sigma)
{
    return s->shape.dense ? egg_perturb_dense(7, 2, sigma) : egg_perturb_f32(7, 2, s->shape.rank, sigma);
}

/* Plays epoch 4 with the whole population. */
static egg_rollout_stats evaluate(stage *s, float sigma)
{
    egg_rollout_stats stats;
    egg_perturb law = law_of(s, sigma);
    egg_slice all = {.pairs = egg_shaping_pairs(&s->shape.shaping, s->shape.population)};
    assert_int_equal(egg_rollout_evaluate(s->rollout, &kernels, s->pool, &law, 4, all, &stats, NULL), EGG_OK);
    return stats;
}

/* ------------------------------------------------------------------------------------------------------ invariance */

static void expect_invariant(egg_rollout_shape shape)
{
    static const struct {
        uint32_t threads, slots;
    } ways[] = {{1, 0}, {1, 1}, {1, 3}, {1, 64}, {2, 0}, {3, 2}};
    float *fitness = calloc(shape.population, sizeof *fitness);
    double mean[16];
    egg_rollout_stats first = {0};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        stage s;
        shape.threads = ways[w].threads;
        shape.slots = ways[w].slots;
        stage_open(&s, shape);
        egg_rollout_stats stats = evaluate(&s, 0.3f);
        egg_rollout_learn_observations(s.rollout);
        size_t bytes = shape.population * sizeof *fitness, n = shape.env->observations * sizeof *mean;
        if (w == 0) {
            memcpy(fitness, egg_rollout_fitness(s.rollout), bytes);
            memcpy(mean, s.normalizer.mean, n);
            first = stats;
        }
        assert_memory_equal(fitness, egg_rollout_fitness(s.rollout), bytes);
        assert_memory_equal(mean, s.normalizer.mean, n);
        assert_memory_equal(&first, &stats, sizeof stats);
        stage_close(&s);
    }
    bool differ = false;
    for (uint32_t m = 1; m < shape.population; m++) differ = differ || fitness[m] != fitness[0];
    assert_true(differ);
    free(fitness);
}

static void test_who_plays_next_to_whom(void **state)
{
    (void)state;
    const egg_env *cartpole, *pendulum;
    assert_int_equal(egg_env_find(&cartpole, "CartPole-v1", NULL), EGG_OK);
    assert_int_equal(egg_env_find(&pendulum, "Pendulum-v1", NULL), EGG_OK);
    expect_invariant((egg_rollout_shape){.env = cartpole, .population = 60, .antithetic = true, .episodes = 2});
    expect_invariant((egg_rollout_shape){.env = cartpole, .population = 31, .seeds = EGG_SEEDS_EPOCH});
    expect_invariant(
        (egg_rollout_shape){.env = cartpole, .population = 32, .antithetic = true, .dense = true, .rank = 1});
    expect_invariant(
        (egg_rollout_shape){.env = pendulum, .population = 16, .antithetic = true, .seeds = EGG_SEEDS_MEMBER});
}

static void test_slices(void **state)
{
    (void)state;
    enum { POPULATION = 24, FIRST = 5 };
    stage s;
    float whole[POPULATION];
    egg_rollout_stats stats;
    stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = POPULATION, .antithetic = true});
    evaluate(&s, 0.3f);
    memcpy(whole, egg_rollout_fitness(s.rollout), sizeof whole);
    memset(egg_rollout_fitness(s.rollout), 0, sizeof whole);
    egg_perturb law = law_of(&s, 0.3f);
    const egg_slice slices[2] = {{.first_pair = FIRST, .pairs = POPULATION / 2 - FIRST}, {.pairs = FIRST}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(egg_rollout_evaluate(s.rollout, &kernels, s.pool, &law, 4, slices[i], &stats, NULL), EGG_OK);
        assert_int_equal(stats.episodes, 2 * slices[i].pairs);
    }
    assert_memory_equal(egg_rollout_fitness(s.rollout), whole, sizeof whole);
    stage_close(&s);
}

/* --------------------------------------------------------------------------------------- members' own policies */

/* W + scale * E of one pair, E from noise at its addresses. */
static void perturb(egg_param *param, const egg_perturb *law, uint32_t pair, double sign)
{
    uint32_t out = param->out, in = param->in;
    bool dense = law->dense || param->kind == EGG_PARAM_VECTOR;
    egg_noise_at a = {.epoch = law->epoch, .param = param->id, .side = EGG_A, .pair = pair}, b = a;
    b.side = EGG_B;
    float *A = malloc((size_t)(out * in + RANK * out) * sizeof *A), *B = malloc((size_t)RANK * in * sizeof *B);
    egg_noise_f32(law->key, a, 0, dense ? (size_t)out * in : (size_t)RANK * out, A);
    egg_noise_f32(law->key, b, 0, (size_t)RANK * in, B);
    for (uint32_t o = 0; o < param->used_out; o++)
        for (uint32_t i = 0; i < param->used_in; i++) {
            double E = dense ? A[o * in + i] : 0;
            for (uint32_t k = 0; !dense && k < RANK; k++) E += (double)A[k * out + o] * B[k * in + i] / sqrt(RANK);
            ((float *)param->data)[o * in + i] += (float)(sign * (double)law->sigma * E);
        }
    free(A);
    free(B);
}

/* What member m earns: an unperturbed policy with that member's weights plays the one episode there is. */
static float expected_fitness(const egg_rollout_shape *shape, uint32_t m, float sigma)
{
    stage s;
    float value;
    egg_rollout_shape alone = *shape;
    uint32_t pair = shape->antithetic ? m / 2 : m;
    stage_open(&s, alone);
    egg_perturb law = law_of(&s, sigma);
    if (!egg_shaping_is_baseline(&s.shape.shaping, pair))
        for (uint32_t i = 0; i < s.policy.param_count; i++)
            perturb(&s.policy.params[i], &law, pair, shape->antithetic && m % 2 ? -1 : 1);
    egg_mlp_pack(&s.policy, &kernels);
    assert_int_equal(egg_rollout_play(s.rollout, &kernels, s.pool, 1, 1, &value, NULL, NULL), EGG_OK);
    stage_close(&s);
    return value;
}

static void check_members(egg_rollout_shape shape)
{
    stage s;
    shape.env = &probe_env;
    shape.population = 12;
    shape.deterministic = true;
    stage_open(&s, shape);
    evaluate(&s, 0.3f);
    const float *fitness = egg_rollout_fitness(s.rollout);
    for (uint32_t m = 0; m < shape.population; m++) {
        float expected = expected_fitness(&s.shape, m, 0.3f);
        if (fabsf(fitness[m] - expected) > 1e-3f * (1 + fabsf(expected)))
            fail_msg("member %u: %g, expected %g", m, fitness[m], expected);
    }
    stage_close(&s);
}

static void test_members(void **state)
{
    (void)state;
    check_members((egg_rollout_shape){.antithetic = true});
    check_members((egg_rollout_shape){.antithetic = false});
    check_members((egg_rollout_shape){.antithetic = true, .dense = true, .rank = 1});
    check_members((egg_rollout_shape){.antithetic = true, .shaping = {.kind = EGG_SHAPING_BASELINE, .group = 6}});
    check_members((egg_rollout_shape){.antithetic = false, .shaping = {.kind = EGG_SHAPING_BASELINE, .group = 4}});
    check_members((egg_rollout_shape){.antithetic = true, .episodes = 3});
}

/* Without sigma all members are the mean policy, and the bits are those of play; a baseline pair is so at any sigma. */
static void test_unperturbed(void **state)
{
    (void)state;
    stage s;
    float played;
    stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = 8, .antithetic = true, .deterministic = true,
                                       .shaping = {.kind = EGG_SHAPING_BASELINE}});
    assert_int_equal(egg_rollout_play(s.rollout, &kernels, s.pool, 1, 1, &played, NULL, NULL), EGG_OK);
    evaluate(&s, 0);
    for (int m = 0; m < 8; m++) assert_true(egg_rollout_fitness(s.rollout)[m] == played);
    evaluate(&s, 0.3f);
    for (int m = 0; m < 8; m++) assert_int_equal(egg_rollout_fitness(s.rollout)[m] == played, m < 2);
    stage_close(&s);
}

static void test_play(void **state)
{
    (void)state;
    enum { EPISODES = 50 };
    const egg_env *cartpole;
    float returns[3][EPISODES];
    assert_int_equal(egg_env_find(&cartpole, "CartPole-v1", NULL), EGG_OK);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        stage s;
        egg_rollout_stats stats;
        stage_open(&s, (egg_rollout_shape){.env = cartpole, .population = 8, .threads = threads});
        assert_int_equal(egg_rollout_play(s.rollout, &kernels, s.pool, 5, EPISODES, returns[threads - 1], &stats, NULL),
                         EGG_OK);
        double steps = 0;
        for (int e = 0; e < EPISODES; e++) steps += returns[threads - 1][e];   /* CartPole pays 1 a step */
        assert_true(stats.episodes == EPISODES && (double)stats.steps == steps);
        stage_close(&s);
    }
    assert_memory_equal(returns[0], returns[1], sizeof returns[0]);
    assert_memory_equal(returns[0], returns[2], sizeof returns[0]);
}

typedef struct watched {
    uint32_t frames, steps;
    double total;
    bool ended;
} watched;

static bool watch(void *context, const void *state, uint32_t steps, double total, bool ended)
{
    watched *w = context;
    assert_int_equal(((const probe *)state)->steps, steps);
    assert_int_equal(w->frames++, steps);
    w->steps = steps;
    w->total = total;
    w->ended = ended;
    return true;
}

static void test_watch(void **state)
{
    (void)state;
    stage s;
    watched w = {0};
    float played;
    stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = 2});
    assert_int_equal(egg_rollout_play(s.rollout, &kernels, s.pool, 9, 1, &played, NULL, NULL), EGG_OK);
    assert_int_equal(egg_rollout_watch(s.rollout, &kernels, 9, watch, &w, NULL), EGG_OK);
    assert_true(w.ended && w.steps == BOUND && (float)w.total == played);
    stage_close(&s);
}

/* ----------------------------------------------------------------------------------------------------------- luck */

static void test_seeds(void **state)
{
    (void)state;
    for (int kind = EGG_SEEDS_PAIR; kind <= EGG_SEEDS_MEMBER; kind++) {
        stage s;
        stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = 16, .antithetic = true, .slots = 1,
                                           .seeds = (egg_episode_seeds)kind});
        evaluate(&s, 0.1f);
        assert_int_equal(seed_count, 16);   /* member by member, since one pair plays at a time */
        for (uint32_t a = 0; a < 16; a++)
            for (uint32_t b = 0; b < a; b++) {
                bool same = kind == EGG_SEEDS_EPOCH || (kind == EGG_SEEDS_PAIR && a / 2 == b / 2);
                assert_int_equal(seeds[a] == seeds[b], same);
            }
        stage_close(&s);
    }
}

/* ---------------------------------------------------------------------------------------------------- observations */

/* Members without pairs that play once are all sampled, with all they see. */
static void test_observations(void **state)
{
    (void)state;
    stage s;
    double sum[3] = {0}, squares[3] = {0};
    stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = 20});
    evaluate(&s, 0.3f);
    egg_rollout_learn_observations(s.rollout);
    assert_int_equal(log_count, 20 * BOUND);
    for (uint32_t r = 0; r < log_count; r++)
        for (int i = 0; i < 3; i++) sum[i] += logged[r][i];
    for (uint32_t r = 0; r < log_count; r++)
        for (int i = 0; i < 3; i++) squares[i] += pow(logged[r][i] - sum[i] / log_count, 2);
    assert_true(s.normalizer.count == log_count);
    egg_normalizer_refresh(&s.normalizer, true);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(s.normalizer.mean[i] - sum[i] / log_count) < 1e-9);
        assert_true(fabs(s.normalizer.squares[i] - squares[i]) < 1e-6 * squares[i]);
        assert_true(fabs(s.normalizer.scale[i] - sqrt(log_count / squares[i])) < 1e-5 * s.normalizer.scale[i]);
    }
    stage_close(&s);
}

/* Statistics that come in parts are those of the whole. */
static void test_normalizer(void **state)
{
    (void)state;
    egg_normalizer n;
    double sum = 0, squares = 0;
    int count = 0;
    assert_int_equal(egg_normalizer_open(&n, 1, NULL), EGG_OK);
    for (int part = 1; part < 40; part++) {
        double s = 0, q = 0;
        for (int i = 0; i < part; i++, count++) {
            double x = 1000 + sin(count * count) * part;
            s += x;
            q += x * x;
            sum += x;
        }
        egg_normalizer_add(&n, part, &s, &q);
    }
    for (int part = 1, at = 0; part < 40; part++)
        for (int i = 0; i < part; i++, at++) squares += pow(1000 + sin(at * at) * part - sum / count, 2);
    assert_true(n.count == count && fabs(n.mean[0] - sum / count) < 1e-9 && fabs(n.squares[0] / squares - 1) < 1e-6);
    const float in[] = {1000};
    float out;
    egg_normalizer_refresh(&n, true);
    egg_normalizer_apply(&n, in, &out);
    assert_true(fabs(out - (1000 - sum / count) / sqrt(squares / count)) < 1e-4);
    const float far = 1e9f;
    egg_normalizer_apply(&n, &far, &out);
    assert_true(out == 10);
    egg_normalizer_refresh(&n, false);
    egg_normalizer_apply(&n, &(float){3.5f}, &out);
    assert_true(out == 3.5f);
    egg_normalizer_close(&n);
}

static void test_sampling(void **state)
{
    (void)state;
    static const struct {
        egg_rollout_shape shape;
        double sampled;   /* episodes */
    } cases[] = {
        {{.env = &probe_env, .population = 20, .antithetic = true, .episodes = 2}, 10},
        {{.env = &probe_env, .population = 600}, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage s;
        stage_open(&s, cases[i].shape);
        evaluate(&s, 0.3f);
        egg_rollout_learn_observations(s.rollout);
        assert_true(s.normalizer.count == cases[i].sampled * BOUND);
        stage_close(&s);
    }
}

/* ---------------------------------------------------------------------------------------------------------- faults */

static void test_not_finite(void **state)
{
    (void)state;
    enum { POPULATION = 60 };
    for (int kind = NAN_REWARD; kind <= NAN_AT_RESET; kind++) {
        stage s;
        float fitness[POPULATION], weight[POPULATION], scratch[POPULATION], worst = INFINITY;
        uint32_t order[POPULATION], faulty = 0;
        stage_open(&s, (egg_rollout_shape){
                           .env = &probe_env, .population = POPULATION, .seeds = EGG_SEEDS_MEMBER, .slots = 1});
        probe_fault = (fault)kind;
        egg_rollout_stats stats = evaluate(&s, 0.1f);
        probe_fault = NO_FAULT;
        memcpy(fitness, egg_rollout_fitness(s.rollout), sizeof fitness);
        for (uint32_t m = 0; m < POPULATION; m++) {
            bool bad = seeds[m] % 3 == 0;
            assert_int_equal(isnan(fitness[m]) != 0, bad);
            faulty += bad;
            if (!bad) worst = fminf(worst, fitness[m]);
        }
        assert_true(faulty > 5 && faulty < POPULATION - 5);
        assert_true(stats.invalid == faulty && stats.episodes == POPULATION && stats.cut == POPULATION - faulty);
        egg_scores scores = {.weight = weight};
        egg_scores_shape(&scores, &(egg_shaping){.kind = EGG_SHAPING_RANK}, fitness, POPULATION, scratch, order);
        for (uint32_t m = 0; m < POPULATION; m++)
            if (seeds[m] % 3 == 0) assert_true(fitness[m] == worst);   /* and the run goes on */
        stage_close(&s);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static const uint32_t bounds[] = {0, 7, 1000000};
    for (size_t i = 0; i < 3; i++) {
        stage s;
        uint64_t each = bounds[i] == 7 ? 7 : BOUND;   /* no longer than the environment's own */
        stage_open(&s, (egg_rollout_shape){.env = &probe_env, .population = 10, .antithetic = true, .episodes = 3,
                                           .max_steps = bounds[i]});
        egg_rollout_stats stats = evaluate(&s, 0.1f);
        assert_true(stats.episodes == 30 && stats.cut == 30 && stats.steps == 30 * each && stats.invalid == 0);
        stage_close(&s);
    }
}

static void test_states(void **state)
{
    (void)state;
    stage s;
    egg_error error = {0};
    const egg_rollout_shape shape = {.env = &probe_env, .population = 8, .antithetic = true, .episodes = 2, .rank = 1,
                                     .threads = 2, .slots = 2};
    egg_rollout *rollout;
    stage_open(&s, shape);
    assert_int_equal(prepared, 2 * 2 * 2 * 2);   /* threads, slots, sides, episodes */
    refused_at = prepared + 5;
    assert_int_equal(egg_rollout_open(&rollout, &shape, &s.policy, &s.normalizer, &error), EGG_ERR_UNSUPPORTED);
    assert_string_equal(error.text, "the probe cannot");
    refused_at = -1;
    assert_int_equal(prepared, 16);
    uint64_t before = egg_alloc_count();
    log_count = seed_count = LOG;   /* full, so that two threads write nothing */
    evaluate(&s, 0.1f);
    egg_rollout_learn_observations(s.rollout);
    assert_int_equal(egg_alloc_count(), before);
    stage_close(&s);
    assert_int_equal(prepared, 0);
}

static void test_memory(void **state)
{
    (void)state;
    stage s;
    egg_rollout_shape shape = {
        .env = &probe_env, .population = 8, .antithetic = true, .episodes = 1, .rank = 1, .threads = 2};
    stage_open(&s, shape);
    for (uint64_t n = 1;; n++) {
        egg_rollout *rollout;
        egg_alloc_fail_at(n);
        egg_status status = egg_rollout_open(&rollout, &shape, &s.policy, &s.normalizer, NULL);
        egg_alloc_fail_at(0);
        egg_rollout_close(rollout);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_true(n < 200);
    }
    stage_close(&s);
    assert_int_equal(prepared, 0);
}

int main(void)
{
    egg_kernels_init(&kernels, egg_cpu_levels(&(const char *){0}));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_plays_next_to_whom),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_unperturbed),
        cmocka_unit_test(test_play),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_normalizer),
        cmocka_unit_test(test_observations),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
