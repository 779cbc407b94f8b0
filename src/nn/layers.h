/* SPDX-License-Identifier: MIT */
/*
 * Layers over the rows of a pass. Those of both arithmetics come from one source, layers_tmpl.c, which layers_i8.c and
 * layers_f32.c compile with EGG_I8 set to 1 and 0. X, Y and u are matrices of the pass; Y must not overlap X unless
 * stated. All sequences advance together: a layer without recurrence sees every step of every member at once.
 */
#ifndef EGG_NN_LAYERS_H
#define EGG_NN_LAYERS_H

#include "nn/pass.h"

#define EGG_DECLARE_LAYERS(type)                                                                                       \
    /* An uninitialised matrix of 'steps' rows a member. */                                                            \
    egg_mat egg_mat_##type(egg_pass *pass, uint32_t steps, uint32_t cols);                                             \
                                                                                                                       \
    /* Draws the factors of a parameter for the pairs of the pass; they live until the arena is released. */           \
    egg_factors egg_factors_##type(egg_pass *pass, const egg_param *param);                                            \
                                                                                                                       \
    /* Y = X W^T + perturbation (paper section 4.1, App. G); the second form for factors that are used many times. */  \
    void egg_linear_##type(egg_pass *pass, const egg_param *W, egg_mat X, egg_mat Y);                                  \
    void egg_linear_drawn_##type(egg_pass *pass, const egg_param *W, egg_factors factors, egg_mat X, egg_mat Y);       \
                                                                                                                       \
    /* The vector w as each member of the pass sees it. */                                                             \
    egg_member_vector egg_member_vector_##type(egg_pass *pass, const egg_param *w);                                    \
                                                                                                                       \
    /* Y = LN(X) scaled by w; Y may be X. */                                                                           \
    void egg_layer_norm_##type(egg_pass *pass, const egg_param *w, egg_mat X, egg_mat Y);                              \
                                                                                                                       \
    /* Y += X; both contiguous. */                                                                                     \
    void egg_add_##type(egg_pass *pass, egg_mat X, egg_mat Y);

EGG_DECLARE_LAYERS(i8)
EGG_DECLARE_LAYERS(f32)

/* --------------------------------------------------------------------------------------------------- float32 only */

typedef enum egg_activation {
    EGG_ACTIVATION_PQN,    /* max(0, layer norm without affine part) */
    EGG_ACTIVATION_RELU,
    EGG_ACTIVATION_TANH
} egg_activation;

/* Y = X W^T + bias, all as each row's member sees it; bias may be NULL. */
void egg_linear_bias_f32(egg_pass *pass, const egg_param *W, const egg_param *bias, egg_mat X, egg_mat Y);

/* Y[b] = row tokens[b] of W as the row's member sees it. */
void egg_lookup_f32(egg_pass *pass, const egg_param *W, const uint32_t *tokens, egg_mat Y);

/* Y = LN(X) scaled by w, plus bias; Y may be X. */
void egg_layer_norm_bias_f32(egg_pass *pass, const egg_param *w, const egg_param *bias, egg_mat X, egg_mat Y);

/* In place; Y contiguous, every column used. */
void egg_activate_f32(egg_pass *pass, egg_activation activation, egg_mat Y);

/* ------------------------------------------------------------------------------------------------------ int8 only */

/* Y[b] = perturbed row tokens[b] of W; tokens (rows). */
void egg_embed_i8(egg_pass *pass, const egg_param *W, const uint8_t *tokens, egg_mat Y);

/* The parameters of EGG's gated recurrent unit (paper App. G). */
typedef struct egg_gru {
    const egg_param *Wf, *Uf, *bf, *Wh, *Uh, *bh;   /* matrices (D, D), biases (D) */
} egg_gru;

/*
 * Y = GRU(X) over the steps of every member, from 'state' on, which is left at the last step. The products with X run
 * over all steps at once, those with the state walk through time. A member's state is set to zero before each step
 * whose token is 0, the separator of documents.
 *
 *   X, Y (rows, D)   state (members, D; state_stride)   tokens (rows)
 */
void egg_gru_sequence(egg_pass *pass, const egg_gru *gru, egg_mat X, const uint8_t *tokens, int8_t *state,
                      size_t state_stride, egg_mat Y);

/* loss[m] = sum over the steps of member m of the integer loss of its logits (rows, 256); targets (rows). */
void egg_sequence_loss(egg_pass *pass, egg_mat logits, const uint8_t *targets, int32_t *loss);

/* Counts activations at +-127 where the pass observes. X contiguous. */
void egg_observe(egg_pass *pass, egg_mat X);

#endif
