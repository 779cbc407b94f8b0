/* SPDX-License-Identifier: MIT */
#include "nn/layers.h"

#define EGG_I8 0
#include "nn/layers_tmpl.c"

void egg_linear_bias_f32(egg_pass *pass, const egg_param *W, const egg_param *bias, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_member_vector b = {0};
    if (bias) b = egg_member_vector_f32(pass, bias);
    product_f32(pass, W, egg_factors_f32(pass, W), b, X, Y);
    egg_arena_release(pass->arena, mark);
}

void egg_lookup_f32(egg_pass *pass, const egg_param *W, const uint32_t *tokens, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_factors factors = egg_factors_f32(pass, W);
    if (pass->failed) return;
    egg_lookup_args args = {.table = egg_param_table(W), .storage = egg_param_table_storage(W), .tokens = tokens,
                            .A = factors.A, .B = factors.B, .Y = Y.data, .y_stride = Y.stride,
                            .member = pass->row_member, .rows = egg_mat_rows(pass, Y), .steps = Y.steps,
                            .vocabulary = W->out, .n = W->in};
    if (factors.A) {
        args.rank = pass->law->rank;
        args.c = factors.B ? pass->law->c : pass->law->sigma;
    }
    pass->kernels->lookup_f32(&args);
    egg_arena_release(pass->arena, mark);
}

void egg_layer_norm_bias_f32(egg_pass *pass, const egg_param *w, const egg_param *bias, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_member_vector scale = egg_member_vector_f32(pass, w), b = egg_member_vector_f32(pass, bias);
    if (pass->failed) return;
    pass->kernels->layer_norm_f32(&(egg_layer_norm_args){.X = X.data, .x_stride = X.stride, .w = scale.data,
                                                         .w_stride = scale.stride, .bias = b.data,
                                                         .bias_stride = b.stride, .Y = Y.data, .y_stride = Y.stride,
                                                         .member = pass->row_member, .rows = egg_mat_rows(pass, X),
                                                         .steps = X.steps, .n = X.cols, .epsilon = 1e-5f});
    egg_arena_release(pass->arena, mark);
}

void egg_activate_f32(egg_pass *pass, egg_activation activation, egg_mat Y)
{
    size_t n = (size_t)egg_mat_rows(pass, Y) * Y.cols;
    if (pass->failed) return;
    switch (activation) {
    case EGG_ACTIVATION_PQN:
        pass->kernels->layer_norm_f32(&(egg_layer_norm_args){.X = Y.data, .x_stride = Y.stride, .Y = Y.data,
                                                             .y_stride = Y.stride, .rows = egg_mat_rows(pass, Y),
                                                             .steps = 1, .n = Y.cols, .epsilon = 1e-5f, .relu = true});
        break;
    case EGG_ACTIVATION_RELU: pass->kernels->relu_f32(Y.data, n); break;
    case EGG_ACTIVATION_TANH: pass->kernels->tanh_f32(Y.data, n); break;
    }
}
