/* SPDX-License-Identifier: MIT */
#include "oracle_rwkv7.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

oracle_rwkv7 *oracle_rwkv7_open(const egg_shards *shards)
{
    oracle_rwkv7 *oracle = calloc(1, sizeof *oracle);
    assert_non_null(oracle);
    oracle->count = egg_shards_count(shards);
    oracle->tensors = calloc(oracle->count, sizeof *oracle->tensors);
    for (size_t i = 0; i < oracle->count; i++) {
        const egg_tensor *tensor = egg_shards_at(shards, i);
        oracle_tensor *copy = &oracle->tensors[i];
        copy->name = tensor->name;
        copy->shape[1] = tensor->shape[tensor->dims - 1];
        copy->shape[0] = 1;
        for (uint32_t d = 0; d + 1 < tensor->dims; d++) copy->shape[0] *= tensor->shape[d];
        size_t n = copy->shape[0] * copy->shape[1];
        float *values = malloc(n * sizeof *values);
        egg_tensor_read_f32(tensor, 0, n, values);
        copy->values = malloc(n * sizeof *copy->values);
        for (size_t k = 0; k < n; k++) copy->values[k] = values[k];
        free(values);
    }
    char name[64];
    do snprintf(name, sizeof name, "blocks.%u.ln1.weight", oracle->layers);
    while (egg_shards_find(shards, name) && ++oracle->layers);
    const oracle_tensor *embedding = oracle_rwkv7_tensor(oracle, "emb.weight");
    const oracle_tensor *bonus = oracle_rwkv7_tensor(oracle, "blocks.0.att.r_k");
    oracle->vocabulary = (uint32_t)embedding->shape[0];
    oracle->width = (uint32_t)embedding->shape[1];
    oracle->heads = (uint32_t)bonus->shape[0];
    oracle->head_size = (uint32_t)bonus->shape[1];
    size_t of_layer = 2 * oracle->width + (size_t)oracle->heads * oracle->head_size * oracle->head_size;
    oracle->state = calloc(oracle->layers * of_layer, sizeof *oracle->state);
    oracle->first_value = calloc(oracle->width, sizeof *oracle->first_value);
    return oracle;
}

void oracle_rwkv7_close(oracle_rwkv7 *oracle)
{
    for (size_t i = 0; i < oracle->count; i++) free(oracle->tensors[i].values);
    free(oracle->tensors);
    free(oracle->state);
    free(oracle->first_value);
    free(oracle);
}

oracle_tensor *oracle_rwkv7_tensor(oracle_rwkv7 *oracle, const char *name)
{
    for (size_t i = 0; i < oracle->count; i++)
        if (strcmp(oracle->tensors[i].name, name) == 0) return &oracle->tensors[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

void oracle_rwkv7_reset(oracle_rwkv7 *oracle)
{
    size_t of_layer = 2 * oracle->width + (size_t)oracle->heads * oracle->head_size * oracle->head_size;
    memset(oracle->state, 0, oracle->layers * of_layer * sizeof *oracle->state);
}

/* ------------------------------------------------------------------------------------------------------- arithmetic */

/* What a layer's equations are written in: its tensors by their short names, rows of width C. */
typedef struct layer {
    oracle_rwkv7 *oracle;
    uint32_t number;
} layer;

static const oracle_tensor *tensor_of(const layer *l, const char *part)
{
    char name[64];
    snprintf(name, sizeof name, "blocks.%u.%s", l->number, part);
    return oracle_rwkv7_tensor(l->oracle, name);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* y = W x for W stored out x in. */
static void product(const oracle_tensor *W, const double *x, double *y)
{
    for (size_t o = 0; o < W->shape[0]; o++) {
        y[o] = 0;
        for (size_t i = 0; i < W->shape[1]; i++) y[o] += W->values[o * W->shape[1] + i] * x[i];
    }
}

/* y = x W for W stored in x out. */
static void product_transposed(const oracle_tensor *W, const double *x, double *y)
{
    for (size_t o = 0; o < W->shape[1]; o++) {
        y[o] = 0;
        for (size_t i = 0; i < W->shape[0]; i++) y[o] += x[i] * W->values[i * W->shape[1] + o];
    }
}

/* Normalizes each of 'groups' equal parts of x. */
static void normalize(const oracle_tensor *weight, const oracle_tensor *bias, uint32_t n, uint32_t groups,
                      double epsilon, const double *x, double *y)
{
    uint32_t size = n / groups;
    for (uint32_t g = 0; g < groups; g++) {
        double mean = 0, variance = 0;
        for (uint32_t i = g * size; i < (g + 1) * size; i++) mean += x[i] / size;
        for (uint32_t i = g * size; i < (g + 1) * size; i++) variance += (x[i] - mean) * (x[i] - mean) / size;
        for (uint32_t i = g * size; i < (g + 1) * size; i++)
            y[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight->values[i] + bias->values[i];
    }
}

/* z + (previous - z) * mix */
static double *shifted(const layer *l, const char *mix, const double *z, const double *previous, double *out)
{
    const oracle_tensor *x = tensor_of(l, mix);
    for (uint32_t i = 0; i < l->oracle->width; i++) out[i] = z[i] + (previous[i] - z[i]) * x->values[i];
    return out;
}

/* out = (x W1) W2, with 'inner' applied between; NULL: nothing. */
static void low_rank(const layer *l, const char *first, const char *second, double (*inner)(double), const double *x,
                     double *out)
{
    const oracle_tensor *W1 = tensor_of(l, first), *W2 = tensor_of(l, second);
    double *hidden = calloc(W1->shape[1], sizeof *hidden);
    product_transposed(W1, x, hidden);
    for (size_t i = 0; inner && i < W1->shape[1]; i++) hidden[i] = inner(hidden[i]);
    product_transposed(W2, hidden, out);
    free(hidden);
}

/* One head: St <- St diag(w) - (St kappa) (kappa * a)^T + v k^T;   y = St r.   St (S, S): rows = value, columns = key.
 */
static void recur(uint32_t S, double *St, const double *r, const double *w, const double *k, const double *v,
                  const double *kappa, const double *a, double *y)
{
    for (uint32_t i = 0; i < S; i++) {
        double *row = St + (size_t)i * S, removed = 0;
        for (uint32_t j = 0; j < S; j++) removed += row[j] * kappa[j];
        for (uint32_t j = 0; j < S; j++) row[j] = row[j] * w[j] - removed * kappa[j] * a[j] + v[i] * k[j];
        y[i] = 0;
        for (uint32_t j = 0; j < S; j++) y[i] += row[j] * r[j];
    }
}

static void time_mix(const layer *l, const double *z, const double *previous, double *St, double *out)
{
    oracle_rwkv7 *o = l->oracle;
    uint32_t C = o->width, S = o->head_size, H = o->heads;
    double *memory = calloc(10 * (size_t)C, sizeof *memory);
    double *r = memory, *w = r + C, *k = w + C, *v = k + C, *a = v + C, *g = a + C, *kappa = g + C, *y = kappa + C,
           *mixed = y + C, *gate = mixed + C;

    product(tensor_of(l, "att.receptance.weight"), shifted(l, "att.x_r", z, previous, mixed), r);
    product(tensor_of(l, "att.key.weight"), shifted(l, "att.x_k", z, previous, mixed), k);
    product(tensor_of(l, "att.value.weight"), shifted(l, "att.x_v", z, previous, mixed), v);
    if (l->number == 0) {
        memcpy(o->first_value, v, C * sizeof *v);
    } else {
        low_rank(l, "att.v1", "att.v2", NULL, mixed, gate);
        for (uint32_t i = 0; i < C; i++)
            v[i] += (o->first_value[i] - v[i]) * sigmoid(tensor_of(l, "att.v0")->values[i] + gate[i]);
    }
    low_rank(l, "att.w1", "att.w2", tanh, shifted(l, "att.x_w", z, previous, mixed), w);
    for (uint32_t i = 0; i < C; i++) w[i] = exp(-exp(-0.5) * sigmoid(tensor_of(l, "att.w0")->values[i] + w[i]));
    low_rank(l, "att.a1", "att.a2", NULL, shifted(l, "att.x_a", z, previous, mixed), a);
    for (uint32_t i = 0; i < C; i++) a[i] = sigmoid(tensor_of(l, "att.a0")->values[i] + a[i]);
    low_rank(l, "att.g1", "att.g2", sigmoid, shifted(l, "att.x_g", z, previous, mixed), g);

    for (uint32_t h = 0; h < H; h++) {
        double norm = 0;
        for (uint32_t i = h * S; i < (h + 1) * S; i++) {
            kappa[i] = k[i] * tensor_of(l, "att.k_k")->values[i];
            norm += kappa[i] * kappa[i];
        }
        norm = fmax(sqrt(norm), 1e-12);
        for (uint32_t i = h * S; i < (h + 1) * S; i++) {
            kappa[i] /= norm;
            k[i] *= 1 + (a[i] - 1) * tensor_of(l, "att.k_a")->values[i];
        }
        recur(S, St + (size_t)h * S * S, r + h * S, w + h * S, k + h * S, v + h * S, kappa + h * S, a + h * S,
              y + h * S);
    }
    normalize(tensor_of(l, "att.ln_x.weight"), tensor_of(l, "att.ln_x.bias"), C, H, 64e-5, y, y);
    for (uint32_t h = 0; h < H; h++) {
        double bonus = 0;
        for (uint32_t i = h * S; i < (h + 1) * S; i++) bonus += r[i] * k[i] * tensor_of(l, "att.r_k")->values[i];
        for (uint32_t i = h * S; i < (h + 1) * S; i++) y[i] = (y[i] + bonus * v[i]) * g[i];
    }
    product(tensor_of(l, "att.output.weight"), y, out);
    free(memory);
}

static void channel_mix(const layer *l, const double *z, const double *previous, double *out)
{
    const oracle_tensor *key = tensor_of(l, "ffn.key.weight");
    double *mixed = calloc(l->oracle->width, sizeof *mixed), *hidden = calloc(key->shape[0], sizeof *hidden);
    product(key, shifted(l, "ffn.x_k", z, previous, mixed), hidden);
    for (size_t i = 0; i < key->shape[0]; i++) hidden[i] = hidden[i] > 0 ? hidden[i] * hidden[i] : 0;
    product(tensor_of(l, "ffn.value.weight"), hidden, out);
    free(mixed);
    free(hidden);
}

void oracle_rwkv7_step(oracle_rwkv7 *oracle, uint32_t token, double *logits)
{
    uint32_t C = oracle->width;
    double *memory = calloc(3 * (size_t)C, sizeof *memory), *x = memory, *z = x + C, *change = z + C;
    const layer bottom = {oracle, 0};
    memcpy(x, oracle_rwkv7_tensor(oracle, "emb.weight")->values + (size_t)token * C, C * sizeof *x);
    normalize(tensor_of(&bottom, "ln0.weight"), tensor_of(&bottom, "ln0.bias"), C, 1, 1e-5, x, x);
    double *state = oracle->state;
    for (uint32_t i = 0; i < oracle->layers; i++) {
        const layer l = {oracle, i};
        double *previous = state, *previous2 = state + C, *St = state + 2 * C;
        normalize(tensor_of(&l, "ln1.weight"), tensor_of(&l, "ln1.bias"), C, 1, 1e-5, x, z);
        time_mix(&l, z, previous, St, change);
        memcpy(previous, z, C * sizeof *z);
        for (uint32_t c = 0; c < C; c++) x[c] += change[c];
        normalize(tensor_of(&l, "ln2.weight"), tensor_of(&l, "ln2.bias"), C, 1, 1e-5, x, z);
        channel_mix(&l, z, previous2, change);
        memcpy(previous2, z, C * sizeof *z);
        for (uint32_t c = 0; c < C; c++) x[c] += change[c];
        state += 2 * C + (size_t)oracle->heads * oracle->head_size * oracle->head_size;
    }
    normalize(oracle_rwkv7_tensor(oracle, "ln_out.weight"), oracle_rwkv7_tensor(oracle, "ln_out.bias"), C, 1, 1e-5, x,
              x);
    product(oracle_rwkv7_tensor(oracle, "head.weight"), x, logits);
    free(memory);
}

void oracle_rwkv7_perturb(oracle_rwkv7 *oracle, const egg_rwkv7 *model, const egg_perturb *law, uint32_t pair, bool odd)
{
    for (uint32_t id = 0; id < model->param_count; id++) {
        const egg_param *param = &model->params[id];
        if (param->frozen) continue;
        double *w = oracle_rwkv7_tensor(oracle, param->name)->values, sign = odd ? -1 : 1;
        bool transposed = egg_rwkv7_tensor_of(model, id).transposed;
        egg_noise_at at = {.epoch = law->epoch, .param = id, .pair = pair};
        if (param->kind == EGG_PARAM_VECTOR) {
            float *noise = malloc(param->in * sizeof *noise);
            egg_noise_f32(law->key, at, 0, param->in, noise);
            for (uint32_t i = 0; i < param->in; i++) w[i] += sign * (double)law->sigma * noise[i];
            free(noise);
            continue;
        }
        float *A = malloc((size_t)law->rank * param->out * sizeof *A),
               *B = malloc((size_t)law->rank * param->in * sizeof *B);
        egg_noise_f32(law->key, at, 0, (size_t)law->rank * param->out, A);
        at.side = EGG_B;
        egg_noise_f32(law->key, at, 0, (size_t)law->rank * param->in, B);
        for (uint32_t o = 0; o < param->out; o++)
            for (uint32_t i = 0; i < param->in; i++)
                for (uint32_t k = 0; k < law->rank; k++)
                    w[transposed ? (size_t)i * param->out + o : (size_t)o * param->in + i] +=
                        sign * (double)law->c * A[k * param->out + o] * B[k * param->in + i];
        free(A);
        free(B);
    }
}
