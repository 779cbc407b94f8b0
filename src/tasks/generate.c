/* SPDX-License-Identifier: MIT */
#include "tasks/generate.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "es/device_memory.h"

enum { PROMPT_STEPS = 64, STREAMS_PER_TASK = 16, DEVICE_STREAMS = 1024 };

struct egg_generator {
    const egg_model *model;
    const egg_kernels *kernels;
    const egg_device *device;    /* of the model */
    uint32_t streams, threads;
    uint32_t at_once;        /* streams of one forward */
    egg_sampling sampling;
    egg_arena *arenas;       /* (threads) */
    int8_t *states;          /* (streams, state_bytes), the kernels' */
    uint8_t *tokens;         /* (streams, PROMPT_STEPS): what the next forward reads */
    uint8_t *tokens_there;   /* the same, the kernels' */
    int8_t *block;           /* device: (at_once * PROMPT_STEPS, 256) the logits of one forward, else NULL */
    int8_t *logits;          /* (streams, 256): after the last byte read */
    egg_words *words;        /* (streams) random numbers */

    uint32_t steps;          /* of the forward in progress */
    atomic_bool failed;
};

/* ------------------------------------------------------------------------------------------------------- sampling */

typedef struct egg_candidate {
    double weight;
    uint8_t byte;
} egg_candidate;

static int compare_candidates(const void *left, const void *right)
{
    const egg_candidate *a = left, *b = right;
    if (a->weight != b->weight) return a->weight < b->weight ? 1 : -1;
    return a->byte < b->byte ? -1 : 1;
}

static uint8_t likeliest(const int8_t *logits)
{
    uint32_t best = 1;
    for (uint32_t k = 2; k < EGG_VOCABULARY; k++)
        if (logits[k] > logits[best]) best = k;
    return (uint8_t)best;
}

uint8_t egg_sample_byte(const int8_t *logits, const egg_sampling *sampling, double uniform)
{
    uint8_t best = likeliest(logits);
    if (sampling->temperature == 0) return best;

    egg_candidate candidates[EGG_VOCABULARY];
    uint32_t count = 0;
    double total = 0;
    for (uint32_t k = 1; k < EGG_VOCABULARY; k++) {
        double weight = exp2((logits[k] - logits[best]) / 16.0 / sampling->temperature);   /* the likeliest has 1 */
        if (weight < sampling->min_p) continue;
        candidates[count++] = (egg_candidate){.weight = weight, .byte = (uint8_t)k};
        total += weight;
    }
    if (sampling->top_p < 1) {
        qsort(candidates, count, sizeof *candidates, compare_candidates);
        double wanted = sampling->top_p * total, sum = 0;
        uint32_t kept = 0;
        while (kept < count && (kept == 0 || sum < wanted)) sum += candidates[kept++].weight;
        count = kept;
        total = sum;
    }
    double point = uniform * total;
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (point < candidates[i].weight) return candidates[i].byte;
        point -= candidates[i].weight;
    }
    return candidates[count - 1].byte;
}

static double uniform_of(egg_words *words)
{
    uint64_t high = egg_words_next(words), low = egg_words_next(words);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

/* -------------------------------------------------------------------------------------------------------- forward */

static egg_status open_memory(egg_generator *generator, egg_error *error)
{
    const egg_device *device = generator->device;
    const uint32_t streams = generator->streams;
    const size_t tokens = (size_t)streams * PROMPT_STEPS;
    generator->arenas = egg_alloc_array(generator->threads, sizeof *generator->arenas);
    generator->states = egg_device_alloc_array(device, streams, generator->model->state_bytes);
    generator->tokens = egg_alloc(tokens);
    generator->tokens_there = egg_device_pair(device, generator->tokens, tokens);
    generator->logits = egg_alloc_array(streams, EGG_VOCABULARY);
    generator->words = egg_alloc_array(streams, sizeof *generator->words);
    bool fits = generator->arenas && generator->states && generator->tokens_there && generator->logits &&
                generator->words;
    if (device) generator->block = egg_alloc_array((size_t)generator->at_once * PROMPT_STEPS, EGG_VOCABULARY);
    if (!fits || (device && !generator->block))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u streams", streams);
    size_t bytes = egg_model_scratch_bytes(generator->model, generator->at_once, PROMPT_STEPS, 0);
    egg_status status = EGG_OK;
    for (uint32_t i = 0; status == EGG_OK && i < generator->threads; i++)
        status = egg_device_arena_open(device, &generator->arenas[i], bytes, error);
    return status;
}

egg_status egg_generator_open(egg_generator **out, const egg_model *model, const egg_kernels *kernels, uint32_t streams,
                              uint32_t threads, const egg_sampling *sampling, egg_error *error)
{
    *out = NULL;
    egg_generator *generator = egg_alloc(sizeof *generator);
    if (!generator) return egg_fail(error, EGG_ERR_NOMEM, "no memory for generation");
    generator->model = model;
    generator->kernels = kernels;
    generator->device = egg_model_device(model);
    generator->streams = streams;
    generator->threads = threads;
    uint32_t most = generator->device ? DEVICE_STREAMS : STREAMS_PER_TASK;
    generator->at_once = streams < most ? streams : most;
    generator->sampling = *sampling;
    egg_status status = open_memory(generator, error);
    if (status != EGG_OK) {
        egg_generator_close(generator);
        return status;
    }
    for (uint32_t i = 0; i < streams; i++)
        generator->words[i] = (egg_words){.key = egg_key_make(sampling->seed, EGG_DOMAIN_SAMPLING), .at = {.pair = i}};
    *out = generator;
    return EGG_OK;
}

void egg_generator_close(egg_generator *generator)
{
    if (!generator) return;
    for (uint32_t i = 0; generator->arenas && i < generator->threads; i++)
        egg_device_arena_close(generator->device, &generator->arenas[i]);
    egg_free(generator->arenas);
    egg_device_free(generator->device, generator->states);
    egg_device_unpair(generator->device, generator->tokens_there);
    egg_free(generator->tokens);
    egg_free(generator->block);
    egg_free(generator->logits);
    egg_free(generator->words);
    egg_free(generator);
}

/* Of 'count' streams: what each has behind its last step, from the logits of all steps. */
static void keep_last(egg_generator *generator, size_t first, size_t count, egg_mat logits)
{
    const int8_t *block = logits.data;
    if (generator->device) {
        egg_device_download(generator->device, generator->block, block, count * logits.steps * EGG_VOCABULARY);
        block = generator->block;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(generator->logits + (first + i) * EGG_VOCABULARY,
               block + ((i + 1) * logits.steps - 1) * EGG_VOCABULARY, EGG_VOCABULARY);
}

static void read_streams(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_generator *generator = context;
    egg_arena *arena = &generator->arenas[thread];
    const uint32_t steps = generator->steps;
    const size_t count = end - begin;
    uint8_t *tokens = generator->tokens_there + begin * steps;
    egg_mark mark = egg_arena_mark(arena);
    egg_pass pass = egg_pass_begin(generator->kernels, arena, NULL, 0, (uint32_t)count);
    egg_mat logits = egg_mat_i8(&pass, steps, EGG_VOCABULARY);
    egg_device_upload(generator->device, tokens, generator->tokens + begin * steps, count * steps);
    generator->model->ops->forward(&pass, generator->model, tokens,
                                   generator->states + begin * generator->model->state_bytes, logits);
    if (!pass.failed) keep_last(generator, begin, count, logits);
    egg_arena_release(arena, mark);
    if (pass.failed) atomic_store(&generator->failed, true);
}

/* Every stream reads its 'steps' tokens. */
static egg_status read_tokens(egg_generator *generator, egg_pool *pool, uint32_t steps, egg_error *error)
{
    generator->steps = steps;
    egg_parallel_for(pool, generator->streams, generator->at_once, read_streams, generator);
    if (atomic_load(&generator->failed)) return egg_fail(error, EGG_ERR_NOMEM, "generation outgrew its scratch memory");
    return egg_device_wait(generator->device, error);
}

egg_status egg_generator_prompt(egg_generator *generator, egg_pool *pool, const uint8_t *prompt, size_t bytes,
                                egg_error *error)
{
    egg_status status = EGG_OK;
    memset(generator->tokens, 0, generator->streams);
    EGG_TRY(read_tokens(generator, pool, 1, error));
    while (bytes) {
        uint32_t steps = bytes < PROMPT_STEPS ? (uint32_t)bytes : PROMPT_STEPS;
        for (size_t i = 0; i < generator->streams; i++) memcpy(generator->tokens + i * steps, prompt, steps);
        EGG_TRY(read_tokens(generator, pool, steps, error));
        prompt += steps;
        bytes -= steps;
    }
out:
    return status;
}

egg_status egg_generator_step(egg_generator *generator, egg_pool *pool, uint8_t *next, egg_error *error)
{
    for (uint32_t i = 0; i < generator->streams; i++)
        next[i] = egg_sample_byte(generator->logits + (size_t)i * EGG_VOCABULARY, &generator->sampling,
                                  uniform_of(&generator->words[i]));
    memcpy(generator->tokens, next, generator->streams);
    return read_tokens(generator, pool, 1, error);
}
