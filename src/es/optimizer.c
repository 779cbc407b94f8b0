/* SPDX-License-Identifier: MIT */
#include "es/optimizer.h"

#include <math.h>

uint32_t egg_optimizer_moments(egg_optimizer_kind kind)
{
    return kind == EGG_OPTIMIZER_SGD ? 0 : kind == EGG_OPTIMIZER_MOMENTUM ? 1 : 2;
}

/*
 * With c1 = 1 / (1 - beta1^t) and c2 = 1 / sqrt(1 - beta2^t):  W += lr c1 m / (c2 sqrt(v) + epsilon). The powers come
 * from libm, once a step and rounded to single precision, where libraries agree.
 */
static void correct_bias(egg_optimize_args *args, uint64_t step, double lr)
{
    args->lr = (float)(lr / (1 - pow(args->beta1, (double)step)));
    args->correction = (float)(1 / sqrt(1 - pow(args->beta2, (double)step)));
}

void egg_optimizer_step(const egg_optimizer *optimizer, const egg_kernels *kernels, uint64_t step, double lr,
                        float scale, size_t n, const float *G, float *W, float *first, float *second)
{
    egg_optimize_args args = {
        .kind = optimizer->kind, .G = G, .W = W, .m = first, .v = second, .n = n, .lr = (float)lr, .scale = scale,
        .decay = (float)(1 - lr * optimizer->weight_decay), .beta1 = optimizer->beta1, .beta2 = optimizer->beta2,
        .epsilon = optimizer->epsilon,
    };
    if (optimizer->kind == EGG_OPTIMIZER_ADAM || optimizer->kind == EGG_OPTIMIZER_ADAMW) correct_bias(&args, step, lr);
    kernels->optimize_f32(&args);
}
