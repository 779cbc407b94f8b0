/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/layers.h"

#define EGG_I8 1
#include "nn/layers_tmpl.c"

/* The state of members whose token at this step is 0 begins anew. */
static void reset_states(const egg_pass *pass, const uint8_t *tokens, uint32_t steps, uint32_t step, int8_t *state,
                         size_t state_stride, uint32_t n)
{
    for (uint32_t m = 0; m < pass->members; m++)
        if (tokens[(size_t)m * steps + step] == 0) memset(state + m * state_stride, 0, n);
}

void egg_gru_sequence(egg_pass *pass, const egg_gru *gru, egg_mat X, const uint8_t *tokens, int8_t *state,
                      size_t state_stride, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    uint32_t steps = X.steps, n = X.cols;
    egg_mat gate_in = egg_mat_i8(pass, steps, n), blend_in = egg_mat_i8(pass, steps, n);
    egg_linear_i8(pass, gru->Wf, X, gate_in);
    egg_linear_i8(pass, gru->Wh, X, blend_in);

    egg_factors Uf = egg_factors_i8(pass, gru->Uf), Uh = egg_factors_i8(pass, gru->Uh);
    egg_member_vector bf = egg_member_vector_i8(pass, gru->bf), bh = egg_member_vector_i8(pass, gru->bh);
    egg_mat product = egg_mat_i8(pass, 1, n), f = egg_mat_i8(pass, 1, n), gated = egg_mat_i8(pass, 1, n);
    if (pass->failed) return;

    egg_mat s = {.data = state, .stride = state_stride, .steps = 1, .cols = n};
    egg_gru_args args = {.a_stride = steps * gate_in.stride, .b = product.data, .state = state,
                         .state_stride = state_stride, .f = f.data, .g = gated.data, .y_stride = steps * Y.stride,
                         .rows = pass->members, .n = n};
    for (uint32_t t = 0; t < steps; t++) {
        reset_states(pass, tokens, steps, t, state, state_stride, n);
        egg_linear_drawn_i8(pass, gru->Uf, Uf, s, product);
        args.a = (int8_t *)gate_in.data + t * gate_in.stride;
        args.bias = bf.data;
        args.bias_stride = bf.stride;
        pass->kernels->gru_gate_i8(&args);

        egg_linear_drawn_i8(pass, gru->Uh, Uh, gated, product);
        args.a = (int8_t *)blend_in.data + t * blend_in.stride;
        args.bias = bh.data;
        args.bias_stride = bh.stride;
        args.Y = (int8_t *)Y.data + t * Y.stride;
        pass->kernels->gru_blend_i8(&args);
        if (pass->failed) return;
    }
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
    for (uint32_t m = 0; m < pass->members; m++) {
        loss[m] = 0;
        for (uint32_t t = 0; t < logits.steps; t++) loss[m] += row_loss[(size_t)m * logits.steps + t];
    }
    egg_arena_release(pass->arena, mark);
}

void egg_observe(egg_pass *pass, egg_mat X)
{
    if (!pass->observing || pass->failed) return;
    const int8_t *x = X.data;
    size_t n = (size_t)egg_mat_rows(pass, X) * X.cols;
    for (size_t i = 0; i < n; i++) pass->saturated += x[i] == 127 || x[i] == -127;
    pass->observed += n;
}
