/* SPDX-License-Identifier: MIT */
/* Shaping of real-valued fitness against a second computation, slow and in long double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "es/score.h"

enum { MOST = 600 };

static uint32_t next_random(uint32_t *state)
{
    return (*state = *state * 1664525 + 1013904223) >> 8;
}

static long double average(const float *x, uint32_t n)
{
    long double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static long double deviation(const float *x, uint32_t n)
{
    long double sum = 0, mean = average(x, n);
    for (uint32_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sqrtl(sum / n + 1e-5L);
}

/* The score of member i of a group, as score.h has it; 'all' are the n members of all groups. */
static long double score_of(const egg_shaping *shaping, const float *all, uint32_t n, const float *group, uint32_t g,
                            uint32_t i)
{
    uint32_t below = 0, equal = 0, base = shaping->antithetic ? 2 : 1;
    long double other = shaping->antithetic ? group[i ^ 1] : average(group, g);
    switch (shaping->kind) {
    case EGG_SHAPING_ZSCORE: return (group[i] - average(group, g)) / deviation(all, n);
    case EGG_SHAPING_SIGN: return group[i] > other ? 1 : group[i] < other ? -1 : 0;
    case EGG_SHAPING_BASELINE: return i < base ? 0 : (group[i] - average(group, base)) / deviation(group, g);
    case EGG_SHAPING_GIVEN: return group[i];
    case EGG_SHAPING_RANK: break;
    }
    for (uint32_t j = 0; j < g; j++) {
        below += group[j] < group[i];
        equal += group[j] == group[i];
    }
    return (below + (equal - 1) / 2.0L) / (g - 1) - 0.5L;
}

static void check(const egg_shaping *shaping, float *fitness, uint32_t n)
{
    float weight[MOST], scratch[MOST];
    uint32_t order[MOST], group = shaping->group ? shaping->group : n, ties = 0;
    egg_scores scores = {.weight = weight};
    egg_scores_shape(&scores, shaping, fitness, n, scratch, order);
    for (uint32_t p = 0; p < egg_shaping_pairs(shaping, n); p++) {
        uint32_t first = shaping->antithetic ? 2 * p : p, g = first / group * group;
        long double expected = score_of(shaping, fitness, n, fitness + g, group, first - g);
        if (shaping->antithetic) expected -= score_of(shaping, fitness, n, fitness + g, group, first - g + 1);
        if (egg_shaping_is_baseline(shaping, p)) expected = 0;
        else ties += fabsl(expected) < 1e-12L;
        expected /= sqrtl(n);
        if (fabsl(weight[p] - expected) > 1e-6L * (1 + fabsl(expected)))
            fail_msg("kind %d, group %u, pair %u: %g, expected %Lg", shaping->kind, group, p, weight[p], expected);
    }
    assert_int_equal(scores.ties, ties);
    assert_int_equal(scores.invalid, 0);
    assert_true(fabsl(scores.mean - average(fitness, n)) < 1e-9L);
}

/* Every kind, in groups and at large, with pairs and without; whole numbers, so that ties are frequent. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        uint32_t members, group;
    } sizes[] = {{4, 0}, {64, 0}, {64, 8}, {600, 0}, {600, 20}, {600, 600}};
    uint32_t random = 1;
    float fitness[MOST];
    for (int kind = EGG_SHAPING_ZSCORE; kind <= EGG_SHAPING_GIVEN; kind++)
        for (int antithetic = 0; antithetic < 2; antithetic++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (uint32_t values = 2; values < 100000; values *= 10) {
                    egg_shaping shaping = {.kind = (egg_shaping_kind)kind,
                                           .group = sizes[s].group,
                                           .antithetic = antithetic};
                    for (uint32_t i = 0; i < sizes[s].members; i++)
                        fitness[i] = (float)(next_random(&random) % values) - (float)values / 4;
                    assert_int_equal(egg_shaping_check(&shaping, sizes[s].members, NULL), EGG_OK);
                    check(&shaping, fitness, sizes[s].members);
                }
}

static void test_by_hand(void **state)
{
    (void)state;
    float fitness[] = {3, 1, 1, 7}, weight[2], scratch[4];
    uint32_t order[4];
    egg_scores scores = {.weight = weight};
    egg_shaping shaping = {.kind = EGG_SHAPING_RANK, .antithetic = true};   /* ranks 2, 1/2, 1/2, 3 of 3 */
    egg_scores_shape(&scores, &shaping, fitness, 4, scratch, order);
    assert_true(fabs(weight[0] - 1.5 / 6) < 1e-7 && fabs(weight[1] + 2.5 / 6) < 1e-7);
    assert_true(scores.best == 7 && scores.worst == 1 && scores.mean == 3 && fabs(scores.deviation - sqrt(6)) < 1e-12);
    shaping.kind = EGG_SHAPING_SIGN;
    egg_scores_shape(&scores, &shaping, fitness, 4, scratch, order);
    assert_true(weight[0] == 1 && weight[1] == -1);   /* (1 + 1) / sqrt(4) */
    float equal[] = {5, 5, 5, 5};
    for (int kind = EGG_SHAPING_ZSCORE; kind <= EGG_SHAPING_BASELINE; kind++) {
        shaping.kind = (egg_shaping_kind)kind;
        egg_scores_shape(&scores, &shaping, equal, 4, scratch, order);
        assert_true(weight[0] == 0 && weight[1] == 0);
        assert_int_equal(scores.ties, kind == EGG_SHAPING_BASELINE ? 1 : 2);   /* the baseline itself cannot tie */
    }
}

/* z-scored weights without a signal: an entry of the gradient has variance sigma^2 whatever the population. */
static void test_scale(void **state)
{
    (void)state;
    uint32_t random = 7, order[MOST];
    float fitness[MOST], weight[MOST], scratch[MOST];
    for (int antithetic = 0; antithetic < 2; antithetic++)
        for (uint32_t n = 200; n <= MOST; n *= 3) {
            egg_shaping shaping = {.kind = EGG_SHAPING_ZSCORE, .antithetic = antithetic};
            egg_scores scores = {.weight = weight};
            double squares = 0;
            for (uint32_t i = 0; i < n; i++) fitness[i] = (float)next_random(&random) / (1 << 20);
            egg_scores_shape(&scores, &shaping, fitness, n, scratch, order);
            for (uint32_t p = 0; p < egg_shaping_pairs(&shaping, n); p++) squares += (double)weight[p] * weight[p];
            assert_true(fabs(squares - 1) < (antithetic ? 0.2 : 0.001));
        }
}

static void test_repair(void **state)
{
    (void)state;
    float fitness[] = {2, NAN, INFINITY, -4, -INFINITY, 0}, weight[6], scratch[6];
    const float expected[] = {2, -4, -4, -4, -4, 0};
    uint32_t order[6];
    egg_scores scores = {.weight = weight};
    egg_shaping shaping = {.kind = EGG_SHAPING_RANK};
    egg_scores_shape(&scores, &shaping, fitness, 6, scratch, order);
    assert_memory_equal(fitness, expected, sizeof fitness);
    assert_true(scores.invalid == 3 && scores.best == 2 && scores.worst == -4);
    for (int i = 0; i < 6; i++) assert_true(isfinite(weight[i]));
    float none[] = {NAN, NAN, INFINITY, NAN};
    shaping.antithetic = true;
    egg_scores_shape(&scores, &shaping, none, 4, scratch, order);
    assert_true(scores.invalid == 4 && scores.best == 0 && scores.worst == 0 && weight[0] == 0 && weight[1] == 0);
}

static void test_baseline_pairs(void **state)
{
    (void)state;
    egg_shaping shaping = {.kind = EGG_SHAPING_BASELINE, .group = 8, .antithetic = true};
    for (uint32_t p = 0; p < 20; p++) assert_int_equal(egg_shaping_is_baseline(&shaping, p), p % 4 == 0);
    shaping.antithetic = false;
    for (uint32_t p = 0; p < 40; p++) assert_int_equal(egg_shaping_is_baseline(&shaping, p), p % 8 == 0);
    shaping.group = 0;
    for (uint32_t p = 0; p < 40; p++) assert_int_equal(egg_shaping_is_baseline(&shaping, p), p == 0);
    shaping.kind = EGG_SHAPING_SIGN;
    assert_false(egg_shaping_is_baseline(&shaping, 0));
}

static void test_misfits(void **state)
{
    (void)state;
    static const struct {
        egg_shaping shaping;
        uint32_t members;
        const char *text;
    } cases[] = {
        {{.antithetic = true}, 7, "antithetic"},
        {{.antithetic = true, .group = 3}, 6, "antithetic"},
        {{.group = 4}, 6, "divisor"},
        {{.group = 1}, 6, "at least 2"},
        {{.kind = EGG_SHAPING_BASELINE, .group = 2, .antithetic = true}, 6, "at least 4"},
        {{.group = 8}, 4, "divisor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        egg_error error = {0};
        assert_int_equal(egg_shaping_check(&cases[i].shaping, cases[i].members, &error), EGG_ERR_ARGUMENT);
        if (!strstr(error.text, cases[i].text)) fail_msg("'%s' is not in '%s'", cases[i].text, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),  cmocka_unit_test(test_by_hand),        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_repair), cmocka_unit_test(test_baseline_pairs), cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
