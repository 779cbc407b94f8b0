/* SPDX-License-Identifier: MIT */
#include "train/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/egg.h"

#define FORMAT_NAME "eggroll"

static uint32_t dimensions(const egg_param *param, uint64_t shape[2])
{
    if (param->kind == EGG_PARAM_VECTOR) {
        shape[0] = param->in;
        return 1;
    }
    shape[0] = param->out;
    shape[1] = param->in;
    return 2;
}

void egg_model_file_write(egg_safetensors_writer *writer, const egg_model *model)
{
    char text[24];
    egg_safetensors_writer_metadata(writer, "format", FORMAT_NAME);
    egg_safetensors_writer_metadata(writer, "architecture", model->ops->architecture);
    snprintf(text, sizeof text, "%u", model->shape.width);
    egg_safetensors_writer_metadata(writer, "width", text);
    snprintf(text, sizeof text, "%u", model->shape.layers);
    egg_safetensors_writer_metadata(writer, "layers", text);
    for (uint32_t i = 0; i < model->param_count; i++) {
        uint64_t shape[2];
        uint32_t dims = dimensions(&model->params[i], shape);
        egg_safetensors_writer_tensor(writer, model->params[i].name, EGG_TENSOR_I8, dims, shape, model->params[i].data);
    }
}

static egg_status read_number(const egg_safetensors *file, const char *path, const char *key, uint32_t *value,
                              egg_error *error)
{
    const char *text = egg_safetensors_metadata(file, key);
    char *end = NULL;
    unsigned long number = text ? strtoul(text, &end, 10) : 0;
    if (!text || !*text || *end || number > UINT32_MAX)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is %s%s%s, expected a number", path, key,
                        text ? "'" : "missing", text ? text : "", text ? "'" : "");
    *value = (uint32_t)number;
    return EGG_OK;
}

egg_status egg_model_file_shape(const egg_safetensors *file, const char *path, egg_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *format = egg_safetensors_metadata(file, "format");
    const char *architecture = egg_safetensors_metadata(file, "architecture");
    if (!format || strcmp(format, FORMAT_NAME) != 0)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: not a model of eggroll: metadata 'format' is %s%s%s, expected '%s'; nor an RWKV-7 as "
                        "published, which has a tensor 'emb.weight'",
                        path, format ? "'" : "missing", format ? format : "", format ? "'" : "", FORMAT_NAME);
    if (!architecture || strcmp(architecture, "egg") != 0)
        return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s: a model of architecture '%s', expected 'egg'", path,
                        architecture ? architecture : "");
    EGG_TRY(read_number(file, path, "width", &shape->width, error));
    EGG_TRY(read_number(file, path, "layers", &shape->layers, error));
    egg_error reason = {0};
    if (egg_egg_check_shape(*shape, &reason) != EGG_OK)
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: a model of width %u with %u layers cannot be", path, shape->width,
                          shape->layers);
out:
    return status;
}

/* Weights are -127...127; a file with -128 would break the kernels' bounds. */
static egg_status check_range(const egg_param *param, const char *path, egg_error *error)
{
    const int8_t *w = param->data;
    for (size_t i = 0; i < egg_param_elements(param); i++)
        if (w[i] == -128)
            return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' holds -128 at %zu, expected -127 to 127", path,
                            param->name, i);
    return EGG_OK;
}

egg_status egg_model_file_fill(egg_model *model, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shape shape;
    EGG_TRY(egg_model_file_shape(file, path, &shape, error));
    if (shape.width != model->shape.width || shape.layers != model->shape.layers) {
        status = egg_fail(error, EGG_ERR_FORMAT,
                          "%s: a model of width %u with %u layers, expected width %u with %u layers",
                          path, shape.width, shape.layers, model->shape.width, model->shape.layers);
        goto out;
    }
    for (uint32_t i = 0; i < model->param_count; i++) {
        egg_param *param = &model->params[i];
        const egg_tensor *tensor;
        uint64_t expected[2];
        uint32_t dims = dimensions(param, expected);
        EGG_TRY(egg_safetensors_expect(file, param->name, EGG_TENSOR_I8, dims, expected, &tensor, error));
        memcpy(param->data, tensor->data, egg_param_elements(param));
        EGG_TRY(check_range(param, path, error));
    }
out:
    return status;
}

egg_status egg_model_file_read(egg_model **out, const egg_safetensors *file, const char *path,
                               const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_model *model = NULL;
    egg_shape shape;
    *out = NULL;
    EGG_TRY(egg_model_file_shape(file, path, &shape, error));
    EGG_TRY(egg_egg_open(&model, shape, kernels, error));
    EGG_TRY(egg_model_file_fill(model, file, path, error));
    egg_model_pack(model, kernels);
    *out = model;
    model = NULL;
out:
    egg_model_free(model);
    return status;
}

static void add_u32(egg_hasher *hasher, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    egg_hasher_add(hasher, bytes, sizeof bytes);
}

egg_status egg_params_hash(const egg_param *params, uint32_t count, egg_hash *hash, egg_error *error)
{
    egg_hasher *hasher;
    egg_status status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    for (uint32_t i = 0; i < count; i++) {
        const egg_param *param = &params[i];
        size_t row = egg_dtype_bytes(param->dtype);
        egg_hasher_add(hasher, param->name, strlen(param->name) + 1);
        add_u32(hasher, param->used_out);
        add_u32(hasher, param->used_in);
        for (uint32_t o = 0; o < param->used_out; o++)
            egg_hasher_add(hasher, (const char *)param->data + o * param->in * row, param->used_in * row);
    }
    *hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}

egg_status egg_model_hash(const egg_model *model, egg_hash *hash, egg_error *error)
{
    return egg_params_hash(model->params, model->param_count, hash, error);
}
