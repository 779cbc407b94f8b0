/* SPDX-License-Identifier: MIT */
/*
 * Many sequences through one RWKV-7, each in a slot with a state of its own. Every step reads the next tokens of all
 * busy slots in one batch: a slot that still has a prompt reads as much of it as there is room for, any other its one
 * token. Nothing is padded, a slot that is done is free for the next sequence at once, and none of this changes a bit
 * of any result. A decoder belongs to one thread.
 */
#ifndef EGG_TASKS_DECODE_H
#define EGG_TASKS_DECODE_H

#include "es/device_memory.h"
#include "models/rwkv7.h"
#include "tasks/sample.h"

typedef struct egg_decoder egg_decoder;

typedef struct egg_decoder_shape {
    uint32_t slots;              /* sequences at once */
    uint32_t rows;               /* tokens of a step, at least 'slots': long prompts take several steps */
    uint32_t rank;               /* of the perturbations in the banks it will be given; 0: none */
} egg_decoder_shape;

egg_status egg_decoder_open(egg_decoder **decoder, const egg_rwkv7 *model, const egg_kernels *kernels,
                            const egg_decoder_shape *shape, egg_error *error);
void egg_decoder_close(egg_decoder *decoder);   /* NULL is fine */
egg_memory_bytes egg_decoder_bytes(const egg_rwkv7 *model, const egg_decoder_shape *shape);

/* A new sequence from a zero state: 'tokens' (count, at least 1) must live until they are read. */
void egg_decoder_start(egg_decoder *decoder, uint32_t slot, uint32_t member, const uint32_t *tokens, uint32_t count);

/* The sequence goes on with one token. Only where egg_decoder_logits() is not NULL. */
void egg_decoder_push(egg_decoder *decoder, uint32_t slot, uint32_t token);

void egg_decoder_stop(egg_decoder *decoder, uint32_t slot);   /* frees the slot */

/*
 * One batch; 'bank' holds the noise of the members, NULL: unperturbed. False where no slot had anything to read. The
 * error can only be that scratch ran out. '*rows', if not NULL, becomes the tokens read.
 */
bool egg_decoder_step(egg_decoder *decoder, const egg_bank *bank, uint32_t *rows);
bool egg_decoder_failed(const egg_decoder *decoder);

/* The logits behind the last token of the slot, until the next step; none while tokens wait to be read, or if free. */
bool egg_decoder_has_logits(const egg_decoder *decoder, uint32_t slot);
const float *egg_decoder_logits(egg_decoder *decoder, uint32_t slot);   /* (vocabulary), or NULL */

/*
 * Draws a token for every slot that has logits. That of a slot is at its place in the sampler: 'uniform' is read there,
 * 'token' is left there. The sampler has room for all slots.
 */
uint32_t egg_decoder_place(const egg_decoder *decoder, uint32_t slot);
void egg_decoder_draw(egg_decoder *decoder, egg_sampler *sampler);

#endif
