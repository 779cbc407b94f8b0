/* SPDX-License-Identifier: MIT */
#include "train/rwkv7_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/weights.h"

enum { SHAPE_BYTES = 160 };

/* ---------------------------------------------------------------------------------------------------------- shapes */

bool egg_rwkv7_file_is_one(const egg_shards *shards)
{
    return egg_shards_find(shards, "emb.weight") || egg_shards_find(shards, "blocks.0.att.r_k");
}

/* The two sizes of a matrix that the shape is read from. */
static egg_status read_sizes(const egg_shards *shards, const char *name, uint32_t *rows, uint32_t *cols,
                             egg_error *error)
{
    const egg_tensor *tensor = egg_shards_find(shards, name);
    char found[SHAPE_BYTES];
    if (!tensor)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' of an RWKV-7 is missing", egg_shards_name(shards),
                        name);
    if (tensor->dims != 2 || tensor->shape[0] > UINT32_MAX || tensor->shape[1] > UINT32_MAX) {
        egg_tensor_shape_text(found, sizeof found, tensor->dims, tensor->shape);
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' has shape %s, expected a matrix",
                        egg_shards_name(shards), name, found);
    }
    *rows = (uint32_t)tensor->shape[0];
    *cols = (uint32_t)tensor->shape[1];
    return EGG_OK;
}

/* One more than the largest number of a block in any tensor's name. */
static uint32_t count_layers(const egg_shards *shards)
{
    uint32_t layers = 0;
    static const char prefix[] = "blocks.";
    for (size_t i = 0; i < egg_shards_count(shards); i++) {
        const char *name = egg_shards_at(shards, i)->name;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
        unsigned long number = strtoul(name + sizeof prefix - 1, NULL, 10);
        if (number < UINT32_MAX - 1 && number + 1 > layers) layers = (uint32_t)number + 1;
    }
    return layers;
}

egg_status egg_rwkv7_file_shape(const egg_shards *shards, egg_rwkv7_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t heads, unused;
    egg_error reason = {0};
    *shape = (egg_rwkv7_shape){.layers = count_layers(shards)};
    EGG_TRY(read_sizes(shards, "emb.weight", &shape->vocabulary, &shape->width, error));
    EGG_TRY(read_sizes(shards, "blocks.0.att.r_k", &heads, &shape->head_size, error));
    EGG_TRY(read_sizes(shards, "blocks.0.ffn.key.weight", &shape->hidden, &unused, error));
    EGG_TRY(read_sizes(shards, "blocks.0.att.w1", &unused, &shape->w_rank, error));
    EGG_TRY(read_sizes(shards, "blocks.0.att.a1", &unused, &shape->a_rank, error));
    EGG_TRY(read_sizes(shards, "blocks.0.att.g1", &unused, &shape->g_rank, error));
    if (shape->layers > 1) EGG_TRY(read_sizes(shards, "blocks.1.att.v1", &unused, &shape->v_rank, error));
    if (egg_rwkv7_check_shape(shape, &reason) != EGG_OK)
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: %s", egg_shards_name(shards), reason.text);
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------- weights */

static egg_status find_tensor(const egg_shards *shards, const char *name, const egg_rwkv7_tensor *expected,
                              const egg_tensor **tensor, egg_error *error)
{
    const egg_tensor *found = *tensor = egg_shards_find(shards, name);
    char wants[SHAPE_BYTES], has[SHAPE_BYTES];
    egg_tensor_shape_text(wants, sizeof wants, expected->dims, expected->shape);
    if (!found)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is missing, expected one of shape %s",
                        egg_shards_name(shards), name, wants);
    if (!egg_tensor_is_float(found))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is of type %s, expected F32, BF16 or F16",
                        egg_shards_name(shards), name, egg_tensor_type_name(found->type));
    /* A vector may come without the sizes of 1 before it. */
    uint32_t skip = expected->dims == 3 && found->dims == 1 ? 2 : 0;
    bool same = found->dims == expected->dims - skip;
    for (uint32_t i = 0; same && i < found->dims; i++) same = found->shape[i] == expected->shape[i + skip];
    if (same) return EGG_OK;
    egg_tensor_shape_text(has, sizeof has, found->dims, found->shape);
    return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' has shape %s, expected %s", egg_shards_name(shards), name,
                    has, wants);
}

/* Rows first ... first + rows - 1 of (out, in), from a tensor that is (in, out). */
static void read_transposed(const egg_tensor *tensor, const egg_param *param, uint32_t first, uint32_t rows, float *W)
{
    float some[EGG_ROW_QUANTUM];
    for (uint32_t r = 0; r < rows; r += EGG_ROW_QUANTUM)
        for (uint32_t i = 0; i < param->in; i++) {
            egg_tensor_read_f32(tensor, (uint64_t)i * param->out + first + r, EGG_ROW_QUANTUM, some);
            for (uint32_t j = 0; j < EGG_ROW_QUANTUM; j++) W[(size_t)(r + j) * param->in + i] = some[j];
        }
}

/* A part at a time, since all of it as float32 may be more than what is kept. */
static egg_status read_rows(const egg_tensor *tensor, const egg_param *param, bool transposed,
                            const egg_kernels *kernels, egg_error *error)
{
    enum { PART_FLOATS = 1 << 18 };
    uint32_t most = PART_FLOATS / param->in / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
    if (most < EGG_ROW_QUANTUM) most = EGG_ROW_QUANTUM;
    if (most > param->out) most = param->out;
    float *W = egg_alloc_array((size_t)most * param->in, sizeof *W);
    if (!W) return egg_fail(error, EGG_ERR_NOMEM, "no memory to read tensor '%s'", param->name);
    egg_status status = EGG_OK;
    for (uint32_t first = 0; first < param->out && status == EGG_OK; first += most) {
        const uint32_t rows = param->out - first < most ? param->out - first : most;
        if (transposed) read_transposed(tensor, param, first, rows, W);
        else egg_tensor_read_f32(tensor, (uint64_t)first * param->in, (size_t)rows * param->in, W);
        status = egg_param_store(param, kernels, first, rows, W, error);
    }
    egg_free(W);
    return status;
}

static egg_storage storage_of(const egg_tensor *tensor, egg_rwkv7_use use, egg_weights weights)
{
    switch (weights) {
    case EGG_WEIGHTS_AUTO: break;
    case EGG_WEIGHTS_F32: return EGG_STORAGE_F32;
    case EGG_WEIGHTS_BF16: return EGG_STORAGE_BF16;
    case EGG_WEIGHTS_INT8: return EGG_STORAGE_Q8;
    }
    return use == EGG_RWKV7_INFERENCE && tensor->type == EGG_TENSOR_BF16 ? EGG_STORAGE_BF16 : EGG_STORAGE_F32;
}

static egg_status read_param(egg_rwkv7 *model, uint32_t id, const egg_shards *shards, const egg_kernels *kernels,
                             egg_rwkv7_use use, egg_weights weights, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_param *param = &model->params[id];
    egg_rwkv7_tensor expected = egg_rwkv7_tensor_of(model, id);
    const egg_tensor *tensor;
    EGG_TRY(find_tensor(shards, param->name, &expected, &tensor, error));
    EGG_TRY(egg_rwkv7_open_param(model, id, kernels, storage_of(tensor, use, weights), use == EGG_RWKV7_INFERENCE,
                                 error));
    if (kernels) EGG_TRY(read_rows(tensor, param, expected.transposed, kernels, error));
out:
    return status;
}

egg_status egg_rwkv7_file_read_as(egg_rwkv7 **out, const egg_shards *shards, const egg_kernels *kernels,
                                  egg_rwkv7_use use, egg_weights weights, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    egg_rwkv7_shape shape;
    *out = NULL;
    EGG_TRY(egg_rwkv7_file_shape(shards, &shape, error));
    EGG_TRY(egg_rwkv7_open(&model, &shape, NULL, error));
    for (uint32_t id = 0; id < model->param_count; id++)
        EGG_TRY(read_param(model, id, shards, kernels, use, weights, error));
    egg_rwkv7_set_thaw(model, (egg_rwkv7_thaw){0});
    *out = model;
    model = NULL;
out:
    egg_rwkv7_close(model);
    return status;
}

egg_status egg_rwkv7_file_read(egg_rwkv7 **model, const egg_shards *shards, const egg_kernels *kernels,
                               egg_rwkv7_use use, egg_error *error)
{
    return egg_rwkv7_file_read_as(model, shards, kernels, use, EGG_WEIGHTS_AUTO, error);
}

/* -------------------------------------------------------------------------------------------------------- writing */

/* The parameter as the file has it: memory of its own, or the data itself. NULL without memory. */
static const void *file_data(const egg_param *param, bool transposed, egg_tensor_type type, void **memory)
{
    const float *data = param->data;
    if (!transposed && type == EGG_TENSOR_F32) return data;
    *memory = egg_alloc_array(egg_param_elements(param), egg_tensor_type_bytes(type));
    if (!*memory) return NULL;
    uint32_t rows = transposed ? param->in : param->out, cols = transposed ? param->out : param->in;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols; c++) {
            size_t at = (size_t)r * cols + c;
            float value = data[transposed ? (size_t)c * rows + r : at];
            if (type == EGG_TENSOR_F32) ((float *)*memory)[at] = value;
            else ((uint16_t *)*memory)[at] = egg_bf16_of(value);
        }
    return *memory;
}

egg_status egg_rwkv7_file_write(const egg_rwkv7 *model, const char *path, egg_tensor_type type,
                                const egg_metadata *metadata, size_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors_writer *writer = NULL;
    void **memory = egg_alloc_array(model->param_count, sizeof *memory);
    if (!memory) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to write it", path);
    EGG_TRY(egg_safetensors_writer_open(&writer, path, error));
    egg_safetensors_writer_metadata(writer, "format", "pt");   /* what other readers of models look for */
    for (size_t i = 0; i < count; i++) egg_safetensors_writer_metadata(writer, metadata[i].key, metadata[i].value);
    for (uint32_t id = 0; id < model->param_count && status == EGG_OK; id++) {
        const egg_param *param = &model->params[id];
        egg_rwkv7_tensor tensor = egg_rwkv7_tensor_of(model, id);
        const void *data = file_data(param, tensor.transposed, type, &memory[id]);
        if (!data) status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to write tensor '%s'", path, param->name);
        else egg_safetensors_writer_tensor(writer, param->name, type, tensor.dims, tensor.shape, data);
    }
    if (status == EGG_OK) status = egg_safetensors_writer_commit(writer, error);
    else egg_safetensors_writer_abort(writer);
out:
    for (uint32_t id = 0; id < model->param_count; id++) egg_free(memory[id]);
    egg_free(memory);
    return status;
}
