/* SPDX-License-Identifier: MIT */
#include "models/mlp.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"

/* Order of the parameters: the projection, matrix and bias of each layer, matrix and bias of the head, log_std. */
enum { PROJECTION, FIRST_LAYER };

static uint32_t head_id(const egg_mlp_shape *shape)
{
    return FIRST_LAYER + 2 * shape->layers;
}

static uint32_t param_count(const egg_mlp_shape *shape)
{
    return head_id(shape) + 2 + shape->deviation;
}

static egg_status open_param(egg_mlp *mlp, const egg_kernels *kernels, egg_param_kind kind, uint32_t out, uint32_t in,
                             const char *name, egg_error *error)
{
    const egg_precision precision = mlp->shape.precision;
    uint32_t id = mlp->param_count++;
    egg_status status = egg_param_open_stored(&mlp->params[id], kernels, id, kind, precision.weights, false, out, in, name,
                                              error);
    mlp->params[id].bf16_activations = precision.bf16_activations;
    return status;
}

egg_status egg_mlp_open(egg_mlp *mlp, const egg_mlp_shape *shape, const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    char name[EGG_PARAM_NAME_BYTES];
    *mlp = (egg_mlp){.shape = *shape, .params = egg_alloc_array(param_count(shape), sizeof *mlp->params)};
    if (!mlp->params) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a policy");
    EGG_TRY(open_param(mlp, kernels, EGG_PARAM_MATRIX, shape->width, shape->inputs, "projection.weight", error));
    for (uint32_t l = 0; l < shape->layers; l++) {
        snprintf(name, sizeof name, "layers.%u.weight", l);
        EGG_TRY(open_param(mlp, kernels, EGG_PARAM_MATRIX, shape->width, shape->width, name, error));
        snprintf(name, sizeof name, "layers.%u.bias", l);
        EGG_TRY(open_param(mlp, kernels, EGG_PARAM_VECTOR, 1, shape->width, name, error));
    }
    EGG_TRY(open_param(mlp, kernels, EGG_PARAM_MATRIX, shape->outputs, shape->width, "head.weight", error));
    EGG_TRY(open_param(mlp, kernels, EGG_PARAM_VECTOR, 1, shape->outputs, "head.bias", error));
    if (shape->deviation) EGG_TRY(open_param(mlp, kernels, EGG_PARAM_VECTOR, 1, shape->outputs, "log_std", error));
out:
    if (status != EGG_OK) egg_mlp_close(mlp);
    return status;
}

void egg_mlp_close(egg_mlp *mlp)
{
    for (uint32_t i = 0; i < mlp->param_count; i++) egg_param_close(&mlp->params[i]);
    egg_free(mlp->params);
    *mlp = (egg_mlp){0};
}

void egg_mlp_init_weights(egg_mlp *mlp, uint64_t seed, float head, float log_std)
{
    for (uint32_t id = 0; id < mlp->param_count; id++) {
        egg_param *param = &mlp->params[id];
        float scale = id == head_id(&mlp->shape) ? head : 1;
        if (param->kind == EGG_PARAM_MATRIX)
            egg_param_init_normal_f32(param, seed, scale / sqrtf((float)param->used_in));
    }
    if (!mlp->shape.deviation) return;
    float *deviation = mlp->params[mlp->param_count - 1].data;
    for (uint32_t i = 0; i < mlp->shape.outputs; i++) deviation[i] = log_std;
}

void egg_mlp_pack(const egg_mlp *mlp, const egg_kernels *kernels)
{
    egg_params_send(mlp->params, mlp->param_count);
    for (uint32_t i = 0; i < mlp->param_count; i++) egg_param_pack(&mlp->params[i], kernels);
}

uint64_t egg_mlp_parameters(const egg_mlp *mlp)
{
    uint64_t parameters = 0;
    for (uint32_t i = 0; i < mlp->param_count; i++)
        parameters += (uint64_t)mlp->params[i].used_out * mlp->params[i].used_in;
    return parameters;
}

void egg_mlp_forward(egg_pass *pass, const egg_mlp *mlp, egg_mat X, egg_mat Y)
{
    egg_mark mark = egg_arena_mark(pass->arena);
    const egg_mlp_shape *shape = &mlp->shape;
    egg_mat h = egg_mat_f32(pass, X.steps, shape->width), next = egg_mat_f32(pass, X.steps, shape->width);
    egg_linear_f32(pass, &mlp->params[PROJECTION], X, h);
    egg_activate_f32(pass, shape->activation, h);
    for (uint32_t l = 0; l < shape->layers; l++) {
        const egg_param *layer = &mlp->params[FIRST_LAYER + 2 * l];
        egg_linear_bias_f32(pass, &layer[0], &layer[1], h, next);
        egg_activate_f32(pass, shape->activation, next);
        egg_mat last = h;
        h = next;
        next = last;
    }
    const egg_param *head = &mlp->params[head_id(shape)];
    egg_linear_bias_f32(pass, &head[0], &head[1], h, Y);
    egg_arena_release(pass->arena, mark);
}

const egg_param *egg_mlp_deviation(const egg_mlp *mlp)
{
    return mlp->shape.deviation ? &mlp->params[mlp->param_count - 1] : NULL;
}

size_t egg_mlp_scratch_bytes(const egg_mlp *mlp, uint32_t rows, uint32_t rank)
{
    enum { ALIGNMENT = 64 };
    return (2 * (size_t)rows * mlp->shape.width + (size_t)rows * rank) * sizeof(float) + 4 * ALIGNMENT;
}
