/* SPDX-License-Identifier: MIT */
/* Shaping, steps and the bounds that docs/math.md proves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "es/update.h"

static void test_isqrt(void **state)
{
    (void)state;
    for (uint64_t x = 0; x < 100000; x++) {
        uint64_t r = egg_isqrt(x);
        assert_true(r * r <= x && (r + 1) * (r + 1) > x);
    }
    const uint64_t roots[] = {1, 2, 3, 65535, 65536, 46341, UINT64_C(4294967295), UINT64_C(3037000500)};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        assert_int_equal(egg_isqrt(roots[i] * roots[i]), roots[i]);
        assert_int_equal(egg_isqrt(roots[i] * roots[i] - 1), roots[i] - 1);
    }
    assert_int_equal(egg_isqrt(UINT64_MAX), UINT32_MAX);
}

static void test_vote(void **state)
{
    (void)state;
    const int32_t loss[] = {5, 9, 9, 5, 7, 7, -3, -2};
    int8_t F[4];
    int32_t difference[4];
    egg_fitness fitness = {.F = F};
    egg_fitness_differences(loss, 4, difference);
    egg_fitness_shape(&fitness, EGG_RULE_VOTE, difference, 4);
    const int8_t expected[] = {64, -64, 0, 64};
    assert_memory_equal(F, expected, 4);
    assert_int_equal(fitness.ties, 1);
}

static void test_fractional(void **state)
{
    (void)state;
    enum { PAIRS = 1000 };
    int32_t difference[PAIRS];
    int8_t F[PAIRS];
    egg_fitness fitness = {.F = F};
    for (int p = 0; p < PAIRS; p++) difference[p] = p % 2 ? 100 : -100;
    egg_fitness_shape(&fitness, EGG_RULE_FRACTIONAL, difference, PAIRS);
    for (int p = 0; p < PAIRS; p++) assert_int_equal(F[p], p % 2 ? 40 : -40);
    assert_int_equal(fitness.sum_squares, 1600 * PAIRS);
    difference[0] = 2000000;            /* one far out is clipped, and the rest shrinks toward 0 */
    egg_fitness_shape(&fitness, EGG_RULE_FRACTIONAL, difference, PAIRS);
    assert_int_equal(F[0], 127);
    assert_int_equal(F[1], 0);
    memset(difference, 0, sizeof difference);
    egg_fitness_shape(&fitness, EGG_RULE_FRACTIONAL, difference, PAIRS);
    assert_int_equal(fitness.ties, PAIRS);
    assert_int_equal(fitness.sum_squares, 0);
    assert_int_equal(egg_step_fractional(1 << 24, 0, 1).rate, 0);
}

/* The widest differences and the largest population that options allow stay within 64 bits. */
static void test_extreme_losses(void **state)
{
    (void)state;
    enum { PAIRS = 1 << 19 };
    int32_t *loss = calloc(2 * PAIRS, sizeof *loss), *difference = calloc(PAIRS, sizeof *difference);
    int8_t *F = calloc(PAIRS, 1);
    egg_fitness fitness = {.F = F};
    for (int p = 0; p < PAIRS; p++) loss[2 * p + p % 2] = (1 << 21) - 1;
    egg_fitness_differences(loss, PAIRS, difference);
    egg_fitness_shape(&fitness, EGG_RULE_FRACTIONAL, difference, PAIRS);
    for (int p = 0; p < PAIRS; p++) assert_int_equal(F[p], p % 2 ? 40 : -40);
    free(loss);
    free(difference);
    free(F);
}

static void test_quantile(void **state)
{
    (void)state;
    /* The paper's schedule at epochs 0, 10, 100, 200, 500, 999. */
    assert_int_equal(egg_vote_quantile(1), 0);
    assert_int_equal(egg_vote_quantile(1000.0 / 1150), 2);
    assert_int_equal(egg_vote_quantile(0.4), 13);
    assert_int_equal(egg_vote_quantile(0.25), 18);
    assert_int_equal(egg_vote_quantile(1000.0 / 8500), 25);
    assert_int_equal(egg_vote_quantile(1000.0 / 15985), 29);
    for (double alpha = 1e-10; alpha < 1; alpha *= 1.01) {
        double z = egg_vote_quantile(alpha);
        assert_true(alpha <= erfc(z / 16 / sqrt(2)) * (1 + 1e-12));
        assert_true(alpha > erfc((z + 1) / 16 / sqrt(2)) * (1 - 1e-12));
    }
}

/* rate24 / 2^24 of an int8 step, 256 units of V, for every standard deviation of Z. */
static void test_step_size(void **state)
{
    (void)state;
    for (uint32_t rank = 1; rank <= 4; rank++)
        for (uint64_t squares = 100; squares < UINT64_C(1) << 33; squares *= 3) {
            egg_step step = egg_step_fractional((uint32_t)(0.7 * (1 << 24)), squares, rank);
            double deviation = sqrt(16.0 * (double)squares * rank), moved = deviation * step.rate / 65536;
            assert_true(fabs(moved - 0.7 * 256) < 0.7 * 256 * (2 / (double)step.rate + 2 / (256 * deviation)) + 1e-6);
            assert_true((int64_t)step.limit * step.rate + 32768 <= INT32_MAX);
        }
}

static void test_rank_limits(void **state)
{
    (void)state;
    static const struct {
        uint32_t in, largest;
    } limits[] = {{4096, 3}, {2048, 12}, {1024, 50}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        egg_perturb fits = egg_perturb_i8(1, 0, limits[i].largest, 4),
                    over = egg_perturb_i8(1, 0, limits[i].largest + 3, 4);
        egg_error error = {0};
        assert_int_equal(egg_perturb_check_i8(&fits, limits[i].in, &error), EGG_OK);
        assert_int_equal(egg_perturb_check_i8(&over, limits[i].in, &error), EGG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "--rank"));
    }
    for (uint32_t rank = 1; rank <= 64; rank++)
        assert_int_equal(egg_perturb_i8(1, 0, rank, 4).scale, lround(256 / sqrt(rank)));
}

/* docs/math.md, section 3: which widths have the paper's division exactly. */
static void test_shifts(void **state)
{
    (void)state;
    for (uint32_t n = 16; n <= 4096; n *= 4)
        assert_int_equal(1u << egg_product_shift(n), 16 * (uint32_t)lround(sqrt(n)));
    assert_int_equal(egg_product_shift(128), 8);
    assert_int_equal(egg_product_shift(512), 9);
}

static void test_initial_weights(void **state)
{
    (void)state;
    egg_param param;
    egg_kernels kernels;
    egg_kernels_init(&kernels, 0);
    assert_int_equal(egg_param_open(&param, &kernels, 3, EGG_PARAM_MATRIX, EGG_I8, 512, 512, "w", NULL), EGG_OK);
    static const double deviations[] = {4, 8, 16, 30};
    for (size_t d = 0; d < sizeof deviations / sizeof *deviations; d++) {
        double sum = 0, squares = 0, n = 512 * 512;
        egg_param_init_normal_i8(&param, 7, deviations[d]);
        for (size_t i = 0; i < (size_t)n; i++) {
            double w = ((int8_t *)param.data)[i];
            sum += w;
            squares += w * w;
        }
        double expected = sqrt(deviations[d] * deviations[d] + 1 / 12.0);   /* rounding adds its own variance */
        assert_true(fabs(sum / n) < 5 * deviations[d] / sqrt(n));
        assert_true(fabs(sqrt(squares / n) - expected) < 5 * expected / sqrt(2 * n) + 0.001 * expected);
    }
    egg_param_close(&param);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isqrt),       cmocka_unit_test(test_vote),      cmocka_unit_test(test_fractional),
        cmocka_unit_test(test_extreme_losses), cmocka_unit_test(test_quantile), cmocka_unit_test(test_step_size),
        cmocka_unit_test(test_rank_limits), cmocka_unit_test(test_shifts),    cmocka_unit_test(test_initial_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
