/* SPDX-License-Identifier: MIT */
/*
 * The kernels of RWKV-7 beside its products, float32. Rows of one sequence are contiguous, those of sequence s from
 * first[s] to first[s + 1]; every sequence has a state of its own, so any mixture of prompts and single steps can share
 * a call, and a row's result does not depend on the others. Matrices are (rows, n) without gaps; n = heads * size,
 * where 'size' is that of a head, a multiple of EGG_ROW_QUANTUM.
 *
 * A vector parameter p is (members, n): row b reads p[member[b] * stride]; stride 0 and member NULL: one for all rows.
 */
#ifndef EGG_KERNELS_RWKV7_H
#define EGG_KERNELS_RWKV7_H

#include <stddef.h>
#include <stdint.h>

typedef struct egg_rows_vector {
    const float *data;
    size_t stride;
} egg_rows_vector;

static inline const float *egg_rows_vector_at(egg_rows_vector vector, const uint32_t *member, uint32_t row)
{
    return member ? vector.data + member[row] * vector.stride : vector.data;
}

typedef struct egg_sequences {
    const uint32_t *first;       /* (count + 1) ascending, first[0] = 0 */
    const uint32_t *member;      /* (rows) or NULL */
    uint32_t count;
} egg_sequences;

static inline uint32_t egg_sequences_rows(egg_sequences sequences)
{
    return sequences.first[sequences.count];
}

/* What sequences carry from row to row: that of sequence s begins at data + slot[s] * stride. */
typedef struct egg_states {
    float *data;
    size_t stride;
    const uint32_t *slot;        /* (sequences) all different */
} egg_states;

static inline float *egg_states_at(egg_states states, uint32_t s)
{
    return states.data + states.slot[s] * states.stride;
}

/*
 * shift:  Y[q][b] = X[b] + (previous - X[b]) * mix[q]      previous: the row before, state[s] for a sequence's first
 *
 *   state[s] (n) is left at the sequence's last row       0 <= q < count
 */
enum { EGG_RWKV7_MIXES = 6 };

typedef struct egg_rwkv7_shift_args {
    egg_sequences sequences;
    const float *X;
    egg_states state;
    uint32_t rows, n, count;   /* rows: of all sequences, for a device, whose kernels cannot be asked how many there are */
    egg_rows_vector mix[EGG_RWKV7_MIXES];
    float *Y[EGG_RWKV7_MIXES];
} egg_rwkv7_shift_args;

typedef void egg_rwkv7_shift_fn(const egg_rwkv7_shift_args *args);

/*
 * gate:  what lies between the products and the recurrence, in place where a letter stands on both sides:
 *
 *   w = exp(-e^(-1/2) sigmoid(w))      a = sigmoid(a)      v += (v_first - v) sigmoid(mix), unless v_first is NULL
 *   kappa = k * k_k, each head divided by max(its norm, 1e-12)      k *= 1 + (a - 1) k_a      a *= kappa
 */
typedef struct egg_rwkv7_gate_args {
    const uint32_t *member;      /* (rows) or NULL */
    float *w, *k, *v, *a, *kappa;
    const float *v_first, *mix;
    egg_rows_vector k_k, k_a;
    uint32_t rows, n, size;
} egg_rwkv7_gate_args;

typedef void egg_rwkv7_gate_fn(const egg_rwkv7_gate_args *args);

/*
 * recur:  for every row of a sequence in turn and every head, with S its state[s]:
 *
 *   S[j,i] = S[j,i] w[j] - (sum_l S[l,i] kappa[l]) a[j] + v[i] k[j]        y[i] = sum_j S[j,i] r[j]
 *
 *   state[s] (heads, size, size): rows = key, columns = value     a: as gate leaves it, times kappa
 */
typedef struct egg_rwkv7_recur_args {
    egg_sequences sequences;
    const float *r, *w, *k, *v, *kappa, *a;
    egg_states state;
    float *Y;
    uint32_t n, size;
} egg_rwkv7_recur_args;

typedef void egg_rwkv7_recur_fn(const egg_rwkv7_recur_args *args);

/*
 * finish:  Y = (norm(Y) * weight + bias + (sum over the head of r k bonus) v) * g
 *
 *   norm: each head minus its mean, over sqrt(its variance + epsilon)
 */
typedef struct egg_rwkv7_finish_args {
    const uint32_t *member;      /* (rows) or NULL */
    float *Y;
    const float *r, *k, *v, *g;
    egg_rows_vector weight, bias, bonus;
    uint32_t rows, n, size;
    float epsilon;
} egg_rwkv7_finish_args;

typedef void egg_rwkv7_finish_fn(const egg_rwkv7_finish_args *args);

/* sigmoid: Y[i] = 1 / (1 + exp(-Y[i]));   relu_squared: Y[i] = max(Y[i], 0)^2;   0 <= i < n, a multiple of 16. */
typedef void egg_rwkv7_activate_fn(float *Y, size_t n);

/*
 * log_loss:  loss[b] = log(sum_i exp(X[b,i])) - X[b,target[b]]      X (rows, n), target (rows) below n, loss (rows)
 */
typedef void egg_rwkv7_log_loss_fn(const float *X, const uint32_t *target, uint32_t rows, uint32_t n, float *loss);

typedef struct egg_rwkv7_kernels {
    egg_rwkv7_shift_fn *shift;
    egg_rwkv7_gate_fn *gate;
    egg_rwkv7_recur_fn *recur;
    egg_rwkv7_finish_fn *finish;
    egg_rwkv7_activate_fn *sigmoid, *relu_squared;
    egg_rwkv7_log_loss_fn *log_loss;
} egg_rwkv7_kernels;

void egg_rwkv7_kernels_ref(egg_rwkv7_kernels *kernels);

#endif
