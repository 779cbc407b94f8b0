/* SPDX-License-Identifier: MIT */
#include "train/describe.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "comm/comm.h"
#include "envs/env.h"
#include "kernels/cuda/cuda_level.h"
#include "kernels/cuda/tensor.h"
#include "kernels/kernels.h"
#include "train/checkpoint.h"
#include "train/policy_file.h"
#include "train/run.h"
#include "train/rwkv7_file.h"

static egg_status dump(json_t *object, char **json, egg_error *error)
{
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    *json = text ? egg_strdup(text) : NULL;
    free(text);
    return *json ? EGG_OK : egg_fail(error, EGG_ERR_NOMEM, "no memory for a description");
}

static void set_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_string(value));
}

static void set_number(json_t *object, const char *key, const char *value)
{
    double number = value ? strtod(value, NULL) : NAN;
    if (!isfinite(number)) return;
    if (strpbrk(value, ".e"))
        json_object_set_new(object, key, json_real(number));
    else
        json_object_set_new(object, key, json_integer(strtoll(value, NULL, 10)));
}

static void set_hash(json_t *object, const char *key, egg_hash hash)
{
    char text[33];
    egg_hash_text(hash, text);
    set_text(object, key, text);
}

/* ---------------------------------------------------------------------------------------------------- models, runs */

egg_status egg_describe_model_path(const char *path, char *out, size_t size, egg_error *error)
{
    if (egg_path_is_directory(path)) {
        egg_status status = egg_path_join(out, size, path, EGG_RUN_MODEL, error);
        if (status == EGG_OK && !egg_path_exists(out))
            status = egg_fail(error, EGG_ERR_FORMAT, "%s: not a run folder; it holds no %s", path, EGG_RUN_MODEL);
        return status;
    }
    return egg_path_join(out, size, "", path, error);
}

static egg_status describe_weights(json_t *object, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_kernels kernels;
    egg_model *model = NULL;
    egg_hash hash;
    egg_kernels_init(&kernels, 0);
    EGG_TRY(egg_model_file_read(&model, file, path, &kernels, error));
    EGG_TRY(egg_model_hash(model, &hash, error));
    set_text(object, "architecture", model->ops->architecture);
    json_object_set_new(object, "width", json_integer(model->shape.width));
    json_object_set_new(object, "layers", json_integer(model->shape.layers));
    json_object_set_new(object, "vocabulary", json_integer(EGG_VOCABULARY));
    json_object_set_new(object, "parameters", json_integer((json_int_t)egg_model_parameters(model)));
    set_text(object, "weights", "int8");
    set_hash(object, "model_hash", hash);
out:
    egg_model_free(model);
    return status;
}

static egg_status describe_policy(json_t *object, const egg_safetensors *file, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_kernels kernels;
    egg_mlp mlp = {0};
    egg_normalizer normalizer = {0};
    egg_policy_info info;
    egg_hash hash;
    egg_kernels_init(&kernels, 0);
    EGG_TRY(egg_policy_file_read(&mlp, &normalizer, &info, file, path, &kernels, error));
    EGG_TRY(egg_params_hash(mlp.params, mlp.param_count, &hash, error));
    set_text(object, "architecture", EGG_POLICY_ARCHITECTURE);
    set_text(object, "environment", info.environment);
    set_text(object, "policy", info.deterministic ? "deterministic" : "stochastic");
    json_object_set_new(object, "observations", json_integer(mlp.shape.inputs));
    json_object_set_new(object, "actions", json_integer(mlp.shape.outputs));
    json_object_set_new(object, "width", json_integer(mlp.shape.width));
    json_object_set_new(object, "layers", json_integer(mlp.shape.layers));
    json_object_set_new(object, "parameters", json_integer((json_int_t)egg_mlp_parameters(&mlp)));
    set_text(object, "weights", "float32");
    set_hash(object, "model_hash", hash);
out:
    egg_mlp_close(&mlp);
    egg_normalizer_close(&normalizer);
    return status;
}

static void describe_history(json_t *object, const egg_safetensors *file)
{
    static const char *const keys[] = {"epoch",   "member_tokens",       "env_steps",  "episodes",
                                       "seconds", "valid_bits_per_byte", "eval_return"};
    for (size_t i = 0; i < EGG_COUNT(keys); i++) set_number(object, keys[i], egg_safetensors_metadata(file, keys[i]));
}

static egg_status describe_config(json_t *object, const char *folder, egg_error *error)
{
    char path[EGG_PATH_BYTES];
    json_error_t reason;
    egg_status status = egg_path_join(path, sizeof path, folder, EGG_RUN_CONFIG, error);
    if (status != EGG_OK) return status;
    json_t *options = json_load_file(path, 0, &reason);
    if (!options) return egg_fail(error, EGG_ERR_FORMAT, "%s:%d: %s", path, reason.line, reason.text);
    json_object_set_new(object, "options", options);
    return EGG_OK;
}

/* Of a run of ours whose checkpoint is 'file'; the weights of a policy are in the model file, without padding. */
static egg_status describe_run_weights(json_t *object, const egg_safetensors *file, const char *path,
                                       const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    char model_path[EGG_PATH_BYTES];
    egg_safetensors *model = NULL;
    if (!egg_policy_file_is(file)) return describe_weights(object, file, path, error);
    EGG_TRY(egg_path_join(model_path, sizeof model_path, folder, EGG_RUN_MODEL, error));
    EGG_TRY(egg_safetensors_open(&model, model_path, error));
    EGG_TRY(describe_policy(object, model, model_path, error));
out:
    egg_safetensors_close(model);
    return status;
}

static egg_status describe_run(json_t *object, const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_safetensors *file = NULL;
    egg_hash hash;
    EGG_TRY(egg_path_join(path, sizeof path, folder, EGG_RUN_CHECKPOINT, error));
    EGG_TRY(egg_safetensors_open(&file, path, error));
    set_text(object, "kind", "run");
    EGG_TRY(describe_run_weights(object, file, path, folder, error));
    EGG_TRY(egg_checkpoint_hash(file, &hash, error));
    set_hash(object, "state_hash", hash);
    describe_history(object, file);
    EGG_TRY(describe_config(object, folder, error));
out:
    egg_safetensors_close(file);
    return status;
}

static egg_status describe_model(json_t *object, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    EGG_TRY(egg_safetensors_open(&file, path, error));
    set_text(object, "kind", "model");
    EGG_TRY((egg_policy_file_is(file) ? describe_policy : describe_weights)(object, file, path, error));
    describe_history(object, file);
out:
    egg_safetensors_close(file);
    return status;
}

/* A published model; '*is_one' tells whether it is an RWKV-7. */
static egg_status describe_rwkv7(json_t *object, const char *path, bool *is_one, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    egg_rwkv7 *model = NULL;
    egg_rwkv7_shape shape;
    EGG_TRY(egg_shards_open(&shards, path, error));
    *is_one = egg_rwkv7_file_is_one(shards);
    if (!*is_one) goto out;
    EGG_TRY(egg_rwkv7_file_shape(shards, &shape, error));
    EGG_TRY(egg_rwkv7_open(&model, &shape, NULL, error));
    set_text(object, "kind", "model");
    set_text(object, "architecture", "rwkv7");
    const struct {
        const char *name;
        uint32_t value;
    } sizes[] = {{"width", shape.width},         {"layers", shape.layers}, {"vocabulary", shape.vocabulary},
                 {"head_size", shape.head_size}, {"hidden", shape.hidden}, {"w_rank", shape.w_rank},
                 {"a_rank", shape.a_rank},       {"v_rank", shape.v_rank}, {"g_rank", shape.g_rank}};
    for (size_t i = 0; i < EGG_COUNT(sizes); i++)
        json_object_set_new(object, sizes[i].name, json_integer(sizes[i].value));
    json_object_set_new(object, "parameters", json_integer((json_int_t)egg_rwkv7_parameters(model)));
    set_text(object, "weights", egg_tensor_type_name(egg_shards_find(shards, "emb.weight")->type));
out:
    egg_rwkv7_close(model);
    egg_shards_close(shards);
    return status;
}

egg_status egg_describe_path(const char *path, char **json, egg_error *error)
{
    egg_status status = EGG_OK;
    char model_path[EGG_PATH_BYTES];
    bool done = false, is_index = egg_shards_is_index(path);
    json_t *object = json_object();
    *json = NULL;
    if (!is_index) EGG_TRY(egg_describe_model_path(path, model_path, sizeof model_path, error));
    EGG_TRY(describe_rwkv7(object, is_index ? path : model_path, &done, error));
    if (!done)
        EGG_TRY(egg_path_is_directory(path) ? describe_run(object, path, error) : describe_model(object, path, error));
    EGG_TRY(dump(object, json, error));
out:
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- environments */

static json_t *env_object(egg_env_entry entry)
{
    const egg_env *env = entry.env;
    json_t *object = json_object();
    char actions[64];
    if (env->discrete) snprintf(actions, sizeof actions, "one of %u", env->actions);
    else
        snprintf(actions, sizeof actions, "%u numbers from %g to %g", env->actions, (double)env->action_low,
                 (double)env->action_high);
    set_text(object, "what", env->summary);
    json_object_set_new(object, "observations", json_integer(env->observations));
    set_text(object, "actions", actions);
    json_object_set_new(object, "max_steps", json_integer(env->max_steps));
    json_object_set_new(object, "available", json_boolean(!entry.missing));
    if (entry.missing) set_text(object, "why_not", entry.missing);
    return object;
}

egg_status egg_describe_envs(char **json, egg_error *error)
{
    json_t *object = json_object();
    for (size_t i = 0; i < egg_env_count(); i++) {
        egg_env_entry entry = egg_env_at(i);
        json_object_set_new(object, entry.env->name, env_object(entry));
    }
    egg_status status = dump(object, json, error);
    json_decref(object);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- the build */

static json_t *level_names(uint32_t levels)
{
    json_t *names = json_array();
    json_array_append_new(names, json_string(egg_cpu_level_name(0)));
    for (uint32_t level = 1; level && level <= levels; level <<= 1)
        if (levels & level) json_array_append_new(names, json_string(egg_cpu_level_name(level)));
    return names;
}

static void set_part(json_t *parts, const char *name, bool present)
{
    json_object_set_new(parts, name, json_boolean(present));
}

/* The GPUs, or in a word why there are none. */
static void set_devices(json_t *object)
{
    egg_cuda_info list[16];
    uint32_t count = egg_cuda_devices(list, EGG_COUNT(list));
    if (!count) {
        set_text(object, "cuda_devices", list[0].name);
        return;
    }
    json_t *devices = json_array();
    for (uint32_t i = 0; i < count && i < EGG_COUNT(list); i++) {
        char text[256];
        snprintf(text, sizeof text, "cuda:%u %.127s, %.1f GiB, %u processors of capability %u.%u", i, list[i].name,
                 (double)list[i].memory_bytes / 0x1p30, list[i].processors, list[i].major, list[i].minor);
        json_array_append_new(devices, json_string(text));
    }
    json_object_set_new(object, "cuda_devices", devices);
    set_text(object, "cuda_products", egg_cuda_products());
    const char *why, *cublas = egg_cuda_cublas(&why);   /* only measured against */
    set_text(object, "cublas", cublas ? cublas : why);
}

egg_status egg_describe_build(char **json, bool devices, egg_error *error)
{
    const char *unknown;
    egg_kernels kernels;
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    json_t *object = json_object(), *parts = json_object();
    set_text(object, "version", egg_version());
#if defined(__clang__)
    set_text(object, "compiler", "clang " __clang_version__);
#else
    set_text(object, "compiler", "gcc " __VERSION__);
#endif
    char processor[128];
    egg_system_processor_name(processor, sizeof processor);
    set_text(object, "processor", processor);
    json_object_set_new(object, "processors", json_integer(egg_processor_count()));
    json_object_set_new(object, "kernel_levels", level_names(egg_cpu_detect()));
    set_text(object, "kernel_level_in_use", kernels.level);
    set_text(object, "jansson", JANSSON_VERSION);
#ifdef EGG_HAVE_ZLIB
    set_part(parts, "zlib", true);
#else
    set_part(parts, "zlib", false);
#endif
#ifdef EGG_HAVE_ZSTD
    set_part(parts, "zstd", true);
#else
    set_part(parts, "zstd", false);
#endif
#ifdef EGG_HAVE_MPI
    set_part(parts, "mpi", true);
#else
    set_part(parts, "mpi", false);
#endif
#ifdef EGG_HAVE_MUJOCO
    set_part(parts, "mujoco", true);
#else
    set_part(parts, "mujoco", false);
#endif
#ifdef EGG_HAVE_CUDA
    set_part(parts, "cuda", true);
#else
    set_part(parts, "cuda", false);
#endif
    set_part(parts, "ulfm", egg_comm_has_ulfm());   /* ranks outlive the loss of one */
    json_object_set_new(object, "optional_parts", parts);
    if (devices) set_devices(object);
    egg_status status = dump(object, json, error);
    json_decref(object);
    return status;
}
