/* SPDX-License-Identifier: MIT */
#include "nn/rwkv7.h"

static egg_rows_vector rows_vector(egg_pass *pass, const egg_param *param)
{
    egg_member_vector vector = egg_member_vector_f32(pass, param);
    return (egg_rows_vector){.data = vector.data, .stride = vector.stride};
}

void egg_rwkv7_shift(egg_pass *pass, egg_sequences sequences, const egg_param *const *mix, uint32_t count, egg_mat X,
                     egg_states state, const egg_mat *Y)
{
    egg_rwkv7_shift_args args = {.sequences = sequences, .X = X.data, .state = state,
                                 .rows = egg_mat_rows(pass, X), .n = X.cols, .count = count};
    for (uint32_t q = 0; q < count; q++) {
        args.mix[q] = rows_vector(pass, mix[q]);
        args.Y[q] = Y[q].data;
    }
    if (!pass->failed) pass->kernels->rwkv7.shift(&args);
}

void egg_rwkv7_low_rank(egg_pass *pass, const egg_param *W1, egg_rwkv7_inner inner, const egg_param *W2,
                        const egg_param *bias, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_mat hidden = egg_mat_f32(pass, X.steps, W1->out);
    egg_linear_f32(pass, W1, X, hidden);
    if (pass->failed) return;
    size_t n = (size_t)egg_mat_rows(pass, hidden) * hidden.cols;
    switch (inner) {
    case EGG_RWKV7_INNER_NONE: break;
    case EGG_RWKV7_INNER_TANH: pass->kernels->tanh_f32(hidden.data, n); break;
    case EGG_RWKV7_INNER_SIGMOID: pass->kernels->rwkv7.sigmoid(hidden.data, n); break;
    }
    egg_linear_bias_f32(pass, W2, bias, hidden, Y);
    egg_arena_release(pass->arena, mark);
}

void egg_rwkv7_recur(egg_pass *pass, egg_sequences sequences, const egg_rwkv7_heads *heads, egg_states state)
{
    const egg_rows_vector k_k = rows_vector(pass, heads->k_k), k_a = rows_vector(pass, heads->k_a);
    const egg_rows_vector bonus = rows_vector(pass, heads->bonus);
    const egg_rows_vector weight = rows_vector(pass, heads->weight), bias = rows_vector(pass, heads->bias);
    if (pass->failed) return;
    uint32_t rows = egg_mat_rows(pass, heads->r), n = heads->r.cols;
    const egg_rwkv7_kernels *kernels = &pass->kernels->rwkv7;
    kernels->gate(&(egg_rwkv7_gate_args){.member = sequences.member, .w = heads->w.data, .k = heads->k.data,
                                         .v = heads->v.data, .a = heads->a.data, .kappa = heads->kappa.data,
                                         .v_first = heads->v_first.data, .mix = heads->mix.data, .k_k = k_k, .k_a = k_a,
                                         .rows = rows, .n = n, .size = heads->size});
    kernels->recur(&(egg_rwkv7_recur_args){.sequences = sequences, .r = heads->r.data, .w = heads->w.data,
                                           .k = heads->k.data, .v = heads->v.data, .kappa = heads->kappa.data,
                                           .a = heads->a.data, .state = state, .Y = heads->y.data, .n = n,
                                           .size = heads->size});
    kernels->finish(&(egg_rwkv7_finish_args){.member = sequences.member, .Y = heads->y.data, .r = heads->r.data,
                                             .k = heads->k.data, .v = heads->v.data, .g = heads->g.data,
                                             .weight = weight, .bias = bias, .bonus = bonus, .rows = rows, .n = n,
                                             .size = heads->size, .epsilon = 64e-5f});
}

void egg_rwkv7_relu_squared(egg_pass *pass, egg_mat Y)
{
    if (!pass->failed) pass->kernels->rwkv7.relu_squared(Y.data, (size_t)egg_mat_rows(pass, Y) * Y.cols);
}
