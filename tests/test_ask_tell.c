/* SPDX-License-Identifier: MIT */
/* Ask and tell against the dense law computed from addresses of noise, and against the evolution it stands on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/threads.h"
#include "es/evolution.h"
#include "scratch.h"

enum { PARAMS = 4, POPULATION = 24, LONGEST = 300 * 37 };

/* Shapes that no padding fits, one of more columns than are drawn at once. */
static const struct {
    const char *name;
    egg_strategy_kind kind;
    uint32_t rows, columns;
} shapes[PARAMS] = {{"w", EGG_STRATEGY_MATRIX, 37, 300}, {"b", EGG_STRATEGY_VECTOR, 1, 37},
                    {"fixed", EGG_STRATEGY_FROZEN, 3, 5}, {"v", EGG_STRATEGY_MATRIX, 300, 7}};

static float initial[PARAMS][LONGEST];

static size_t size_of(uint32_t i)
{
    return (size_t)shapes[i].rows * shapes[i].columns;
}

static void fill_params(egg_strategy_param params[PARAMS])
{
    for (uint32_t i = 0; i < PARAMS; i++) {
        for (size_t e = 0; e < size_of(i); e++) initial[i][e] = (float)sin((double)(e + 1) * (i + 1));
        params[i] = (egg_strategy_param){shapes[i].name, shapes[i].kind, shapes[i].rows, shapes[i].columns, initial[i]};
    }
}

/* Options "name=value ..." of a strategy. */
static egg_options *options_of(const char *text)
{
    egg_options *options = egg_options_new("strategy");
    char name[32], value[32];
    int used;
    egg_error error = {0};
    assert_non_null(options);
    for (; sscanf(text, " %31[^=]=%31s%n", name, value, &used) == 2; text += used)
        if (egg_options_set(options, name, value, &error)) fail_msg("%s", error.text);
    return options;
}

static egg_strategy *open_strategy(const char *text)
{
    egg_strategy_param params[PARAMS];
    egg_strategy *strategy;
    egg_error error = {0};
    char all[256];
    fill_params(params);
    snprintf(all, sizeof all, "population=%d %s", POPULATION, text);
    egg_options *options = options_of(all);
    if (egg_strategy_open(&strategy, options, params, PARAMS, &error)) fail_msg("%s", error.text);
    egg_options_free(options);
    return strategy;
}

static void refuse(egg_status status, egg_status expected, const egg_error *error, const char *text)
{
    assert_int_equal(status, expected);
    if (!strstr(error->text, text)) fail_msg("'%s' is not in '%s'", text, error->text);
}

/* -------------------------------------------------------------------------------------------- asking */

static uint32_t padded(uint32_t n)
{
    return (n + 15) / 16 * 16;
}

/* E of a member as the method defines it, in double precision: nothing but egg_noise_f32 and sums. */
static void dense_noise(uint32_t param, uint32_t pair, uint32_t epoch, uint32_t rank, bool openes, double *E)
{
    uint32_t rows = shapes[param].rows, columns = shapes[param].columns, in = padded(columns);
    bool vector = shapes[param].kind == EGG_STRATEGY_VECTOR;
    uint32_t out = vector ? 1 : padded(rows);
    egg_key key = egg_key_make(5, EGG_DOMAIN_PERTURBATION);
    egg_noise_at a = {.epoch = epoch, .param = param, .side = EGG_A, .pair = pair}, b = a;
    b.side = EGG_B;
    float *A = malloc((size_t)64 * out * in * sizeof *A), *B = malloc((size_t)64 * in * sizeof *B);
    bool dense = openes || vector;
    egg_noise_f32(key, a, 0, dense ? (size_t)out * in : (size_t)rank * out, A);
    egg_noise_f32(key, b, 0, (size_t)rank * in, B);
    for (uint32_t o = 0; o < rows; o++)
        for (uint32_t i = 0; i < columns; i++) {
            double sum = dense ? A[(size_t)o * in + i] : 0;
            for (uint32_t k = 0; !dense && k < rank; k++) sum += (double)A[k * out + o] * B[k * in + i] / sqrt(rank);
            E[(size_t)o * columns + i] = sum;
        }
    free(A);
    free(B);
}

static void check_member(const egg_strategy *strategy, uint32_t member, uint32_t pair, double sigma, uint32_t epoch,
                         uint32_t rank, bool openes)
{
    static float W[LONGEST], A[LONGEST], B[LONGEST], mean[LONGEST];
    static double E[LONGEST];
    for (uint32_t p = 0; p < PARAMS; p++) {
        egg_strategy_noise noise;
        uint32_t rows = shapes[p].rows, columns = shapes[p].columns;
        bool frozen = shapes[p].kind == EGG_STRATEGY_FROZEN;
        assert_int_equal(egg_ask(strategy, member, p, W, NULL), EGG_OK);
        assert_int_equal(egg_ask_factors(strategy, member, p, A, B, &noise, NULL), EGG_OK);
        assert_int_equal(egg_strategy_read(strategy, p, mean, NULL), EGG_OK);
        dense_noise(p, pair, epoch, rank, openes, E);
        for (size_t e = 0; e < size_of(p); e++) {
            double expected = mean[e] + (frozen ? 0 : sigma * E[e]), product = 0;
            if (fabs(W[e] - expected) > 1e-5 * (1 + fabs(sigma * E[e])))
                fail_msg("%u at %zu: %g, %g", p, e, W[e], expected);
            for (uint32_t k = 0; k < noise.rank; k++)
                product += (double)A[k * rows + e / columns] * B[k * columns + e % columns];
            if (frozen) assert_true(noise.scale == 0 && noise.rank == 0 && W[e] == initial[p][e]);
            else assert_true(fabs(mean[e] + noise.scale * (noise.rank ? product : A[e]) - expected) <
                             1e-5 * (1 + fabs(sigma * E[e])));
        }
    }
}

static void test_members_are_the_dense_law(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 2, 4};
    for (size_t r = 0; r < 3; r++) {
        char text[96];
        snprintf(text, sizeof text, "seed=5 rank=%u sigma=0.25 sigma-decay=0.5 noise-reuse=2", ranks[r]);
        egg_strategy *strategy = open_strategy(text);
        float fitness[POPULATION] = {0};
        for (uint32_t epoch = 0; epoch < 3; epoch++) {   /* noise of its own in every second epoch */
            check_member(strategy, 0, 0, 0.25 * pow(0.5, epoch), epoch / 2, ranks[r], false);
            check_member(strategy, 7, 3, -0.25 * pow(0.5, epoch), epoch / 2, ranks[r], false);
            check_member(strategy, 23, 11, -0.25 * pow(0.5, epoch), epoch / 2, ranks[r], false);
            for (int m = 0; m < POPULATION; m++) fitness[m] = (float)(m * m % 7);
            assert_int_equal(egg_tell(strategy, fitness, POPULATION, NULL, NULL), EGG_OK);
        }
        egg_strategy_close(strategy);
    }
}

static void test_other_laws(void **state)
{
    (void)state;
    egg_strategy *strategy = open_strategy("seed=5 algorithm=openes sigma=0.5");
    check_member(strategy, 4, 2, 0.5, 0, 1, true);
    check_member(strategy, 5, 2, -0.5, 0, 1, true);
    egg_strategy_close(strategy);
    strategy = open_strategy("seed=5 pairs=independent rank=2 sigma=0.5");
    check_member(strategy, 4, 4, 0.5, 0, 2, false);
    check_member(strategy, 5, 5, 0.5, 0, 2, false);
    egg_strategy_close(strategy);
    strategy = open_strategy("seed=5 shaping=baseline group=8 sigma=0.5");
    check_member(strategy, 8, 4, 0, 0, 1, false);
    check_member(strategy, 9, 4, 0, 0, 1, false);
    check_member(strategy, 10, 5, 0.5, 0, 1, false);
    egg_strategy_close(strategy);
}

/* -------------------------------------------------------------------------------------------- telling */

/* A fitness that depends on everything a member was given. */
static float fitness_of(float *const W[PARAMS])
{
    double sum = 0;
    for (uint32_t p = 0; p < PARAMS; p++)
        for (size_t e = 0; e < size_of(p); e++) {
            double distance = W[p][e] - 0.1 * (double)(e % 7);
            sum -= distance * distance;
        }
    return (float)sum;
}

static void evaluate(const egg_strategy *strategy, float fitness[POPULATION])
{
    static float values[PARAMS][LONGEST];
    float *W[PARAMS] = {values[0], values[1], values[2], values[3]};
    for (uint32_t m = 0; m < POPULATION; m++) {
        for (uint32_t p = 0; p < PARAMS; p++) assert_int_equal(egg_ask(strategy, m, p, W[p], NULL), EGG_OK);
        fitness[m] = fitness_of(W);
    }
}

static void run(egg_strategy *strategy, uint32_t epochs)
{
    float fitness[POPULATION];
    for (uint32_t e = 0; e < epochs; e++) {
        evaluate(strategy, fitness);
        assert_int_equal(egg_tell(strategy, fitness, POPULATION, NULL, NULL), EGG_OK);
    }
}

static void expect_same(const egg_strategy *a, const egg_strategy *b)
{
    static float x[LONGEST], y[LONGEST];
    assert_int_equal(egg_strategy_epoch(a), egg_strategy_epoch(b));
    for (uint32_t p = 0; p < PARAMS; p++) {
        assert_int_equal(egg_strategy_read(a, p, x, NULL), EGG_OK);
        assert_int_equal(egg_strategy_read(b, p, y, NULL), EGG_OK);
        assert_memory_equal(x, y, size_of(p) * sizeof *x);
    }
}

/* The same run by hand: parameters, a bank-free evaluation, egg_evolution_tell. */
static void test_equals_evolution(void **state)
{
    (void)state;
    egg_strategy *strategy =
        open_strategy("seed=5 rank=2 sigma=0.1 sigma-decay=0.9 rate=0.2 rate-decay=0.8 optimizer=adamw clip-norm=0.5 "
                      "weight-decay=0.01 shaping=rank");
    static const egg_param_kind kinds[] = {EGG_PARAM_MATRIX, EGG_PARAM_VECTOR, EGG_PARAM_MATRIX, EGG_PARAM_MATRIX};
    const egg_evolution_shape shape = {
        .seed = 5,
        .population = POPULATION,
        .rank = 2,
        .sigma = 0.1,
        .sigma_decay = 0.9,
        .rate = 0.2,
        .rate_decay = 0.8,
        .noise_reuse = 1,
        .shaping = {.kind = EGG_SHAPING_RANK, .antithetic = true},
        .optimizer = {.kind = EGG_OPTIMIZER_ADAMW,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .epsilon = 1e-8f,
                      .weight_decay = 0.01f,
                      .clip = 0.5f},
        .threads = 1,
    };
    egg_kernels kernels;
    egg_param params[PARAMS];
    egg_evolution *evolution;
    egg_kernels_init(&kernels, egg_cpu_levels(&(const char *){0}));
    for (uint32_t p = 0; p < PARAMS; p++) {
        assert_int_equal(egg_param_open(&params[p], &kernels, p, kinds[p], EGG_F32, shapes[p].rows, shapes[p].columns,
                                        shapes[p].name, NULL), EGG_OK);
        params[p].frozen = p == 2;
        egg_param_write_f32(&params[p], initial[p]);
    }
    assert_int_equal(egg_evolution_open(&evolution, &shape, params, PARAMS, NULL), EGG_OK);
    for (uint32_t epoch = 0; epoch < 6; epoch++) {
        static float x[LONGEST], y[LONGEST];
        float fitness[POPULATION];
        egg_strategy_stats stats;
        evaluate(strategy, fitness);
        assert_int_equal(egg_tell(strategy, fitness, POPULATION, &stats, NULL), EGG_OK);
        egg_evolution_stats expected = egg_evolution_tell(evolution, &kernels, NULL, epoch, fitness);
        assert_true(stats.epoch == epoch + 1 && stats.mean == expected.scores.mean &&
                    stats.best == expected.scores.best && stats.worst == expected.scores.worst &&
                    stats.deviation == expected.scores.deviation);
        assert_true(stats.sigma == (float)(0.1 * pow(0.9, epoch)) && stats.rate == 0.2 * pow(0.8, epoch) &&
                    stats.gradient_norm == expected.gradient_norm && stats.gradient_norm > 0 && stats.invalid == 0);
        for (uint32_t p = 0; p < PARAMS; p++) {
            assert_int_equal(egg_strategy_read(strategy, p, x, NULL), EGG_OK);
            egg_param_read_f32(&params[p], y);
            assert_memory_equal(x, y, size_of(p) * sizeof *x);
            assert_int_equal(memcmp(x, initial[p], size_of(p) * sizeof *x) == 0, shapes[p].kind == EGG_STRATEGY_FROZEN);
        }
    }
    egg_evolution_close(evolution);
    for (uint32_t p = 0; p < PARAMS; p++) egg_param_close(&params[p]);
    egg_strategy_close(strategy);
}

static void test_threads(void **state)
{
    (void)state;
    egg_strategy *one = open_strategy("threads=1 rank=2 clip-norm=1"),
                 *two = open_strategy("threads=2 rank=2 clip-norm=1"),
                 *three = open_strategy("threads=3 rank=2 clip-norm=1");
    run(one, 4);
    run(two, 4);
    run(three, 4);
    expect_same(one, two);
    expect_same(one, three);
    egg_strategy_close(one);
    egg_strategy_close(two);
    egg_strategy_close(three);
}

typedef struct asking {
    const egg_strategy *strategy;
    float (*W)[LONGEST];           /* (POPULATION) parameter 0 of each member */
} asking;

static void ask_members(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    const asking *a = context;
    for (size_t m = begin; m < end; m++)
        if (egg_ask(a->strategy, (uint32_t)m, 0, a->W[m], NULL)) a->W[m][0] = NAN;
}

static void test_asking_side_by_side(void **state)
{
    (void)state;
    static float W[POPULATION][LONGEST], alone[LONGEST];
    egg_strategy *strategy = open_strategy("rank=3");
    egg_pool *pool;
    assert_int_equal(egg_pool_open(&pool, 3, NULL), EGG_OK);
    egg_parallel_for(pool, POPULATION, 1, ask_members, &(asking){.strategy = strategy, .W = W});
    egg_pool_close(pool);
    for (uint32_t m = POPULATION; m-- > 0;) {
        assert_int_equal(egg_ask(strategy, m, 0, alone, NULL), EGG_OK);
        assert_memory_equal(alone, W[m], size_of(0) * sizeof *alone);
    }
    egg_strategy_close(strategy);
}

/* Six numbers find the top of a parabola. */
static void test_improves(void **state)
{
    (void)state;
    const egg_strategy_param param = {"x", EGG_STRATEGY_VECTOR, 1, 6, NULL};
    egg_options *options = options_of("population=24 sigma=0.1 rate=0.05");
    egg_strategy *strategy;
    float x[6], fitness[POPULATION];
    assert_int_equal(egg_strategy_open(&strategy, options, &param, 1, NULL), EGG_OK);
    for (int epoch = 0; epoch < 300; epoch++) {
        for (uint32_t m = 0; m < POPULATION; m++) {
            assert_int_equal(egg_ask(strategy, m, 0, x, NULL), EGG_OK);
            fitness[m] = 0;
            for (int i = 0; i < 6; i++) fitness[m] -= (x[i] - (float)i) * (x[i] - (float)i);
        }
        assert_int_equal(egg_tell(strategy, fitness, POPULATION, NULL, NULL), EGG_OK);
    }
    assert_int_equal(egg_strategy_read(strategy, 0, x, NULL), EGG_OK);
    for (int i = 0; i < 6; i++) assert_true(fabsf(x[i] - (float)i) < 0.2f);
    egg_strategy_close(strategy);
    egg_options_free(options);
}

/* Setting what is there already changes nothing; a schedule set by hand is the one that decay computes. */
static void test_schedules(void **state)
{
    (void)state;
    egg_strategy *decaying = open_strategy("sigma=0.5 sigma-decay=0.5 rate=1 rate-decay=0.25 optimizer=sgd"),
                 *set = open_strategy("sigma=0.5 rate=1 optimizer=sgd");
    for (uint32_t e = 0; e < 5; e++) {
        assert_int_equal(egg_strategy_set_sigma(set, 0.5 * pow(0.5, e), NULL), EGG_OK);
        assert_int_equal(egg_strategy_set_rate(set, pow(0.25, e), NULL), EGG_OK);
        run(decaying, 1);
        run(set, 1);
        expect_same(decaying, set);
    }
    float fitness[POPULATION] = {1};
    egg_strategy_stats stats;
    assert_int_equal(egg_strategy_set_sigma(decaying, 8, NULL), EGG_OK);   /* and decay goes on from here */
    assert_int_equal(egg_tell(decaying, fitness, POPULATION, &stats, NULL), EGG_OK);
    assert_true(stats.sigma == 8 && stats.rate == pow(0.25, 5));
    assert_int_equal(egg_tell(decaying, fitness, POPULATION, &stats, NULL), EGG_OK);
    assert_true(stats.sigma == 4 && stats.rate == pow(0.25, 6));
    egg_strategy_close(decaying);
    egg_strategy_close(set);
}

static void test_resume(void **state)
{
    (void)state;
    static const char *const optimizers[] = {"sgd", "momentum", "adam", "adamw"};
    for (size_t i = 0; i < 4; i++) {
        char text[96];
        const char *path = scratch_path("state.safetensors");
        snprintf(text, sizeof text, "optimizer=%s sigma-decay=0.99 rank=2", optimizers[i]);
        egg_strategy *whole = open_strategy(text), *half = open_strategy(text), *resumed = open_strategy(text);
        run(whole, 3);
        run(half, 3);
        assert_int_equal(egg_strategy_set_rate(whole, 0.07, NULL), EGG_OK);
        assert_int_equal(egg_strategy_set_rate(half, 0.07, NULL), EGG_OK);
        assert_int_equal(egg_strategy_set_sigma(whole, 0.03, NULL), EGG_OK);
        assert_int_equal(egg_strategy_set_sigma(half, 0.03, NULL), EGG_OK);
        run(whole, 6);
        run(half, 2);
        assert_int_equal(egg_strategy_save(half, path, NULL), EGG_OK);
        run(resumed, 1);   /* is overwritten */
        assert_int_equal(egg_strategy_load(resumed, path, NULL), EGG_OK);
        expect_same(half, resumed);
        run(resumed, 4);
        expect_same(whole, resumed);
        egg_strategy_close(whole);
        egg_strategy_close(half);
        egg_strategy_close(resumed);
    }
}

/* -------------------------------------------------------------------------------------------- misuse */

static void test_fitness_not_finite(void **state)
{
    (void)state;
    egg_strategy *bad = open_strategy("optimizer=sgd"), *good = open_strategy("optimizer=sgd");
    float fitness[POPULATION], repaired[POPULATION];
    egg_strategy_stats stats;
    egg_error error = {0};
    for (int m = 0; m < POPULATION; m++) repaired[m] = fitness[m] = (float)(m % 5) - 3;
    fitness[1] = NAN;
    fitness[8] = INFINITY;
    fitness[9] = -INFINITY;
    repaired[1] = repaired[8] = repaired[9] = -3;
    assert_int_equal(egg_tell(bad, fitness, POPULATION, &stats, NULL), EGG_OK);
    assert_int_equal(egg_tell(good, repaired, POPULATION, NULL, NULL), EGG_OK);
    assert_true(stats.invalid == 3 && stats.worst == -3 && stats.best == 1);
    assert_true(isnan(fitness[1]));   /* the caller's stays as it is */
    expect_same(bad, good);
    for (int m = 0; m < POPULATION; m++) fitness[m] = m % 2 ? NAN : INFINITY;
    refuse(egg_tell(bad, fitness, POPULATION, &stats, &error), EGG_ERR_ARGUMENT, &error,
           "none of 24 members is finite");
    expect_same(bad, good);
    egg_strategy_close(bad);
    egg_strategy_close(good);
}

static void test_wrong_calls(void **state)
{
    (void)state;
    egg_strategy *strategy = open_strategy("");
    float fitness[POPULATION] = {0}, W[LONGEST];
    egg_strategy_noise noise;
    egg_error error = {0};
    refuse(egg_tell(strategy, fitness, POPULATION - 1, NULL, &error), EGG_ERR_ARGUMENT, &error,
           "23 members, expected that of all 24");
    refuse(egg_ask(strategy, POPULATION, 0, W, &error), EGG_ERR_ARGUMENT, &error, "member 24: expected 0 to 23");
    refuse(egg_ask(strategy, 0, PARAMS, W, &error), EGG_ERR_ARGUMENT, &error, "parameter 4: expected 0 to 3");
    refuse(egg_ask_factors(strategy, 99, 0, W, W, &noise, &error), EGG_ERR_ARGUMENT, &error, "member 99");
    refuse(egg_strategy_read(strategy, 4, W, &error), EGG_ERR_ARGUMENT, &error, "parameter 4");
    refuse(egg_strategy_set_sigma(strategy, -1, &error), EGG_ERR_ARGUMENT, &error, "sigma");
    refuse(egg_strategy_set_rate(strategy, NAN, &error), EGG_ERR_ARGUMENT, &error, "rate");
    assert_int_equal(egg_strategy_epoch(strategy), 0);
    egg_strategy_close(strategy);
    egg_strategy_close(NULL);
}

static void refuse_open(const char *options_text, const egg_strategy_param *params, size_t count, const char *text)
{
    egg_options *options = options_of(options_text);
    egg_strategy *strategy;
    egg_error error = {0};
    refuse(egg_strategy_open(&strategy, options, params, count, &error), EGG_ERR_ARGUMENT, &error, text);
    assert_null(strategy);
    egg_options_free(options);
}

static void test_wrong_parameters(void **state)
{
    (void)state;
    const float bad[4] = {0, 1, INFINITY, 2};
    const egg_strategy_param good = {"w", EGG_STRATEGY_MATRIX, 2, 2, NULL};
    egg_strategy_param two[2] = {good, good}, one = good;
    refuse_open("", &good, 0, "0 parameters");
    refuse_open("", two, 2, "parameters 0 and 1 have the same name");
    one.name = NULL;
    refuse_open("", &one, 1, "expected a name");
    one.name = "a name of more than the forty-seven bytes that fit";
    refuse_open("", &one, 1, "at most 47 bytes");
    one.name = "w.moment1";
    refuse_open("", &one, 1, "'.moment'");
    one = good;
    one.rows = 0;
    refuse_open("", &one, 1, "shape [0, 2]");
    one = good;
    one.kind = EGG_STRATEGY_VECTOR;
    refuse_open("", &one, 1, "a vector has 1 row, found 2");
    one.kind = EGG_STRATEGY_FROZEN;
    refuse_open("", &one, 1, "frozen");
    one.kind = (egg_strategy_kind)7;
    refuse_open("", &one, 1, "kind 7");
    one = good;
    one.initial = bad;
    refuse_open("", &one, 1, "not finite at 2");
    refuse_open("population=7", &good, 1, "antithetic");
    refuse_open("population=8 group=6", &good, 1, "divisor");
    refuse_open("sigma=0", &good, 1, "--sigma");
    egg_options *rl = egg_options_new("rl");
    egg_strategy *strategy;
    egg_error error = {0};
    refuse(egg_strategy_open(&strategy, rl, &good, 1, &error), EGG_ERR_ARGUMENT, &error, "options of 'rl'");
    egg_options_free(rl);
}

static void test_wrong_files(void **state)
{
    (void)state;
    const char *path = scratch_path("strategy.safetensors"), *other = scratch_path("other.safetensors");
    egg_strategy *saved = open_strategy("rank=2"), *strategy = open_strategy("rank=3"),
                 *untouched = open_strategy("rank=3");
    egg_error error = {0};
    run(saved, 2);
    assert_int_equal(egg_strategy_save(saved, path, NULL), EGG_OK);
    refuse(egg_strategy_load(strategy, path, &error), EGG_ERR_ARGUMENT, &error,
           "rank=2, but this strategy was opened with rank=3");
    refuse(egg_strategy_load(strategy, scratch_path("none"), &error), EGG_ERR_IO, &error, "none");
    scratch_write("other.safetensors", "nothing", 7);
    refuse(egg_strategy_load(strategy, other, &error), EGG_ERR_FORMAT, &error, "other.safetensors");
    expect_same(strategy, untouched);

    egg_strategy_param params[PARAMS];   /* the same options, other parameters */
    egg_strategy *reshaped;
    fill_params(params);
    params[3] = (egg_strategy_param){"v", EGG_STRATEGY_MATRIX, 300, 6, NULL};
    egg_options *options = options_of("population=24 rank=2");
    assert_int_equal(egg_strategy_open(&reshaped, options, params, PARAMS, NULL), EGG_OK);
    refuse(egg_strategy_load(reshaped, path, &error), EGG_ERR_FORMAT, &error, "'v'");
    static float W[LONGEST];
    assert_int_equal(egg_strategy_read(reshaped, 0, W, NULL), EGG_OK);
    assert_memory_equal(W, initial[0], size_of(0) * sizeof *W);   /* nothing was taken before the fault was found */
    assert_int_equal(egg_strategy_epoch(reshaped), 0);
    egg_options_free(options);
    egg_strategy_close(reshaped);
    egg_strategy_close(saved);
    egg_strategy_close(strategy);
    egg_strategy_close(untouched);
}

/* Every allocation of opening, saving and loading may fail; an epoch makes none. */
static void test_memory(void **state)
{
    (void)state;
    const char *path = scratch_path("memory.safetensors");
    egg_strategy *strategy = open_strategy("");
    uint64_t before = egg_alloc_count();
    run(strategy, 2);
    assert_int_equal(egg_alloc_count(), before);
    egg_strategy_close(strategy);
    egg_strategy_param params[PARAMS];
    fill_params(params);
    egg_options *options = options_of("population=24 clip-norm=1");
    for (uint64_t n = 1;; n++) {
        egg_error error = {0};
        egg_alloc_fail_at(n);
        egg_status status = egg_strategy_open(&strategy, options, params, PARAMS, &error);
        if (status == EGG_OK) status = egg_strategy_save(strategy, path, &error);
        if (status == EGG_OK) status = egg_strategy_load(strategy, path, &error);
        egg_alloc_fail_at(0);
        egg_strategy_close(strategy);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_true(*error.text && n < 200);
    }
    egg_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_are_the_dense_law), cmocka_unit_test(test_other_laws),
        cmocka_unit_test(test_equals_evolution),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_improves),                  cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_resume),                    cmocka_unit_test(test_fitness_not_finite),
        cmocka_unit_test(test_wrong_calls),               cmocka_unit_test(test_wrong_parameters),
        cmocka_unit_test(test_wrong_files),               cmocka_unit_test(test_memory),
        cmocka_unit_test(test_asking_side_by_side),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
