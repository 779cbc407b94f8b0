/* SPDX-License-Identifier: MIT */
#include "es/optimizer.h"

#include <math.h>

uint32_t egg_optimizer_moments(egg_optimizer_kind kind)
{
    return kind == EGG_OPTIMIZER_SGD ? 0 : kind == EGG_OPTIMIZER_MOMENTUM ? 1 : 2;
}

static void step_sgd(float lr, float scale, size_t n, const float *G, float *W)
{
    for (size_t i = 0; i < n; i++) W[i] += lr * (scale * G[i]);
}

static void step_momentum(float lr, float beta, float scale, size_t n, const float *G, float *W, float *m)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = beta * m[i] + scale * G[i];
        W[i] += lr * m[i];
    }
}

/*
 * With c1 = 1 / (1 - beta1^t) and c2 = 1 / sqrt(1 - beta2^t):  W += lr c1 m / (c2 sqrt(v) + epsilon). The powers come
 * from libm, once a step and rounded to single precision, where libraries agree.
 */
static void step_adam(const egg_optimizer *adam, uint64_t step, double lr, float scale, size_t n, const float *G,
                      float *W, float *m, float *v)
{
    const float b1 = adam->beta1, b2 = adam->beta2, epsilon = adam->epsilon;
    const float rate = (float)(lr / (1 - pow(b1, (double)step))), c2 = (float)(1 / sqrt(1 - pow(b2, (double)step)));
    for (size_t i = 0; i < n; i++) {
        float g = scale * G[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * (g * g);
        W[i] += rate * m[i] / (c2 * sqrtf(v[i]) + epsilon);
    }
}

void egg_optimizer_step(const egg_optimizer *optimizer, uint64_t step, double lr, float scale, size_t n, const float *G,
                        float *W, float *first, float *second)
{
    const float decay = (float)(1 - lr * optimizer->weight_decay);
    if (optimizer->weight_decay != 0)
        for (size_t i = 0; i < n; i++) W[i] *= decay;
    switch (optimizer->kind) {
    case EGG_OPTIMIZER_SGD: step_sgd((float)lr, scale, n, G, W); break;
    case EGG_OPTIMIZER_MOMENTUM: step_momentum((float)lr, optimizer->beta1, scale, n, G, W, first); break;
    case EGG_OPTIMIZER_ADAM:
    case EGG_OPTIMIZER_ADAMW: step_adam(optimizer, step, lr, scale, n, G, W, first, second); break;
    }
}
