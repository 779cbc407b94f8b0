/* SPDX-License-Identifier: MIT */
/*
 * Trains a network that eggroll knows nothing of: two spirals, told apart by 2-32-32-1 units with a step as activation,
 * which has no gradient at all.
 */
#include <eggroll.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 128, WIDTH = 32, POPULATION = 256, PARAMS = 6 };

typedef struct network {
    float w1[WIDTH][2], b1[WIDTH], w2[WIDTH][WIDTH], b2[WIDTH], w3[WIDTH], b3[1];
} network;

static float step(float x)
{
    return x > 0 ? 1.0f : -1.0f;
}

static float forward(const network *net, const float in[2])
{
    float h[WIDTH], y = net->b3[0];
    for (int o = 0; o < WIDTH; o++) h[o] = step(net->w1[o][0] * in[0] + net->w1[o][1] * in[1] + net->b1[o]);
    for (int o = 0; o < WIDTH; o++) {
        float sum = net->b2[o];
        for (int i = 0; i < WIDTH; i++) sum += net->w2[o][i] * h[i];
        y += net->w3[o] * step(sum);
    }
    return y;
}

/* Mean log likelihood of the labels; and how many are right. */
static float score(const network *net, float (*points)[2], int *right)
{
    double sum = 0;
    *right = 0;
    for (int p = 0; p < POINTS; p++) {
        float margin = forward(net, points[p]) * (p % 2 ? 1 : -1);
        sum -= margin > -30 ? log1p(exp(-margin)) : -margin;
        *right += margin > 0;
    }
    return (float)(sum / POINTS);
}

/* Parameter i of a network, as the strategy lists them. */
static float *part(network *net, uint32_t i)
{
    float *const parts[PARAMS] = {net->w1[0], net->b1, net->w2[0], net->b2, net->w3, net->b3};
    return parts[i];
}

int main(int argc, char **argv)
{
    int epochs = argc > 1 ? atoi(argv[1]) : 200, right;
    static float points[POINTS][2], fitness[POPULATION];
    static network net;
    for (int p = 0; p < POINTS; p++) {
        double turn = 0.3 + 5.5 * (p / 2) / (POINTS / 2), side = p % 2 ? 1 : -1;
        points[p][0] = (float)(side * turn / 6 * cos(turn));
        points[p][1] = (float)(side * turn / 6 * sin(turn));
    }
    for (uint32_t i = 0; i < PARAMS - 1; i += 2)   /* any start will do that tells the units apart */
        for (int e = 0; e < (i == 0 ? 2 * WIDTH : i == 2 ? WIDTH * WIDTH : WIDTH); e++)
            part(&net, i)[e] = (float)sin(1.0 + e * 12.9898 + i) * (i == 0 ? 1 : 0.3f);

    const egg_strategy_param params[PARAMS] = {
        {"w1", EGG_STRATEGY_MATRIX, WIDTH, 2, part(&net, 0)},     {"b1", EGG_STRATEGY_VECTOR, 1, WIDTH, NULL},
        {"w2", EGG_STRATEGY_MATRIX, WIDTH, WIDTH, part(&net, 2)}, {"b2", EGG_STRATEGY_VECTOR, 1, WIDTH, NULL},
        {"w3", EGG_STRATEGY_MATRIX, 1, WIDTH, part(&net, 4)},     {"b3", EGG_STRATEGY_VECTOR, 1, 1, NULL},
    };
    egg_error error = {0};
    egg_strategy *strategy = NULL;
    egg_options *options = egg_options_new("strategy");
    bool ok = options && !egg_options_set(options, "population", "256", &error) &&
              !egg_options_set(options, "sigma", "0.1", &error) && !egg_options_set(options, "rate", "0.03", &error) &&
              !egg_strategy_open(&strategy, options, params, PARAMS, &error);
    printf("start: likelihood %.3f\n", score(&net, points, &right));

    for (int epoch = 0; ok && epoch < epochs; epoch++) {
        for (uint32_t m = 0; ok && m < POPULATION; m++) {
            for (uint32_t i = 0; ok && i < PARAMS; i++) ok = !egg_ask(strategy, m, i, part(&net, i), &error);
            fitness[m] = score(&net, points, &right);
        }
        ok = ok && !egg_tell(strategy, fitness, POPULATION, NULL, &error);
    }
    for (uint32_t i = 0; ok && i < PARAMS; i++) ok = !egg_strategy_read(strategy, i, part(&net, i), &error);
    if (ok) {
        float likelihood = score(&net, points, &right);
        printf("end: likelihood %.3f, %d of %d points right\n", likelihood, right, POINTS);
    } else {
        fprintf(stderr, "%s\n", error.text);
    }
    egg_strategy_close(strategy);
    egg_options_free(options);
    return ok ? 0 : 1;
}
