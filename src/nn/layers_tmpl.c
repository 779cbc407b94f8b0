/* SPDX-License-Identifier: MIT */
/*
 * Template. Parameters, undefined at the end:
 *   EGG_I8       1: int8, 0: float32
 */
#if EGG_I8
#define NAME(function) function##_i8
#define KERNEL(pass, slot) ((pass)->kernels->slot##_i8)
#define ELEMENT_BYTES sizeof(int8_t)
#define SUM_BYTES sizeof(int32_t)
#else
#define NAME(function) function##_f32
#define KERNEL(pass, slot) ((pass)->kernels->slot##_f32)
#define ELEMENT_BYTES sizeof(float)
#define SUM_BYTES sizeof(float)
#endif

egg_mat NAME(egg_mat)(egg_pass *pass, uint32_t steps, uint32_t cols)
{
    egg_mat mat = {.stride = cols, .steps = steps, .cols = cols};
    mat.data = egg_pass_take(pass, (size_t)egg_mat_rows(pass, mat) * cols * ELEMENT_BYTES);
    return mat;
}

static const void *NAME(draw_side)(egg_pass *pass, const egg_param *param, egg_side side)
{
    uint32_t n = egg_param_factor_length(param, side), pairs = (pass->members + 1) / 2;
    void *factor = egg_pass_take(pass, (size_t)pairs * pass->law->rank * n * ELEMENT_BYTES);
    if (factor) egg_perturb_draw(pass->law, pass->kernels, param, side, pass->first_pair, pairs, 0, n, factor);
    return factor;
}

egg_factors NAME(egg_factors)(egg_pass *pass, const egg_param *param)
{
    if (!pass->law || param->frozen) return (egg_factors){0};
    if (pass->bank) return egg_bank_factors(pass->bank, param);
    egg_factors factors = {.A = NAME(draw_side)(pass, param, EGG_A), .B = NAME(draw_side)(pass, param, EGG_B)};
    return factors;
}

/* shrink into linear's t, and linear. */
static void NAME(multiply_perturbed)(egg_pass *pass, const egg_param *W, const egg_linear_args *linear, const void *B)
{
    const egg_shrink_args shrink = {.X = linear->X, .x_stride = linear->x_stride, .B = B, .t = (void *)linear->t,
                                    .member = linear->member, .rows = linear->rows, .steps = linear->steps,
                                    .in = linear->in, .rank = linear->rank, .scale = pass->law->scale,
                                    .c = pass->law->c};
#if EGG_I8
    if (pass->kernels->perturbed_i8) {
        pass->kernels->perturbed_i8(&shrink, linear);
        return;
    }
#endif
    KERNEL(pass, shrink)(&shrink);
    egg_param_linear(W, pass->kernels)(linear);
}

/* Y = X W^T + perturbation + bias; bias.data may be NULL. Where the noise is dense, factors.A is all of it. */
static void NAME(product)(egg_pass *pass, const egg_param *W, egg_factors factors, egg_member_vector bias, egg_mat X,
                          egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    uint32_t rows = egg_mat_rows(pass, X), rank = factors.A && factors.B ? pass->law->rank : 0;
    void *t = rank ? egg_pass_take(pass, (size_t)rows * rank * SUM_BYTES) : NULL;
    if (pass->failed) return;
    const egg_linear_args linear = {.X = X.data, .x_stride = X.stride, .W = W->packed,
                                    .A = rank ? factors.A : NULL, .t = t, .bias = bias.data,
                                    .bias_stride = bias.stride, .Y = Y.data, .y_stride = Y.stride,
                                    .member = pass->row_member, .rows = rows, .steps = X.steps, .out = W->out,
                                    .in = W->in, .rank = rank, .shift = egg_product_shift(W->in),
                                    .noise_shift = rank ? pass->law->noise_shift : 0,
                                    .bf16_activations = W->bf16_activations};
    if (rank)
        NAME(multiply_perturbed)(pass, W, &linear, factors.B);
    else
        egg_param_linear(W, pass->kernels)(&linear);
#if !EGG_I8
    if (factors.A && !factors.B)
        pass->kernels->dense_f32(&(egg_dense_args){.X = X.data, .x_stride = X.stride, .E = factors.A, .Y = Y.data,
                                                   .y_stride = Y.stride, .member = pass->row_member, .rows = rows,
                                                   .steps = X.steps, .out = W->out, .in = W->in,
                                                   .c = pass->law->sigma});
#endif
    egg_arena_release(pass->arena, mark);
}

void NAME(egg_linear_drawn)(egg_pass *pass, const egg_param *W, egg_factors factors, egg_mat X, egg_mat Y)
{
    NAME(product)(pass, W, factors, (egg_member_vector){0}, X, Y);
}

void NAME(egg_linear)(egg_pass *pass, const egg_param *W, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    NAME(egg_linear_drawn)(pass, W, NAME(egg_factors)(pass, W), X, Y);
    egg_arena_release(pass->arena, mark);
}

/* An integer vector has two factors, a float one dense noise. */
static egg_factors NAME(draw_vector)(egg_pass *pass, const egg_param *w, uint32_t pairs)
{
#if EGG_I8
    (void)pairs;
    return NAME(egg_factors)(pass, w);
#else
    float *noise = egg_pass_take(pass, (size_t)pairs * w->in * sizeof *noise);
    if (noise) egg_perturb_draw_dense(pass->law, pass->kernels, w, pass->first_pair, pairs, 0, w->in, noise, w->in);
    return (egg_factors){.A = noise};
#endif
}

egg_member_vector NAME(egg_member_vector)(egg_pass *pass, const egg_param *w)
{
    if (!pass->law || w->frozen) return (egg_member_vector){.data = egg_param_kernel_data(w), .stride = 0};
    if (pass->bank) return egg_bank_vector(pass->bank, w);
    uint32_t pairs = (pass->members + 1) / 2;
    void *out = egg_pass_take(pass, (size_t)2 * pairs * w->in * ELEMENT_BYTES);
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_factors factors = NAME(draw_vector)(pass, w, pairs);
    const egg_perturb_vector_args args = {.w = egg_param_kernel_data(w), .A = factors.A, .a_stride = w->in,
                                          .B = factors.B, .out = out, .pairs = pairs, .n = w->in,
                                          .rank = pass->law->rank, .scale = pass->law->scale, .c = pass->law->sigma,
                                          .noise_shift = pass->law->noise_shift};
    if (!pass->failed) KERNEL(pass, perturb_vector)(&args);
    egg_arena_release(pass->arena, mark);
    return (egg_member_vector){.data = out, .stride = w->in};
}

void NAME(egg_layer_norm)(egg_pass *pass, const egg_param *w, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_member_vector weights = NAME(egg_member_vector)(pass, w);
    if (pass->failed) return;
    KERNEL(pass, layer_norm)(&(egg_layer_norm_args){.X = X.data, .x_stride = X.stride, .w = weights.data,
                                                    .w_stride = weights.stride, .Y = Y.data, .y_stride = Y.stride,
                                                    .member = pass->row_member, .rows = egg_mat_rows(pass, X),
                                                    .steps = X.steps, .n = X.cols,
                                                    .epsilon = 1e-5f});
    egg_arena_release(pass->arena, mark);
}

void NAME(egg_add)(egg_pass *pass, egg_mat X, egg_mat Y)
{
    if (pass->failed) return;
    KERNEL(pass, add)(Y.data, X.data, (size_t)egg_mat_rows(pass, X) * X.cols);
}

#undef EGG_I8
#undef NAME
#undef KERNEL
#undef ELEMENT_BYTES
#undef SUM_BYTES
