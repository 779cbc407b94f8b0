/* SPDX-License-Identifier: MIT */
#include "theory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

static const double pi = 3.14159265358979323846;

/* --------------------------------------------------------------------------------------------------- closed forms */

/*
 * E = A B^T / sqrt(r) gives s = u^T E v = sum_k alpha_k beta_k / sqrt(r), alpha and beta standard normal, whose
 * characteristic function is phi(t) = (1 + t^2/r)^(-r/2). The gain is E[s sin(sigma s)] / sigma = -phi'(sigma) / sigma.
 */
double theory_sine_gain(uint32_t rank, double sigma)
{
    double square = sigma * sigma;
    return rank == 0 ? exp(-square / 2) : pow(1 + square / rank, -(0.5 * rank + 1));
}

/*
 * The squared norm of one term sin(sigma s) E / sigma is |E|^2 (1 - cos(t s)) / (2 sigma^2) with t = 2 sigma. In a
 * basis that begins with u and v, s = E_11. Given all that s depends on, E_11^2 contributes -phi''(t) to
 * E[|E|^2 cos(t s)]; another entry of row or column 1 has as variance that of s given alpha (or beta), and contributes
 * gain(t); the rest has variance 1 and contributes phi(t).
 */
double theory_sine_variance(uint32_t m, uint32_t n, uint32_t rank, double sigma)
{
    double t = 2 * sigma, gain = theory_sine_gain(rank, t), phi, curvature;
    if (rank == 0) {
        phi = gain;
        curvature = gain * (1 - t * t);
    } else {
        phi = gain * (1 + t * t / rank);
        curvature = gain * (1 - t * t * (1 + 2.0 / rank) / (1 + t * t / rank));
    }
    double cosine = curvature + (m + n - 2.0) * gain + (m - 1.0) * (n - 1.0) * phi;
    double mean = theory_sine_gain(rank, sigma);
    return ((double)m * n - cosine) / (2 * sigma * sigma) - mean * mean;
}

double theory_fourth_moment(uint32_t m, uint32_t n, uint32_t rank)
{
    return (double)m * n + 2 + (rank == 0 ? 0 : 2.0 / rank * (m + n + 1.0));
}

/*
 * K_nu(z), the modified Bessel function, as the integral of exp(-z cosh t) cosh(nu t) over t > 0, by trapezoids: the
 * integrand is analytic for |Im t| < pi/2, so steps of h err by exp(-pi^2/h), here 5e-35, of it.
 */
static double bessel_k(double nu, double z)
{
    const double step = 1.0 / 8;
    double sum = exp(-z) / 2, largest = -z;
    for (int i = 1;; i++) {
        double t = i * step, exponent = nu * t - z * cosh(t);
        if (exponent > largest) largest = exponent;
        if (exponent < largest - 40) return sum * step;
        sum += exp(exponent) * (1 + exp(-2 * nu * t)) / 2;
    }
}

/* App. D with unit variance, that is a scale of sqrt(2) in the paper's generalized normal law. */
double theory_density(uint32_t rank, double x)
{
    if (rank == 0) return exp(-x * x / 2) / sqrt(2 * pi);
    double z = sqrt(rank) * fabs(x), order = (rank - 1) / 2.0;
    double log_scale = order * log(z) - (rank + 1) / 2.0 * log(2) - lgamma(rank / 2.0);
    return 2 * sqrt(rank / pi) * exp(log_scale) * bessel_k(order, z);
}

/*
 * Given alpha an entry is normal with variance w^2/r, w^2 = sum_k alpha_k^2 chi-square with r degrees of freedom:
 * P(E < x) is the mean of Phi(x sqrt(r) / w) over w, whose density is w^(r-1) exp(-w^2/2) 2^(1-r/2) / Gamma(r/2).
 * Midpoint rule.
 */
double theory_distribution(uint32_t rank, double x)
{
    if (rank == 0) return erfc(-x / sqrt(2)) / 2;
    const double step = 1.0 / 128, log_norm = (1 - rank / 2.0) * log(2) - lgamma(rank / 2.0);
    double sum = 0, end = sqrt(rank) + 9;
    for (double w = step / 2; w < end; w += step)
        sum += erfc(-x * sqrt(rank / 2.0) / w) / 2 * exp(log_norm + (rank - 1) * log(w) - w * w / 2);
    return sum * step;
}

theory_peak theory_find_peak(uint32_t rank)
{
    theory_peak peak = {0};
    for (int i = 1; i <= 4000; i++) {
        double x = i / 1000.0, y = x * theory_density(rank, x), distance = fabs(y - x * theory_density(0, x));
        if (y > peak.value) peak.at = x, peak.value = y;
        if (distance > peak.distance) peak.distance = distance;
    }
    return peak;
}

/* ---------------------------------------------------------------------------------------------------------- noise */

static void *allocate(size_t count, size_t bytes_each)
{
    void *memory = calloc(count ? count : 1, bytes_each);
    if (!memory) abort();
    return memory;
}

void theory_noise_open(theory_noise *noise, uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t epoch)
{
    const uint64_t seed = 2511;
    const uint32_t chunk_numbers = 1 << 19, chunk_pairs = 1024;
    *noise = (theory_noise){.rank = rank};
    const char *unknown;
    egg_kernels_init(&noise->kernels, egg_cpu_levels(&unknown));
    if (egg_param_open(&noise->param, NULL, 3, EGG_PARAM_MATRIX, EGG_F32, m, n, "theory", NULL)) abort();
    noise->law = rank == 0 ? egg_perturb_dense(seed, epoch, (float)sigma)
                           : egg_perturb_f32(seed, epoch, rank, (float)sigma);
    uint32_t numbers = rank == 0 ? m * n : rank * (m + n);
    noise->chunk = chunk_numbers / numbers;
    if (noise->chunk > chunk_pairs) noise->chunk = chunk_pairs;
    noise->A = allocate((size_t)noise->chunk * (rank == 0 ? m * n : rank * m), sizeof(float));
    noise->B = allocate((size_t)noise->chunk * rank * n, sizeof(float));
}

void theory_noise_close(theory_noise *noise)
{
    egg_param_close(&noise->param);
    free(noise->A);
    free(noise->B);
}

void theory_draw(theory_noise *noise, uint32_t first_pair, uint32_t pairs)
{
    const egg_param *param = &noise->param;
    if (egg_perturb_is_dense(&noise->law, param)) {
        const size_t elements = egg_param_elements(param);
        egg_perturb_draw_dense(&noise->law, &noise->kernels, param, first_pair, pairs, 0, elements, noise->A, elements);
        return;
    }
    egg_perturb_draw(&noise->law, &noise->kernels, param, EGG_A, first_pair, pairs, 0, param->out, noise->A);
    egg_perturb_draw(&noise->law, &noise->kernels, param, EGG_B, first_pair, pairs, 0, param->in, noise->B);
}

static const float *factor_a(const theory_noise *noise, uint32_t p, uint32_t k)
{
    return noise->A + ((size_t)p * noise->rank + k) * noise->param.out;
}

static const float *factor_b(const theory_noise *noise, uint32_t p, uint32_t k)
{
    return noise->B + ((size_t)p * noise->rank + k) * noise->param.in;
}

void theory_perturbation(const theory_noise *noise, uint32_t p, double *P)
{
    uint32_t m = noise->param.out, n = noise->param.in;
    size_t d = (size_t)m * n;
    for (size_t i = 0; i < d; i++) P[i] = noise->rank == 0 ? noise->law.sigma * noise->A[p * d + i] : 0;
    for (uint32_t k = 0; k < noise->rank; k++) {
        const float *a = factor_a(noise, p, k), *b = factor_b(noise, p, k);
        for (uint32_t i = 0; i < m; i++) {
            double scaled = (double)noise->law.c * a[i];
            for (uint32_t j = 0; j < n; j++) P[(size_t)i * n + j] += scaled * b[j];
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- simulations */

typedef struct moments { double count, sum, squares; } moments;

static void moments_add(moments *m, double x)
{
    m->count += 1;
    m->sum += x;
    m->squares += x * x;
}

static theory_estimate moments_estimate(const moments *m)
{
    double mean = m->sum / m->count, variance = (m->squares / m->count - mean * mean) * m->count / (m->count - 1);
    return (theory_estimate){mean, sqrt(variance / m->count)};
}

void theory_unit_vectors(uint32_t m, uint32_t n, double *u, double *v)
{
    double uu = 0, vv = 0;
    for (uint32_t i = 0; i < m; i++) {
        u[i] = 1 + i % 5;
        uu += u[i] * u[i];
    }
    for (uint32_t j = 0; j < n; j++) {
        v[j] = j % 2 ? -1.0 : 2.0 + j % 3;
        vv += v[j] * v[j];
    }
    for (uint32_t i = 0; i < m; i++) u[i] /= sqrt(uu);
    for (uint32_t j = 0; j < n; j++) v[j] /= sqrt(vv);
}

static double project(const double *u, const float *a, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += u[i] * a[i];
    return sum;
}

/*
 * With q = sum alpha_k^2 / r and z = sum alpha_k beta_k / sqrt(r q), a standard normal independent of q, the sample of
 * rank r is G(q,z) = s sin(sigma s) / sigma at s = sqrt(q) z and that of the limit, on the same numbers, is G(1,z). The
 * first order in q - 1, whose expectation is 0, is taken off as a control variate; what is left is of order (q - 1)^2,
 * that is 1/r, as its mean is.
 */
theory_estimate theory_sine_error(uint32_t rank, double sigma, uint32_t pairs)
{
    enum { M = 16, N = 16 };
    theory_noise noise;
    double u[M], v[N];
    theory_unit_vectors(M, N, u, v);
    theory_noise_open(&noise, M, N, rank, sigma, rank);
    moments sample = {0};
    for (uint32_t first = 0; first < pairs; first += noise.chunk) {
        uint32_t count = pairs - first < noise.chunk ? pairs - first : noise.chunk;
        theory_draw(&noise, first, count);
        for (uint32_t p = 0; p < count; p++) {
            double q = 0, product = 0;
            for (uint32_t k = 0; k < rank; k++) {
                double alpha = project(u, factor_a(&noise, p, k), M), beta = project(v, factor_b(&noise, p, k), N);
                q += alpha * alpha / rank;
                product += alpha * beta;
            }
            double perturbed = noise.law.c * product;   /* sigma s = u^T (sigma E) v */
            double s = perturbed / sigma, z = s / sqrt(q);
            double slope = z * sin(sigma * z) / (2 * sigma) + z * z * cos(sigma * z) / 2;   /* dG/dq at q = 1 */
            moments_add(&sample, (z * sin(sigma * z) - s * sin(perturbed)) / sigma + (q - 1) * slope);
        }
    }
    theory_noise_close(&noise);
    return moments_estimate(&sample);
}

/* |E|^2 = sum over k, l of (a_k . a_l) (b_k . b_l) / r. */
static double squared_norm(const theory_noise *noise, uint32_t p)
{
    uint32_t m = noise->param.out, n = noise->param.in;
    double sum = 0;
    if (noise->rank == 0) {
        const float *E = noise->A + (size_t)p * m * n;
        for (size_t i = 0; i < (size_t)m * n; i++) sum += (double)E[i] * E[i];
        return sum;
    }
    for (uint32_t k = 0; k < noise->rank; k++)
        for (uint32_t l = 0; l <= k; l++) {
            const float *a = factor_a(noise, p, k), *other_a = factor_a(noise, p, l);
            const float *b = factor_b(noise, p, k), *other_b = factor_b(noise, p, l);
            double aa = 0, bb = 0;
            for (uint32_t i = 0; i < m; i++) aa += (double)a[i] * other_a[i];
            for (uint32_t j = 0; j < n; j++) bb += (double)b[j] * other_b[j];
            sum += (l < k ? 2 : 1) * aa * bb;
        }
    double unit = (double)noise->law.c / noise->law.sigma;
    return unit * unit * sum;
}

typedef double norm_statistic(double squared_norm, double d, double sigma);

static theory_estimate mean_over_norms(uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t pairs,
                                       norm_statistic *statistic)
{
    theory_noise noise;
    theory_noise_open(&noise, m, n, rank, sigma, 256 * m + rank);   /* other noise for another shape */
    moments sample = {0};
    for (uint32_t first = 0; first < pairs; first += noise.chunk) {
        uint32_t count = pairs - first < noise.chunk ? pairs - first : noise.chunk;
        theory_draw(&noise, first, count);
        for (uint32_t p = 0; p < count; p++)
            moments_add(&sample, statistic(squared_norm(&noise, p), (double)m * n, sigma));
    }
    theory_noise_close(&noise);
    return moments_estimate(&sample);
}

/* f(P) <C,E> / sigma with P = sigma E is sigma^2 <C,E>^2 |E|^2; over a basis of d directions <C,E>^2 adds to |E|^2. */
static double cubic_gradient(double squared, double d, double sigma)
{
    return sigma * sigma * squared * squared / d;
}

/* E[|E|^4] / d^2 = 1 + Var(|E|^2 / d): the variance about the known mean 1 is the defect without the bulk's noise. */
static double norm_deviation(double squared, double d, double sigma)
{
    (void)sigma;
    double t = squared / d - 1;
    return t * t;
}

theory_estimate theory_cubic_gradient(uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t pairs)
{
    return mean_over_norms(m, n, rank, sigma, pairs, cubic_gradient);
}

theory_estimate theory_norm_variance(uint32_t m, uint32_t n, uint32_t rank, uint32_t pairs)
{
    return mean_over_norms(m, n, rank, 1, pairs, norm_deviation);
}

/* Means of 4^level directions are means of four of the level below; 'sums' holds one open mean a level. */
typedef struct pyramid {
    size_t d;
    uint32_t levels;
    double *sums;              /* (levels, d) */
    const double *truth;       /* (d) */
    moments *squared_errors;   /* (levels) */
} pyramid;

static void pyramid_add(pyramid *tree, uint64_t index, const double *term)
{
    double directions = 1;
    for (uint32_t level = 0; level < tree->levels; level++, directions *= 4, index /= 4) {
        double error = 0, *sum = tree->sums + level * tree->d;
        for (size_t i = 0; i < tree->d; i++) {
            double e = term[i] / directions - tree->truth[i];
            error += e * e;
        }
        moments_add(&tree->squared_errors[level], error);
        for (size_t i = 0; i < tree->d; i++) sum[i] = index % 4 == 0 ? term[i] : sum[i] + term[i];
        if (index % 4 != 3) return;
        term = sum;
    }
}

void theory_sine_squared_errors(uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t levels,
                                theory_estimate *errors)
{
    size_t d = (size_t)m * n;
    uint32_t pairs = 1u << (2 * (levels + 2));
    double *u = allocate(m, sizeof *u), *v = allocate(n, sizeof *v), *P = allocate(d, sizeof *P);
    double *truth = allocate(d, sizeof *truth);
    pyramid tree = {.d = d, .levels = levels, .truth = truth, .sums = allocate(levels * d, sizeof(double)),
                    .squared_errors = allocate(levels, sizeof(moments))};
    theory_unit_vectors(m, n, u, v);
    for (size_t i = 0; i < d; i++) truth[i] = theory_sine_gain(rank, sigma) * u[i / n] * v[i % n];
    theory_noise noise;
    theory_noise_open(&noise, m, n, rank, sigma, 2000 + rank);
    for (uint32_t pair = 0; pair < pairs; pair++) {
        if (pair % noise.chunk == 0) theory_draw(&noise, pair, noise.chunk);
        theory_perturbation(&noise, pair % noise.chunk, P);
        double s = 0;
        for (size_t i = 0; i < d; i++) s += u[i / n] * P[i] * v[i % n];
        for (size_t i = 0; i < d; i++) P[i] *= sin(s) / (sigma * sigma);
        pyramid_add(&tree, pair, P);
    }
    theory_noise_close(&noise);
    for (uint32_t level = 0; level < levels; level++) errors[level] = moments_estimate(&tree.squared_errors[level]);
    free(u);
    free(v);
    free(P);
    free(truth);
    free(tree.sums);
    free(tree.squared_errors);
}

theory_estimate theory_step_without_signal(uint32_t rank, double rate, double sigma, uint32_t members, uint32_t steps)
{
    enum { M = 16, N = 32, D = M * N };
    const char *unknown;
    egg_kernels kernels;
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    egg_param param;
    if (egg_param_open(&param, &kernels, 3, EGG_PARAM_MATRIX, EGG_F32, M, N, "theory", NULL)) abort();
    egg_evolution_shape shape = {
        .seed = 2511, .population = members, .rank = rank ? rank : 1, .dense = rank == 0, .noise_reuse = 1,
        .threads = 1,
        .sigma = sigma, .sigma_decay = 1, .rate = rate, .rate_decay = 1,
        .shaping = {.kind = EGG_SHAPING_ZSCORE, .antithetic = true}, .optimizer = {.kind = EGG_OPTIMIZER_SGD}};
    egg_evolution *evolution;
    if (egg_evolution_open(&evolution, &shape, &param, 1, NULL)) abort();
    float *fitness = allocate(members, sizeof *fitness), *W = param.data;
    moments sample = {0};
    for (uint32_t step = 0; step < steps; step++) {
        memset(W, 0, D * sizeof *W);
        egg_noise_f32(egg_key_make(1, EGG_DOMAIN_EPISODE), (egg_noise_at){.epoch = step}, 0, members, fitness);
        egg_evolution_tell(evolution, &kernels, NULL, step, fitness);
        double square = 0;
        for (uint32_t i = 0; i < D; i++) square += (double)W[i] * W[i] / D;
        moments_add(&sample, square);
    }
    egg_evolution_close(evolution);
    egg_param_close(&param);
    free(fitness);
    return moments_estimate(&sample);
}

/* Entries of one E share factors; those of its diagonal do not. */
void theory_count_entries(uint32_t rank, uint32_t pairs, double low, double width, uint32_t bins, uint32_t *counts)
{
    enum { M = 16 };
    memset(counts, 0, bins * sizeof *counts);
    theory_noise noise;
    theory_noise_open(&noise, M, M, rank, 1, 3000 + rank);
    for (uint32_t pair = 0; pair < pairs; pair++) {
        uint32_t p = pair % noise.chunk;
        if (p == 0) theory_draw(&noise, pair, noise.chunk);
        for (uint32_t i = 0; i < M; i++) {
            double entry = rank == 0 ? noise.A[((size_t)p * M + i) * M + i] : 0;
            for (uint32_t k = 0; k < rank; k++)
                entry += (double)noise.law.c * factor_a(&noise, p, k)[i] * factor_b(&noise, p, k)[i];
            counts[(uint32_t)fmin(fmax((entry - low) / width, 0), bins - 1)]++;
        }
    }
    theory_noise_close(&noise);
}

double theory_log_slope(size_t count, const double *x, const double *y)
{
    double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
    for (size_t i = 0; i < count; i++) {
        mean_x += log(x[i]) / (double)count;
        mean_y += log(y[i]) / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        xy += (log(x[i]) - mean_x) * (log(y[i]) - mean_y);
        xx += (log(x[i]) - mean_x) * (log(x[i]) - mean_x);
    }
    return xy / xx;
}
