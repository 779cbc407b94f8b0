/* SPDX-License-Identifier: MIT */
/* Prints the numbers behind the plots of docs/theory.md, a line a point: curve, abscissa, theory, simulation. */
#include <math.h>
#include <stdio.h>

#include "base/compiler.h"
#include "theory.h"

static void print_rank_errors(void)
{
    static const double sigmas[] = {0.5, 1};
    puts("# rank_error sigma rank exact measured standard_error");
    for (size_t s = 0; s < EGG_COUNT(sigmas); s++)
        for (uint32_t rank = 1; rank <= 64; rank *= 2) {
            theory_estimate error = theory_sine_error(rank, sigmas[s], 1 << 16);
            double exact = theory_sine_gain(0, sigmas[s]) - theory_sine_gain(rank, sigmas[s]);
            printf("rank_error %g %u %.6g %.6g %.2g\n", sigmas[s], rank, exact, error.mean, error.error);
        }
}

static void print_regimes(void)
{
    static const double powers[] = {-1, -0.5, -0.25};
    static const uint32_t sides[] = {16, 32, 64, 128}, ranks[] = {0, 1};
    puts("# gradient power_of_sigma rank d exact measured standard_error");
    for (size_t g = 0; g < EGG_COUNT(powers); g++)
        for (size_t k = 0; k < EGG_COUNT(ranks); k++)
            for (size_t i = 0; i < EGG_COUNT(sides); i++) {
                uint32_t m = sides[i];
                double d = (double)m * m, sigma = pow(d, powers[g]);
                theory_estimate size = theory_cubic_gradient(m, m, ranks[k], sigma, ranks[k] == 0 ? 512 : 4096);
                printf("gradient %g %u %g %.6g %.6g %.2g\n", powers[g], ranks[k], d,
                       sigma * sigma * theory_fourth_moment(m, m, ranks[k]), size.mean, size.error);
            }
}

static void print_excess(void)
{
    static const uint32_t sides[] = {16, 32, 64, 128, 256, 512}, ranks[] = {1, 4};
    puts("# excess rank d exact measured standard_error");
    for (size_t k = 0; k < EGG_COUNT(ranks); k++)
        for (size_t i = 0; i < EGG_COUNT(sides); i++) {
            uint32_t m = sides[i];
            double d = (double)m * m, full = theory_fourth_moment(m, m, 0);
            theory_estimate variance = theory_norm_variance(m, m, ranks[k], 1 << 15);
            printf("excess %u %g %.6g %.6g %.2g\n", ranks[k], d, theory_fourth_moment(m, m, ranks[k]) / full - 1,
                   (1 + variance.mean) * d / full - 1, variance.error * d / full);
        }
}

static void print_population_errors(void)
{
    enum { M = 16, N = 16, LEVELS = 6 };
    static const uint32_t ranks[] = {1, 4, 0};
    puts("# population rank N exact measured standard_error");
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        theory_estimate squared[LEVELS];
        theory_sine_squared_errors(M, N, ranks[k], 1, LEVELS, squared);
        for (int level = 0; level < LEVELS; level++) {
            double population = pow(4, level), root = sqrt(squared[level].mean);
            printf("population %u %g %.6g %.6g %.2g\n", ranks[k], population,
                   sqrt(theory_sine_variance(M, N, ranks[k], 1) / population), root, squared[level].error / (2 * root));
        }
    }
}

static void print_marginals(void)
{
    enum { PAIRS = 1 << 15, BINS = 80 };
    static const uint32_t ranks[] = {1, 2, 3, 5, 10, 0};
    static uint32_t counts[BINS];
    const double width = 0.1, low = -4;
    puts("# marginal rank x exact");
    puts("# sampled rank x measured");
    puts("# peak rank x value distance");
    for (size_t k = 0; k < EGG_COUNT(ranks); k++) {
        theory_peak peak = theory_find_peak(ranks[k]);
        printf("peak %u %.3f %.5f %.5f\n", ranks[k], peak.at, peak.value, peak.distance);
        for (int i = 1; i <= 80; i++)
            printf("marginal %u %g %.5f\n", ranks[k], i / 20.0, i / 20.0 * theory_density(ranks[k], i / 20.0));
        theory_count_entries(ranks[k], PAIRS, low, width, BINS, counts);
        for (int i = 1; i < BINS / 2 - 1; i += 2) {   /* both signs; the outermost bins hold the tails */
            double x = (i + 0.5) * width, count = counts[BINS / 2 + i] + counts[BINS / 2 - 1 - i];
            printf("sampled %u %g %.5f\n", ranks[k], x, x * count / (2 * width * 16 * PAIRS));
        }
    }
}

int main(void)
{
    print_rank_errors();
    print_regimes();
    print_excess();
    print_population_errors();
    print_marginals();
    return 0;
}
