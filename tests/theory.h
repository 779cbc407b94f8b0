/* SPDX-License-Identifier: MIT */
/*
 * The theory of docs/theory.md in two independent forms: closed forms, and simulations that draw their perturbations
 * from the library as training does. tests/test_theory.c compares the two, bench/theory.c prints them for the plots.
 *
 * Throughout, E is the perturbation of an m x n matrix in units of sigma, r its rank, d = m n. A law of rank 0 stands
 * for the limit of high ranks: dense normal noise, full-rank evolution strategies.
 */
#ifndef EGG_TESTS_THEORY_H
#define EGG_TESTS_THEORY_H

#include <stddef.h>
#include <stdint.h>

#include "es/evolution.h"

/* --------------------------------------------------------------------------------------------------- closed forms */

/* f(W) = sin(u^T W v) at W = 0, |u| = |v| = 1: the gradient that rank r estimates is this times u v^T. */
double theory_sine_gain(uint32_t rank, double sigma);

/* N times the expected squared error, over all m n entries, of the mean of N directions for the same f. */
double theory_sine_variance(uint32_t m, uint32_t n, uint32_t rank, double sigma);

/* E[E_ij^2 |E|^2], |.| the Frobenius norm; also the gradient of f(W) = <C,W> |W|^2, |C| = 1, in units of sigma^2 C. */
double theory_fourth_moment(uint32_t m, uint32_t n, uint32_t rank);

/* Density, x not 0, and distribution of one entry of E: by Bessel functions (paper App. D) and by a mixture. */
double theory_density(uint32_t rank, double x);
double theory_distribution(uint32_t rank, double x);

/* Location and value of the largest x * density(x); the largest distance of that curve from its limit. */
typedef struct theory_peak { double at, value, distance; } theory_peak;
theory_peak theory_find_peak(uint32_t rank);

/* ---------------------------------------------------------------------------------------------------- simulations */

/* A stream of perturbations of one parameter. */
typedef struct theory_noise {
    egg_kernels kernels;
    egg_param param;
    egg_perturb law;
    uint32_t rank;    /* 0: dense */
    uint32_t chunk;   /* pairs that are drawn at a time */
    float *A;         /* (chunk, rank, m), dense: (chunk, m n); by theory_draw */
    float *B;         /* (chunk, rank, n); by theory_draw */
} theory_noise;

/* m and n are multiples of 16. Aborts where memory is short, as do the simulations. */
void theory_noise_open(theory_noise *noise, uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t epoch);
void theory_noise_close(theory_noise *noise);
void theory_draw(theory_noise *noise, uint32_t first_pair, uint32_t pairs);

/* P = sigma E of pair 'p' of the chunk, (m, n). */
void theory_perturbation(const theory_noise *noise, uint32_t p, double *P);

/* A mean over independent samples and its standard error. */
typedef struct theory_estimate { double mean, error; } theory_estimate;

/* exp(-sigma^2/2) - gain(r), by samples whose spread shrinks with it as 1/r (docs/theory.md, section 1). */
theory_estimate theory_sine_error(uint32_t rank, double sigma, uint32_t pairs);

/* The gradient of f(W) = <C,W> |W|^2 along C, on the mean over an orthonormal basis of directions C. */
theory_estimate theory_cubic_gradient(uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t pairs);

/* E[(|E|^2 / d - 1)^2]: what the fourth moment exceeds 1 by, in units of d. */
theory_estimate theory_norm_variance(uint32_t m, uint32_t n, uint32_t rank, uint32_t pairs);

/* Squared error of the mean of N directions for f(W) = sin(u^T W v), for N = 1, 4, 16, ..., from 4^(levels + 2). */
void theory_sine_squared_errors(uint32_t m, uint32_t n, uint32_t rank, double sigma, uint32_t levels,
                                theory_estimate *errors);

/* The mean square of what a step of the library's SGD adds to a weight, the fitness of the members being noise. */
theory_estimate theory_step_without_signal(uint32_t rank, double rate, double sigma, uint32_t members, uint32_t steps);

/*
 * counts[i]: how many of 16 * pairs independent entries of E lie in [low + i width, low + (i + 1) width); the first and
 * the last also count what lies beyond.
 */
void theory_count_entries(uint32_t rank, uint32_t pairs, double low, double width, uint32_t bins, uint32_t *counts);

/* Unit vectors u (m) and v (n) in no special direction. */
void theory_unit_vectors(uint32_t m, uint32_t n, double *u, double *v);

/* The least squares slope of log y against log x. */
double theory_log_slope(size_t count, const double *x, const double *y);

#endif
