/* SPDX-License-Identifier: MIT */
/*
 * A multilayer perceptron in float32: the policy of reinforcement learning (paper section 6.2, App. N.4).
 *
 *   h = act(P x)                       projection, no bias
 *   h = act(W_l h + b_l)               l = 1 ... layers
 *   y = H h + b
 *
 * Rows of x and y are padded to egg_mlp_columns() columns; the padding of x must be 0, that of y holds nothing.
 */
#ifndef EGG_MODELS_MLP_H
#define EGG_MODELS_MLP_H

#include "nn/layers.h"

typedef struct egg_mlp_shape {
    uint32_t inputs, outputs;   /* as the user counts them */
    uint32_t width, layers;     /* width: a multiple of EGG_ROW_QUANTUM; layers may be 0 */
    egg_activation activation;
    bool deviation;             /* also a vector 'log_std' (outputs): the deviation of a continuous policy's actions */
    egg_precision precision;    /* of the products with its matrices */
} egg_mlp_shape;

typedef struct egg_mlp {
    egg_mlp_shape shape;
    egg_param *params;          /* (param_count), params[i].id == i */
    uint32_t param_count;
} egg_mlp;

/* Columns of a row of 'n' values. */
static inline uint32_t egg_mlp_columns(uint32_t n)
{
    return (n + EGG_ROW_QUANTUM - 1) / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
}

/* Weights of zero; kernels == NULL: a shape to plan with. */
egg_status egg_mlp_open(egg_mlp *mlp, const egg_mlp_shape *shape, const egg_kernels *kernels, egg_error *error);
void egg_mlp_close(egg_mlp *mlp);

/*
 * Matrices normal with deviation 1 / sqrt(inputs of the matrix), the head's times 'head'; biases 0; log_std as given.
 */
void egg_mlp_init_weights(egg_mlp *mlp, uint64_t seed, float head, float log_std);

/* After the host changed weights or moments: sends them to where the kernels work, and packs there. */
void egg_mlp_pack(const egg_mlp *mlp, const egg_kernels *kernels);

uint64_t egg_mlp_parameters(const egg_mlp *mlp);

/* X (rows, columns of inputs), Y (rows, columns of outputs), contiguous. */
void egg_mlp_forward(egg_pass *pass, const egg_mlp *mlp, egg_mat X, egg_mat Y);

/* The vector log_std, or NULL. */
const egg_param *egg_mlp_deviation(const egg_mlp *mlp);

/* Scratch that forward takes for so many rows at this rank. */
size_t egg_mlp_scratch_bytes(const egg_mlp *mlp, uint32_t rows, uint32_t rank);

#endif
