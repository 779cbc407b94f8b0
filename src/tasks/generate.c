/* SPDX-License-Identifier: MIT */
#include "tasks/generate.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PROMPT_STEPS = 64, STREAMS_PER_TASK = 16 };

struct egg_generator {
    const egg_model *model;
    const egg_kernels *kernels;
    uint32_t streams, threads;
    egg_sampling sampling;
    egg_arena *arenas;       /* (threads) */
    int8_t *states;          /* (streams, state_bytes) */
    uint8_t *tokens;         /* (streams, PROMPT_STEPS): what the next forward reads */
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

egg_status egg_generator_open(egg_generator **out, const egg_model *model, const egg_kernels *kernels, uint32_t streams,
                              uint32_t threads, const egg_sampling *sampling, egg_error *error)
{
    *out = NULL;
    egg_status status = EGG_OK;
    egg_generator *generator = egg_alloc(sizeof *generator);
    if (!generator) return egg_fail(error, EGG_ERR_NOMEM, "no memory for generation");
    generator->model = model;
    generator->kernels = kernels;
    generator->streams = streams;
    generator->threads = threads;
    generator->sampling = *sampling;
    generator->arenas = egg_alloc_array(threads, sizeof *generator->arenas);
    generator->states = egg_alloc_array(streams, model->state_bytes);
    generator->tokens = egg_alloc_array(streams, PROMPT_STEPS);
    generator->logits = egg_alloc_array(streams, EGG_VOCABULARY);
    generator->words = egg_alloc_array(streams, sizeof *generator->words);
    if (!generator->arenas || !generator->states || !generator->tokens || !generator->logits || !generator->words) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u streams", streams);
        goto out;
    }
    uint32_t at_once = streams < STREAMS_PER_TASK ? streams : STREAMS_PER_TASK;
    size_t bytes = egg_model_scratch_bytes(model, at_once, PROMPT_STEPS, 0);
    for (uint32_t i = 0; i < threads; i++) EGG_TRY(egg_arena_open(&generator->arenas[i], bytes, error));
    for (uint32_t i = 0; i < streams; i++)
        generator->words[i] = (egg_words){.key = egg_key_make(sampling->seed, EGG_DOMAIN_SAMPLING), .at = {.pair = i}};
    *out = generator;
    generator = NULL;
out:
    egg_generator_close(generator);
    return status;
}

void egg_generator_close(egg_generator *generator)
{
    if (!generator) return;
    for (uint32_t i = 0; generator->arenas && i < generator->threads; i++) egg_arena_close(&generator->arenas[i]);
    egg_free(generator->arenas);
    egg_free(generator->states);
    egg_free(generator->tokens);
    egg_free(generator->logits);
    egg_free(generator->words);
    egg_free(generator);
}

static void read_streams(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_generator *generator = context;
    egg_arena *arena = &generator->arenas[thread];
    uint32_t steps = generator->steps;
    egg_mark mark = egg_arena_mark(arena);
    egg_pass pass = egg_pass_begin(generator->kernels, arena, NULL, 0, (uint32_t)(end - begin));
    egg_mat logits = egg_mat_i8(&pass, steps, EGG_VOCABULARY);
    generator->model->ops->forward(&pass, generator->model, generator->tokens + begin * steps,
                                   generator->states + begin * generator->model->state_bytes, logits);
    for (size_t i = begin; i < end && !pass.failed; i++)
        memcpy(generator->logits + i * EGG_VOCABULARY,
               (int8_t *)logits.data + ((i - begin) * steps + steps - 1) * logits.stride, EGG_VOCABULARY);
    egg_arena_release(arena, mark);
    if (pass.failed) atomic_store(&generator->failed, true);
}

/* Every stream reads its 'steps' tokens. */
static egg_status read_tokens(egg_generator *generator, egg_pool *pool, uint32_t steps, egg_error *error)
{
    generator->steps = steps;
    egg_parallel_for(pool, generator->streams, STREAMS_PER_TASK, read_streams, generator);
    if (atomic_load(&generator->failed)) return egg_fail(error, EGG_ERR_NOMEM, "generation outgrew its scratch memory");
    return EGG_OK;
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
