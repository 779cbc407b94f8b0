/* SPDX-License-Identifier: MIT */
#include "kernels/rwkv7.h"

#include <math.h>
#include <string.h>

static void shift(const egg_rwkv7_shift_args *args)
{
    const egg_sequences *sequences = &args->sequences;
    uint32_t n = args->n;
    for (uint32_t s = 0; s < sequences->count; s++) {
        float *state = egg_states_at(args->state, s);
        const float *previous = state;
        for (uint32_t b = sequences->first[s]; b < sequences->first[s + 1]; b++) {
            const float *x = args->X + (size_t)b * n;
            for (uint32_t q = 0; q < args->count; q++) {
                const float *mix = egg_rows_vector_at(args->mix[q], sequences->member, b);
                float *y = args->Y[q] + (size_t)b * n;
                for (uint32_t i = 0; i < n; i++) y[i] = x[i] + (previous[i] - x[i]) * mix[i];
            }
            previous = x;
        }
        if (previous != state) memcpy(state, previous, n * sizeof *previous);
    }
}

static float sigmoid_of(float x)
{
    return 1 / (1 + expf(-x));
}

static void gate(const egg_rwkv7_gate_args *args)
{
    const float decay = expf(-0.5f);
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *k_k = egg_rows_vector_at(args->k_k, args->member, b);
        const float *k_a = egg_rows_vector_at(args->k_a, args->member, b);
        size_t row = (size_t)b * args->n;
        float *w = args->w + row, *k = args->k + row, *v = args->v + row, *a = args->a + row,
              *kappa = args->kappa + row;
        for (uint32_t i = 0; i < args->n; i++) {
            w[i] = expf(-decay * sigmoid_of(w[i]));
            a[i] = sigmoid_of(a[i]);
            if (args->v_first) v[i] += (args->v_first[row + i] - v[i]) * sigmoid_of(args->mix[row + i]);
            kappa[i] = k[i] * k_k[i];
            k[i] *= 1 + (a[i] - 1) * k_a[i];
        }
        for (uint32_t h = 0; h < args->n; h += args->size) {
            float squares = 0;
            for (uint32_t i = h; i < h + args->size; i++) squares += kappa[i] * kappa[i];
            float norm = fmaxf(sqrtf(squares), 1e-12f);
            for (uint32_t i = h; i < h + args->size; i++) {
                kappa[i] /= norm;
                a[i] *= kappa[i];
            }
        }
    }
}

/* One row and one head: 'at' is the head's place in the row. S (size, size), removed (size). */
static void recur_head(const egg_rwkv7_recur_args *args, size_t at, float *S)
{
    const float *r = args->r + at, *w = args->w + at, *k = args->k + at, *v = args->v + at;
    const float *kappa = args->kappa + at, *a = args->a + at;
    float *y = args->Y + at;
    uint32_t size = args->size;
    for (uint32_t i = 0; i < size; i++) {
        float removed = 0;
        for (uint32_t j = 0; j < size; j++) removed += S[(size_t)j * size + i] * kappa[j];
        y[i] = 0;
        for (uint32_t j = 0; j < size; j++) {
            float *cell = &S[(size_t)j * size + i];
            *cell = *cell * w[j] - removed * a[j] + v[i] * k[j];
            y[i] += *cell * r[j];
        }
    }
}

static void recur(const egg_rwkv7_recur_args *args)
{
    const egg_sequences *sequences = &args->sequences;
    for (uint32_t s = 0; s < sequences->count; s++)
        for (uint32_t h = 0; h < args->n / args->size; h++)
            for (uint32_t b = sequences->first[s]; b < sequences->first[s + 1]; b++)
                recur_head(args, (size_t)b * args->n + (size_t)h * args->size,
                           egg_states_at(args->state, s) + (size_t)h * args->size * args->size);
}

static void finish(const egg_rwkv7_finish_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *weight = egg_rows_vector_at(args->weight, args->member, b);
        const float *bias = egg_rows_vector_at(args->bias, args->member, b);
        const float *bonus = egg_rows_vector_at(args->bonus, args->member, b);
        size_t row = (size_t)b * args->n;
        const float *r = args->r + row, *k = args->k + row, *v = args->v + row, *g = args->g + row;
        float *y = args->Y + row;
        for (uint32_t h = 0; h < args->n; h += args->size) {
            float sum = 0, squares = 0, extra = 0;
            for (uint32_t i = h; i < h + args->size; i++) sum += y[i];
            float mean = sum / (float)args->size;
            for (uint32_t i = h; i < h + args->size; i++) squares += (y[i] - mean) * (y[i] - mean);
            float deviation = sqrtf(squares / (float)args->size + args->epsilon);
            for (uint32_t i = h; i < h + args->size; i++) extra += r[i] * k[i] * bonus[i];
            for (uint32_t i = h; i < h + args->size; i++)
                y[i] = ((y[i] - mean) / deviation * weight[i] + bias[i] + extra * v[i]) * g[i];
        }
    }
}

static void sigmoid(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i++) Y[i] = sigmoid_of(Y[i]);
}

static void relu_squared(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i++) Y[i] = Y[i] > 0 ? Y[i] * Y[i] : 0;
}

static void log_loss(const float *X, const uint32_t *target, uint32_t rows, uint32_t n, float *loss)
{
    for (uint32_t b = 0; b < rows; b++, X += n) {
        float largest = X[0];
        double sum = 0;
        for (uint32_t i = 0; i < n; i++) largest = fmaxf(largest, X[i]);
        for (uint32_t i = 0; i < n; i++) sum += expf(X[i] - largest);
        loss[b] = (float)log(sum) + largest - X[target[b]];
    }
}

void egg_rwkv7_kernels_ref(egg_rwkv7_kernels *kernels)
{
    *kernels = (egg_rwkv7_kernels){.shift = shift, .gate = gate, .recur = recur, .finish = finish, .sigmoid = sigmoid,
                                   .relu_squared = relu_squared, .log_loss = log_loss};
}
