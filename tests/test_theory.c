/* SPDX-License-Identifier: MIT */
/*
 * What docs/theory.md claims: closed forms against simulations that use the library's own perturbations. All inputs are
 * fixed, so a test passes always or never. A simulated mean must lie within 5 of its standard errors of the closed form
 * (chance 6e-7 for one draw of the inputs), and that error must be small enough to tell the claim from its rivals.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "theory.h"

enum { M = 16, N = 16, D = M * N };

static void assert_estimates(theory_estimate estimate, double expected)
{
    if (fabs(estimate.mean - expected) < 5 * estimate.error) return;
    print_message("expected %.6g, found %.6g with a standard error of %.2g\n", expected, estimate.mean, estimate.error);
    fail();
}

static void assert_near(double found, double expected, double tolerance)
{
    if (fabs(found - expected) <= tolerance) return;
    print_message("expected %.6g give or take %.2g, found %.6g\n", expected, tolerance, found);
    fail();
}

/* ------------------------------------------------------------------------------------ the estimator's expectation */

typedef double fitness_fn(const double *P, const double *u, const double *v, const double *C);

static double sine(const double *P, const double *u, const double *v, const double *C)
{
    (void)C;
    double s = 0;
    for (uint32_t i = 0; i < D; i++) s += u[i / N] * P[i] * v[i % N];
    return sin(s);
}

static double cubic(const double *P, const double *u, const double *v, const double *C)
{
    (void)u, (void)v;
    double product = 0, square = 0;
    for (uint32_t i = 0; i < D; i++) {
        product += C[i] * P[i];
        square += P[i] * P[i];
    }
    return product * square;
}

/* Estimates the gradient of f entry by entry; every entry, and the sum along C, must be 'gain' times C. */
static void check_gradient(fitness_fn *f, const double *u, const double *v, const double *C, uint32_t rank,
                           double sigma, double gain)
{
    enum { PAIRS = 1 << 15 };
    static double sum[D], squares[D], P[D];
    double along = 0, along_squares = 0;
    for (uint32_t i = 0; i < D; i++) sum[i] = squares[i] = 0;
    theory_noise noise;
    theory_noise_open(&noise, M, N, rank, sigma, 100 + rank);
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        if (pair % noise.chunk == 0) theory_draw(&noise, pair, noise.chunk);
        theory_perturbation(&noise, pair % noise.chunk, P);
        double score = f(P, u, v, C), projection = 0;
        for (uint32_t i = 0; i < D; i++) {
            double term = score * P[i] / (sigma * sigma);   /* f(sigma E) E / sigma */
            sum[i] += term;
            squares[i] += term * term;
            projection += C[i] * term;
        }
        along += projection;
        along_squares += projection * projection;
    }
    theory_noise_close(&noise);
    for (uint32_t i = 0; i < D; i++) {
        double mean = sum[i] / PAIRS;
        assert_estimates((theory_estimate){mean, sqrt((squares[i] / PAIRS - mean * mean) / PAIRS)}, gain * C[i]);
    }
    double mean = along / PAIRS;
    assert_estimates((theory_estimate){mean, sqrt((along_squares / PAIRS - mean * mean) / PAIRS)}, gain);
}

/* The values of the closed form at sigma 1, and that it is what the library's noise estimates. */
static void test_sine_gain(void **state)
{
    (void)state;
    static const struct { uint32_t rank; double gain; } at[] = {
        {1, 0.35355}, {2, 0.44444}, {4, 0.51200}, {8, 0.55493}, {0, 0.60653}};
    double u[M], v[N], C[D];
    theory_unit_vectors(M, N, u, v);
    for (uint32_t i = 0; i < D; i++) C[i] = u[i / N] * v[i % N];
    for (size_t i = 0; i < EGG_COUNT(at); i++) {
        assert_near(theory_sine_gain(at[i].rank, 1), at[i].gain, 5e-6);
        check_gradient(sine, u, v, C, at[i].rank, 1, theory_sine_gain(at[i].rank, 1));
    }
}

/* A direction C of full rank: what the cubic's gradient is multiplied by does not depend on C. */
static void test_cubic_gradient(void **state)
{
    (void)state;
    double C[D], square = 0;
    for (uint32_t i = 0; i < D; i++) {
        C[i] = (double)((i / N * i / N + 3 * (i % N) + i % 5) % 7) - 3;
        square += C[i] * C[i];
    }
    for (uint32_t i = 0; i < D; i++) C[i] /= sqrt(square);
    static const uint32_t ranks[] = {1, 2, 4, 0};
    const double sigma = 0.25;
    for (size_t i = 0; i < EGG_COUNT(ranks); i++)
        check_gradient(cubic, NULL, NULL, C, ranks[i], sigma, sigma * sigma * theory_fourth_moment(M, N, ranks[i]));
}

/* ------------------------------------------------------------------------------------------------------------ rank */

/*
 * Theorem 4: the distance from full-rank evolution strategies falls as 1/r. The standard error of the slope follows
 * from those of the points: with x the centred log r, sqrt(sum x^2 (error/mean)^2) / sum x^2.
 */
static void check_rank_slope(double sigma, const uint32_t *ranks, size_t count)
{
    enum { PAIRS = 1 << 14 };
    double r[8] = {0}, measured[8] = {0}, exact[8] = {0}, relative[8] = {0}, center = 0, xx = 0, variance = 0;
    for (size_t i = 0; i < count; i++) {
        theory_estimate error = theory_sine_error(ranks[i], sigma, PAIRS);
        r[i] = ranks[i];
        measured[i] = error.mean;
        exact[i] = theory_sine_gain(0, sigma) - theory_sine_gain(ranks[i], sigma);
        relative[i] = error.error / error.mean;
        assert_estimates(error, exact[i]);
        assert_true(relative[i] < 0.06);
        center += log(r[i]) / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        double x = log(r[i]) - center;
        xx += x * x;
        variance += x * x * relative[i] * relative[i];
    }
    double slope = theory_log_slope(count, r, measured);
    assert_estimates((theory_estimate){slope, sqrt(variance) / xx}, theory_log_slope(count, r, exact));
    assert_near(slope, -1, 0.1);
}

static void test_error_falls_as_one_over_rank(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 2, 4, 8, 16, 32, 64};
    check_rank_slope(0.5, ranks, 7);
    check_rank_slope(1, ranks + 2, 5);   /* from r = 4 on, where the first order leads (docs/theory.md) */
}

static void test_fourth_moment(void **state)
{
    (void)state;
    enum { PAIRS = 1 << 14 };
    static const uint32_t shapes[][2] = {{16, 16}, {16, 32}, {64, 16}}, ranks[] = {1, 2, 4, 8, 0};
    assert_near(theory_fourth_moment(4, 5, 1), 42, 0);
    assert_near(theory_fourth_moment(4, 5, 8), 24.5, 0);
    assert_near(theory_fourth_moment(4, 5, 0), 22, 0);
    for (size_t s = 0; s < EGG_COUNT(shapes); s++)
        for (size_t i = 0; i < EGG_COUNT(ranks); i++) {
            uint32_t m = shapes[s][0], n = shapes[s][1];
            double d = (double)m * n, moment = theory_fourth_moment(m, n, ranks[i]);
            theory_estimate variance = theory_norm_variance(m, n, ranks[i], PAIRS);
            assert_estimates(variance, moment / d - 1);
            assert_true(variance.error < 0.05 * variance.mean);
            assert_estimates(theory_cubic_gradient(m, n, ranks[i], 1, PAIRS), moment);
        }
}

/* ------------------------------------------------------------------------------------------------------- dimension */

enum { SIZES = 4 };
static const uint32_t sides[SIZES] = {16, 32, 64, 128};

/* Theorems 1 and 2: the true gradient at 0 is 0, so what is estimated is the bias, of size sigma^2 d. */
static void test_three_regimes_of_sigma(void **state)
{
    (void)state;
    static const struct { double sigma_power, size_power; } regimes[] = {{-1, -1}, {-0.5, 0}, {-0.25, 0.5}};
    static const uint32_t ranks[] = {0, 1};
    for (size_t k = 0; k < EGG_COUNT(ranks); k++)
        for (size_t g = 0; g < EGG_COUNT(regimes); g++) {
            double d[SIZES], size[SIZES];
            for (size_t i = 0; i < SIZES; i++) {
                uint32_t m = sides[i];
                d[i] = (double)m * m;
                double sigma = pow(d[i], regimes[g].sigma_power);
                theory_estimate gradient = theory_cubic_gradient(m, m, ranks[k], sigma, ranks[k] == 0 ? 512 : 4096);
                assert_estimates(gradient, sigma * sigma * theory_fourth_moment(m, m, ranks[k]));
                size[i] = gradient.mean;
            }
            assert_near(theory_log_slope(SIZES, d, size), regimes[g].size_power, 0.06);
            assert_true(g != 0 || size[SIZES - 1] < 1e-4);
            assert_true(g != 1 || fabs(size[SIZES - 1] - 1) < 0.05);
            assert_true(g != 2 || size[SIZES - 1] > 100);
        }
}

/* Theorem 3: at any fixed rank, 1 included, the low-rank estimate approaches the full-rank one as d grows. */
static void test_rank_matters_less_in_high_dimension(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 4}, wide[] = {16, 32, 64, 128, 256};
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        double d[EGG_COUNT(wide)], excess[EGG_COUNT(wide)];
        for (size_t i = 0; i < EGG_COUNT(wide); i++) {
            uint32_t m = wide[i];
            d[i] = (double)m * m;
            theory_estimate variance = theory_norm_variance(m, m, ranks[k], 1 << 13);
            double full = theory_fourth_moment(m, m, 0) / d[i];   /* as is measured above */
            theory_estimate relative = {(1 + variance.mean) / full - 1, variance.error / full};
            assert_estimates(relative, 2.0 / ranks[k] * (2 * m + 1) / (d[i] + 2));
            excess[i] = relative.mean;
        }
        assert_near(theory_log_slope(EGG_COUNT(wide), d, excess), -0.5, 0.05);
    }
}

/* ------------------------------------------------------------------------------------------------------ population */

static void test_error_falls_as_one_over_root_population(void **state)
{
    (void)state;
    enum { LEVELS = 6 };
    static const uint32_t ranks[] = {1, 4, 0};
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        theory_estimate squared[LEVELS];
        double population[LEVELS], error[LEVELS], variance = theory_sine_variance(M, N, ranks[k], 1);
        theory_sine_squared_errors(M, N, ranks[k], 1, LEVELS, squared);
        for (int level = 0; level < LEVELS; level++) {
            population[level] = pow(4, level);
            error[level] = sqrt(squared[level].mean);
            assert_estimates(squared[level], variance / population[level]);
            assert_true(squared[level].error < 0.05 * squared[level].mean);
        }
        /* Relative errors of at most 0.025 each, over a range of log N of 6.9 with deviation 2.4, move it by 0.005. */
        assert_near(theory_log_slope(LEVELS, population, error), -0.5, 0.025);
    }
}

/* An even function has no gradient at 0: an antithetic pair says so exactly, one-sided members only on average. */
static void test_pairs_cancel_what_is_even(void **state)
{
    (void)state;
    enum { MEMBERS = 1 << 10 };
    double u[M], v[N], P[D], paired = 0, one_sided = 0, sum[D] = {0};
    theory_unit_vectors(M, N, u, v);
    theory_noise noise;
    theory_noise_open(&noise, M, N, 1, 0.5, 200);
    for (uint32_t pair = 0; pair < MEMBERS; pair++) {
        if (pair % noise.chunk == 0) theory_draw(&noise, pair, noise.chunk);
        theory_perturbation(&noise, pair % noise.chunk, P);
        double product = 0, mirrored = 0, square = 0;
        for (uint32_t i = 0; i < D; i++) {
            product += u[i / N] * P[i] * v[i % N];
            mirrored += u[i / N] * -P[i] * v[i % N];
            square += P[i] * P[i];
        }
        double plus = cos(product) + square, minus = cos(mirrored) + square;
        paired += fabs(plus - minus);
        for (uint32_t i = 0; i < D; i++) sum[i] += plus * P[i];
    }
    theory_noise_close(&noise);
    for (uint32_t i = 0; i < D; i++) one_sided += sum[i] * sum[i];
    assert_true(paired == 0);
    assert_true(sqrt(one_sided) > 100);
}

/*
 * The reference code's learning rate is the root mean square of a step in units of sigma, whatever the population and
 * the rank. Scores that sum to 0 have a correlation of -1/(N-1), hence the factor N/(N-1).
 */
static void test_rate_is_the_step_in_units_of_sigma(void **state)
{
    (void)state;
    static const struct { uint32_t rank, members, steps; } cases[] = {
        {1, 64, 512}, {1, 1024, 64}, {4, 256, 64}, {0, 256, 64}};
    for (size_t i = 0; i < EGG_COUNT(cases); i++) {
        const double rate = 0.5, sigma = 0.02;
        uint32_t members = cases[i].members;
        theory_estimate square = theory_step_without_signal(cases[i].rank, rate, sigma, members, cases[i].steps);
        assert_estimates(square, rate * rate * sigma * sigma * members / (members - 1));
        assert_true(square.error < 0.05 * square.mean);
    }
}

/* ------------------------------------------------------------------------------------------------------- marginals */

/* The two independent forms of the law of an entry agree; it has variance 1 and kurtosis 3 + 6/r. */
static void test_density(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 2, 3, 5, 10, 50, 100};
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        double mass = 0, second = 0, fourth = 0;
        const double step = 1.0 / 256;
        /* x = t^2 at midpoints: at r = 1 the density is -log(x)/pi near 0, 2t of which is smooth enough. */
        for (double t = step / 2; t < 6; t += step) {
            double x = t * t, weight = 2 * theory_density(ranks[k], x) * 2 * t * step;
            mass += weight;
            second += weight * x * x;
            fourth += weight * x * x * x * x;
        }
        assert_near(mass, 1, 1e-4);
        assert_near(second, 1, 1e-4);
        assert_near(fourth, 3 + 6.0 / ranks[k], 1e-3);
        for (double x = 0.5; x < 4; x += 0.5) {
            double h = 1.0 / 64, slope = theory_distribution(ranks[k], x + h) - theory_distribution(ranks[k], x - h);
            assert_near(slope / (2 * h), theory_density(ranks[k], x), 1e-3);   /* h^2/6 times a curvature below 20 */
        }
    }
    assert_near(theory_density(2, 0.7), exp(-sqrt(2) * 0.7) / sqrt(2), 1e-12);   /* Laplace */
    assert_near(theory_density(1, 1), 0.42102443824070834 / acos(-1), 1e-12);    /* K0(1) / pi */
}

/* The curves of the paper's Figure 3. */
static void test_peaks(void **state)
{
    (void)state;
    static const struct { uint32_t rank; double at, value, distance; } expected[] = {
        {1, 0.60, 0.1485, 0.112},  {2, 0.71, 0.1839, 0.078},  {3, 0.77, 0.2005, 0.060},   {5, 0.84, 0.2161, 0.041},
        {10, 0.91, 0.2291, 0.0234}, {50, 0.98, 0.2395, 0.0052}, {100, 0.99, 0.2408, 0.0026}, {0, 1, 0.24197, 0}};
    for (size_t i = 0; i < EGG_COUNT(expected); i++) {
        theory_peak peak = theory_find_peak(expected[i].rank);
        assert_near(peak.at, expected[i].at, 0.0051);
        assert_near(peak.value, expected[i].value, 5.1e-5);
        assert_near(peak.distance, expected[i].distance, 5.1e-4);
        if (expected[i].rank >= 50) assert_near(peak.distance * expected[i].rank, 0.26, 0.005);
    }
}

/*
 * Kolmogorov and Smirnov on a grid: the distance of the sample's distribution from the law's exceeds e with probability
 * at most 2 exp(-2 n e^2), which is 1e-9 at e = sqrt(ln(2e9) / 2n). Ranks up to 10 are further from N(0,1) than that.
 */
static void test_entries_follow_the_law(void **state)
{
    (void)state;
    enum { PAIRS = 1 << 15, SAMPLES = 16 * PAIRS, BINS = 241 };
    static const uint32_t ranks[] = {1, 2, 3, 5, 10, 0};
    static uint32_t counts[BINS];
    const double low = -6.025, width = 0.05, bound = sqrt(log(2e9) / (2.0 * SAMPLES));
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        double below = 0, distance = 0, from_normal = 0;
        theory_count_entries(ranks[k], PAIRS, low, width, BINS, counts);
        for (int i = 0; i < BINS - 1; i++) {
            double edge = low + (i + 1) * width;
            below += counts[i];
            distance = fmax(distance, fabs(below / SAMPLES - theory_distribution(ranks[k], edge)));
            from_normal = fmax(from_normal, fabs(below / SAMPLES - theory_distribution(0, edge)));
        }
        assert_true(distance < bound);
        if (ranks[k] > 0) assert_true(from_normal > 2 * bound);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sine_gain),
        cmocka_unit_test(test_cubic_gradient),
        cmocka_unit_test(test_error_falls_as_one_over_rank),
        cmocka_unit_test(test_fourth_moment),
        cmocka_unit_test(test_three_regimes_of_sigma),
        cmocka_unit_test(test_rank_matters_less_in_high_dimension),
        cmocka_unit_test(test_error_falls_as_one_over_root_population),
        cmocka_unit_test(test_pairs_cancel_what_is_even),
        cmocka_unit_test(test_rate_is_the_step_in_units_of_sigma),
        cmocka_unit_test(test_density),
        cmocka_unit_test(test_peaks),
        cmocka_unit_test(test_entries_follow_the_law),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
