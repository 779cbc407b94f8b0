/* SPDX-License-Identifier: MIT */
#include "es/param.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "es/device_memory.h"
#include "kernels/weights.h"

size_t egg_dtype_bytes(egg_dtype dtype)
{
    return dtype == EGG_I8 ? 1 : sizeof(float);
}

/* ---------------------------------------------------------------------------------------------------------- memory */

/* How a product takes the weights of a parameter. */
typedef struct egg_product {
    egg_packed_bytes_fn *packed_bytes;
    egg_pack_fn *pack;
    egg_linear_fn *linear;
} egg_product;

static egg_product product_of(const egg_param *param, const egg_kernels *k)
{
    if (param->dtype == EGG_I8) return (egg_product){k->packed_bytes_i8, k->pack_i8, k->linear_i8};
    switch (param->storage) {
    case EGG_STORAGE_BF16: return (egg_product){k->packed_bytes_bf16, k->pack_bf16, k->linear_bf16};
    case EGG_STORAGE_Q8: return (egg_product){k->packed_bytes_q8, k->pack_q8, k->linear_q8};
    case EGG_STORAGE_F32: break;
    }
    return (egg_product){k->packed_bytes_f32, k->pack_f32, k->linear_f32};
}

egg_linear_fn *egg_param_linear(const egg_param *param, const egg_kernels *kernels)
{
    return product_of(param, kernels).linear;
}

static bool is_table(const egg_param *param)
{
    return param->kind == EGG_PARAM_EMBEDDING && param->packed_only && param->storage != EGG_STORAGE_F32;
}

static size_t data_bytes(const egg_param *param)
{
    if (param->packed_only && (param->kind == EGG_PARAM_MATRIX || is_table(param))) return 0;
    return egg_param_elements(param) * egg_dtype_bytes(param->dtype);
}

static size_t packed_bytes(const egg_param *param, const egg_kernels *kernels)
{
    if (is_table(param)) return param->out * egg_table_row_bytes(param->storage, param->in);
    return param->kind == EGG_PARAM_MATRIX ? product_of(param, kernels).packed_bytes(param->out, param->in) : 0;
}

uint64_t egg_param_bytes(const egg_param *param, const egg_kernels *kernels)
{
    return data_bytes(param) + (kernels->device ? 0 : packed_bytes(param, kernels));
}

uint64_t egg_param_device_bytes(const egg_param *param, const egg_kernels *kernels)
{
    return kernels->device ? data_bytes(param) + packed_bytes(param, kernels) : 0;
}

egg_memory_bytes egg_params_bytes(const egg_param *params, uint32_t count, const egg_kernels *kernels)
{
    egg_memory_bytes bytes = {0};
    for (uint32_t i = 0; i < count; i++) {
        bytes.host += egg_param_bytes(&params[i], kernels);
        bytes.device += egg_param_device_bytes(&params[i], kernels);
    }
    return bytes;
}

/* so_far = the hash of so_far and of the hash of the data, if there is any. */
static void chain_hash(egg_hash *so_far, const void *data, size_t bytes)
{
    if (!data) return;
    egg_hash both[2] = {*so_far, egg_hash_bytes(data, bytes)};
    *so_far = egg_hash_bytes(both, sizeof both);
}

egg_hash egg_params_state(const egg_param *params, uint32_t count)
{
    egg_hash hash = {0};
    for (uint32_t i = 0; i < count; i++) {
        const egg_param *param = &params[i];
        size_t n = egg_param_elements(param);
        egg_param_fetch(param);
        chain_hash(&hash, param->data, n * egg_dtype_bytes(param->dtype));
        chain_hash(&hash, param->fraction, n * sizeof *param->fraction);
        for (uint32_t k = 0; k < 2; k++) chain_hash(&hash, param->moment[k], n * sizeof(float));
    }
    return hash;
}

static uint32_t padded(uint32_t n)
{
    return (n + EGG_ROW_QUANTUM - 1) / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
}

static bool open_mirror(egg_param *param, size_t data)
{
    if (!param->device) return true;
    param->mirror = egg_alloc(sizeof *param->mirror);
    if (param->mirror && data) param->mirror->data = egg_device_alloc(param->device, data);
    return param->mirror && (!data || param->mirror->data);
}

static egg_status allocate(egg_param *param, const egg_kernels *kernels, egg_error *error)
{
    const size_t data = data_bytes(param), packed = packed_bytes(param, kernels);
    param->device = kernels->device;
    if (data) param->data = egg_alloc(data);
    if (packed) param->packed = egg_device_alloc(param->device, packed);
    if (open_mirror(param, data) && (!data || param->data) && (!packed || param->packed)) return EGG_OK;
    return egg_fail(error, EGG_ERR_NOMEM, "no memory for parameter '%s' of shape [%u, %u]", param->name, param->out,
                    param->in);
}

egg_status egg_param_open(egg_param *param, const egg_kernels *kernels, uint32_t id, egg_param_kind kind,
                          egg_dtype dtype, uint32_t out, uint32_t in, const char *name, egg_error *error)
{
    *param = (egg_param){.id = id, .kind = kind, .dtype = dtype, .out = out, .in = in, .used_out = out, .used_in = in};
    if (dtype == EGG_F32) {
        param->in = padded(in);
        if (kind != EGG_PARAM_VECTOR) param->out = padded(out);
    }
    snprintf(param->name, sizeof param->name, "%s", name);
    return kernels ? allocate(param, kernels, error) : EGG_OK;
}

egg_status egg_param_open_stored(egg_param *param, const egg_kernels *kernels, uint32_t id, egg_param_kind kind,
                                 egg_storage storage, bool packed_only, uint32_t out, uint32_t in, const char *name,
                                 egg_error *error)
{
    egg_status status = egg_param_open(param, NULL, id, kind, EGG_F32, out, in, name, error);
    param->storage = storage;
    param->packed_only = packed_only;
    return status == EGG_OK && kernels ? allocate(param, kernels, error) : status;
}

static void close_mirror(egg_param *param)
{
    if (!param->mirror) return;
    egg_device_free(param->device, param->mirror->data);
    egg_device_free(param->device, param->mirror->fraction);
    for (uint32_t k = 0; k < 2; k++) egg_device_free(param->device, param->mirror->moment[k]);
    egg_free(param->mirror);
}

void egg_param_close(egg_param *param)
{
    close_mirror(param);
    egg_free(param->data);
    egg_free(param->fraction);
    egg_free(param->moment[0]);
    egg_free(param->moment[1]);
    egg_device_free(param->device, param->gradient);
    egg_device_free(param->device, param->packed);
    *param = (egg_param){0};
}

static bool fits(const egg_param *param, const char *word)
{
    static const char *const kinds[] = {"matrix", "embedding", "vector"};   /* in the order of egg_param_kind */
    return strcmp(word, kinds[param->kind]) == 0 || fnmatch(word, param->name, 0) == 0;
}

egg_status egg_params_freeze(egg_param *params, uint32_t count, const char *patterns, egg_error *error)
{
    uint32_t left = 0;
    for (size_t length; *patterns; patterns += length + (patterns[length] == ',')) {
        char word[EGG_PARAM_NAME_BYTES];
        bool used = false;
        length = strcspn(patterns, ",");
        if (length >= sizeof word)
            return egg_fail(error, EGG_ERR_ARGUMENT, "--freeze: '%.60s' is longer than any name", patterns);
        memcpy(word, patterns, length);
        word[length] = 0;
        for (uint32_t i = 0; i < count; i++)
            if (fits(&params[i], word)) params[i].frozen = used = true;
        if (!used)
            return egg_fail(error, EGG_ERR_ARGUMENT,
                            "--freeze: no parameter is named '%s', expected a kind (matrix, embedding, "
                            "vector) or a name such as '%s'", word, count ? params[0].name : "");
    }
    for (uint32_t i = 0; i < count; i++) left += !params[i].frozen;
    return left ? EGG_OK : egg_fail(error, EGG_ERR_ARGUMENT, "--freeze: nothing is left to evolve");
}

void egg_params_unpack(egg_param *params, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        egg_device_free(params[i].device, params[i].packed);
        params[i].packed = NULL;
    }
}

/* --------------------------------------------------------------------------------------------------------- weights */

void egg_param_pack(const egg_param *param, const egg_kernels *kernels)
{
    if (param->kind == EGG_PARAM_MATRIX && param->packed)
        product_of(param, kernels).pack(egg_param_kernel_data(param), param->out, param->in, param->packed);
}

static size_t moment_bytes(const egg_param *param)
{
    return (size_t)param->kept_rows * param->in * sizeof(float);
}

void egg_param_fetch_weights(const egg_param *param)
{
    egg_mirror *mirror = param->mirror;
    if (!mirror || !mirror->ahead) return;
    egg_device_download(param->device, param->data, mirror->data, data_bytes(param));
    if (param->fraction)
        egg_device_download(param->device, param->fraction, mirror->fraction,
                            egg_param_elements(param) * sizeof *param->fraction);
    mirror->ahead = false;
}

void egg_param_fetch(const egg_param *param)
{
    egg_mirror *mirror = param->mirror;
    egg_param_fetch_weights(param);
    if (!mirror || !mirror->moments_ahead) return;
    for (uint32_t k = 0; k < 2; k++)
        if (param->moment[k])
            egg_device_download(param->device, param->moment[k], mirror->moment[k], moment_bytes(param));
    mirror->moments_ahead = false;
}

void egg_params_fetch(const egg_param *params, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) egg_param_fetch(&params[i]);
}

static void send_weights(const egg_param *param)
{
    const egg_mirror *mirror = param->mirror;
    egg_device_upload(param->device, mirror->data, param->data, data_bytes(param));
    if (param->fraction)
        egg_device_upload(param->device, mirror->fraction, param->fraction,
                          egg_param_elements(param) * sizeof *param->fraction);
}

static void send_moments(const egg_param *param)
{
    for (uint32_t k = 0; k < 2; k++)
        if (param->moment[k])
            egg_device_upload(param->device, param->mirror->moment[k], param->moment[k], moment_bytes(param));
}

void egg_params_send(const egg_param *params, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const egg_mirror *mirror = params[i].mirror;
        if (mirror && !mirror->ahead) send_weights(&params[i]);
        if (mirror && !mirror->moments_ahead) send_moments(&params[i]);
    }
}

void egg_params_plan_for(egg_param *params, uint32_t count, const egg_kernels *kernels)
{
    for (uint32_t i = 0; i < count; i++) params[i].device = kernels->device;
}

egg_status egg_param_open_fraction(egg_param *param, egg_error *error)
{
    size_t n = egg_param_elements(param);
    param->fraction = egg_alloc_array(n, sizeof *param->fraction);
    if (param->fraction && param->mirror)
        param->mirror->fraction = egg_device_alloc_array(param->device, n, sizeof *param->fraction);
    if (!param->fraction || (param->mirror && !param->mirror->fraction))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the fractions of '%s'", param->name);
    for (size_t k = 0; k < n; k++) param->fraction[k] = (int16_t)(((const int8_t *)param->data)[k] * 256);
    return EGG_OK;
}

static void store_table_row(const egg_param *param, const float *w, char *row)
{
    if (param->storage == EGG_STORAGE_BF16) {
        for (uint32_t i = 0; i < param->in; i++) ((uint16_t *)row)[i] = egg_bf16_of(w[i]);
        return;
    }
    const float scale = egg_q8_scale(w, param->in);
    int8_t *q = (int8_t *)row + sizeof scale;
    memcpy(row, &scale, sizeof scale);
    for (uint32_t i = 0; i < param->in; i++) q[i] = egg_q8_of(w[i], scale);
}

/* By way of the host, row by row where it is the device's. */
static egg_status store_table(const egg_param *param, uint32_t first, uint32_t rows, const float *W, egg_error *error)
{
    const size_t row_bytes = egg_table_row_bytes(param->storage, param->in);
    char *table = (char *)param->packed + first * row_bytes, *staged = param->device ? egg_alloc(rows * row_bytes) : table;
    if (!staged) return egg_fail(error, EGG_ERR_NOMEM, "no memory to read '%s'", param->name);
    for (uint32_t r = 0; r < rows; r++) store_table_row(param, W + (size_t)r * param->in, staged + r * row_bytes);
    egg_device_upload(param->device, table, staged, rows * row_bytes);
    if (staged != table) egg_free(staged);
    return EGG_OK;
}

/* Kernels pack what is where they work: the mirror, or a copy that lives as long. */
static egg_status store_matrix(const egg_param *param, const egg_kernels *kernels, uint32_t first, uint32_t rows,
                               const float *W, egg_error *error)
{
    const egg_product product = product_of(param, kernels);
    const size_t in = param->in, bytes = rows * in * sizeof *W;
    float *there = param->mirror && param->mirror->data ? (float *)param->mirror->data + first * in : NULL;
    void *staged = NULL;
    if (!there) there = staged = egg_device_pair(param->device, (void *)(uintptr_t)W, bytes);
    if (!there) return egg_fail(error, EGG_ERR_NOMEM, "no memory on %s to read '%s'", param->device->name, param->name);
    egg_device_upload(param->device, there, W, bytes);
    product.pack(there, rows, param->in, (char *)param->packed + product.packed_bytes(first, param->in));
    egg_device_unpair(param->device, staged);
    return EGG_OK;
}

egg_status egg_param_store(const egg_param *param, const egg_kernels *kernels, uint32_t first, uint32_t rows,
                           const float *W, egg_error *error)
{
    const size_t in = param->in;
    if (param->data) memcpy((float *)param->data + first * in, W, rows * in * sizeof *W);
    if (param->kind == EGG_PARAM_MATRIX) return store_matrix(param, kernels, first, rows, W, error);
    if (is_table(param)) return store_table(param, first, rows, W, error);
    if (param->mirror)
        egg_device_upload(param->device, (float *)param->mirror->data + first * in, W, rows * in * sizeof *W);
    return EGG_OK;
}

const void *egg_param_table(const egg_param *param)
{
    return is_table(param) ? param->packed : egg_param_kernel_data(param);
}

egg_storage egg_param_table_storage(const egg_param *param)
{
    return is_table(param) ? param->storage : EGG_STORAGE_F32;
}

uint32_t egg_product_shift(uint32_t in)
{
    uint32_t log2_in = 31 - (uint32_t)__builtin_clz(in);
    return 4 + (log2_in + 1) / 2;
}

void egg_param_init_normal_i8(egg_param *param, uint64_t seed, double deviation)
{
    enum { DRAWS = 4, AT_ONCE = 256 };   /* four have standard deviation 32 and are closer to a normal than one */
    const egg_key key = egg_key_make(seed, EGG_DOMAIN_INITIAL_WEIGHTS);
    const egg_noise_at at = {.param = param->id};
    const int32_t factor = (int32_t)lround(deviation * 256);
    int8_t *w = param->data, draws[DRAWS * AT_ONCE];
    for (size_t i = 0; i < egg_param_elements(param); i++) {
        const int8_t *four = draws + DRAWS * (i % AT_ONCE);
        if (four == draws) egg_noise_i8(key, at, (uint64_t)i * DRAWS, sizeof draws, draws);
        int32_t product = (four[0] + four[1] + four[2] + four[3]) * factor;
        int32_t size = abs(product);
        /* over 32 * 256, to nearest; ties to even, which changes neither mean nor deviation */
        int32_t magnitude = (size + (1 << 12) - 1 + (size >> 13 & 1)) >> 13;
        if (magnitude > 127) magnitude = 127;
        w[i] = (int8_t)(product < 0 ? -magnitude : magnitude);
    }
}

void egg_param_init_constant_i8(egg_param *param, int8_t value)
{
    memset(param->data, value, egg_param_elements(param));
}

void egg_param_init_normal_f32(egg_param *param, uint64_t seed, float deviation)
{
    const egg_key key = egg_key_make(seed, EGG_DOMAIN_INITIAL_WEIGHTS);
    const egg_noise_at at = {.param = param->id};
    for (uint32_t o = 0; o < param->used_out; o++) {
        float *row = (float *)param->data + (size_t)o * param->in;
        egg_noise_f32(key, at, (uint64_t)o * param->used_in, param->used_in, row);
        for (uint32_t i = 0; i < param->used_in; i++) row[i] *= deviation;
    }
}

void egg_param_read_f32(const egg_param *param, float *values)
{
    for (uint32_t o = 0; o < param->used_out; o++)
        memcpy(values + (size_t)o * param->used_in, (const float *)param->data + (size_t)o * param->in,
               param->used_in * sizeof *values);
}

void egg_param_write_f32(egg_param *param, const float *values)
{
    for (uint32_t o = 0; o < param->used_out; o++)
        memcpy((float *)param->data + (size_t)o * param->in, values + (size_t)o * param->used_in,
               param->used_in * sizeof *values);
}
