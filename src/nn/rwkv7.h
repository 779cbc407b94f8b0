/* SPDX-License-Identifier: MIT */
/*
 * The layers of RWKV-7, float32, over the rows of a pass that was begun with egg_pass_begin_rows: unperturbed, or with
 * its noise in a bank. The rows are cut into sequences, each with a state of its own; matrices have no gaps.
 */
#ifndef EGG_NN_RWKV7_H
#define EGG_NN_RWKV7_H

#include "nn/layers.h"

/* Y[q] = X moved by mix[q] toward the row before in its sequence, 0 <= q < count; the row before it is in its state (cols). */
void egg_rwkv7_shift(egg_pass *pass, egg_sequences sequences, const egg_param *const *mix, uint32_t count, egg_mat X,
                     egg_states state, const egg_mat *Y);

typedef enum egg_rwkv7_inner { EGG_RWKV7_INNER_NONE, EGG_RWKV7_INNER_TANH, EGG_RWKV7_INNER_SIGMOID } egg_rwkv7_inner;

/* Y = inner(X W1^T) W2^T + bias; bias may be NULL. */
void egg_rwkv7_low_rank(egg_pass *pass, const egg_param *W1, egg_rwkv7_inner inner, const egg_param *W2,
                        const egg_param *bias, egg_mat X, egg_mat Y);

/* What the recurrence of one layer works on: matrices (rows, width), written by the products. */
typedef struct egg_rwkv7_heads {
    const egg_param *k_k, *k_a, *bonus, *weight, *bias;
    egg_mat r, w, k, v, a, g;    /* as kernels/rwkv7.h names them; w, a before their functions */
    egg_mat v_first, mix;        /* v_first.data NULL: the first layer */
    egg_mat kappa, y;            /* scratch, and the result */
    uint32_t size;
} egg_rwkv7_heads;

/* y = the heads' output times the gate. state[s] (heads, size, size). */
void egg_rwkv7_recur(egg_pass *pass, egg_sequences sequences, const egg_rwkv7_heads *heads, egg_states state);

/* In place. */
void egg_rwkv7_relu_squared(egg_pass *pass, egg_mat Y);

#endif
