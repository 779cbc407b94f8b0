/* SPDX-License-Identifier: MIT */
/* The slow, obvious version of every kernel: the definition of right, on every machine. */
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/loss_tables.h"
#include "kernels/weights.h"

static int8_t clip_i8(int32_t x)
{
    return (int8_t)(x < -127 ? -127 : x > 127 ? 127 : x);
}

/* floor(a / b) for b > 0; C's division truncates. */
static int32_t floor_divide(int32_t a, int32_t b)
{
    return a / b - (a % b < 0);
}

static int32_t row_sign(uint32_t row, uint32_t steps)
{
    return row / steps % 2 ? -1 : 1;
}

static uint32_t row_pair(uint32_t row, uint32_t steps)
{
    return row / steps / 2;
}

/* ---------------------------------------------------------------------------------------------------------- noise */

static void noise_i8(const egg_noise_args *args)
{
    egg_noise_at at = args->at;
    for (uint32_t p = 0; p < args->pairs; p++, at.pair++)
        egg_noise_i8(args->key, at, args->first, args->n, (int8_t *)args->out + p * args->out_stride);
}

static void noise_f32(const egg_noise_args *args)
{
    egg_noise_at at = args->at;
    for (uint32_t p = 0; p < args->pairs; p++, at.pair++)
        egg_noise_f32(args->key, at, args->first, args->n, (float *)args->out + p * args->out_stride);
}

/* ----------------------------------------------------------------------------------- the perturbed matrix product */

static size_t packed_bytes_i8(uint32_t out, uint32_t in)
{
    return (size_t)out * in;
}

static void pack_i8(const void *W, uint32_t out, uint32_t in, void *packed)
{
    memcpy(packed, W, packed_bytes_i8(out, in));
}

static void shrink_i8(const egg_shrink_args *args)
{
    int32_t *t = args->t;
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        const int8_t *B = (const int8_t *)args->B + (size_t)row_pair(b, args->steps) * args->rank * args->in;
        int64_t factor = (int64_t)row_sign(b, args->steps) * args->scale;
        for (uint32_t k = 0; k < args->rank; k++, B += args->in) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += x[i] * B[i];
            t[(size_t)b * args->rank + k] = (int32_t)((factor * sum) >> 8);
        }
    }
}

static void linear_i8(const egg_linear_args *args)
{
    const int8_t *W = args->W, *A = NULL;
    const int32_t *t = args->t;
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        int8_t *y = (int8_t *)args->Y + b * args->y_stride;
        if (args->A) A = (const int8_t *)args->A + (size_t)row_pair(b, args->steps) * args->rank * args->out;
        for (uint32_t o = 0; o < args->out; o++) {
            int32_t sum = 0, noise = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += x[i] * W[(size_t)o * args->in + i];
            for (uint32_t k = 0; A && k < args->rank; k++)
                noise += t[(size_t)b * args->rank + k] * A[(size_t)k * args->out + o];
            y[o] = clip_i8((sum + (noise >> args->noise_shift)) >> args->shift);
        }
    }
}

static size_t packed_bytes_f32(uint32_t out, uint32_t in)
{
    return (size_t)out * in * sizeof(float);
}

static void pack_f32(const void *W, uint32_t out, uint32_t in, void *packed)
{
    memcpy(packed, W, packed_bytes_f32(out, in));
}

static void shrink_f32(const egg_shrink_args *args)
{
    float *t = args->t;
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *x = (const float *)args->X + b * args->x_stride;
        uint32_t m = egg_row_member(args->member, b, args->steps);
        const float *B = (const float *)args->B + (size_t)(m / 2) * args->rank * args->in;
        float factor = m % 2 ? -args->c : args->c;
        for (uint32_t k = 0; k < args->rank; k++, B += args->in) {
            float sum = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += x[i] * B[i];
            t[(size_t)b * args->rank + k] = factor * sum;
        }
    }
}

/* What a row's member adds to output o. */
static float linear_f32_finish(const egg_linear_args *args, uint32_t b, uint32_t o, float sum)
{
    const uint32_t m = egg_row_member(args->member, b, args->steps);
    const float *t = args->t, *A = args->A;
    for (uint32_t k = 0; A && k < args->rank; k++)
        sum += t[(size_t)b * args->rank + k] * A[((size_t)(m / 2) * args->rank + k) * args->out + o];
    return args->bias ? sum + args->bias[m * args->bias_stride + o] : sum;
}

static void linear_f32(const egg_linear_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *x = (const float *)args->X + b * args->x_stride, *w = args->W;
        float *y = (float *)args->Y + b * args->y_stride;
        for (uint32_t o = 0; o < args->out; o++, w += args->in) {
            float sum = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += x[i] * w[i];
            y[o] = linear_f32_finish(args, b, o, sum);
        }
    }
}

/* Input i of a row as a product with held weights takes it. */
static float activation(const egg_linear_args *args, const float *x, uint32_t i)
{
    return args->bf16_activations ? egg_bf16_value(egg_bf16_of(x[i])) : x[i];
}

static size_t packed_bytes_bf16(uint32_t out, uint32_t in)
{
    return (size_t)out * in * sizeof(uint16_t);
}

static void pack_bf16(const void *W, uint32_t out, uint32_t in, void *packed)
{
    for (size_t i = 0; i < (size_t)out * in; i++) ((uint16_t *)packed)[i] = egg_bf16_of(((const float *)W)[i]);
}

static void linear_bf16(const egg_linear_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *x = (const float *)args->X + b * args->x_stride;
        const uint16_t *w = args->W;
        float *y = (float *)args->Y + b * args->y_stride;
        for (uint32_t o = 0; o < args->out; o++, w += args->in) {
            float sum = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += activation(args, x, i) * egg_bf16_value(w[i]);
            y[o] = linear_f32_finish(args, b, o, sum);
        }
    }
}

/* A row is its scale and then its values. */
static size_t packed_bytes_q8(uint32_t out, uint32_t in)
{
    return (size_t)out * (sizeof(float) + in);
}

static void pack_q8(const void *W, uint32_t out, uint32_t in, void *packed)
{
    const float *w = W;
    char *row = packed;
    for (uint32_t o = 0; o < out; o++, w += in, row += packed_bytes_q8(1, in)) {
        const float scale = egg_q8_scale(w, in);
        int8_t *q = (int8_t *)row + sizeof scale;
        memcpy(row, &scale, sizeof scale);
        for (uint32_t i = 0; i < in; i++) q[i] = egg_q8_of(w[i], scale);
    }
}

static void linear_q8(const egg_linear_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const float *x = (const float *)args->X + b * args->x_stride;
        const char *row = args->W;
        float *y = (float *)args->Y + b * args->y_stride;
        for (uint32_t o = 0; o < args->out; o++, row += packed_bytes_q8(1, args->in)) {
            const int8_t *q = (const int8_t *)row + sizeof(float);
            float sum = 0, scale;
            for (uint32_t i = 0; i < args->in; i++) sum += activation(args, x, i) * q[i];
            memcpy(&scale, row, sizeof scale);
            y[o] = linear_f32_finish(args, b, o, scale * sum);
        }
    }
}

static void dense_f32(const egg_dense_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        uint32_t m = egg_row_member(args->member, b, args->steps);
        const float *x = args->X + b * args->x_stride, *E = args->E + (size_t)(m / 2) * args->out * args->in;
        float *y = args->Y + b * args->y_stride, factor = m % 2 ? -args->c : args->c;
        for (uint32_t o = 0; o < args->out; o++, E += args->in) {
            float sum = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += x[i] * E[i];
            y[o] += factor * sum;
        }
    }
}

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

static void embed_i8(const egg_embed_args *args)
{
    uint32_t n = args->n, vocabulary = args->vocabulary;
    for (uint32_t b = 0; b < args->rows; b++) {
        uint32_t v = args->tokens[b], p = row_pair(b, args->steps);
        const int8_t *w = (const int8_t *)args->W + (size_t)v * n;
        int8_t *y = (int8_t *)args->Y + (size_t)b * n;
        int32_t factor = row_sign(b, args->steps) * args->scale;
        for (uint32_t i = 0; i < n; i++) {
            int32_t sum = 0;
            for (uint32_t k = 0; args->A && k < args->rank; k++) {
                size_t component = (size_t)p * args->rank + k;
                sum += ((const int8_t *)args->A)[component * vocabulary + v] *
                       ((const int8_t *)args->B)[component * n + i];
            }
            y[i] = clip_i8(w[i] + ((factor * sum) >> (8 + args->noise_shift)));
        }
    }
}

static void look_up(const egg_lookup_args *args, uint32_t v, float *y)
{
    const uint32_t n = args->n;
    const char *row = (const char *)args->table + v * egg_table_row_bytes(args->storage, n);
    float scale;
    switch (args->storage) {
    case EGG_STORAGE_F32: memcpy(y, row, n * sizeof *y); break;
    case EGG_STORAGE_BF16:
        for (uint32_t i = 0; i < n; i++) y[i] = egg_bf16_value(((const uint16_t *)row)[i]);
        break;
    case EGG_STORAGE_Q8:
        memcpy(&scale, row, sizeof scale);
        for (uint32_t i = 0; i < n; i++) y[i] = scale * ((const int8_t *)row)[sizeof scale + i];
        break;
    }
}

static void lookup_f32(const egg_lookup_args *args)
{
    const uint32_t n = args->n, rank = args->B ? args->rank : 1;
    for (uint32_t b = 0; b < args->rows; b++) {
        const uint32_t v = args->tokens[b], m = egg_row_member(args->member, b, args->steps);
        float *y = args->Y + b * args->y_stride;
        look_up(args, v, y);
        for (uint32_t k = 0; args->A && k < rank; k++) {
            const size_t component = (size_t)(m / 2) * rank + k, at = component * args->vocabulary + v;
            const float *noise = args->B ? args->B + component * n : args->A + at * n;
            const float a = args->B ? args->A[at] : 1, factor = m % 2 ? -args->c * a : args->c * a;
            for (uint32_t i = 0; i < n; i++) y[i] += factor * noise[i];
        }
    }
}

static void gather(const egg_gather_args *args)
{
    for (uint32_t i = 0; i < args->rows; i++)
        memcpy(args->Y + (size_t)i * args->n, args->X + args->row[i] * args->x_stride, args->n * sizeof *args->Y);
}

static void perturb_vector_i8(const egg_perturb_vector_args *args)
{
    const int8_t *w = args->w, *A = args->A, *B = args->B;
    uint32_t n = args->n, shift = 8 + args->noise_shift;
    for (uint32_t p = 0; p < args->pairs; p++) {
        int8_t *plus = (int8_t *)args->out + (size_t)2 * p * n, *minus = plus + n;
        for (uint32_t i = 0; i < n; i++) {
            int32_t sum = 0;
            for (uint32_t k = 0; k < args->rank; k++) {
                size_t at = ((size_t)p * args->rank + k) * n + i;
                sum += A[at] * B[at];
            }
            plus[i] = clip_i8(w[i] + ((args->scale * sum) >> shift));
            minus[i] = clip_i8(w[i] + ((-args->scale * sum) >> shift));
        }
    }
}

static void perturb_vector_f32(const egg_perturb_vector_args *args)
{
    const float *w = args->w, *A = args->A;
    uint32_t n = args->n;
    for (uint32_t p = 0; p < args->pairs; p++, A += args->a_stride) {
        float *plus = (float *)args->out + (size_t)2 * p * n, *minus = plus + n;
        for (uint32_t i = 0; i < n; i++) {
            const float noise = args->c * A[i];
            plus[i] = w[i] + noise;
            minus[i] = w[i] - noise;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- elementwise */

static void layer_norm_i8(const egg_layer_norm_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        const int8_t *w = (const int8_t *)args->w + b / args->steps * args->w_stride;
        int8_t *y = (int8_t *)args->Y + b * args->y_stride;
        int32_t sum = 0;
        for (uint32_t i = 0; i < args->n; i++) sum += x[i] < 0 ? -x[i] : x[i];
        int32_t mav = sum / (int32_t)args->n;
        if (mav < 1) mav = 1;
        for (uint32_t i = 0; i < args->n; i++) y[i] = clip_i8(floor_divide(x[i] * w[i], mav));
    }
}

static void layer_norm_f32(const egg_layer_norm_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        uint32_t m = egg_row_member(args->member, b, args->steps);
        const float *x = (const float *)args->X + b * args->x_stride;
        const float *w = args->w ? (const float *)args->w + m * args->w_stride : NULL;
        const float *bias = args->bias ? args->bias + m * args->bias_stride : NULL;
        float *y = (float *)args->Y + b * args->y_stride;
        float sum = 0, squares = 0;
        for (uint32_t i = 0; i < args->n; i++) sum += x[i];
        float mean = sum / (float)args->n;
        for (uint32_t i = 0; i < args->n; i++) squares += (x[i] - mean) * (x[i] - mean);
        float deviation = sqrtf(squares / (float)args->n + args->epsilon);
        for (uint32_t i = 0; i < args->n; i++) {
            float z = (x[i] - mean) / deviation;
            if (w) z *= w[i];
            if (bias) z += bias[i];
            y[i] = args->relu && z < 0 ? 0 : z;
        }
    }
}

static void add_i8(void *Y, const void *X, size_t n)
{
    int8_t *y = Y;
    const int8_t *x = X;
    for (size_t i = 0; i < n; i++) y[i] = clip_i8(y[i] + x[i]);
}

static void add_f32(void *Y, const void *X, size_t n)
{
    float *y = Y;
    const float *x = X;
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void relu_f32(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i++) Y[i] = Y[i] > 0 ? Y[i] : 0;
}

static void tanh_f32(float *Y, size_t n)
{
    for (size_t i = 0; i < n; i++) Y[i] = tanhf(Y[i]);
}

static void gru_gate_i8(const egg_gru_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *a = args->a + b * args->a_stride, *bias = args->bias + b * args->bias_stride;
        const int8_t *state = args->state + b * args->state_stride;
        size_t row = (size_t)b * args->n;
        for (uint32_t i = 0; i < args->n; i++) {
            int8_t f = clip_i8(a[i] + args->b[row + i] + bias[i]);
            args->f[row + i] = f;
            args->g[row + i] = (int8_t)(((f + 127) * state[i]) >> 8);
        }
    }
}

static void gru_blend_i8(const egg_gru_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *a = args->a + b * args->a_stride, *bias = args->bias + b * args->bias_stride;
        int8_t *state = args->state + b * args->state_stride, *y = args->Y + b * args->y_stride;
        size_t row = (size_t)b * args->n;
        for (uint32_t i = 0; i < args->n; i++) {
            int32_t candidate = clip_i8(a[i] + args->b[row + i] + bias[i]);
            int32_t h = state[i] + (((args->f[row + i] + 127) * (candidate - state[i])) >> 8);
            state[i] = y[i] = (int8_t)h;
        }
    }
}

static void loss_i8(const egg_loss_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *logits = args->logits + b * args->stride;
        int32_t sum = 0;
        for (uint32_t k = 0; k < 256; k++) sum += egg_exp2_i32((uint32_t)(logits[k] + 128));
        args->loss[b] = egg_log2_i32((uint32_t)sum) - (logits[args->targets[b]] + 128);
    }
}

static void sum_steps_i32(const int32_t *x, uint32_t members, uint32_t steps, int32_t *out)
{
    for (uint32_t m = 0; m < members; m++) {
        out[m] = 0;
        for (uint32_t t = 0; t < steps; t++) out[m] += x[(size_t)m * steps + t];
    }
}

static void forget_i8(const egg_forget_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++)
        if (args->tokens[b * args->token_stride] == 0) memset(args->state + b * args->state_stride, 0, args->n);
}

static void count_saturated_i8(const int8_t *X, size_t n, uint64_t *count)
{
    uint64_t saturated = 0;
    for (size_t i = 0; i < n; i++) saturated += X[i] == 127 || X[i] == -127;
    *count += saturated;
}

/* --------------------------------------------------------------------------------------------------------- update */

static void weigh_i8(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out)
{
    for (uint32_t p = 0; p < pairs; p++)
        for (size_t i = 0; i < n; i++) out[p * n + i] = (int8_t)((A[p * n + i] * F[p] + 32) >> 6);
}

static void outer_i8(const egg_outer_args *args)
{
    for (uint32_t i = 0; i < args->m; i++)
        for (uint32_t j = 0; j < args->n; j++) {
            int32_t sum = 0;
            for (uint32_t q = 0; q < args->count; q++)
                sum += args->A[(size_t)q * args->m + i] * args->B[(size_t)q * args->n + j];
            args->Z[(size_t)i * args->n + j] += sum;
        }
}

static void diagonal_i8(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    for (uint32_t q = 0; q < count; q++)
        for (size_t i = 0; i < n; i++) Z[i] += A[q * n + i] * B[q * n + i];
}

static void weigh_f32(const float *A, const float *F, uint32_t pairs, size_t n, float *out)
{
    for (uint32_t p = 0; p < pairs; p++)
        for (size_t i = 0; i < n; i++) out[p * n + i] = A[p * n + i] * F[p];
}

static void outer_f32(const egg_outer_f32_args *args)
{
    for (uint32_t q = 0; q < args->count; q++)
        for (uint32_t i = 0; i < args->m; i++)
            for (uint32_t j = 0; j < args->n; j++)
                args->Z[(size_t)i * args->n + j] += args->A[(size_t)q * args->m + i] * args->B[(size_t)q * args->n + j];
}

static void step_vote_i8(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed)
{
    size_t moved = 0;
    for (size_t i = 0; i < n; i++) {
        if (Z[i] > -threshold && Z[i] < threshold) continue;
        int8_t w = clip_i8(W[i] + (Z[i] > 0 ? 1 : -1));
        moved += w != W[i];
        W[i] = w;
    }
    *changed += moved;
}

static void step_fractional_i8(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate,
                               int32_t limit, uint64_t *changed)
{
    size_t moved = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t z = Z[i] < -limit ? -limit : Z[i] > limit ? limit : Z[i];
        int32_t v = V[i] + ((z * rate + 32768) >> 16);
        v = v < -32512 ? -32512 : v > 32512 ? 32512 : v;
        int8_t w = (int8_t)((v + 128) >> 8);
        moved += w != W[i];
        V[i] = (int16_t)v;
        W[i] = w;
    }
    *changed += moved;
}

static double sum_squares(const float *x, uint32_t n)
{
    double lane[EGG_SQUARE_LANES] = {0};
    for (uint32_t i = 0; i < n; i++) lane[i % EGG_SQUARE_LANES] += (double)x[i] * x[i];
    for (uint32_t half = EGG_SQUARE_LANES / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static void gradient_f32(const egg_gradient_args *args)
{
    for (uint32_t o = 0; o < args->rows; o++) {
        const uint32_t used = o < args->used_rows ? args->used : 0;
        float *G = args->G + (size_t)o * args->n;
        double *squares = &args->squares[o / args->group_rows];
        for (uint32_t i = 0; i < used; i++) G[i] *= args->c;
        memset(G + used, 0, (args->n - used) * sizeof *G);
        *squares = sum_squares(G, used) + (o % args->group_rows ? *squares : 0);
    }
}

static void optimize_sgd(const egg_optimize_args *args)
{
    const float lr = args->lr, scale = args->scale;
    for (size_t i = 0; i < args->n; i++) args->W[i] += lr * (scale * args->G[i]);
}

static void optimize_momentum(const egg_optimize_args *args)
{
    const float lr = args->lr, beta = args->beta1, scale = args->scale, *G = args->G;
    float *W = args->W, *m = args->m;
    for (size_t i = 0; i < args->n; i++) {
        m[i] = beta * m[i] + scale * G[i];
        W[i] += lr * m[i];
    }
}

static void optimize_adam(const egg_optimize_args *args)
{
    const float b1 = args->beta1, b2 = args->beta2, *G = args->G;
    float *W = args->W, *m = args->m, *v = args->v;
    for (size_t i = 0; i < args->n; i++) {
        float g = args->scale * G[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * (g * g);
        W[i] += args->lr * m[i] / (args->correction * sqrtf(v[i]) + args->epsilon);
    }
}

static void optimize_f32(const egg_optimize_args *args)
{
    if (args->decay != 1)
        for (size_t i = 0; i < args->n; i++) args->W[i] *= args->decay;
    switch (args->kind) {
    case EGG_OPTIMIZER_SGD: optimize_sgd(args); break;
    case EGG_OPTIMIZER_MOMENTUM: optimize_momentum(args); break;
    case EGG_OPTIMIZER_ADAM:
    case EGG_OPTIMIZER_ADAMW: optimize_adam(args); break;
    }
}

/* Eight independent sums of volatile operands, so that the compiler can neither fold nor drop the loop. */
static uint64_t peak_i8(uint64_t rounds)
{
    volatile int8_t operand = 3;
    int32_t sums[8] = {0}, a = operand, b = operand + 1;
    for (uint64_t i = 0; i < rounds; i++)
        for (uint32_t k = 0; k < EGG_COUNT(sums); k++) {
            sums[k] = (sums[k] ^ a) * b;
            __asm__ volatile("" : "+r"(sums[k]));
        }
    return rounds * EGG_COUNT(sums);
}

static uint64_t peak_f32(uint64_t rounds)
{
    volatile float operand = 0.5f;
    float sums[8] = {0}, a = operand, b = operand;
    for (uint64_t i = 0; i < rounds; i++)
        for (uint32_t k = 0; k < EGG_COUNT(sums); k++) {
            sums[k] += a * b;
            __asm__ volatile("" : "+m"(sums[k]));
        }
    return rounds * EGG_COUNT(sums);
}

void egg_kernels_ref(egg_kernels *kernels)
{
    *kernels = (egg_kernels){
        .level = "ref",
        .noise_i8 = noise_i8,
        .noise_f32 = noise_f32,
        .packed_bytes_i8 = packed_bytes_i8,
        .packed_bytes_f32 = packed_bytes_f32,
        .packed_bytes_bf16 = packed_bytes_bf16,
        .packed_bytes_q8 = packed_bytes_q8,
        .pack_i8 = pack_i8,
        .pack_f32 = pack_f32,
        .pack_bf16 = pack_bf16,
        .pack_q8 = pack_q8,
        .shrink_i8 = shrink_i8,
        .shrink_f32 = shrink_f32,
        .linear_i8 = linear_i8,
        .linear_f32 = linear_f32,
        .linear_bf16 = linear_bf16,
        .linear_q8 = linear_q8,
        .dense_f32 = dense_f32,
        .embed_i8 = embed_i8,
        .lookup_f32 = lookup_f32,
        .gather = gather,
        .sample_f32 = egg_sample_ref,
        .perturb_vector_i8 = perturb_vector_i8,
        .perturb_vector_f32 = perturb_vector_f32,
        .layer_norm_i8 = layer_norm_i8,
        .layer_norm_f32 = layer_norm_f32,
        .add_i8 = add_i8,
        .add_f32 = add_f32,
        .relu_f32 = relu_f32,
        .tanh_f32 = tanh_f32,
        .gru_gate_i8 = gru_gate_i8,
        .gru_blend_i8 = gru_blend_i8,
        .forget_i8 = forget_i8,
        .count_saturated_i8 = count_saturated_i8,
        .loss_i8 = loss_i8,
        .sum_steps_i32 = sum_steps_i32,
        .weigh_i8 = weigh_i8,
        .weigh_f32 = weigh_f32,
        .outer_i8 = outer_i8,
        .outer_f32 = outer_f32,
        .diagonal_i8 = diagonal_i8,
        .step_vote_i8 = step_vote_i8,
        .step_fractional_i8 = step_fractional_i8,
        .gradient_f32 = gradient_f32,
        .optimize_f32 = optimize_f32,
        .peak_i8 = peak_i8,
        .peak_f32 = peak_f32,
    };
}
