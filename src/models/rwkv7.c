/* SPDX-License-Identifier: MIT */
#include "models/rwkv7.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "nn/rwkv7.h"

/* ----------------------------------------------------------------------------------------------------- parameters */

/* Order of the parameters: the model's own, then those of each layer. Layer 0 has none of the last three. */
enum { EMBEDDING, LN0_WEIGHT, LN0_BIAS, LN_OUT_WEIGHT, LN_OUT_BIAS, HEAD, FIRST_LAYER };
enum {
    LN1_WEIGHT, LN1_BIAS, X_R, X_W, X_K, X_V, X_A, X_G, W0, W1, W2, A0, A1, A2, G1, G2, K_K, K_A, R_K, RECEPTANCE, KEY,
    VALUE, OUTPUT, LN_X_WEIGHT, LN_X_BIAS, LN2_WEIGHT, LN2_BIAS, FFN_X_K, FFN_KEY, FFN_VALUE, V0, V1, V2, LAYER_PARAMS,
    LAYER0_PARAMS = V0
};

/* Sizes by name, and how a checkpoint stores what has them. */
typedef enum egg_size { ONE, VOCABULARY, WIDTH, HIDDEN, W_RANK, A_RANK, V_RANK, G_RANK } egg_size;
typedef enum egg_layout { PLAIN, TRANSPOSED, MIX, HEADS } egg_layout;   /* MIX: (1, 1, n); HEADS: (heads, size) */

typedef struct egg_param_form {
    const char *name;
    egg_param_kind kind;
    egg_size out, in;
    egg_layout layout;
} egg_param_form;

#define MATRIX(name, out, in) {name, EGG_PARAM_MATRIX, out, in, PLAIN}
#define LOW_RANK(name, out, in) {name, EGG_PARAM_MATRIX, out, in, TRANSPOSED}
#define VECTOR(name, layout) {name, EGG_PARAM_VECTOR, ONE, WIDTH, layout}

static const egg_param_form model_forms[FIRST_LAYER] = {
    [EMBEDDING] = {"emb.weight", EGG_PARAM_EMBEDDING, VOCABULARY, WIDTH, PLAIN},
    [LN0_WEIGHT] = VECTOR("blocks.0.ln0.weight", PLAIN),
    [LN0_BIAS] = VECTOR("blocks.0.ln0.bias", PLAIN),
    [LN_OUT_WEIGHT] = VECTOR("ln_out.weight", PLAIN),
    [LN_OUT_BIAS] = VECTOR("ln_out.bias", PLAIN),
    [HEAD] = MATRIX("head.weight", VOCABULARY, WIDTH),
};

static const egg_param_form layer_forms[LAYER_PARAMS] = {
    [LN1_WEIGHT] = VECTOR("ln1.weight", PLAIN),
    [LN1_BIAS] = VECTOR("ln1.bias", PLAIN),
    [X_R] = VECTOR("att.x_r", MIX),
    [X_W] = VECTOR("att.x_w", MIX),
    [X_K] = VECTOR("att.x_k", MIX),
    [X_V] = VECTOR("att.x_v", MIX),
    [X_A] = VECTOR("att.x_a", MIX),
    [X_G] = VECTOR("att.x_g", MIX),
    [W0] = VECTOR("att.w0", MIX),
    [W1] = LOW_RANK("att.w1", W_RANK, WIDTH),
    [W2] = LOW_RANK("att.w2", WIDTH, W_RANK),
    [A0] = VECTOR("att.a0", MIX),
    [A1] = LOW_RANK("att.a1", A_RANK, WIDTH),
    [A2] = LOW_RANK("att.a2", WIDTH, A_RANK),
    [G1] = LOW_RANK("att.g1", G_RANK, WIDTH),
    [G2] = LOW_RANK("att.g2", WIDTH, G_RANK),
    [K_K] = VECTOR("att.k_k", MIX),
    [K_A] = VECTOR("att.k_a", MIX),
    [R_K] = VECTOR("att.r_k", HEADS),
    [RECEPTANCE] = MATRIX("att.receptance.weight", WIDTH, WIDTH),
    [KEY] = MATRIX("att.key.weight", WIDTH, WIDTH),
    [VALUE] = MATRIX("att.value.weight", WIDTH, WIDTH),
    [OUTPUT] = MATRIX("att.output.weight", WIDTH, WIDTH),
    [LN_X_WEIGHT] = VECTOR("att.ln_x.weight", PLAIN),
    [LN_X_BIAS] = VECTOR("att.ln_x.bias", PLAIN),
    [LN2_WEIGHT] = VECTOR("ln2.weight", PLAIN),
    [LN2_BIAS] = VECTOR("ln2.bias", PLAIN),
    [FFN_X_K] = VECTOR("ffn.x_k", MIX),
    [FFN_KEY] = MATRIX("ffn.key.weight", HIDDEN, WIDTH),
    [FFN_VALUE] = MATRIX("ffn.value.weight", WIDTH, HIDDEN),
    [V0] = VECTOR("att.v0", MIX),
    [V1] = LOW_RANK("att.v1", V_RANK, WIDTH),
    [V2] = LOW_RANK("att.v2", WIDTH, V_RANK),
};

#undef MATRIX
#undef LOW_RANK
#undef VECTOR

static uint32_t size_of(const egg_rwkv7_shape *shape, egg_size size)
{
    switch (size) {
    case ONE: return 1;
    case VOCABULARY: return shape->vocabulary;
    case WIDTH: return shape->width;
    case HIDDEN: return shape->hidden;
    case W_RANK: return shape->w_rank;
    case A_RANK: return shape->a_rank;
    case V_RANK: return shape->v_rank;
    case G_RANK: return shape->g_rank;
    }
    return 0;
}

static uint32_t layer_begin(uint32_t layer)
{
    return layer == 0 ? FIRST_LAYER : FIRST_LAYER + LAYER0_PARAMS + (layer - 1) * LAYER_PARAMS;
}

/* '*layer' is left alone where the parameter is the model's own. */
static const egg_param_form *form_of(uint32_t id, uint32_t *layer)
{
    if (id < FIRST_LAYER) return &model_forms[id];
    *layer = id < layer_begin(1) ? 0 : 1 + (id - layer_begin(1)) / LAYER_PARAMS;
    return &layer_forms[id - layer_begin(*layer)];
}

static const egg_param *layer_param(const egg_rwkv7 *model, uint32_t layer, uint32_t which)
{
    return &model->params[layer_begin(layer) + which];
}

egg_rwkv7_tensor egg_rwkv7_tensor_of(const egg_rwkv7 *model, uint32_t id)
{
    uint32_t layer = 0;
    const egg_param_form *form = form_of(id, &layer);
    uint64_t out = size_of(&model->shape, form->out), in = size_of(&model->shape, form->in);
    switch (form->layout) {
    case TRANSPOSED: return (egg_rwkv7_tensor){.dims = 2, .shape = {in, out}, .transposed = true};
    case MIX: return (egg_rwkv7_tensor){.dims = 3, .shape = {1, 1, in}};
    case HEADS: return (egg_rwkv7_tensor){.dims = 2, .shape = {in / model->shape.head_size, model->shape.head_size}};
    case PLAIN: break;
    }
    if (form->kind == EGG_PARAM_VECTOR) return (egg_rwkv7_tensor){.dims = 1, .shape = {in}};
    return (egg_rwkv7_tensor){.dims = 2, .shape = {out, in}};
}

/* ----------------------------------------------------------------------------------------------------- the object */

egg_status egg_rwkv7_check_shape(const egg_rwkv7_shape *shape, egg_error *error)
{
    const struct {
        const char *name;
        uint32_t value;
    } sizes[] = {
        {"vocabulary", shape->vocabulary}, {"width", shape->width},        {"head size", shape->head_size},
        {"hidden width", shape->hidden},   {"rank of w", shape->w_rank},   {"rank of a", shape->a_rank},
        {"rank of g", shape->g_rank},      {"rank of v", shape->layers > 1 ? shape->v_rank : EGG_ROW_QUANTUM},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value == 0 || sizes[i].value % EGG_ROW_QUANTUM != 0 || sizes[i].value > 1u << 24)
            return egg_fail(error, EGG_ERR_ARGUMENT, "the %s of an RWKV-7 is %u, expected a multiple of %d",
                            sizes[i].name, sizes[i].value, EGG_ROW_QUANTUM);
    if (shape->width % shape->head_size != 0)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "the width of an RWKV-7 is %u, expected a multiple of its head size %u", shape->width,
                        shape->head_size);
    if (shape->head_size > 1024)   /* threads of a block on a device, one a row of the state */
        return egg_fail(error, EGG_ERR_ARGUMENT, "the head size of an RWKV-7 is %u, expected at most 1024",
                        shape->head_size);
    if (shape->layers == 0 || shape->layers > 1024)
        return egg_fail(error, EGG_ERR_ARGUMENT, "an RWKV-7 of %u layers, expected 1 to 1024", shape->layers);
    return EGG_OK;
}

static egg_status open_param(egg_rwkv7 *model, uint32_t id, const egg_kernels *kernels, egg_error *error)
{
    uint32_t layer = 0;
    const egg_param_form *form = form_of(id, &layer);
    char name[EGG_PARAM_NAME_BYTES];
    if (id < FIRST_LAYER) snprintf(name, sizeof name, "%s", form->name);
    else snprintf(name, sizeof name, "blocks.%u.%s", layer, form->name);
    return egg_param_open(&model->params[id], kernels, id, form->kind, EGG_F32, size_of(&model->shape, form->out),
                          size_of(&model->shape, form->in), name, error);
}

egg_status egg_rwkv7_open(egg_rwkv7 **out, const egg_rwkv7_shape *shape, const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    *out = NULL;
    EGG_TRY(egg_rwkv7_check_shape(shape, error));
    uint32_t count = layer_begin(shape->layers);
    model = egg_alloc(sizeof *model);
    if (model) model->params = egg_alloc_array(count, sizeof *model->params);
    if (!model || !model->params) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a model");
        goto out;
    }
    model->shape = *shape;
    for (uint32_t id = 0; id < count; id++) {
        model->param_count = id + 1;
        EGG_TRY(open_param(model, id, kernels, error));
    }
    *out = model;
    model = NULL;
out:
    egg_rwkv7_close(model);
    return status;
}

egg_status egg_rwkv7_open_param(egg_rwkv7 *model, uint32_t id, const egg_kernels *kernels, egg_storage storage,
                                bool packed_only, egg_error *error)
{
    egg_param *param = &model->params[id];
    char name[EGG_PARAM_NAME_BYTES];
    snprintf(name, sizeof name, "%s", param->name);
    return egg_param_open_stored(param, kernels, id, param->kind, storage, packed_only, param->out, param->in, name,
                                 error);
}

void egg_rwkv7_close(egg_rwkv7 *model)
{
    if (!model) return;
    for (uint32_t i = 0; i < model->param_count; i++) egg_param_close(&model->params[i]);
    egg_free(model->params);
    egg_free(model);
}

void egg_rwkv7_pack(egg_rwkv7 *model, const egg_kernels *kernels)
{
    for (uint32_t i = 0; i < model->param_count; i++) egg_param_pack(&model->params[i], kernels);
}

void egg_rwkv7_set_thaw(egg_rwkv7 *model, egg_rwkv7_thaw thaw)
{
    for (uint32_t i = 0; i < model->param_count; i++) {
        egg_param *param = &model->params[i];
        param->frozen = i == HEAD ? !thaw.head
                        : i == EMBEDDING ? !thaw.embedding
                        : param->kind == EGG_PARAM_VECTOR && !thaw.vectors;
    }
}

void egg_rwkv7_round_activations(egg_rwkv7 *model, bool bf16)
{
    for (uint32_t i = 0; i < model->param_count; i++) model->params[i].bf16_activations = bf16;
}

uint64_t egg_rwkv7_parameters(const egg_rwkv7 *model)
{
    uint64_t parameters = 0;
    for (uint32_t i = 0; i < model->param_count; i++) parameters += egg_param_elements(&model->params[i]);
    return parameters;
}

uint64_t egg_rwkv7_bytes(const egg_rwkv7 *model, const egg_kernels *kernels)
{
    return egg_params_bytes(model->params, model->param_count, kernels).host;
}

uint64_t egg_rwkv7_device_bytes(const egg_rwkv7 *model, const egg_kernels *kernels)
{
    return egg_params_bytes(model->params, model->param_count, kernels).device;
}

/* Of a layer: the rows before of both mixes, and the heads. */
static size_t layer_state_floats(const egg_rwkv7_shape *shape)
{
    return (size_t)shape->width * (2 + shape->head_size);
}

size_t egg_rwkv7_state_floats(const egg_rwkv7 *model)
{
    return model->shape.layers * layer_state_floats(&model->shape);
}

/* -------------------------------------------------------------------------------------------------------- forward */

/* One forward in flight. */
typedef struct egg_forward {
    const egg_rwkv7 *model;
    egg_sequences sequences;
    egg_states state;
    egg_mat x, z, v_first;
} egg_forward;

/* What a layer carries: the rows before of both mixes, and the heads. */
enum { TIME_BEFORE, CHANNEL_BEFORE, HEADS_BEHIND };

static egg_states layer_states(const egg_forward *forward, uint32_t layer, uint32_t which)
{
    const egg_rwkv7_shape *shape = &forward->model->shape;
    egg_states states = forward->state;
    states.data += layer * layer_state_floats(shape) + (size_t)which * shape->width;
    return states;
}

static void time_mix(egg_pass *pass, egg_forward *forward, uint32_t layer)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    const egg_rwkv7 *model = forward->model;
    const egg_param *p = layer_param(model, layer, 0);
    const egg_param *const mixes[] = {&p[X_R], &p[X_W], &p[X_K], &p[X_V], &p[X_A], &p[X_G]};
    egg_mat z[EGG_RWKV7_MIXES], r, w, k, v, a, g;
    egg_mat *const results[] = {&r, &w, &k, &v, &a, &g};
    for (uint32_t q = 0; q < EGG_RWKV7_MIXES; q++) {
        z[q] = egg_mat_f32(pass, 1, model->shape.width);
        *results[q] = egg_mat_f32(pass, 1, model->shape.width);
    }
    if (layer == 0) v = forward->v_first;   /* for the layers above */
    egg_layer_norm_bias_f32(pass, &p[LN1_WEIGHT], &p[LN1_BIAS], forward->x, forward->z);
    egg_rwkv7_shift(pass, forward->sequences, mixes, EGG_RWKV7_MIXES, forward->z,
                    layer_states(forward, layer, TIME_BEFORE), z);
    egg_linear_f32(pass, &p[RECEPTANCE], z[0], r);
    egg_rwkv7_low_rank(pass, &p[W1], EGG_RWKV7_INNER_TANH, &p[W2], &p[W0], z[1], w);
    egg_linear_f32(pass, &p[KEY], z[2], k);
    egg_linear_f32(pass, &p[VALUE], z[3], v);
    egg_rwkv7_low_rank(pass, &p[A1], EGG_RWKV7_INNER_NONE, &p[A2], &p[A0], z[4], a);
    egg_rwkv7_low_rank(pass, &p[G1], EGG_RWKV7_INNER_SIGMOID, &p[G2], NULL, z[5], g);
    egg_mat mix = z[0], v_first = forward->v_first;   /* the inputs' memory serves again */
    if (layer > 0) egg_rwkv7_low_rank(pass, &p[V1], EGG_RWKV7_INNER_NONE, &p[V2], &p[V0], z[3], mix);
    else v_first.data = NULL;
    const egg_rwkv7_heads heads = {.k_k = &p[K_K], .k_a = &p[K_A], .bonus = &p[R_K], .weight = &p[LN_X_WEIGHT],
                                   .bias = &p[LN_X_BIAS], .r = r, .w = w, .k = k, .v = v, .a = a, .g = g,
                                   .v_first = v_first, .mix = mix, .kappa = z[1], .y = z[2],
                                   .size = model->shape.head_size};
    egg_rwkv7_recur(pass, forward->sequences, &heads, layer_states(forward, layer, HEADS_BEHIND));
    egg_linear_f32(pass, &p[OUTPUT], heads.y, forward->z);
    egg_add_f32(pass, forward->z, forward->x);
    egg_arena_release(pass->arena, mark);
}

static void channel_mix(egg_pass *pass, egg_forward *forward, uint32_t layer)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    const egg_rwkv7 *model = forward->model;
    const egg_param *p = layer_param(model, layer, 0), *mix = &p[FFN_X_K];
    egg_mat mixed = egg_mat_f32(pass, 1, model->shape.width), hidden = egg_mat_f32(pass, 1, model->shape.hidden);
    egg_layer_norm_bias_f32(pass, &p[LN2_WEIGHT], &p[LN2_BIAS], forward->x, forward->z);
    egg_rwkv7_shift(pass, forward->sequences, &mix, 1, forward->z,
                    layer_states(forward, layer, CHANNEL_BEFORE), &mixed);
    egg_linear_f32(pass, &p[FFN_KEY], mixed, hidden);
    egg_rwkv7_relu_squared(pass, hidden);
    egg_linear_f32(pass, &p[FFN_VALUE], hidden, forward->z);
    egg_add_f32(pass, forward->z, forward->x);
    egg_arena_release(pass->arena, mark);
}

/* The logits of the wanted rows, in a pass of their own. */
static void read_out(egg_pass *pass, const egg_forward *forward, const egg_rwkv7_batch *batch, float *logits)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    const egg_rwkv7 *model = forward->model;
    const uint32_t width = model->shape.width, count = batch->wanted_count;
    uint32_t *member = pass->row_member ? egg_pass_take(pass, count * sizeof *member) : NULL;
    egg_pass part = egg_pass_begin_rows(pass->kernels, pass->arena, pass->bank, member, count);
    part.failed = pass->failed;
    egg_mat x = egg_mat_f32(&part, 1, width);
    egg_gather_args rows = {.X = forward->x.data, .x_stride = width, .row = batch->wanted, .Y = x.data, .rows = count,
                            .n = width};
    egg_gather_args tags = {.X = pass->row_member, .x_stride = 1, .row = batch->wanted, .Y = member, .rows = count,
                            .n = 1};
    if (!part.failed) pass->kernels->gather(&rows);
    if (!part.failed && member) pass->kernels->gather(&tags);
    egg_layer_norm_bias_f32(&part, &model->params[LN_OUT_WEIGHT], &model->params[LN_OUT_BIAS], x, x);
    egg_linear_f32(
        &part, &model->params[HEAD], x,
        (egg_mat){.data = logits, .stride = model->shape.vocabulary, .steps = 1, .cols = model->shape.vocabulary});
    pass->failed = part.failed;
    egg_arena_release(pass->arena, mark);
}

void egg_rwkv7_forward(egg_pass *pass, const egg_rwkv7 *model, const egg_rwkv7_batch *batch, float *logits)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    uint32_t width = model->shape.width;
    egg_forward forward = {
        .model = model,
        .sequences = {.first = batch->first, .member = pass->row_member, .count = batch->sequences},
        .state = batch->state,
        .x = egg_mat_f32(pass, 1, width),
        .z = egg_mat_f32(pass, 1, width),
        .v_first = egg_mat_f32(pass, 1, width),
    };
    egg_lookup_f32(pass, &model->params[EMBEDDING], batch->tokens, forward.x);
    egg_layer_norm_bias_f32(pass, &model->params[LN0_WEIGHT], &model->params[LN0_BIAS], forward.x, forward.x);
    for (uint32_t l = 0; l < model->shape.layers && !pass->failed; l++) {
        time_mix(pass, &forward, l);
        channel_mix(pass, &forward, l);
    }
    if (batch->wanted_count) read_out(pass, &forward, batch, logits);
    egg_arena_release(pass->arena, mark);
}

void egg_rwkv7_log_loss(const egg_rwkv7 *model, const egg_kernels *kernels, const float *logits, const uint32_t *target,
                        uint32_t count, float *loss)
{
    kernels->rwkv7.log_loss(logits, target, count, model->shape.vocabulary, loss);
}

size_t egg_rwkv7_scratch_bytes(const egg_rwkv7_shape *shape, uint32_t rows, uint32_t wanted, uint32_t rank)
{
    /*
     * Three residual matrices, then the twelve of a time mix with the hidden layer of a low-rank product, or the two of
     * a channel mix; at the end the wanted rows instead. On top of each the shrunk rows of one product.
     */
    enum { BLOCKS = 24, ALIGNMENT = 64 };
    uint32_t low = shape->w_rank > shape->a_rank ? shape->w_rank : shape->a_rank;
    if (shape->v_rank > low) low = shape->v_rank;
    if (shape->g_rank > low) low = shape->g_rank;
    size_t time = 2 * EGG_RWKV7_MIXES * (size_t)shape->width + low, channel = (size_t)shape->width + shape->hidden;
    size_t deepest = (time > channel ? time : channel) + rank;
    size_t layers = rows * deepest, out = (size_t)wanted * (shape->width + rank + 1);
    size_t floats = 3 * (size_t)rows * shape->width + (layers > out ? layers : out);
    return floats * sizeof(float) + BLOCKS * ALIGNMENT;
}
