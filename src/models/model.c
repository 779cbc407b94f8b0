/* SPDX-License-Identifier: MIT */
#include "models/model.h"

#include "base/memory.h"
#include "models/rwkv7.h"

void egg_model_free(egg_model *model)
{
    if (!model) return;
    for (uint32_t i = 0; i < model->param_count; i++) egg_param_close(&model->params[i]);
    egg_rwkv7_close(model->rwkv7);
    egg_free(model->params);
    egg_free(model);
}

uint64_t egg_model_parameters(const egg_model *model)
{
    uint64_t parameters = 0;
    for (uint32_t i = 0; i < model->param_count; i++) parameters += egg_param_elements(&model->params[i]);
    return parameters;
}

uint64_t egg_model_bytes(const egg_model *model, const egg_kernels *kernels)
{
    return egg_params_bytes(model->params, model->param_count, kernels).host;
}

uint64_t egg_model_device_bytes(const egg_model *model, const egg_kernels *kernels)
{
    return egg_params_bytes(model->params, model->param_count, kernels).device;
}

egg_status egg_model_open_fractions(egg_model *model, egg_error *error)
{
    egg_status status = EGG_OK;
    for (uint32_t i = 0; i < model->param_count; i++) EGG_TRY(egg_param_open_fraction(&model->params[i], error));
out:
    return status;
}

void egg_model_pack(const egg_model *model, const egg_kernels *kernels)
{
    egg_params_send(model->params, model->param_count);
    for (uint32_t i = 0; i < model->param_count; i++) egg_param_pack(&model->params[i], kernels);
}

size_t egg_model_scratch_bytes(const egg_model *model, uint32_t members, uint32_t steps, uint32_t rank)
{
    /*
     * At the deepest points of EGG's forward: three residual matrices, then either the recurrent unit's two inputs, its
     * three rows a member and the factors of two square matrices and two biases; or the hidden matrix of four widths
     * and the factors of one product. The logits and their losses lie below all of that.
     */
    size_t rows = (size_t)members * steps, width = model->shape.width, pairs = (members + 1) / 2;
    size_t common = 3 * rows * width + rows * EGG_VOCABULARY + rows * sizeof(int32_t) + rows * rank * sizeof(int32_t);
    size_t recurrent = 2 * rows * width + 3 * members * width + 4 * pairs * width + pairs * rank * width * 6;
    size_t feed_forward = 4 * rows * width + pairs * rank * 5 * width;
    size_t head = pairs * rank * (EGG_VOCABULARY + width);
    size_t deepest = recurrent > feed_forward ? recurrent : feed_forward;
    size_t alignment = 32 * 64;
    return common + (deepest > head ? deepest : head) + alignment;
}
