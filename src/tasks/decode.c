/* SPDX-License-Identifier: MIT */
#include "tasks/decode.h"

#include <string.h>

#include "base/memory.h"

typedef struct egg_slot {
    const uint32_t *tokens;      /* (count) waiting to be read */
    uint32_t count, member;
    uint32_t one;                /* where a pushed token waits */
    bool busy;
    const float *logits;         /* NULL: not there */
} egg_slot;

struct egg_decoder {
    const egg_rwkv7 *model;
    const egg_kernels *kernels;
    egg_decoder_shape shape;
    egg_arena arena;
    egg_slot *slots;             /* (slots) */
    float *states;               /* (slots, state_floats) */
    float *logits;               /* (slots, vocabulary) of the slots that finished reading in this step, in a row */
    uint32_t *tokens, *member;   /* (rows) of the batch */
    uint32_t *first;             /* (slots + 1) */
    uint32_t *wanted;            /* (slots) */
    uint32_t *taking;            /* (slots) tokens that a slot reads in this step */
    float **state;               /* (slots) of the sequences in the batch */
    bool failed;
};

static size_t scratch_bytes(const egg_rwkv7 *model, const egg_decoder_shape *shape)
{
    return egg_rwkv7_scratch_bytes(&model->shape, shape->rows, shape->slots, shape->slots, shape->rank);
}

uint64_t egg_decoder_bytes(const egg_rwkv7 *model, const egg_decoder_shape *shape)
{
    uint64_t of_slot = sizeof(egg_slot) + (egg_rwkv7_state_floats(model) + model->shape.vocabulary) * sizeof(float) +
                       3 * sizeof(uint32_t) + sizeof(float *);
    return shape->slots * of_slot + 2 * (uint64_t)shape->rows * sizeof(uint32_t) + scratch_bytes(model, shape);
}

egg_status egg_decoder_open(egg_decoder **out, const egg_rwkv7 *model, const egg_kernels *kernels,
                            const egg_decoder_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_decoder *decoder = egg_alloc(sizeof *decoder);
    *out = NULL;
    if (!decoder) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a decoder");
    size_t slots = shape->slots;
    decoder->model = model;
    decoder->kernels = kernels;
    decoder->shape = *shape;
    decoder->slots = egg_alloc_array(slots, sizeof *decoder->slots);
    decoder->states = egg_alloc_array(slots, egg_rwkv7_state_floats(model) * sizeof(float));
    decoder->logits = egg_alloc_array(slots, model->shape.vocabulary * sizeof(float));
    decoder->tokens = egg_alloc_array(shape->rows, sizeof *decoder->tokens);
    decoder->member = egg_alloc_array(shape->rows, sizeof *decoder->member);
    decoder->first = egg_alloc_array(slots + 1, sizeof *decoder->first);
    decoder->wanted = egg_alloc_array(slots, sizeof *decoder->wanted);
    decoder->taking = egg_alloc_array(slots, sizeof *decoder->taking);
    decoder->state = egg_alloc_array(slots, sizeof *decoder->state);
    if (!decoder->slots || !decoder->states || !decoder->logits || !decoder->tokens || !decoder->member ||
        !decoder->first || !decoder->wanted || !decoder->taking || !decoder->state) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory to decode %u sequences", shape->slots);
        goto out;
    }
    EGG_TRY(egg_arena_open(&decoder->arena, scratch_bytes(model, shape), error));
    *out = decoder;
    decoder = NULL;
out:
    egg_decoder_close(decoder);
    return status;
}

void egg_decoder_close(egg_decoder *decoder)
{
    if (!decoder) return;
    egg_arena_close(&decoder->arena);
    egg_free(decoder->slots);
    egg_free(decoder->states);
    egg_free(decoder->logits);
    egg_free(decoder->tokens);
    egg_free(decoder->member);
    egg_free(decoder->first);
    egg_free(decoder->wanted);
    egg_free(decoder->taking);
    egg_free(decoder->state);
    egg_free(decoder);
}

void egg_decoder_start(egg_decoder *decoder, uint32_t slot, uint32_t member, const uint32_t *tokens, uint32_t count)
{
    size_t floats = egg_rwkv7_state_floats(decoder->model);
    decoder->slots[slot] = (egg_slot){.tokens = tokens, .count = count, .member = member, .busy = true};
    memset(decoder->states + slot * floats, 0, floats * sizeof(float));
}

void egg_decoder_push(egg_decoder *decoder, uint32_t slot, uint32_t token)
{
    egg_slot *s = &decoder->slots[slot];
    s->one = token;
    s->tokens = &s->one;
    s->count = 1;
    s->logits = NULL;
}

void egg_decoder_stop(egg_decoder *decoder, uint32_t slot)
{
    decoder->slots[slot] = (egg_slot){0};
}

const float *egg_decoder_logits(const egg_decoder *decoder, uint32_t slot)
{
    return decoder->slots[slot].logits;
}

bool egg_decoder_failed(const egg_decoder *decoder)
{
    return decoder->failed;
}

/* One token for everybody who waits; then the room that is left to long prompts, in the order of the slots. */
static void share_rows(egg_decoder *decoder)
{
    uint32_t left = decoder->shape.rows;
    for (uint32_t i = 0; i < decoder->shape.slots; i++) {
        decoder->taking[i] = decoder->slots[i].count > 0 && left > 0;
        left -= decoder->taking[i];
    }
    for (uint32_t i = 0; i < decoder->shape.slots && left; i++) {
        if (!decoder->taking[i]) continue;
        uint32_t more = decoder->slots[i].count - 1;
        if (more > left) more = left;
        decoder->taking[i] += more;
        left -= more;
    }
}

/* Lays the rows of the batch out; returns its sequences. */
static uint32_t gather(egg_decoder *decoder, egg_rwkv7_batch *batch)
{
    size_t floats = egg_rwkv7_state_floats(decoder->model);
    uint32_t sequences = 0, rows = 0;
    for (uint32_t i = 0; i < decoder->shape.slots; i++) {
        egg_slot *slot = &decoder->slots[i];
        slot->logits = NULL;
        if (!decoder->taking[i]) continue;
        decoder->first[sequences] = rows;
        decoder->state[sequences++] = decoder->states + i * floats;
        for (uint32_t k = 0; k < decoder->taking[i]; k++) {
            decoder->tokens[rows] = *slot->tokens++;
            decoder->member[rows++] = slot->member;
        }
        slot->count -= decoder->taking[i];
        if (slot->count) continue;
        slot->logits = decoder->logits + (size_t)batch->wanted_count * decoder->model->shape.vocabulary;
        decoder->wanted[batch->wanted_count++] = rows - 1;
    }
    decoder->first[sequences] = rows;
    return sequences;
}

bool egg_decoder_step(egg_decoder *decoder, const egg_bank *bank, uint32_t *rows)
{
    egg_rwkv7_batch batch = {.tokens = decoder->tokens, .first = decoder->first, .state = decoder->state,
                             .wanted = decoder->wanted};
    if (rows) *rows = 0;
    if (decoder->failed) return false;
    share_rows(decoder);
    batch.sequences = gather(decoder, &batch);
    if (!batch.sequences) return false;
    uint32_t count = decoder->first[batch.sequences];
    egg_mark mark = egg_arena_mark(&decoder->arena);
    egg_pass pass = egg_pass_begin_rows(decoder->kernels, &decoder->arena, bank, bank ? decoder->member : NULL, count);
    egg_rwkv7_forward(&pass, decoder->model, &batch, decoder->logits);
    egg_arena_release(&decoder->arena, mark);
    decoder->failed = pass.failed;
    if (rows) *rows = count;
    return !pass.failed;
}
