/* SPDX-License-Identifier: MIT */
/* Steps of the optimizers against their published formulas in double precision, and where they must lead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "es/optimizer.h"

enum { N = 37, STEPS = 50 };

static egg_kernels kernels;

static double gradient(int i, int t)
{
    return sin(0.7 * i + 1.3 * t) * pow(10, i % 7 - 4);
}

typedef struct run {
    egg_optimizer optimizer;
    double lr;
    float scale;
} run;

/* The formulas: ascent, so all signs are plus but that of the decay. */
static void reference_step(const run *r, int t, const double *G, double *W, double *m, double *v)
{
    const egg_optimizer *o = &r->optimizer;
    for (int i = 0; i < N; i++) {
        double g = r->scale * G[i], b1 = o->beta1, b2 = o->beta2;
        W[i] -= r->lr * o->weight_decay * W[i];
        if (o->kind == EGG_OPTIMIZER_SGD) {
            W[i] += r->lr * g;
        } else if (o->kind == EGG_OPTIMIZER_MOMENTUM) {
            m[i] = b1 * m[i] + g;
            W[i] += r->lr * m[i];
        } else {
            m[i] = b1 * m[i] + (1 - b1) * g;
            v[i] = b2 * v[i] + (1 - b2) * g * g;
            W[i] += r->lr * (m[i] / (1 - pow(b1, t))) / (sqrt(v[i] / (1 - pow(b2, t))) + o->epsilon);
        }
    }
}

static void check_run(const run *r)
{
    float W[N], m[N] = {0}, v[N] = {0}, G[N];
    double W2[N], m2[N] = {0}, v2[N] = {0}, G2[N];
    uint32_t moments = egg_optimizer_moments(r->optimizer.kind);
    for (int i = 0; i < N; i++) W2[i] = W[i] = (float)cos(i);
    for (int t = 1; t <= STEPS; t++) {
        for (int i = 0; i < N; i++) G2[i] = G[i] = (float)gradient(i, t);
        egg_optimizer_step(&r->optimizer, &kernels, (uint64_t)t, r->lr, r->scale, N, G, W, moments > 0 ? m : NULL,
                           moments > 1 ? v : NULL);
        reference_step(r, t, G2, W2, m2, v2);
        for (int i = 0; i < N; i++)
            if (fabs(W[i] - W2[i]) > 2e-5 * (1 + fabs(W2[i])))
                fail_msg("kind %d, step %d, weight %d: %g, expected %g", r->optimizer.kind, t, i, W[i], W2[i]);
    }
}

static void test_formulas(void **state)
{
    (void)state;
    for (int kind = EGG_OPTIMIZER_SGD; kind <= EGG_OPTIMIZER_ADAMW; kind++)
        for (int decay = 0; decay < 2; decay++)
            for (int scaled = 0; scaled < 2; scaled++)
                check_run(&(run){.optimizer = {.kind = (egg_optimizer_kind)kind,
                                               .beta1 = 0.9f,
                                               .beta2 = 0.99f,
                                               .epsilon = 1e-6f,
                                               .weight_decay = decay ? 0.1f : 0},
                                 .lr = 0.02,
                                 .scale = scaled ? 0.25f : 1});
}

/* Adam's first step is lr in the direction of the gradient, however large that is; so are all under a constant one. */
static void test_adam_is_scale_free(void **state)
{
    (void)state;
    const egg_optimizer adam = {.kind = EGG_OPTIMIZER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-12f};
    const float G[4] = {1e-3f, -1, 1e3f, -1e6f};
    float W[4] = {0}, m[4] = {0}, v[4] = {0};
    for (uint64_t t = 1; t <= 100; t++) egg_optimizer_step(&adam, &kernels, t, 0.5, 1, 4, G, W, m, v);
    for (int i = 0; i < 4; i++) assert_true(fabs(W[i] - (i % 2 ? -50 : 50)) < 1e-2);
}

/* A constant gradient under momentum beta moves by lr / (1 - beta) a step in the end. */
static void test_momentum_limit(void **state)
{
    (void)state;
    const egg_optimizer momentum = {.kind = EGG_OPTIMIZER_MOMENTUM, .beta1 = 0.75f};
    float W = 0, m = 0, before, G = 2;
    for (uint64_t t = 1; t <= 200; t++) {
        before = W;
        egg_optimizer_step(&momentum, &kernels, t, 0.125, 1, 1, &G, &W, &m, NULL);
    }
    assert_true(fabs(m - 8) < 1e-4 && fabs(W - before - 1) < 1e-4);
}

/* Without a gradient weights fade by (1 - lr decay) a step and nothing else. */
static void test_decay(void **state)
{
    (void)state;
    for (int kind = EGG_OPTIMIZER_SGD; kind <= EGG_OPTIMIZER_ADAMW; kind++) {
        const egg_optimizer optimizer = {
            .kind = (egg_optimizer_kind)kind, .beta1 = 0.9f, .beta2 = 0.9f, .epsilon = 1e-8f, .weight_decay = 0.5f};
        float W = 8, m = 0, v = 0, G = 0;
        for (uint64_t t = 1; t <= 3; t++) egg_optimizer_step(&optimizer, &kernels, t, 1, 1, 1, &G, &W, &m, &v);
        assert_true(W == 1);
    }
}

static void test_moments(void **state)
{
    (void)state;
    assert_int_equal(egg_optimizer_moments(EGG_OPTIMIZER_SGD), 0);
    assert_int_equal(egg_optimizer_moments(EGG_OPTIMIZER_MOMENTUM), 1);
    assert_int_equal(egg_optimizer_moments(EGG_OPTIMIZER_ADAM), 2);
    assert_int_equal(egg_optimizer_moments(EGG_OPTIMIZER_ADAMW), 2);
}

int main(void)
{
    egg_kernels_init(&kernels, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),       cmocka_unit_test(test_adam_is_scale_free),
        cmocka_unit_test(test_momentum_limit), cmocka_unit_test(test_decay),
        cmocka_unit_test(test_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
