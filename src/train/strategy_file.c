/* SPDX-License-Identifier: MIT */
/* The state of a strategy as a safetensors file. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/safetensors.h"
#include "eggroll.h"
#include "train/option_text.h"
#include "train/strategy.h"

#define ARCHITECTURE "strategy"

enum { TENSORS = 3 };              /* of a parameter, at most: the values and two moments */

typedef char tensor_name[EGG_PARAM_NAME_BYTES + 24];

/* Tensor 'which' of a parameter in the form of a parameter whose data it is; false where there is none. */
static bool tensor_of(const egg_param *param, uint32_t which, egg_param *view, tensor_name name)
{
    *view = *param;
    snprintf(name, sizeof(tensor_name), "%s", param->name);
    if (which == 0) return true;
    view->data = param->moment[which - 1];
    snprintf(name, sizeof(tensor_name), "%s.moment%u", param->name, which);
    return view->data != NULL;
}

static size_t floats_of(const egg_param *param)
{
    return (size_t)param->used_out * param->used_in;
}

static uint32_t dimensions(const egg_param *param, uint64_t shape[2])
{
    bool vector = param->kind == EGG_PARAM_VECTOR;
    shape[0] = vector ? param->used_in : param->used_out;
    shape[1] = param->used_in;
    return vector ? 1 : 2;
}

/* ------------------------------------------------------------------------------------------------------------ save */

static void write_count(egg_safetensors_writer *writer, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    egg_safetensors_writer_metadata(writer, key, text);
}

static void write_number(egg_safetensors_writer *writer, const char *key, double value)
{
    char text[EGG_NUMBER_BYTES];
    egg_number_format(text, value);
    egg_safetensors_writer_metadata(writer, key, text);
}

egg_status egg_strategy_save(const egg_strategy *strategy, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors_writer *writer = NULL;
    egg_param view;
    tensor_name name;
    size_t floats = 0;
    for (uint32_t i = 0; i < strategy->count; i++) floats += TENSORS * floats_of(&strategy->params[i]);
    float *plain = egg_alloc_array(floats, sizeof *plain), *next = plain;
    if (!plain) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a copy of the parameters", path);
    EGG_TRY(egg_safetensors_writer_open(&writer, path, error));
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", ARCHITECTURE);
    egg_safetensors_writer_metadata(writer, "law", strategy->law);
    write_count(writer, "epoch", strategy->epoch);
    write_number(writer, "sigma", strategy->shape.sigma);
    write_count(writer, "sigma_epoch", strategy->shape.sigma_epoch);
    write_number(writer, "rate", strategy->shape.rate);
    write_count(writer, "rate_epoch", strategy->shape.rate_epoch);
    for (uint32_t i = 0; i < strategy->count; i++)
        for (uint32_t t = 0; t < TENSORS; t++) {
            uint64_t shape[2];
            if (!tensor_of(&strategy->params[i], t, &view, name)) continue;
            egg_param_read_f32(&view, next);
            egg_safetensors_writer_tensor(writer, name, EGG_TENSOR_F32, dimensions(&view, shape), shape, next);
            next += floats_of(&view);
        }
    status = egg_safetensors_writer_commit(writer, error);
out:
    egg_free(plain);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ load */

static egg_status read_text(const egg_safetensors *file, const char *path, const char *key, const char **text,
                            egg_error *error)
{
    *text = egg_safetensors_metadata(file, key);
    if (*text) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a saved strategy", path, key);
}

static egg_status read_number(const egg_safetensors *file, const char *path, const char *key, double *value,
                              egg_error *error)
{
    const char *text;
    egg_status status = read_text(file, path, key, &text, error);
    if (status == EGG_OK && !(egg_number_parse(text, value) && isfinite(*value) && *value >= 0))
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is '%.40s', expected a number of at least 0", path,
                          key, text);
    return status;
}

static egg_status read_count(const egg_safetensors *file, const char *path, const char *key, uint64_t *value,
                             egg_error *error)
{
    const char *text;
    egg_status status = read_text(file, path, key, &text, error);
    if (status == EGG_OK && !egg_integer_parse(text, value))
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is '%.40s', expected a whole number", path, key,
                          text);
    return status;
}

/* Laws are lists of lines in one order: the first line that differs says which option does. */
static egg_status check_law(const char *path, const char *saved, const char *law, egg_error *error)
{
    while (*saved && *law) {
        size_t a = strcspn(saved, "\n"), b = strcspn(law, "\n");
        if (a != b || strncmp(saved, law, a) != 0)
            return egg_fail(error, EGG_ERR_ARGUMENT, "%s: saved with %.*s, but this strategy was opened with %.*s",
                            path, (int)a, saved, (int)b, law);
        saved += a + (saved[a] != 0);
        law += b + (law[b] != 0);
    }
    if (*saved || *law) return egg_fail(error, EGG_ERR_FORMAT, "%s: saved with another list of options", path);
    return EGG_OK;
}

static egg_status check_head(const egg_safetensors *file, const char *path, const egg_strategy *strategy,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    const char *format, *architecture, *law;
    EGG_TRY(read_text(file, path, "format", &format, error));
    EGG_TRY(read_text(file, path, "architecture", &architecture, error));
    if (strcmp(format, "eggroll") != 0 || strcmp(architecture, ARCHITECTURE) != 0) {
        status =
            egg_fail(error, EGG_ERR_FORMAT, "%s: holds '%.40s' of '%.40s', expected '" ARCHITECTURE "' of 'eggroll'",
                     path, architecture, format);
        goto out;
    }
    EGG_TRY(read_text(file, path, "law", &law, error));
    EGG_TRY(check_law(path, law, strategy->law, error));
out:
    return status;
}

/* Looks at every tensor and writes nothing, or fills in those that were looked at. */
static egg_status read_tensors(egg_strategy *strategy, const egg_safetensors *file, const char *path, float *plain,
                               bool fill, egg_error *error)
{
    egg_param view;
    tensor_name name;
    for (uint32_t i = 0; i < strategy->count; i++)
        for (uint32_t t = 0; t < TENSORS; t++) {
            const egg_tensor *tensor;
            uint64_t shape[2];
            if (!tensor_of(&strategy->params[i], t, &view, name)) continue;
            uint32_t dims = dimensions(&view, shape);
            egg_status status = egg_safetensors_expect(file, name, EGG_TENSOR_F32, dims, shape, &tensor, error);
            if (status != EGG_OK) return status;
            memcpy(plain, tensor->data, tensor->bytes);   /* a tensor in a file is aligned to nothing */
            for (size_t e = 0; !fill && e < floats_of(&view); e++)
                if (!isfinite(plain[e]))
                    return egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is not finite at %zu", path, name, e);
            if (fill) egg_param_write_f32(&view, plain);
        }
    return EGG_OK;
}

egg_status egg_strategy_load(egg_strategy *strategy, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    egg_evolution_shape shape = strategy->shape;
    uint64_t epoch;
    size_t most = 0;
    for (uint32_t i = 0; i < strategy->count; i++)
        if (floats_of(&strategy->params[i]) > most) most = floats_of(&strategy->params[i]);
    float *plain = egg_alloc_array(most, sizeof *plain);
    if (!plain) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a copy of a parameter", path);
    EGG_TRY(egg_safetensors_open(&file, path, error));
    EGG_TRY(check_head(file, path, strategy, error));
    EGG_TRY(read_count(file, path, "epoch", &epoch, error));
    EGG_TRY(read_number(file, path, "sigma", &shape.sigma, error));
    EGG_TRY(read_count(file, path, "sigma_epoch", &shape.sigma_epoch, error));
    EGG_TRY(read_number(file, path, "rate", &shape.rate, error));
    EGG_TRY(read_count(file, path, "rate_epoch", &shape.rate_epoch, error));
    if (shape.sigma_epoch > epoch || shape.rate_epoch > epoch) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: sigma or rate were set after epoch %" PRIu64 " of the state",
                          path, epoch);
        goto out;
    }
    EGG_TRY(read_tensors(strategy, file, path, plain, false, error));
    EGG_TRY(read_tensors(strategy, file, path, plain, true, error));
    for (uint32_t i = 0; i < strategy->count; i++) egg_param_pack(&strategy->params[i], &strategy->kernels);
    strategy->shape = shape;
    strategy->epoch = epoch;
    egg_evolution_reschedule(strategy->evolution, &shape);
out:
    egg_safetensors_close(file);
    egg_free(plain);
    return status;
}
