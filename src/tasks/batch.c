/* SPDX-License-Identifier: MIT */
#include "tasks/batch.h"

#include <string.h>

#include "base/memory.h"

/* ----------------------------------------------------------------------------------------------------------- memory */

static uint32_t padded(uint32_t words)
{
    enum { ALIGNMENT = 64 / sizeof(uint32_t) };
    return (words + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The arrays of the block in their order, and how long each is. */
enum { TOKENS, MEMBER, FIRST, SLOT, WANTED, TARGET, ARRAYS };

static uint32_t array_words(const egg_batch_shape *shape, int array)
{
    switch (array) {
    case FIRST: return padded(shape->sequences + 1);
    case SLOT: return padded(shape->sequences);
    case WANTED:
    case TARGET: return padded(shape->wanted);
    }
    return padded(shape->rows);
}

static size_t place_of(const egg_batch_shape *shape, int array)
{
    size_t words = 0;
    for (int i = 0; i < array; i++) words += array_words(shape, i);
    return words;
}

static uint32_t *array_at(const egg_batch_shape *shape, uint32_t *block, int array)
{
    return block ? block + place_of(shape, array) : NULL;
}

static size_t scratch_bytes(const egg_rwkv7 *model, const egg_batch_shape *shape)
{
    return egg_rwkv7_scratch_bytes(&model->shape, shape->rows, shape->wanted, shape->rank);
}

egg_memory_bytes egg_batch_bytes(const egg_rwkv7 *model, const egg_batch_shape *shape)
{
    const uint64_t block = place_of(shape, ARRAYS) * sizeof(uint32_t), loss = shape->wanted * sizeof(float);
    const uint64_t states = shape->slots * egg_rwkv7_state_floats(model) * sizeof(float);
    const uint64_t logits = shape->wanted * (uint64_t)model->shape.vocabulary * sizeof(float);
    const uint64_t all = block + loss + states + logits + scratch_bytes(model, shape);
    if (!egg_rwkv7_device(model)) return (egg_memory_bytes){.host = all};
    return (egg_memory_bytes){.host = block + loss, .device = all};
}

egg_status egg_batch_open(egg_batch *batch, const egg_rwkv7 *model, const egg_kernels *kernels,
                          const egg_batch_shape *shape, egg_error *error)
{
    const egg_device *device = kernels->device;
    const size_t block = place_of(shape, ARRAYS) * sizeof(uint32_t);
    *batch = (egg_batch){.model = model, .kernels = kernels, .shape = *shape};
    batch->block = egg_alloc(block);
    batch->block_there = egg_device_pair(device, batch->block, block);
    batch->states = egg_device_alloc_array(device, shape->slots, egg_rwkv7_state_floats(model) * sizeof(float));
    batch->logits = egg_device_alloc_array(device, shape->wanted, model->shape.vocabulary * sizeof(float));
    batch->host_loss = egg_alloc_array(shape->wanted, sizeof *batch->host_loss);
    batch->loss = egg_device_pair(device, batch->host_loss, shape->wanted * sizeof *batch->loss);
    uint32_t **const arrays[ARRAYS] = {
        [TOKENS] = &batch->tokens, [MEMBER] = &batch->member, [FIRST] = &batch->first, [SLOT] = &batch->slot,
        [WANTED] = &batch->wanted, [TARGET] = &batch->target,
    };
    for (int i = 0; i < ARRAYS; i++) *arrays[i] = array_at(shape, batch->block, i);
    if (!batch->block_there || !batch->states || !batch->logits || !batch->loss)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u texts and %u tokens at once", shape->slots,
                        shape->rows);
    return egg_device_arena_open(device, &batch->arena, scratch_bytes(model, shape), error);
}

void egg_batch_close(egg_batch *batch)
{
    const egg_device *device = batch->kernels ? batch->kernels->device : NULL;
    egg_device_arena_close(device, &batch->arena);
    egg_device_unpair(device, batch->block_there);
    egg_device_unpair(device, batch->loss);
    egg_device_free(device, batch->states);
    egg_device_free(device, batch->logits);
    egg_free(batch->block);
    egg_free(batch->host_loss);
    egg_free(batch->host_logits);
    *batch = (egg_batch){0};
}

void egg_batch_clear(egg_batch *batch, uint32_t slot)
{
    const size_t floats = egg_rwkv7_state_floats(batch->model);
    egg_device_fill(batch->kernels->device, batch->states + slot * floats, 0, floats * sizeof *batch->states);
}

/* -------------------------------------------------------------------------------------------------------------- run */

static bool forward(egg_batch *batch, const egg_bank *bank, uint32_t sequences, uint32_t wanted)
{
    const egg_batch_shape *shape = &batch->shape;
    uint32_t *there = batch->block_there;
    const egg_rwkv7_batch view = {
        .tokens = array_at(shape, there, TOKENS),
        .first = array_at(shape, there, FIRST),
        .state = {.data = batch->states, .stride = egg_rwkv7_state_floats(batch->model),
                  .slot = array_at(shape, there, SLOT)},
        .sequences = sequences,
        .wanted = array_at(shape, there, WANTED),
        .wanted_count = wanted,
    };
    const egg_mark mark = egg_arena_mark(&batch->arena);
    egg_pass pass = egg_pass_begin_rows(batch->kernels, &batch->arena, bank,
                                        bank ? array_at(shape, there, MEMBER) : NULL, batch->first[sequences]);
    egg_rwkv7_forward(&pass, batch->model, &view, batch->logits);
    egg_arena_release(&batch->arena, mark);
    return !pass.failed;
}

bool egg_batch_run(egg_batch *batch, const egg_bank *bank, uint32_t sequences, uint32_t wanted)
{
    const egg_device *device = batch->kernels->device;
    const egg_pass_key key = egg_pass_key_of(batch, bank, batch->first[sequences], sequences, wanted);
    batch->wanted_count = wanted;
    batch->fetched = false;
    egg_device_upload(device, batch->block_there, batch->block,
                      place_of(&batch->shape, ARRAYS) * sizeof *batch->block);
    if (egg_device_begin_replay(device, &key, sizeof key)) return true;
    const bool done = forward(batch, bank, sequences, wanted);
    egg_device_end_replay(device);
    return done;
}

const float *egg_batch_logits(egg_batch *batch)
{
    const size_t vocabulary = batch->model->shape.vocabulary;
    const egg_device *device = batch->kernels->device;
    if (!device) return batch->logits;
    if (!batch->host_logits)
        batch->host_logits = egg_alloc_array(batch->shape.wanted, vocabulary * sizeof *batch->host_logits);
    if (batch->host_logits && !batch->fetched)
        egg_device_download(device, batch->host_logits, batch->logits,
                            batch->wanted_count * vocabulary * sizeof *batch->logits);
    batch->fetched = true;
    return batch->host_logits;
}

const float *egg_batch_losses(egg_batch *batch)
{
    egg_rwkv7_log_loss(batch->model, batch->kernels, batch->logits,
                       array_at(&batch->shape, batch->block_there, TARGET), batch->wanted_count, batch->loss);
    egg_device_download(batch->kernels->device, batch->host_loss, batch->loss,
                        batch->wanted_count * sizeof *batch->loss);
    return batch->host_loss;
}
