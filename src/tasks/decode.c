/* SPDX-License-Identifier: MIT */
#include "tasks/decode.h"

#include "base/memory.h"
#include "tasks/batch.h"

typedef struct egg_slot {
    const uint32_t *tokens;      /* (count) waiting to be read */
    uint32_t count, member;
    uint32_t one;                /* where a pushed token waits */
    bool busy, read;             /* 'read': all that waited, in the last step; its logits are the batch's ... */
    uint32_t place;              /* ... of this row */
} egg_slot;

struct egg_decoder {
    egg_decoder_shape shape;
    egg_batch batch;
    egg_slot *slots;             /* (slots) */
    uint32_t *taking;            /* (slots) tokens that a slot reads in this step */
    bool failed;
};

static egg_batch_shape batch_of(const egg_decoder_shape *shape)
{
    return (egg_batch_shape){.rows = shape->rows, .sequences = shape->slots, .slots = shape->slots,
                             .wanted = shape->slots, .rank = shape->rank};
}

egg_memory_bytes egg_decoder_bytes(const egg_rwkv7 *model, const egg_decoder_shape *shape)
{
    const egg_batch_shape batch = batch_of(shape);
    egg_memory_bytes bytes = egg_batch_bytes(model, &batch);
    bytes.host += shape->slots * (sizeof(egg_slot) + sizeof(uint32_t));
    return bytes;
}

egg_status egg_decoder_open(egg_decoder **out, const egg_rwkv7 *model, const egg_kernels *kernels,
                            const egg_decoder_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_batch_shape batch = batch_of(shape);
    egg_decoder *decoder = egg_alloc(sizeof *decoder);
    *out = NULL;
    if (!decoder) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a decoder");
    decoder->shape = *shape;
    decoder->slots = egg_alloc_array(shape->slots, sizeof *decoder->slots);
    decoder->taking = egg_alloc_array(shape->slots, sizeof *decoder->taking);
    if (!decoder->slots || !decoder->taking) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory to decode %u sequences", shape->slots);
        goto out;
    }
    EGG_TRY(egg_batch_open(&decoder->batch, model, kernels, &batch, error));
    *out = decoder;
    decoder = NULL;
out:
    egg_decoder_close(decoder);
    return status;
}

void egg_decoder_close(egg_decoder *decoder)
{
    if (!decoder) return;
    egg_batch_close(&decoder->batch);
    egg_free(decoder->slots);
    egg_free(decoder->taking);
    egg_free(decoder);
}

void egg_decoder_start(egg_decoder *decoder, uint32_t slot, uint32_t member, const uint32_t *tokens, uint32_t count)
{
    decoder->slots[slot] = (egg_slot){.tokens = tokens, .count = count, .member = member, .busy = true};
    egg_batch_clear(&decoder->batch, slot);
}

void egg_decoder_push(egg_decoder *decoder, uint32_t slot, uint32_t token)
{
    egg_slot *s = &decoder->slots[slot];
    s->one = token;
    s->tokens = &s->one;
    s->count = 1;
    s->read = false;
}

void egg_decoder_stop(egg_decoder *decoder, uint32_t slot)
{
    decoder->slots[slot] = (egg_slot){0};
}

bool egg_decoder_has_logits(const egg_decoder *decoder, uint32_t slot)
{
    return decoder->slots[slot].read;
}

const float *egg_decoder_logits(egg_decoder *decoder, uint32_t slot)
{
    if (!decoder->slots[slot].read) return NULL;
    const float *logits = egg_batch_logits(&decoder->batch);
    if (!logits) decoder->failed = true;
    return logits ? logits + (size_t)decoder->slots[slot].place * decoder->batch.model->shape.vocabulary : NULL;
}

uint32_t egg_decoder_place(const egg_decoder *decoder, uint32_t slot)
{
    return decoder->slots[slot].place;
}

void egg_decoder_draw(egg_decoder *decoder, egg_sampler *sampler)
{
    egg_sampler_draw(sampler, decoder->batch.logits, decoder->batch.wanted_count);
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
static uint32_t gather(egg_decoder *decoder, uint32_t *wanted)
{
    egg_batch *batch = &decoder->batch;
    uint32_t sequences = 0, rows = 0;
    *wanted = 0;
    for (uint32_t i = 0; i < decoder->shape.slots; i++) {
        egg_slot *slot = &decoder->slots[i];
        slot->read = false;
        if (!decoder->taking[i]) continue;
        batch->first[sequences] = rows;
        batch->slot[sequences++] = i;
        for (uint32_t k = 0; k < decoder->taking[i]; k++) {
            batch->tokens[rows] = *slot->tokens++;
            batch->member[rows++] = slot->member;
        }
        slot->count -= decoder->taking[i];
        if (slot->count) continue;
        slot->read = true;
        slot->place = *wanted;
        batch->wanted[(*wanted)++] = rows - 1;
    }
    batch->first[sequences] = rows;
    return sequences;
}

bool egg_decoder_step(egg_decoder *decoder, const egg_bank *bank, uint32_t *rows)
{
    uint32_t wanted, sequences;
    if (rows) *rows = 0;
    if (decoder->failed) return false;
    share_rows(decoder);
    sequences = gather(decoder, &wanted);
    if (!sequences) return false;
    decoder->failed = !egg_batch_run(&decoder->batch, bank, sequences, wanted);
    if (rows) *rows = decoder->batch.first[sequences];
    return !decoder->failed;
}
