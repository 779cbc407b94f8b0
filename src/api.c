/* SPDX-License-Identifier: MIT */
/* The public functions that no single floor has: using a model, measuring, and describing what there is. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "bench/bench.h"
#include "comm/launch.h"
#include "eggroll.h"
#include "tasks/generate.h"
#include "tasks/language.h"
#include "tasks/score.h"
#include "tasks/stops.h"
#include "train/describe.h"
#include "train/machine.h"
#include "train/model_file.h"
#include "train/options.h"
#include "train/precision.h"
#include "train/run.h"
#include "train/rwkv7_file.h"

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *egg_version(void)
{
    return VERSION_TEXT(EGG_VERSION_MAJOR, EGG_VERSION_MINOR, EGG_VERSION_PATCH);
}

uint32_t egg_rank(void)
{
    return egg_launch_find().rank;
}

uint32_t egg_rank_count(void)
{
    egg_launch launch = egg_launch_find();
    return launch.size ? launch.size : 1;
}

/* A handle over an RWKV-7; '*out' stays NULL where the file holds none. */
static egg_status open_rwkv7(egg_model **out, const char *path, egg_weights weights, const egg_kernels *kernels,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    egg_model *model = NULL;
    EGG_TRY(egg_shards_open(&shards, path, error));
    if (!egg_rwkv7_file_is_one(shards)) goto out;
    model = egg_alloc(sizeof *model);
    if (!model) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a model", path);
        goto out;
    }
    EGG_TRY(egg_rwkv7_file_read_as(&model->rwkv7, shards, kernels, EGG_RWKV7_INFERENCE, weights, error));
    *out = model;
    model = NULL;
out:
    egg_model_free(model);
    egg_shards_close(shards);
    return status;
}

static egg_status open_egg(egg_model **model, const char *path, const egg_kernels *kernels, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_safetensors *file = NULL;
    EGG_TRY(egg_safetensors_open(&file, path, error));
    EGG_TRY(egg_model_file_read(model, file, path, kernels, error));
out:
    egg_safetensors_close(file);
    return status;
}

static egg_status open_any(egg_model **model, const char *path, egg_weights weights, const egg_kernels *kernels,
                           egg_error *error)
{
    char model_path[EGG_PATH_BYTES];
    if (egg_shards_is_index(path)) {
        egg_status status = open_rwkv7(model, path, weights, kernels, error);
        if (status == EGG_OK && !*model)
            status = egg_fail(error, EGG_ERR_UNSUPPORTED,
                              "%s: a model in several files, expected an RWKV-7, which has a tensor 'emb.weight'", path);
        return status;
    }
    egg_status status = egg_describe_model_path(path, model_path, sizeof model_path, error);
    if (status == EGG_OK) status = open_rwkv7(model, model_path, weights, kernels, error);
    if (status != EGG_OK || *model) return status;
    if (weights != EGG_WEIGHTS_AUTO) return egg_fail(error, EGG_ERR_ARGUMENT, "--weights: only for RWKV-7 and policies");
    return open_egg(model, model_path, kernels, error);
}

static egg_status open_model(egg_model **model, const char *path, egg_weights weights, const char *device,
                             egg_error *error)
{
    egg_kernels kernels;
    *model = NULL;
    egg_status status = egg_machine_open(&kernels, device, 0, error);
    if (status != EGG_OK) return status;
    status = egg_machine_explain(&kernels, open_any(model, path, weights, &kernels, error), error);
    if (status == EGG_OK) (*model)->kernels = kernels;
    else egg_machine_close(&kernels);
    return status;
}

egg_status egg_model_open(egg_model **model, const char *path, egg_error *error)
{
    return open_model(model, path, EGG_WEIGHTS_AUTO, "cpu", error);
}

egg_status egg_model_open_with(egg_model **model, const char *path, const egg_options *options, egg_error *error)
{
    const egg_settings *settings = egg_options_values(options);
    *model = NULL;
    egg_status status = egg_precision_check(settings, error);
    if (status == EGG_OK) status = open_model(model, path, (egg_weights)settings->weights, settings->device, error);
    if (status == EGG_OK && (*model)->rwkv7)
        egg_rwkv7_round_activations((*model)->rwkv7, egg_precision_of(settings).bf16_activations);
    return status;
}

void egg_model_close(egg_model *model)
{
    if (!model) return;
    const egg_kernels kernels = model->kernels;
    egg_model_free(model);
    egg_machine_close(&kernels);
}

static egg_status score_language(const egg_model *model, const egg_settings *settings, egg_pool *pool,
                                 const egg_corpus *corpus, egg_score_result *result, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_tokenizer *tokenizer = NULL;
    EGG_TRY(egg_language_tokenizer(&tokenizer, model->rwkv7, settings->vocab, error));
    const egg_language language = {.model = model->rwkv7, .tokenizer = tokenizer, .kernels = &model->kernels};
    EGG_TRY(egg_language_check(&language, error));
    EGG_TRY(egg_language_score(&language, pool, corpus, result, error));
out:
    egg_tokenizer_close(tokenizer);
    return status;
}

static egg_status score_egg(const egg_model *model, egg_pool *pool, const egg_corpus *corpus, egg_score_result *result,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    egg_scorer *scorer = NULL;
    EGG_TRY(egg_scorer_open(&scorer, model, egg_pool_threads(pool), error));
    EGG_TRY(egg_scorer_run(scorer, &model->kernels, pool, corpus, 0, egg_corpus_bytes(corpus), result, error));
out:
    egg_scorer_close(scorer);
    return status;
}

egg_status egg_model_score(egg_model *model, const egg_options *options, const char *const *data, size_t data_count,
                           egg_score *score, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *settings = egg_options_values(options);
    egg_pool *pool = NULL;
    egg_corpus *corpus = NULL;
    egg_score_result result;
    EGG_TRY(egg_pool_open(&pool, egg_machine_threads(&model->kernels, settings->threads), error));
    EGG_TRY(egg_corpus_open(&corpus, data, data_count, settings->field, NULL, error));
    double begun = egg_clock_seconds();
    EGG_TRY(model->rwkv7 ? score_language(model, settings, pool, corpus, &result, error)
                         : score_egg(model, pool, corpus, &result, error));
    if (result.bytes == 0) {
        status = egg_fail(error, EGG_ERR_ARGUMENT, "'%s'%s: no document has the two %s that a score needs", data[0],
                          data_count > 1 ? " and the rest" : "", model->rwkv7 ? "tokens" : "bytes");
        goto out;
    }
    *score = (egg_score){.bits_per_byte = result.bits_per_byte, .bytes = result.bytes, .documents = result.documents,
                         .seconds = egg_clock_seconds() - begun};
out:
    egg_corpus_close(corpus);
    egg_pool_close(pool);
    return egg_machine_explain(&model->kernels, status, error);
}

static egg_status write_texts(egg_generator *generator, egg_pool *pool, const egg_settings *settings,
                              egg_text_fn *write, void *context, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t streams = (uint32_t)settings->streams;
    uint8_t *next = egg_alloc(streams);
    if (!next) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u streams", streams);
    for (uint64_t i = 0; i < settings->bytes; i++) {
        EGG_TRY(egg_generator_step(generator, pool, next, error));
        for (uint32_t s = 0; s < streams; s++)
            if (!write(context, s, (const char *)&next[s], 1)) goto out;
    }
out:
    egg_free(next);
    return status;
}

static egg_status generate_egg(const egg_model *model, const egg_settings *settings, const egg_sampling *sampling,
                               egg_pool *pool, egg_text_fn *write, void *context, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_generator *generator = NULL;
    if (*settings->stop || *settings->vocab)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: only for models of RWKV-7", *settings->stop ? "stop" : "vocab");
    EGG_TRY(egg_generator_open(&generator, model, &model->kernels, (uint32_t)settings->streams,
                               egg_pool_threads(pool), sampling, error));
    EGG_TRY(egg_generator_prompt(generator, pool, (const uint8_t *)settings->prompt, strlen(settings->prompt), error));
    EGG_TRY(write_texts(generator, pool, settings, write, context, error));
out:
    egg_generator_close(generator);
    return status;
}

static egg_status generate_language(const egg_model *model, const egg_settings *settings, const egg_sampling *sampling,
                                    egg_pool *pool, egg_text_fn *write, void *context, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_tokenizer *tokenizer = NULL;
    egg_stops stops = {0};
    EGG_TRY(egg_stops_open(&stops, settings->stop, error));
    EGG_TRY(egg_language_tokenizer(&tokenizer, model->rwkv7, settings->vocab, error));
    const egg_language language = {.model = model->rwkv7, .tokenizer = tokenizer, .kernels = &model->kernels};
    EGG_TRY(egg_language_check(&language, error));
    EGG_TRY(egg_language_write(&language, pool,
                               &(egg_writing){.prompt = settings->prompt, .sampling = *sampling,
                                              .streams = (uint32_t)settings->streams, .bytes = settings->bytes,
                                              .stops = stops.texts, .stop_count = stops.count},
                               write, context, error));
out:
    egg_stops_close(&stops);
    egg_tokenizer_close(tokenizer);
    return status;
}

egg_status egg_model_generate(egg_model *model, const egg_options *options, egg_text_fn *write, void *context,
                              egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *settings = egg_options_values(options);
    const egg_sampling sampling = {.seed = settings->seed, .temperature = settings->temperature,
                                   .top_p = settings->top_p, .min_p = settings->min_p};
    egg_pool *pool = NULL;
    EGG_TRY(egg_pool_open(&pool, egg_machine_threads(&model->kernels, settings->threads), error));
    status = model->rwkv7 ? generate_language(model, settings, &sampling, pool, write, context, error)
                          : generate_egg(model, settings, &sampling, pool, write, context, error);
out:
    egg_pool_close(pool);
    return egg_machine_explain(&model->kernels, status, error);
}

egg_status egg_bench(const char *suite, const egg_options *options, egg_bench_fn *row, void *context, egg_error *error)
{
    return egg_bench_run(suite, options, &(egg_bench_report){.row = row, .context = context}, error);
}

egg_status egg_describe(const char *path, char **json, egg_error *error)
{
    return egg_describe_path(path, json, error);
}

egg_status egg_envs_describe(char **json, egg_error *error)
{
    return egg_describe_envs(json, error);
}

egg_status egg_build_info(char **json, egg_error *error)
{
    return egg_describe_build(json, true, error);
}

void egg_text_free(char *text)
{
    egg_free(text);
}
