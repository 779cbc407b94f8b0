/* SPDX-License-Identifier: MIT */
#include "tasks/score.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/documents.h"
#include "es/device_memory.h"

enum {
    LANES = 16,
    LANES_PER_BLOCK = 4,   /* documents a thread takes up between blocks: a few long ones are shared by the threads */
    BLOCK_STEPS = 64,
    DEVICE_LANES = 256,    /* a device wants more rows at once, and is one thread's */
    DEVICE_STEPS = 256
};

/* Code lengths are added as integers, so that the sum does not depend on who added what first. */
static const double code_unit = 0x1p-24;

/* A document on its way through the model. */
typedef struct egg_lane {
    uint64_t at, end;            /* next byte to read, end of the document */
} egg_lane;

/* How much is read at once. */
typedef struct egg_score_shape {
    uint32_t lanes, lanes_per_block, steps;
} egg_score_shape;

/* What kernels work on; on the host the same as in the scratch beside it. */
typedef struct egg_score_there {
    uint8_t *tokens;
    int8_t *states;
    uint64_t *saturated;
} egg_score_there;

typedef struct egg_score_scratch {
    egg_arena arena;
    uint8_t *tokens, *targets;   /* (lanes, steps) */
    int8_t *states;              /* (lanes, state_bytes) */
    int8_t *logits;              /* device: (lanes * steps, 256) of a block, else NULL */
    egg_score_there there;
    int64_t code;                /* in code_unit bits */
    uint64_t bytes, documents, observed, saturated;
    bool failed;
} egg_score_scratch;

static egg_score_shape shape_of(const egg_model *model)
{
    if (egg_model_device(model)) return (egg_score_shape){DEVICE_LANES, DEVICE_LANES, DEVICE_STEPS};
    return (egg_score_shape){LANES, LANES_PER_BLOCK, BLOCK_STEPS};
}

struct egg_scorer {
    const egg_model *model;
    const egg_device *device;    /* of the model */
    egg_score_shape shape;
    uint32_t threads;
    egg_score_scratch *scratch;  /* (threads) */
    uint64_t power[256];         /* 2^31 * 2^(i/16), i = logit + 128 */

    /* of the run in progress */
    const egg_kernels *kernels;
    const egg_corpus *corpus;
    egg_documents documents;
};

static size_t arena_bytes(const egg_model *model, egg_score_shape shape)
{
    return egg_model_scratch_bytes(model, shape.lanes, shape.steps, 0);
}

uint64_t egg_scorer_bytes(const egg_model *model, uint32_t threads)
{
    const egg_score_shape shape = shape_of(model);
    const uint64_t rows = (uint64_t)shape.lanes * shape.steps;
    const uint64_t bytes = sizeof(egg_score_scratch) + 2 * rows + shape.lanes * (uint64_t)model->state_bytes;
    if (egg_model_device(model)) return bytes + rows * EGG_VOCABULARY;
    return threads * (bytes + arena_bytes(model, shape));
}

uint64_t egg_scorer_device_bytes(const egg_model *model)
{
    const egg_score_shape shape = shape_of(model);
    if (!egg_model_device(model)) return 0;
    return arena_bytes(model, shape) + (uint64_t)shape.lanes * (shape.steps + model->state_bytes);
}

static egg_status open_scratch(egg_score_scratch *scratch, const egg_model *model, egg_score_shape shape,
                               egg_error *error)
{
    const egg_device *device = egg_model_device(model);
    const size_t rows = (size_t)shape.lanes * shape.steps, states = shape.lanes * model->state_bytes;
    egg_score_there *there = &scratch->there;
    scratch->tokens = egg_alloc(rows);
    scratch->targets = egg_alloc(rows);
    scratch->states = egg_alloc(states);
    there->tokens = egg_device_pair(device, scratch->tokens, rows);
    there->states = egg_device_pair(device, scratch->states, states);
    there->saturated = egg_device_pair(device, &scratch->saturated, sizeof scratch->saturated);
    if (device) scratch->logits = egg_alloc(rows * EGG_VOCABULARY);
    if (!scratch->targets || !there->tokens || !there->states || !there->saturated || (device && !scratch->logits))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring");
    return egg_device_arena_open(device, &scratch->arena, arena_bytes(model, shape), error);
}

static void close_scratch(egg_score_scratch *scratch, const egg_device *device)
{
    egg_device_arena_close(device, &scratch->arena);
    egg_device_unpair(device, scratch->there.tokens);
    egg_device_unpair(device, scratch->there.states);
    egg_device_unpair(device, scratch->there.saturated);
    egg_free(scratch->tokens);
    egg_free(scratch->targets);
    egg_free(scratch->states);
    egg_free(scratch->logits);
}

egg_status egg_scorer_open(egg_scorer **out, const egg_model *model, uint32_t threads, egg_error *error)
{
    *out = NULL;
    egg_status status = EGG_OK;
    egg_scorer *scorer = egg_alloc(sizeof *scorer);
    if (!scorer) return egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring");
    scorer->model = model;
    scorer->device = egg_model_device(model);
    scorer->shape = shape_of(model);
    scorer->threads = scorer->device ? 1 : threads;
    for (uint32_t i = 0; i < 256; i++) scorer->power[i] = (uint64_t)(exp2(31 + i / 16.0));
    scorer->scratch = egg_alloc_array(scorer->threads, sizeof *scorer->scratch);
    if (!scorer->scratch) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring on %u threads", threads);
        goto out;
    }
    for (uint32_t i = 0; i < scorer->threads; i++)
        EGG_TRY(open_scratch(&scorer->scratch[i], model, scorer->shape, error));
    *out = scorer;
    scorer = NULL;
out:
    egg_scorer_close(scorer);
    return status;
}

void egg_scorer_close(egg_scorer *scorer)
{
    if (!scorer) return;
    for (uint32_t i = 0; scorer->scratch && i < scorer->threads; i++)
        close_scratch(&scorer->scratch[i], scorer->device);
    egg_free(scorer->scratch);
    egg_free(scorer);
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
    const uint32_t steps = scorer->shape.steps;
    for (uint32_t m = 0; m < count; m++) {
        uint8_t *tokens = scratch->tokens + (size_t)m * steps, *targets = scratch->targets + (size_t)m * steps;
        uint64_t inputs = lanes[m].end - lanes[m].at - 1;
        size_t n = inputs < steps ? (size_t)inputs : steps;
        memset(tokens, 0, steps);
        egg_corpus_read(scorer->corpus, lanes[m].at, n, tokens);
        egg_corpus_read(scorer->corpus, lanes[m].at + 1, n, targets);
    }
    egg_device_upload(scorer->device, scratch->there.tokens, scratch->tokens, (size_t)count * steps);
    egg_device_upload(scorer->device, scratch->there.states, scratch->states, count * scorer->model->state_bytes);
}

/* The logits (rows, 256) of a block where the host can read them, and the states likewise. */
static const int8_t *fetch_block(const egg_scorer *scorer, egg_score_scratch *scratch, uint32_t count, egg_mat logits)
{
    const egg_device *device = scorer->device;
    if (!device) return logits.data;
    egg_device_download(device, scratch->states, scratch->there.states, count * scorer->model->state_bytes);
    egg_device_download(device, scratch->logits, logits.data, (size_t)count * logits.steps * EGG_VOCABULARY);
    return scratch->logits;
}

static void score_block(const egg_scorer *scorer, egg_score_scratch *scratch, const egg_lane *lanes, uint32_t count,
                        const int8_t *logits)
{
    const uint32_t steps = scorer->shape.steps;
    for (uint32_t m = 0; m < count; m++) {
        uint64_t inputs = lanes[m].end - lanes[m].at - 1;
        for (uint32_t t = 0; t < steps && t < inputs; t++) {
            size_t row = (size_t)m * steps + t;
            scratch->code += code_length(scorer, logits + row * EGG_VOCABULARY, scratch->targets[row]);
            scratch->bytes++;
        }
    }
}

static void run_block(const egg_scorer *scorer, egg_score_scratch *scratch, egg_lane *lanes, uint32_t count)
{
    const uint32_t steps = scorer->shape.steps;
    load_block(scorer, scratch, lanes, count);
    egg_mark mark = egg_arena_mark(&scratch->arena);
    egg_pass pass = egg_pass_begin(scorer->kernels, &scratch->arena, NULL, 0, count);
    pass.saturated = scratch->there.saturated;
    egg_mat logits = egg_mat_i8(&pass, steps, EGG_VOCABULARY);
    scorer->model->ops->forward(&pass, scorer->model, scratch->there.tokens, scratch->there.states, logits);
    scratch->failed |= pass.failed;
    scratch->observed += pass.observed;
    if (!pass.failed) score_block(scorer, scratch, lanes, count, fetch_block(scorer, scratch, count, logits));
    egg_arena_release(&scratch->arena, mark);
    for (uint32_t m = 0; m < count; m++)
        lanes[m].at = lanes[m].end - lanes[m].at - 1 > steps ? lanes[m].at + steps : lanes[m].end - 1;
}

/* One thread's share: keeps its lanes filled with documents until there are none. */
static void run_lanes(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_scorer *scorer = context;
    egg_score_scratch *scratch = &scorer->scratch[thread];
    size_t state_bytes = scorer->model->state_bytes;
    const egg_score_shape *shape = &scorer->shape;
    egg_lane lanes[DEVICE_LANES];   /* which are more than LANES */
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
        uint32_t most = count + shape->lanes_per_block, wanted = most < shape->lanes ? most : shape->lanes;
        while (more && count < wanted && (more = egg_documents_next(&scorer->documents, &lanes[count].at, &lanes[count].end))) {
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
    egg_documents_open(&scorer->documents, corpus, begin, end);
    for (uint32_t i = 0; i < scorer->threads; i++) {
        egg_score_scratch *scratch = &scorer->scratch[i];
        scratch->code = 0;
        scratch->bytes = scratch->documents = scratch->observed = scratch->saturated = 0;
        scratch->failed = false;
        egg_device_fill(scorer->device, scratch->there.saturated, 0, sizeof scratch->saturated);
    }
    egg_parallel_for(pool, scorer->threads, 1, run_lanes, scorer);
    egg_documents_close(&scorer->documents);
    for (uint32_t i = 0; i < scorer->threads; i++) {
        egg_score_scratch *scratch = &scorer->scratch[i];
        egg_device_download(scorer->device, &scratch->saturated, scratch->there.saturated, sizeof scratch->saturated);
    }
    egg_status status = egg_device_wait(scorer->device, error);
    if (status != EGG_OK) return status;

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
