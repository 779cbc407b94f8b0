/* SPDX-License-Identifier: MIT */
#include "nn/layers.h"

#define EGG_I8 1
#include "nn/layers_tmpl.c"

void egg_embed_i8(egg_pass *pass, const egg_param *W, const uint8_t *tokens, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_factors factors = egg_factors_i8(pass, W);
    if (pass->failed) return;
    egg_embed_args args = {.W = egg_param_kernel_data(W), .tokens = tokens, .A = factors.A, .B = factors.B, .Y = Y.data,
                           .rows = egg_mat_rows(pass, Y), .steps = Y.steps, .vocabulary = W->out, .n = W->in};
    if (factors.A) {
        args.rank = pass->law->rank;
        args.scale = pass->law->scale;
        args.noise_shift = pass->law->noise_shift;
    }
    pass->kernels->embed_i8(&args);
    egg_arena_release(pass->arena, mark);
}

/* What the recurrent half of a GRU starts from: all that needs no state. */
typedef struct egg_gru_drawn {
    egg_mat gate_in, blend_in;    /* the products with X */
    egg_factors Uf, Uh;
    egg_member_vector bf, bh;
} egg_gru_drawn;

/* For the levels that do all steps in one call. */
static void gru_fused(egg_pass *pass, const egg_gru *gru, const egg_gru_drawn *drawn, const uint8_t *tokens,
                      int8_t *state, size_t state_stride, egg_mat Y)
{
    const egg_perturb *law = pass->law;
    egg_gru_sequence_args args = {
        .gate_in = drawn->gate_in.data, .blend_in = drawn->blend_in.data, .in_stride = drawn->gate_in.stride,
        .tokens = tokens, .Uf = gru->Uf->packed, .Uh = gru->Uh->packed, .Uf_A = drawn->Uf.A, .Uf_B = drawn->Uf.B,
        .Uh_A = drawn->Uh.A, .Uh_B = drawn->Uh.B, .bf = drawn->bf.data, .bh = drawn->bh.data,
        .bf_stride = drawn->bf.stride, .bh_stride = drawn->bh.stride, .state = state, .state_stride = state_stride,
        .Y = Y.data, .y_stride = Y.stride, .members = pass->members, .steps = Y.steps, .n = Y.cols,
        .shift = egg_product_shift(Y.cols),
    };
    if (law) {
        args.rank = law->rank;
        args.scale = law->scale;
        args.noise_shift = law->noise_shift;
    }
    pass->kernels->gru_sequence_i8(&args);
}

static void gru_loop(egg_pass *pass, const egg_gru *gru, const egg_gru_drawn *drawn, const uint8_t *tokens,
                     int8_t *state, size_t state_stride, egg_mat Y)
{
    uint32_t steps = Y.steps, n = Y.cols;
    egg_mat gate_in = drawn->gate_in, blend_in = drawn->blend_in;
    egg_mat product = egg_mat_i8(pass, 1, n), f = egg_mat_i8(pass, 1, n), gated = egg_mat_i8(pass, 1, n);
    if (pass->failed) return;

    egg_mat s = {.data = state, .stride = state_stride, .steps = 1, .cols = n};
    egg_gru_args args = {.a_stride = steps * gate_in.stride, .b = product.data, .state = state,
                         .state_stride = state_stride, .f = f.data, .g = gated.data, .y_stride = steps * Y.stride,
                         .rows = pass->members, .n = n};
    for (uint32_t t = 0; t < steps; t++) {
        pass->kernels->forget_i8(&(egg_forget_args){.state = state, .state_stride = state_stride, .tokens = tokens + t,
                                                    .token_stride = steps, .rows = pass->members, .n = n});
        egg_linear_drawn_i8(pass, gru->Uf, drawn->Uf, s, product);
        args.a = (int8_t *)gate_in.data + t * gate_in.stride;
        args.bias = drawn->bf.data;
        args.bias_stride = drawn->bf.stride;
        pass->kernels->gru_gate_i8(&args);

        egg_linear_drawn_i8(pass, gru->Uh, drawn->Uh, gated, product);
        args.a = (int8_t *)blend_in.data + t * blend_in.stride;
        args.bias = drawn->bh.data;
        args.bias_stride = drawn->bh.stride;
        args.Y = (int8_t *)Y.data + t * Y.stride;
        pass->kernels->gru_blend_i8(&args);
        if (pass->failed) return;
    }
}

void egg_gru_sequence(egg_pass *pass, const egg_gru *gru, egg_mat X, const uint8_t *tokens, int8_t *state,
                      size_t state_stride, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_gru_drawn drawn = {.gate_in = egg_mat_i8(pass, X.steps, X.cols), .blend_in = egg_mat_i8(pass, X.steps, X.cols)};
    egg_linear_i8(pass, gru->Wf, X, drawn.gate_in);
    egg_linear_i8(pass, gru->Wh, X, drawn.blend_in);
    drawn.Uf = egg_factors_i8(pass, gru->Uf);
    drawn.Uh = egg_factors_i8(pass, gru->Uh);
    drawn.bf = egg_member_vector_i8(pass, gru->bf);
    drawn.bh = egg_member_vector_i8(pass, gru->bh);
    if (pass->failed) return;
    (pass->kernels->gru_sequence_i8 ? gru_fused : gru_loop)(pass, gru, &drawn, tokens, state, state_stride, Y);
    egg_arena_release(pass->arena, mark);
}

void egg_sequence_loss(egg_pass *pass, egg_mat logits, const uint8_t *targets, int32_t *loss)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    uint32_t rows = egg_mat_rows(pass, logits);
    int32_t *row_loss = egg_pass_take(pass, (size_t)rows * sizeof *row_loss);
    if (pass->failed) return;
    pass->kernels->loss_i8(&(egg_loss_args){.logits = logits.data, .stride = logits.stride, .targets = targets,
                                            .loss = row_loss, .rows = rows});
    pass->kernels->sum_steps_i32(row_loss, pass->members, logits.steps, loss);
    egg_arena_release(pass->arena, mark);
}

void egg_observe(egg_pass *pass, egg_mat X)
{
    if (!pass->saturated || pass->failed) return;
    size_t n = (size_t)egg_mat_rows(pass, X) * X.cols;
    pass->kernels->count_saturated_i8(X.data, n, pass->saturated);
    pass->observed += n;
}
