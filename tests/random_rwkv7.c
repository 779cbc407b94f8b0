/* SPDX-License-Identifier: MIT */
#include "random_rwkv7.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random/noise.h"

/* Matrices of deviation 1/sqrt(in); layer norms about 1; mixes in the middle; the rest small. */
static void fill(float *values, size_t n, uint32_t id, const char *name, uint64_t in)
{
    bool matrix = in > 0, norm = strstr(name, "ln") && strstr(name, "weight"), mix = strstr(name, ".x_");
    float deviation = matrix ? 1 / sqrtf((float)in) : 0.2f, mean = norm || strstr(name, "k_") ? 1 : mix ? 0.5f : 0;
    egg_noise_f32(egg_key_make(11, EGG_DOMAIN_INITIAL_WEIGHTS), (egg_noise_at){.param = id}, 0, n, values);
    for (size_t i = 0; i < n; i++) values[i] = mean + deviation * values[i];
}

static void *as_type(float *values, size_t n, egg_tensor_type type)
{
    if (type == EGG_TENSOR_F32) return values;
    uint16_t *halves = malloc(n * sizeof *halves);
    assert_non_null(halves);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        halves[i] = (uint16_t)(bits >> 16);
    }
    free(values);
    return halves;
}

void random_rwkv7_write(const random_rwkv7 *wanted)
{
    egg_rwkv7 *model;
    egg_safetensors_writer *writer;
    egg_error error = {0};
    if (egg_rwkv7_open(&model, &wanted->shape, NULL, &error) != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(egg_safetensors_writer_open(&writer, wanted->path, NULL), EGG_OK);
    void **data = calloc(model->param_count, sizeof *data);
    for (uint32_t id = 0; id < model->param_count; id++) {
        const egg_param *param = &model->params[id];
        egg_rwkv7_tensor tensor = egg_rwkv7_tensor_of(model, id);
        if (wanted->without && strcmp(wanted->without, param->name) == 0) continue;
        bool wrong = wanted->wrong && strcmp(wanted->wrong, param->name) == 0;
        bool integer = wanted->integer && strcmp(wanted->integer, param->name) == 0;
        size_t n = egg_param_elements(param) + (wrong ? tensor.shape[tensor.dims - 1] : 0);
        tensor.shape[tensor.dims > 1 ? tensor.dims - 2 : 0] += wrong;
        float *values = malloc((n + 3) / 4 * 4 * sizeof *values);
        assert_non_null(values);
        fill(values, (n + 3) / 4 * 4, id, param->name, param->kind == EGG_PARAM_MATRIX ? param->in : 0);
        data[id] = integer ? values : as_type(values, n, wanted->type);
        egg_safetensors_writer_tensor(writer, param->name, integer ? EGG_TENSOR_I8 : wanted->type, tensor.dims,
                                      tensor.shape, data[id]);
    }
    if (egg_safetensors_writer_commit(writer, &error) != EGG_OK) fail_msg("%s", error.text);
    for (uint32_t id = 0; id < model->param_count; id++) free(data[id]);
    free(data);
    egg_rwkv7_close(model);
}
