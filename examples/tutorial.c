/* SPDX-License-Identifier: MIT */
/*
 * The tutorial problem of the EGGROLL reference code: y = x^2 + x + 1 on [-10, 10] at 1024 points, learned by a network
 * of 1-64-64-64-1 units. 4096 members in 32 groups; a group's 128 members look at one point each update, and are
 * compared with each other. Sigma and rate fall linearly from 1 to 0.
 *
 * Members are evaluated from their factors: W x is then a plain product, and what makes a member differ costs two
 * vectors. A pair shares its factors, so that they are drawn once for both.
 */
#include <eggroll.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 1024, WIDTH = 64, LAYERS = 4, PARAMS = 2 * LAYERS, POPULATION = 4096, GROUP = 128, UPDATES = 1000 };

/* Layer l has weight 2l (out, in) and bias 2l + 1 (out). */
static int inputs_of(int layer)
{
    return layer == 0 ? 1 : WIDTH;
}

static int outputs_of(int layer)
{
    return layer == LAYERS - 1 ? 1 : WIDTH;
}

typedef struct network {
    float weight[LAYERS][WIDTH * WIDTH], bias[LAYERS][WIDTH];
} network;

/* What a pair adds to the network. */
typedef struct pair_noise {
    float A[LAYERS][WIDTH], B[LAYERS][WIDTH], bias[LAYERS][WIDTH];
    float weight_scale, bias_scale;
} pair_noise;

/* ReLU(layer norm), without parameters. */
static void activate(float *y)
{
    float mean = 0, variance = 0;
    for (int i = 0; i < WIDTH; i++) mean += y[i] / WIDTH;
    for (int i = 0; i < WIDTH; i++) variance += (y[i] - mean) * (y[i] - mean) / WIDTH;
    float scale = 1 / sqrtf(variance + 1e-5f);
    for (int i = 0; i < WIDTH; i++) y[i] = y[i] > mean ? (y[i] - mean) * scale : 0;
}

/* Weights are kept (in, out), so that a product runs along outputs and vectorizes. noise NULL: the network itself. */
static float forward(const network *net, const pair_noise *noise, float sign, float x)
{
    float h[WIDTH] = {x}, y[WIDTH];
    for (int l = 0; l < LAYERS; l++) {
        int in = inputs_of(l), out = outputs_of(l);
        memcpy(y, net->bias[l], (size_t)out * sizeof *y);
        if (out == 1) {
            for (int i = 0; i < in; i++) y[0] += net->weight[l][i] * h[i];
        } else {
            for (int i = 0; i < in; i++)
                for (int o = 0; o < WIDTH; o++) y[o] += net->weight[l][i * WIDTH + o] * h[i];
        }
        if (noise) {
            float t = 0, b = sign * noise->bias_scale;
            for (int i = 0; i < in; i++) t += noise->B[l][i] * h[i];
            t *= sign * noise->weight_scale;
            for (int o = 0; o < out; o++) y[o] += t * noise->A[l][o] + b * noise->bias[l][o];
        }
        if (l + 1 < LAYERS) activate(y);
        memcpy(h, y, (size_t)out * sizeof *h);
    }
    return h[0];
}

static float point(int p)
{
    return -10 + 20 * (float)p / (POINTS - 1);
}

static float target(float x)
{
    return x * x + x + 1;
}

static double loss(const network *net)
{
    double sum = 0;
    for (int p = 0; p < POINTS; p++) sum += pow(forward(net, NULL, 0, point(p)) - target(point(p)), 2);
    return sum / POINTS;
}

static bool ask_pair(const egg_strategy *strategy, uint32_t pair, pair_noise *noise, egg_error *error)
{
    egg_strategy_noise weight = {0}, bias = {0};
    bool ok = true;
    for (uint32_t l = 0; ok && l < LAYERS; l++)
        ok = !egg_ask_factors(strategy, 2 * pair, 2 * l, noise->A[l], noise->B[l], &weight, error) &&
             !egg_ask_factors(strategy, 2 * pair, 2 * l + 1, noise->bias[l], NULL, &bias, error);
    noise->weight_scale = weight.scale;
    noise->bias_scale = bias.scale;
    return ok;
}

static bool read_network(const egg_strategy *strategy, network *net, egg_error *error)
{
    float W[WIDTH * WIDTH];
    for (uint32_t l = 0; l < LAYERS; l++) {
        int in = inputs_of((int)l), out = outputs_of((int)l);
        if (egg_strategy_read(strategy, 2 * l, W, error) || egg_strategy_read(strategy, 2 * l + 1, net->bias[l], error))
            return false;
        for (int o = 0; o < out; o++)
            for (int i = 0; i < in; i++) net->weight[l][i * out + o] = W[o * in + i];
    }
    return true;
}

/* Points are taken in a random order, all once before any twice. */
static int next_point(void)
{
    static int order[POINTS], used = POINTS;
    static uint32_t random = 1;
    if (used == POINTS) {
        for (int i = 0; i < POINTS; i++) order[i] = i;
        for (int i = POINTS - 1; i > 0; i--) {
            random = random * 1664525 + 1013904223;
            int j = (int)((uint64_t)random * (uint32_t)(i + 1) >> 32), swapped = order[i];
            order[i] = order[j];
            order[j] = swapped;
        }
        used = 0;
    }
    return order[used++];
}

/* One update. Returns false on failure. */
static bool update(egg_strategy *strategy, network *net, egg_error *error)
{
    static float fitness[POPULATION];
    pair_noise noise;
    float x = 0;
    if (!read_network(strategy, net, error)) return false;
    for (uint32_t m = 0; m < POPULATION; m += 2) {
        if (m % GROUP == 0) x = point(next_point());
        if (!ask_pair(strategy, m / 2, &noise, error)) return false;
        fitness[m] = -powf(forward(net, &noise, 1, x) - target(x), 2);
        fitness[m + 1] = -powf(forward(net, &noise, -1, x) - target(x), 2);
    }
    return !egg_tell(strategy, fitness, POPULATION, NULL, error);
}

static bool open_strategy(egg_strategy **strategy, const char *seed, egg_error *error)
{
    static const char *const names[PARAMS] = {"w0", "b0", "w1", "b1", "w2", "b2", "w3", "b3"};
    static float initial[PARAMS][WIDTH * WIDTH];
    egg_strategy_param params[PARAMS];
    uint32_t random = (uint32_t)atoi(seed);
    for (int i = 0; i < PARAMS; i++) {   /* weights of deviation 1 / sqrt(in), biases 0 */
        int in = inputs_of(i / 2), out = outputs_of(i / 2);
        for (int e = 0; i % 2 == 0 && e < in * out; e++) {
            float sum = 0;   /* of twelve uniform numbers: close to normal, of variance 1 */
            for (int k = 0; k < 12; k++)
                sum += (float)((random = random * 1664525 + 1013904223) >> 8) / (1 << 24) - 0.5f;
            initial[i][e] = sum / sqrtf((float)in);
        }
        params[i] = (egg_strategy_param){names[i], i % 2 ? EGG_STRATEGY_VECTOR : EGG_STRATEGY_MATRIX,
                                         i % 2 ? 1 : (uint32_t)out, (uint32_t)(i % 2 ? out : in), initial[i]};
    }
    egg_options *options = egg_options_new("strategy");
    bool ok = options && !egg_options_set(options, "population", "4096", error) &&
              !egg_options_set(options, "group", "128", error) &&
              !egg_options_set(options, "optimizer", "sgd", error) && !egg_options_set(options, "sigma", "1", error) &&
              !egg_options_set(options, "rate", "1", error) && !egg_options_set(options, "seed", seed, error) &&
              !egg_strategy_open(strategy, options, params, PARAMS, error);
    egg_options_free(options);
    return ok;
}

int main(int argc, char **argv)
{
    int updates = argc > 1 ? atoi(argv[1]) : UPDATES;   /* fewer end the schedule early, for a look */
    static network net;
    egg_error error = {0};
    egg_strategy *strategy = NULL;
    bool ok = open_strategy(&strategy, argc > 2 ? argv[2] : "1", &error);
    for (int t = 0; ok && t < updates; t++) {
        double left = 1 - (double)t / UPDATES;
        ok = !egg_strategy_set_sigma(strategy, left, &error) && !egg_strategy_set_rate(strategy, left, &error) &&
             update(strategy, &net, &error);
        if (ok && t % 100 == 0) printf("update %4d: loss %.4f\n", t, loss(&net));
    }
    ok = ok && read_network(strategy, &net, &error);
    if (ok) printf("final loss %.6f\n", loss(&net));
    else fprintf(stderr, "%s\n", error.text);
    egg_strategy_close(strategy);
    return ok ? 0 : 1;
}
