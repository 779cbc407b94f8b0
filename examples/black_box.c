/* SPDX-License-Identifier: MIT */
/* Finds the lowest point of a function that knows nothing of gradients: Rastrigin's, a bowl full of local minima. */
#include <eggroll.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 10, POPULATION = 512 };

/* 0 at the origin; about 10^10 local minima within [-5, 5]^10, one near every point of whole numbers. */
static double rastrigin(const float *x)
{
    double sum = 10 * N;
    for (int i = 0; i < N; i++) sum += x[i] * x[i] - 10 * cos(2 * 3.14159265358979 * x[i]);
    return sum;
}

int main(int argc, char **argv)
{
    int epochs = argc > 1 ? atoi(argv[1]) : 400;
    float x[N] = {4.1f, -3.2f, 2.7f, -4.4f, 3.3f, 1.8f, -2.9f, 4.6f, -1.7f, 3.9f}, fitness[POPULATION];
    const egg_strategy_param params[] = {{"x", EGG_STRATEGY_VECTOR, 1, N, x}};
    egg_error error = {0};
    egg_strategy *strategy = NULL;
    egg_options *options = egg_options_new("strategy");
    bool ok = options && !egg_options_set(options, "population", "512", &error) &&
              !egg_options_set(options, "shaping", "rank", &error) &&
              !egg_options_set(options, "rate", "0.1", &error) &&
              !egg_strategy_open(&strategy, options, params, 1, &error);
    printf("start: %.4f\n", rastrigin(x));

    for (int epoch = 0; ok && epoch < epochs; epoch++) {
        /* Wide steps see the bowl, not its ripples; narrow ones then settle. */
        double left = 1 - (double)epoch / epochs;
        ok = !egg_strategy_set_sigma(strategy, 0.02 + left, &error) &&
             !egg_strategy_set_rate(strategy, 0.1 * left, &error);
        for (uint32_t m = 0; ok && m < POPULATION; m++) {
            ok = !egg_ask(strategy, m, 0, x, &error);
            fitness[m] = (float)-rastrigin(x);   /* fitness is maximized */
        }
        ok = ok && !egg_tell(strategy, fitness, POPULATION, NULL, &error);
    }
    ok = ok && !egg_strategy_read(strategy, 0, x, &error);
    if (ok) printf("end: %.4f\n", rastrigin(x));
    else fprintf(stderr, "%s\n", error.text);

    egg_strategy_close(strategy);
    egg_options_free(options);
    return ok ? 0 : 1;
}
