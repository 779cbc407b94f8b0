/* SPDX-License-Identifier: MIT */
#include "tasks/score.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/memory.h"

enum {
    LANES = 16,
    LANES_PER_BLOCK = 4,   /* documents a thread takes up between blocks: a few long ones are shared among the threads */
    BLOCK_STEPS = 64,
    SCAN_BYTES = 4096
};

/* Code lengths are added as integers, so that the sum does not depend on who added what first. */
static const double code_unit = 0x1p-24;

/* A document on its way through the model. */
typedef struct egg_lane {
    uint64_t at, end;            /* next byte to read, end of the document */
} egg_lane;

typedef struct egg_score_scratch {
    egg_arena arena;
    uint8_t *tokens, *targets;   /* (LANES, BLOCK_STEPS) */
    int8_t *states;              /* (LANES, state_bytes) */
    uint8_t scan[SCAN_BYTES];
    int64_t code;                /* in code_unit bits */
    uint64_t bytes, documents, observed, saturated;
    bool failed;
} egg_score_scratch;

struct egg_scorer {
    const egg_model *model;
    uint32_t threads;
    egg_score_scratch *scratch;  /* (threads) */
    uint64_t power[256];         /* 2^31 * 2^(i/16), i = logit + 128 */

    /* of the run in progress */
    const egg_kernels *kernels;
    const egg_corpus *corpus;
    pthread_mutex_t mutex;       /* guards 'next' */
    uint64_t next, end;
};

static size_t arena_bytes(const egg_model *model)
{
    return egg_model_scratch_bytes(model, LANES, BLOCK_STEPS, 0);
}

uint64_t egg_scorer_bytes(const egg_model *model, uint32_t threads)
{
    return threads * (arena_bytes(model) + sizeof(egg_score_scratch) + 2 * LANES * BLOCK_STEPS +
                      LANES * (uint64_t)model->state_bytes);
}

egg_status egg_scorer_open(egg_scorer **out, const egg_model *model, uint32_t threads, egg_error *error)
{
    *out = NULL;
    egg_status status = EGG_OK;
    egg_scorer *scorer = egg_alloc(sizeof *scorer);
    if (!scorer) return egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring");
    pthread_mutex_init(&scorer->mutex, NULL);
    scorer->model = model;
    scorer->threads = threads;
    for (uint32_t i = 0; i < 256; i++) scorer->power[i] = (uint64_t)(exp2(31 + i / 16.0));
    scorer->scratch = egg_alloc_array(threads, sizeof *scorer->scratch);
    for (uint32_t i = 0; scorer->scratch && i < threads; i++) {
        egg_score_scratch *scratch = &scorer->scratch[i];
        scratch->tokens = egg_alloc(LANES * BLOCK_STEPS);
        scratch->targets = egg_alloc(LANES * BLOCK_STEPS);
        scratch->states = egg_alloc_array(LANES, model->state_bytes);
        if (!scratch->tokens || !scratch->targets || !scratch->states) break;
        EGG_TRY(egg_arena_open(&scratch->arena, arena_bytes(model), error));
    }
    if (!scorer->scratch || !scorer->scratch[threads - 1].arena.data) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring on %u threads", threads);
        goto out;
    }
    *out = scorer;
    scorer = NULL;
out:
    egg_scorer_close(scorer);
    return status;
}

void egg_scorer_close(egg_scorer *scorer)
{
    if (!scorer) return;
    for (uint32_t i = 0; scorer->scratch && i < scorer->threads; i++) {
        egg_arena_close(&scorer->scratch[i].arena);
        egg_free(scorer->scratch[i].tokens);
        egg_free(scorer->scratch[i].targets);
        egg_free(scorer->scratch[i].states);
    }
    egg_free(scorer->scratch);
    pthread_mutex_destroy(&scorer->mutex);
    egg_free(scorer);
}

/* First position at or after 'at' whose byte is zero (or is not, for separator == false); 'end' if there is none. */
static uint64_t find(const egg_scorer *scorer, egg_score_scratch *scratch, uint64_t at, bool separator)
{
    while (at < scorer->end) {
        size_t n = scorer->end - at < SCAN_BYTES ? (size_t)(scorer->end - at) : SCAN_BYTES, i = 0;
        egg_corpus_read(scorer->corpus, at, n, scratch->scan);
        while (i < n && (scratch->scan[i] == 0) != separator) i++;
        at += i;
        if (i < n) return at;
    }
    return scorer->end;
}

static bool next_document(egg_scorer *scorer, egg_score_scratch *scratch, egg_lane *lane)
{
    pthread_mutex_lock(&scorer->mutex);
    lane->at = find(scorer, scratch, scorer->next, false);
    lane->end = scorer->next = find(scorer, scratch, lane->at, true);
    pthread_mutex_unlock(&scorer->mutex);
    return lane->at < lane->end;
}

static int64_t code_length(const egg_scorer *scorer, const int8_t *logits, uint8_t target)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < 256; k++) sum += scorer->power[logits[k] + 128];
    double bits = log2((double)sum) - 31 - (logits[target] + 128) / 16.0;
    return llround(bits / code_unit);
}

/* Reads one block of every lane; padding behind a document's end has no effect on anything that is scored. */
static void load_block(const egg_scorer *scorer, egg_score_scratch *scratch, const egg_lane *lanes, uint32_t count)
{
    for (uint32_t m = 0; m < count; m++) {
        uint8_t *tokens = scratch->tokens + (size_t)m * BLOCK_STEPS,
                 *targets = scratch->targets + (size_t)m * BLOCK_STEPS;
        uint64_t inputs = lanes[m].end - lanes[m].at - 1;
        size_t n = inputs < BLOCK_STEPS ? (size_t)inputs : BLOCK_STEPS;
        memset(tokens, 0, BLOCK_STEPS);
        egg_corpus_read(scorer->corpus, lanes[m].at, n, tokens);
        egg_corpus_read(scorer->corpus, lanes[m].at + 1, n, targets);
    }
}

static void run_block(const egg_scorer *scorer, egg_score_scratch *scratch, egg_lane *lanes, uint32_t count)
{
    load_block(scorer, scratch, lanes, count);
    egg_mark mark = egg_arena_mark(&scratch->arena);
    egg_pass pass = egg_pass_begin(scorer->kernels, &scratch->arena, NULL, 0, count);
    pass.saturated = &scratch->saturated;
    egg_mat logits = egg_mat_i8(&pass, BLOCK_STEPS, EGG_VOCABULARY);
    scorer->model->ops->forward(&pass, scorer->model, scratch->tokens, scratch->states, logits);
    scratch->failed |= pass.failed;
    scratch->observed += pass.observed;
    for (uint32_t m = 0; m < count && !pass.failed; m++) {
        uint64_t inputs = lanes[m].end - lanes[m].at - 1;
        for (uint32_t t = 0; t < BLOCK_STEPS && t < inputs; t++) {
            size_t row = (size_t)m * BLOCK_STEPS + t;
            scratch->code += code_length(scorer, (const int8_t *)logits.data + row * logits.stride,
                                         scratch->targets[row]);
            scratch->bytes++;
        }
    }
    egg_arena_release(&scratch->arena, mark);
    for (uint32_t m = 0; m < count; m++)
        lanes[m].at = lanes[m].end - lanes[m].at - 1 > BLOCK_STEPS ? lanes[m].at + BLOCK_STEPS : lanes[m].end - 1;
}

/* One thread's share: keeps its lanes filled with documents until there are none. */
static void run_lanes(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_scorer *scorer = context;
    egg_score_scratch *scratch = &scorer->scratch[thread];
    size_t state_bytes = scorer->model->state_bytes;
    egg_lane lanes[LANES];
    uint32_t count = 0;
    bool more = true;
    do {
        for (uint32_t m = 0; m < count;) {   /* finished lanes give their place to the last one */
            if (lanes[m].end - lanes[m].at > 1) {
                m++;
                continue;
            }
            count--;
            lanes[m] = lanes[count];
            memcpy(scratch->states + m * state_bytes, scratch->states + count * state_bytes, state_bytes);
        }
        uint32_t wanted = count + LANES_PER_BLOCK < LANES ? count + LANES_PER_BLOCK : LANES;
        while (more && count < wanted && (more = next_document(scorer, scratch, &lanes[count]))) {
            scratch->documents++;
            if (lanes[count].end - lanes[count].at < 2) continue;
            memset(scratch->states + count * state_bytes, 0, state_bytes);
            count++;
        }
        if (count) run_block(scorer, scratch, lanes, count);
    } while (count && !scratch->failed);
}

egg_status egg_scorer_run(egg_scorer *scorer, const egg_kernels *kernels, egg_pool *pool, const egg_corpus *corpus,
                          uint64_t begin, uint64_t end, egg_score_result *result, egg_error *error)
{
    scorer->kernels = kernels;
    scorer->corpus = corpus;
    scorer->next = begin;
    scorer->end = end;
    for (uint32_t i = 0; i < scorer->threads; i++) {
        egg_score_scratch *scratch = &scorer->scratch[i];
        scratch->code = 0;
        scratch->bytes = scratch->documents = scratch->observed = scratch->saturated = 0;
        scratch->failed = false;
    }
    egg_parallel_for(pool, scorer->threads, 1, run_lanes, scorer);

    int64_t code = 0;
    uint64_t observed = 0, saturated = 0;
    *result = (egg_score_result){0};
    for (uint32_t i = 0; i < scorer->threads; i++) {
        const egg_score_scratch *scratch = &scorer->scratch[i];
        if (scratch->failed) return egg_fail(error, EGG_ERR_NOMEM, "scoring outgrew its scratch memory");
        code += scratch->code;
        result->bytes += scratch->bytes;
        result->documents += scratch->documents;
        observed += scratch->observed;
        saturated += scratch->saturated;
    }
    result->bits_per_byte = result->bytes ? (double)code * code_unit / (double)result->bytes : NAN;
    result->saturated = observed ? (double)saturated / (double)observed : 0;
    return EGG_OK;
}
