/* SPDX-License-Identifier: MIT */
#include "train/policy_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/option_text.h"

#define ACTIVATIONS "pqn|relu|tanh"

size_t egg_policy_floats(const egg_mlp *mlp)
{
    return (size_t)egg_mlp_parameters(mlp);
}

static uint32_t dimensions(const egg_param *param, uint64_t shape[2])
{
    if (param->kind == EGG_PARAM_VECTOR) {
        shape[0] = param->used_in;
        return 1;
    }
    shape[0] = param->used_out;
    shape[1] = param->used_in;
    return 2;
}

/* ----------------------------------------------------------------------------------------------------------- write */

static void write_number(egg_safetensors_writer *writer, const char *key, uint32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    egg_safetensors_writer_metadata(writer, key, text);
}

void egg_policy_file_write(egg_safetensors_writer *writer, const egg_mlp *mlp, const egg_normalizer *normalizer,
                           const egg_policy_info *info, float *plain)
{
    static const char *const activations[] = {"pqn", "relu", "tanh"};
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", EGG_POLICY_ARCHITECTURE);
    egg_safetensors_writer_metadata(writer, "environment", info->environment);
    egg_safetensors_writer_metadata(writer, "activation", activations[mlp->shape.activation]);
    egg_safetensors_writer_metadata(writer, "policy", info->deterministic ? "deterministic" : "stochastic");
    egg_safetensors_writer_metadata(writer, "actions", mlp->shape.deviation ? "continuous" : "discrete");
    write_number(writer, "inputs", mlp->shape.inputs);
    write_number(writer, "outputs", mlp->shape.outputs);
    write_number(writer, "width", mlp->shape.width);
    write_number(writer, "layers", mlp->shape.layers);
    for (uint32_t i = 0; i < mlp->param_count; i++) {
        const egg_param *param = &mlp->params[i];
        uint64_t shape[2];
        uint32_t dims = dimensions(param, shape);
        egg_param_read_f32(param, plain);
        egg_safetensors_writer_tensor(writer, param->name, EGG_TENSOR_F32, dims, shape, plain);
        plain += (size_t)param->used_out * param->used_in;
    }
    const uint64_t n = normalizer->n;
    egg_safetensors_writer_tensor(writer, "observation.shift", EGG_TENSOR_F32, 1, &n, normalizer->shift);
    egg_safetensors_writer_tensor(writer, "observation.scale", EGG_TENSOR_F32, 1, &n, normalizer->scale);
}

/* ------------------------------------------------------------------------------------------------------------ read */

bool egg_policy_file_is(const egg_safetensors *file)
{
    const char *format = egg_safetensors_metadata(file, "format");
    const char *architecture = egg_safetensors_metadata(file, "architecture");
    return format && strcmp(format, "eggroll") == 0 && architecture &&
           strcmp(architecture, EGG_POLICY_ARCHITECTURE) == 0;
}

static egg_status read_text(const egg_safetensors *file, const char *path, const char *key, const char **text,
                            egg_error *error)
{
    *text = egg_safetensors_metadata(file, key);
    return *text ? EGG_OK : egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a policy", path, key);
}

static egg_status read_number(const egg_safetensors *file, const char *path, const char *key, uint32_t low,
                              uint32_t high, uint32_t *value, egg_error *error)
{
    const char *text;
    char *end;
    egg_status status = read_text(file, path, key, &text, error);
    if (status != EGG_OK) return status;
    unsigned long number = strtoul(text, &end, 10);
    if (!*text || *end || number < low || number > high)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is '%.40s', expected a number from %u to %u", path,
                        key, text, low, high);
    *value = (uint32_t)number;
    return EGG_OK;
}

static egg_status read_choice(const egg_safetensors *file, const char *path, const char *key, const char *words,
                              uint32_t *choice, egg_error *error)
{
    const char *text;
    egg_status status = read_text(file, path, key, &text, error);
    if (status == EGG_OK && !egg_choice_parse(text, words, choice))
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is '%.40s', expected one of %s", path, key, text,
                          words);
    return status;
}

static egg_status read_shape(const egg_safetensors *file, const char *path, egg_mlp_shape *shape, egg_policy_info *info,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    const char *environment;
    uint32_t activation, policy, actions;
    if (!egg_policy_file_is(file))
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: not a policy of eggroll: expected metadata format 'eggroll' and architecture "
                        "'" EGG_POLICY_ARCHITECTURE "'", path);
    EGG_TRY(read_text(file, path, "environment", &environment, error));
    EGG_TRY(read_choice(file, path, "activation", ACTIVATIONS, &activation, error));
    EGG_TRY(read_choice(file, path, "policy", "stochastic|deterministic", &policy, error));
    EGG_TRY(read_choice(file, path, "actions", "discrete|continuous", &actions, error));
    EGG_TRY(read_number(file, path, "inputs", 1, 1 << 20, &shape->inputs, error));
    EGG_TRY(read_number(file, path, "outputs", 1, 1 << 20, &shape->outputs, error));
    EGG_TRY(read_number(file, path, "width", EGG_ROW_QUANTUM, 1 << 16, &shape->width, error));
    EGG_TRY(read_number(file, path, "layers", 0, 1 << 10, &shape->layers, error));
    if (shape->width % EGG_ROW_QUANTUM) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: width %u is not a multiple of %d", path, shape->width,
                          EGG_ROW_QUANTUM);
        goto out;
    }
    shape->activation = (egg_activation)activation;
    shape->deviation = actions == 1;
    info->deterministic = policy == 1;
    snprintf(info->environment, sizeof info->environment, "%s", environment);
out:
    return status;
}

static egg_status check_finite(const float *values, size_t n, const char *path, const char *name, egg_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is not finite at %zu", path, name, i);
    return EGG_OK;
}

static egg_status read_vector(const egg_safetensors *file, const char *path, const char *name, uint32_t n,
                              float *values, egg_error *error)
{
    const egg_tensor *tensor;
    const uint64_t shape = n;
    egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_F32, 1, &shape, &tensor, error);
    if (status != EGG_OK) return status;
    memcpy(values, tensor->data, n * sizeof *values);
    return check_finite(values, n, path, name, error);
}

static egg_status read_weights(egg_mlp *mlp, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    float *plain = egg_alloc_array(egg_policy_floats(mlp), sizeof *plain);
    if (!plain) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its weights", path);
    for (uint32_t i = 0; i < mlp->param_count; i++) {
        egg_param *param = &mlp->params[i];
        const egg_tensor *tensor;
        uint64_t shape[2];
        uint32_t dims = dimensions(param, shape);
        EGG_TRY(egg_safetensors_expect(file, param->name, EGG_TENSOR_F32, dims, shape, &tensor, error));
        memcpy(plain, tensor->data, tensor->bytes);   /* a tensor in a file is aligned to nothing */
        EGG_TRY(check_finite(plain, tensor->bytes / sizeof *plain, path, param->name, error));
        egg_param_write_f32(param, plain);
    }
out:
    egg_free(plain);
    return status;
}

egg_status egg_policy_file_read_as(egg_mlp *mlp, egg_normalizer *normalizer, egg_policy_info *info,
                                   const egg_safetensors *file, const char *path, const egg_kernels *kernels,
                                   egg_precision precision, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_mlp_shape shape = {.precision = precision};
    *mlp = (egg_mlp){0};
    *normalizer = (egg_normalizer){0};
    EGG_TRY(read_shape(file, path, &shape, info, error));
    EGG_TRY(egg_mlp_open(mlp, &shape, kernels, error));
    EGG_TRY(egg_normalizer_open(normalizer, shape.inputs, error));
    EGG_TRY(read_weights(mlp, file, path, error));
    EGG_TRY(read_vector(file, path, "observation.shift", shape.inputs, normalizer->shift, error));
    EGG_TRY(read_vector(file, path, "observation.scale", shape.inputs, normalizer->scale, error));
    egg_mlp_pack(mlp, kernels);
out:
    if (status != EGG_OK) {
        egg_mlp_close(mlp);
        egg_normalizer_close(normalizer);
    }
    return status;
}

egg_status egg_policy_file_read(egg_mlp *mlp, egg_normalizer *normalizer, egg_policy_info *info,
                                const egg_safetensors *file, const char *path, const egg_kernels *kernels,
                                egg_error *error)
{
    return egg_policy_file_read_as(mlp, normalizer, info, file, path, kernels, (egg_precision){0}, error);
}
