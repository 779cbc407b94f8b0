/* SPDX-License-Identifier: MIT */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>

static long floor_div(long a, long b)
{
    return (long)floor((double)a / (double)b);   /* exact: |a| < 2^40 */
}

static int clip(long x)
{
    return x < -127 ? -127 : x > 127 ? 127 : (int)x;
}

/* ---------------------------------------------------------------------------------------------------------- noise */

/* Threefry4x32 (Salmon et al. 2011, section 4.3), 12 rounds. */
static void threefry(const uint32_t key[4], const uint32_t counter[4], uint32_t x[4])
{
    static const int rotations[12][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5},  {6, 20},  {17, 11},
                                         {25, 10}, {18, 20}, {10, 26}, {11, 21}, {13, 27}, {23, 5}};
    uint32_t parity = 0x1BD11BDA;
    for (int i = 0; i < 4; i++) parity ^= key[i];
    for (int i = 0; i < 4; i++) x[i] = counter[i] + key[i];
    for (int round = 0; round < 12; round++) {
        int a = round & 1 ? 3 : 1, b = round & 1 ? 1 : 3, r = rotations[round][0], q = rotations[round][1];
        x[0] += x[a];
        x[a] = (x[a] << r | x[a] >> (32 - r)) ^ x[0];
        x[2] += x[b];
        x[b] = (x[b] << q | x[b] >> (32 - q)) ^ x[2];
        if (round % 4 != 3) continue;
        int s = round / 4 + 1;
        for (int i = 0; i < 4; i++) x[i] += (s + i) % 5 == 4 ? parity : key[(s + i) % 5];
        x[3] += (uint32_t)s;
    }
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double normal_quantile(double p)
{
    double low = -10, high = 10;
    for (int i = 0; i < 200; i++) {
        double middle = (low + high) / 2;
        if (normal_cdf(middle) < p) low = middle;
        else high = middle;
    }
    return (low + high) / 2;
}

static double normal_density(double x)
{
    return exp(-x * x / 2) / sqrt(2 * acos(-1));
}

/* round(16 * root mean square of |N(0,1)| within the index-th of 128 equally likely parts) */
static int magnitude(int index)
{
    static int table[128], ready;
    for (int i = 0; i < 128 && !ready; i++) {
        double a = normal_quantile(0.5 + i / 256.0), second = 1 / 256.0 + a * normal_density(a);
        if (i < 127) {
            double b = normal_quantile(0.5 + (i + 1) / 256.0);
            second -= b * normal_density(b);
        }
        table[i] = (int)lround(16 * sqrt(second * 256));
    }
    ready = 1;
    return table[index];
}

int oracle_noise(const oracle_law *law, int param, int side, int pair, uint64_t element)
{
    const uint32_t key[4] = {(uint32_t)law->seed, (uint32_t)(law->seed >> 32), 1, 0};
    const uint32_t counter[4] = {(uint32_t)(element / 16), (uint32_t)pair, law->epoch, (uint32_t)(2 * param + side)};
    uint32_t words[4];
    threefry(key, counter, words);
    int within = (int)(element % 16), byte = (int)(words[within / 4] >> 8 * (within % 4) & 255);
    return byte < 128 ? magnitude(byte) : -magnitude(byte - 128);
}

/* ---------------------------------------------------------------------------------------------------------- model */

void oracle_model_open(oracle_model *model, int width, int layers)
{
    int d = width;
    const oracle_param top[3] = {{ORACLE_EMBEDDING, 256, d, 0, 0}, {ORACLE_MATRIX, 256, d, 0, 0},
                                 {ORACLE_VECTOR, 1, d, 0, 0}};
    const oracle_param layer[10] = {
        {ORACLE_VECTOR, 1, d, 0, 0}, {ORACLE_MATRIX, d, d, 0, 0}, {ORACLE_MATRIX, d, d, 0, 0},
        {ORACLE_VECTOR, 1, d, 0, 0},
        {ORACLE_MATRIX, d, d, 0, 0}, {ORACLE_MATRIX, d, d, 0, 0}, {ORACLE_VECTOR, 1, d, 0, 0},
        {ORACLE_VECTOR, 1, d, 0, 0},
        {ORACLE_MATRIX, 4 * d, d, 0, 0}, {ORACLE_MATRIX, d, 4 * d, 0, 0}};
    *model = (oracle_model){.width = width, .layers = layers, .count = 3 + 10 * layers};
    model->params = calloc((size_t)model->count, sizeof *model->params);
    for (int i = 0; i < model->count; i++) {
        oracle_param *p = &model->params[i];
        *p = i < 3 ? top[i] : layer[(i - 3) % 10];
        p->w = calloc((size_t)p->out * (size_t)p->in, sizeof *p->w);
        p->v = calloc((size_t)p->out * (size_t)p->in, sizeof *p->v);
    }
}

void oracle_model_close(oracle_model *model)
{
    for (int i = 0; i < model->count; i++) {
        free(model->params[i].w);
        free(model->params[i].v);
    }
    free(model->params);
}

/* round(256 / sqrt(r)): what stands for 1/sqrt(r) */
static long rank_scale(const oracle_law *law)
{
    return lround(256 / sqrt(law->rank));
}

static int factor(const oracle_model *model, const oracle_law *law, int param, int side, int pair, int k, int i)
{
    const oracle_param *p = &model->params[param];
    int length = p->kind == ORACLE_VECTOR || side == 1 ? p->in : p->out;
    return oracle_noise(law, param, side, pair, (uint64_t)k * (uint64_t)length + (uint64_t)i);
}

/* Entry (row, i) of an embedding or vector as a member sees it. */
static int entry(const oracle_model *model, const oracle_law *law, int member, int param, int row, int i)
{
    const oracle_param *p = &model->params[param];
    int w = p->w[row * p->in + i];
    if (!law->on) return w;
    long sum = 0;
    for (int k = 0; k < law->rank; k++)
        sum += (long)factor(model, law, param, 0, member / 2, k, p->kind == ORACLE_VECTOR ? i : row) *
               factor(model, law, param, 1, member / 2, k, i);
    long sign = member % 2 ? -1 : 1;
    return clip(w + floor_div(sign * sum * rank_scale(law), 256L << (4 + law->sigma_shift)));
}

/* 16 sqrt(n), with sqrt(n) rounded up to a power of two */
static long product_divisor(int n)
{
    long root = 1;
    while (root * root < n) root *= 2;
    return 16 * root;
}

static void product(const oracle_model *model, const oracle_law *law, int member, int param, const int *x, int *y)
{
    const oracle_param *p = &model->params[param];
    long t[64] = {0}, sign = member % 2 ? -1 : 1;
    for (int k = 0; law->on && k < law->rank; k++) {
        for (int i = 0; i < p->in; i++) t[k] += x[i] * factor(model, law, param, 1, member / 2, k, i);
        t[k] = floor_div(sign * t[k] * rank_scale(law), 256);
    }
    for (int o = 0; o < p->out; o++) {
        long sum = 0, noise = 0;
        for (int i = 0; i < p->in; i++) sum += x[i] * p->w[o * p->in + i];
        for (int k = 0; law->on && k < law->rank; k++) noise += t[k] * factor(model, law, param, 0, member / 2, k, o);
        y[o] = clip(floor_div(sum + floor_div(noise, 1L << (4 + law->sigma_shift)), product_divisor(p->in)));
    }
}

static void normalize(const oracle_model *model, const oracle_law *law, int member, int param, const int *x, int *y)
{
    int n = model->width;
    long sum = 0;
    for (int i = 0; i < n; i++) sum += labs(x[i]);
    long mean = sum / n > 1 ? sum / n : 1;
    for (int i = 0; i < n; i++) y[i] = clip(floor_div((long)x[i] * entry(model, law, member, param, 0, i), mean));
}

void oracle_step(const oracle_model *model, const oracle_law *law, int member, int token, int *state, int *logits)
{
    int d = model->width;
    int y[1024], u[1024], a[1024], b[1024], f[1024], g[1024], wide[4096];
    for (int i = 0; i < d; i++) y[i] = entry(model, law, member, 0, token, i);
    for (int l = 0; l < model->layers; l++) {
        int first = 3 + 10 * l, *s = state + l * d;
        for (int i = 0; token == 0 && i < d; i++) s[i] = 0;
        normalize(model, law, member, first + 0, y, u);
        product(model, law, member, first + 1, u, a);
        product(model, law, member, first + 2, s, b);
        for (int i = 0; i < d; i++) {
            f[i] = clip(a[i] + b[i] + entry(model, law, member, first + 3, 0, i));
            g[i] = (int)floor_div((long)(f[i] + 127) * s[i], 256);
        }
        product(model, law, member, first + 4, u, a);
        product(model, law, member, first + 5, g, b);
        for (int i = 0; i < d; i++) {
            int candidate = clip(a[i] + b[i] + entry(model, law, member, first + 6, 0, i));
            s[i] += (int)floor_div((long)(f[i] + 127) * (candidate - s[i]), 256);
            y[i] = clip(y[i] + s[i]);
        }
        normalize(model, law, member, first + 7, y, u);
        product(model, law, member, first + 8, u, wide);
        product(model, law, member, first + 9, wide, a);
        for (int i = 0; i < d; i++) y[i] = clip(y[i] + a[i]);
    }
    normalize(model, law, member, 2, y, u);
    product(model, law, member, 1, u, logits);
}

int oracle_loss(const int *logits, int target)
{
    long sum = 0;
    for (int k = 0; k < 256; k++) sum += (long)(16 * exp2((logits[k] + 128) / 16.0));
    return (int)(16 * log2((double)sum / 16)) - (logits[target] + 128);
}

/* --------------------------------------------------------------------------------------------------------- update */

static long evidence(const oracle_model *model, const oracle_law *law, const int *F, int pairs, int param, int o, int i)
{
    long z = 0;
    int vector = model->params[param].kind == ORACLE_VECTOR;
    for (int p = 0; p < pairs; p++)
        for (int k = 0; k < law->rank; k++)
            z += floor_div((long)factor(model, law, param, 0, p, k, vector ? i : o) * F[p] + 32, 64) *
                 factor(model, law, param, 1, p, k, i);
    return z;
}

void oracle_vote(oracle_model *model, const oracle_law *law, const int *loss, int pairs, double alpha)
{
    int *F = calloc((size_t)pairs, sizeof *F);
    for (int p = 0; p < pairs; p++) F[p] = 64 * ((loss[2 * p + 1] > loss[2 * p]) - (loss[2 * p + 1] < loss[2 * p]));
    long quantile = alpha >= 1 ? 0 : (long)(16 * normal_quantile(1 - alpha / 2));
    long threshold = quantile * (long)floor(sqrt((double)pairs * law->rank)) * 256;
    for (int n = 0; n < model->count; n++) {
        oracle_param *p = &model->params[n];
        for (int o = 0; o < p->out; o++)
            for (int i = 0; i < p->in; i++) {
                long z = evidence(model, law, F, pairs, n, o, i);
                int *w = &p->w[o * p->in + i];
                if (labs(z) * 16 >= threshold) *w = clip(*w + (z > 0 ? 1 : -1));
            }
    }
    free(F);
}

void oracle_fractional(oracle_model *model, const oracle_law *law, const int *loss, int pairs, uint32_t rate24)
{
    int *F = calloc((size_t)pairs, sizeof *F);
    double squares = 0, weight = 0;
    for (int p = 0; p < pairs; p++) squares += pow(loss[2 * p + 1] - loss[2 * p], 2);
    long spread = (long)floor(sqrt(floor(256 * squares / pairs)));
    for (int p = 0; p < pairs; p++) {
        F[p] = clip((long)(640.0 * (loss[2 * p + 1] - loss[2 * p]) / (double)(spread > 1 ? spread : 1)));
        weight += F[p] * F[p];
    }
    double deviation = floor(256 * sqrt(16 * weight * law->rank));
    long rate = deviation > 0 ? (long)floor(rate24 * 256.0 / deviation + 0.5) : 0;
    long limit = rate ? (2147483647L - 32768) / rate : 2147483647L;
    for (int n = 0; n < model->count; n++) {
        oracle_param *p = &model->params[n];
        for (int o = 0; o < p->out; o++)
            for (int i = 0; i < p->in; i++) {
                long z = evidence(model, law, F, pairs, n, o, i);
                int *v = &p->v[o * p->in + i];
                z = z > limit ? limit : z < -limit ? -limit : z;
                long moved = *v + floor_div(z * rate + 32768, 65536);
                *v = (int)(moved > 32512 ? 32512 : moved < -32512 ? -32512 : moved);
                p->w[o * p->in + i] = (int)floor_div(*v + 128, 256);
            }
    }
    free(F);
}
