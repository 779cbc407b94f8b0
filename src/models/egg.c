/* SPDX-License-Identifier: MIT */
#include "models/egg.h"

#include <stdio.h>

#include "base/memory.h"

/* Order of the parameters: the model's own three, then those of each layer. Their positions are their ids. */
enum { EMBEDDING, HEAD, LN_OUT, FIRST_LAYER };
enum { LN1, WF, UF, BF, WH, UH, BH, LN2, W1, W2, LAYER_PARAMS };

typedef struct egg_param_shape {
    const char *name;
    egg_param_kind kind;
    uint32_t out, in;   /* in units of the width; 0 = the vocabulary, and 1 row for a vector */
} egg_param_shape;

static const egg_param_shape model_params[FIRST_LAYER] = {
    [EMBEDDING] = {"embedding", EGG_PARAM_EMBEDDING, 0, 1},
    [HEAD] = {"head", EGG_PARAM_MATRIX, 0, 1},
    [LN_OUT] = {"ln_out", EGG_PARAM_VECTOR, 1, 1},
};

static const egg_param_shape layer_params[LAYER_PARAMS] = {
    [LN1] = {"ln1", EGG_PARAM_VECTOR, 1, 1},      [WF] = {"gru.wf", EGG_PARAM_MATRIX, 1, 1},
    [UF] = {"gru.uf", EGG_PARAM_MATRIX, 1, 1},    [BF] = {"gru.bf", EGG_PARAM_VECTOR, 1, 1},
    [WH] = {"gru.wh", EGG_PARAM_MATRIX, 1, 1},    [UH] = {"gru.uh", EGG_PARAM_MATRIX, 1, 1},
    [BH] = {"gru.bh", EGG_PARAM_VECTOR, 1, 1},    [LN2] = {"ln2", EGG_PARAM_VECTOR, 1, 1},
    [W1] = {"mlp.w1", EGG_PARAM_MATRIX, 4, 1},    [W2] = {"mlp.w2", EGG_PARAM_MATRIX, 1, 4},
};

static uint32_t param_count(egg_shape shape)
{
    return FIRST_LAYER + shape.layers * LAYER_PARAMS;
}

static const egg_param_shape *param_shape(uint32_t id)
{
    return id < FIRST_LAYER ? &model_params[id] : &layer_params[(id - FIRST_LAYER) % LAYER_PARAMS];
}

static void param_dimensions(egg_shape shape, uint32_t id, uint32_t *out, uint32_t *in)
{
    const egg_param_shape *param = param_shape(id);
    *out = param->kind == EGG_PARAM_VECTOR ? 1 : param->out ? param->out * shape.width : EGG_VOCABULARY;
    *in = param->in * shape.width;
}

static const egg_param *layer_param(const egg_model *model, uint32_t layer, uint32_t which)
{
    return &model->params[FIRST_LAYER + layer * LAYER_PARAMS + which];
}

/* -------------------------------------------------------------------------------------------------------- forward */

static void mlp(egg_pass *pass, const egg_param *W1_, const egg_param *W2_, egg_mat u, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    egg_mat hidden = egg_mat_i8(pass, u.steps, 4 * u.cols);
    egg_linear_i8(pass, W1_, u, hidden);
    egg_linear_i8(pass, W2_, hidden, Y);
    egg_arena_release(pass->arena, mark);
}

static void forward(egg_pass *pass, const egg_model *model, const uint8_t *tokens, void *state, egg_mat logits)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    uint32_t width = model->shape.width;
    egg_mat y = egg_mat_i8(pass, logits.steps, width);
    egg_mat u = egg_mat_i8(pass, logits.steps, width);
    egg_mat v = egg_mat_i8(pass, logits.steps, width);

    egg_embed_i8(pass, &model->params[EMBEDDING], tokens, y);
    for (uint32_t l = 0; l < model->shape.layers; l++) {
        const egg_gru gru = {.Wf = layer_param(model, l, WF), .Uf = layer_param(model, l, UF),
                             .bf = layer_param(model, l, BF), .Wh = layer_param(model, l, WH),
                             .Uh = layer_param(model, l, UH), .bh = layer_param(model, l, BH)};
        egg_layer_norm_i8(pass, layer_param(model, l, LN1), y, u);
        egg_gru_sequence(pass, &gru, u, tokens, (int8_t *)state + (size_t)l * width, model->state_bytes, v);
        egg_add_i8(pass, v, y);
        egg_layer_norm_i8(pass, layer_param(model, l, LN2), y, u);
        mlp(pass, layer_param(model, l, W1), layer_param(model, l, W2), u, v);
        egg_add_i8(pass, v, y);
        egg_observe(pass, y);
    }
    egg_layer_norm_i8(pass, &model->params[LN_OUT], y, u);
    egg_linear_i8(pass, &model->params[HEAD], u, logits);
    egg_arena_release(pass->arena, mark);
}

static const egg_model_ops egg_ops = {.architecture = "egg", .forward = forward};

/* ----------------------------------------------------------------------------------------------------- the object */

egg_status egg_egg_check_shape(egg_shape shape, egg_error *error)
{
    if (shape.width < 16 || shape.width > 1024 || (shape.width & (shape.width - 1)))
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--width: %u is not a power of two from 16 to 1024; the model divides by 16 sqrt(width), which "
                        "must be a shift",
                        shape.width);
    if (shape.layers < 1 || shape.layers > 64)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--layers: %u is not from 1 to 64", shape.layers);
    return EGG_OK;
}

static void param_name(uint32_t id, char name[EGG_PARAM_NAME_BYTES])
{
    const char *base = param_shape(id)->name;
    if (id < FIRST_LAYER)
        snprintf(name, EGG_PARAM_NAME_BYTES, "%s", base);
    else
        snprintf(name, EGG_PARAM_NAME_BYTES, "layers.%u.%s", (id - FIRST_LAYER) / LAYER_PARAMS, base);
}

egg_status egg_egg_open(egg_model **out, egg_shape shape, const egg_kernels *kernels, egg_error *error)
{
    *out = NULL;
    egg_status status = EGG_OK;
    egg_model *model = NULL;
    EGG_TRY(egg_egg_check_shape(shape, error));
    model = egg_alloc(sizeof *model);
    if (model) model->params = egg_alloc_array(param_count(shape), sizeof *model->params);
    if (!model || !model->params) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a model");
        goto out;
    }
    model->ops = &egg_ops;
    model->shape = shape;
    model->state_bytes = (size_t)shape.layers * shape.width;
    for (uint32_t id = 0; id < param_count(shape); id++) {
        char name[EGG_PARAM_NAME_BYTES];
        uint32_t rows, cols;
        param_name(id, name);
        param_dimensions(shape, id, &rows, &cols);
        model->param_count = id + 1;
        EGG_TRY(egg_param_open(&model->params[id], kernels, id, param_shape(id)->kind, EGG_I8, rows, cols, name,
                               error));
    }
    *out = model;
    model = NULL;
out:
    egg_model_free(model);
    return status;
}

void egg_egg_init_weights(egg_model *model, const egg_egg_init *init)
{
    for (uint32_t id = 0; id < model->param_count; id++) {
        egg_param *param = &model->params[id];
        bool bias = id >= FIRST_LAYER &&
             ((id - FIRST_LAYER) % LAYER_PARAMS == BF || (id - FIRST_LAYER) % LAYER_PARAMS == BH);
        if (param->kind == EGG_PARAM_VECTOR)
            egg_param_init_constant_i8(param, bias ? 0 : 16);
        else
            egg_param_init_normal_i8(param, init->seed,
                                     id == HEAD ? init->head : id == EMBEDDING ? init->embedding : init->matrix);
    }
}
