/* SPDX-License-Identifier: MIT */
/*
 * Rows of tokens on their way through one RWKV-7: what a task lays out on the host, and beside it, where the kernels
 * work, the same, the states of the sequences, scratch and logits. A batch belongs to one thread.
 */
#ifndef EGG_TASKS_BATCH_H
#define EGG_TASKS_BATCH_H

#include "es/device_memory.h"
#include "models/rwkv7.h"

typedef struct egg_batch_shape {
    uint32_t rows;               /* tokens of a run, at most */
    uint32_t sequences;          /* of a run, at most */
    uint32_t slots;              /* states */
    uint32_t wanted;             /* rows of a run whose logits are asked for, at most */
    uint32_t rank;               /* of the perturbations in the banks it will be given; 0: none */
} egg_batch_shape;

typedef struct egg_batch {
    /* To be filled in before a run; what is not asked for may be left as it is. */
    uint32_t *tokens;            /* (rows) */
    uint32_t *member;            /* (rows) within the bank; of all rows of a sequence the same */
    uint32_t *first;             /* (sequences + 1) rows of sequence s: first[s] ... first[s + 1] - 1 */
    uint32_t *slot;              /* (sequences) whose state each sequence goes on from, and leaves changed */
    uint32_t *wanted;            /* (wanted) rows whose logits are asked for */
    uint32_t *target;            /* (wanted) what comes next there, for the losses */

    /* The batch's own. */
    const egg_rwkv7 *model;
    const egg_kernels *kernels;
    egg_batch_shape shape;
    egg_arena arena;
    uint32_t *block, *block_there;   /* all of the above, one behind the other */
    float *states;               /* (slots, state_floats), the kernels' */
    float *logits, *loss;        /* (wanted, vocabulary), (wanted), the kernels' */
    float *host_logits;          /* NULL until a device's logits are asked for */
    float *host_loss;
    uint32_t wanted_count;       /* of the last run */
    bool fetched;                /* its logits have been, where that takes a copy */
} egg_batch;

egg_status egg_batch_open(egg_batch *batch, const egg_rwkv7 *model, const egg_kernels *kernels,
                          const egg_batch_shape *shape, egg_error *error);
void egg_batch_close(egg_batch *batch);   /* one that was never opened is fine, if it is zeros */

/* Of a model to plan with, too. A device's logits that the host asks for come on top. */
egg_memory_bytes egg_batch_bytes(const egg_rwkv7 *model, const egg_batch_shape *shape);

/* The state of a slot becomes that of a sequence's beginning; at first all are. */
void egg_batch_clear(egg_batch *batch, uint32_t slot);

/*
 * One forward of the first 'sequences' sequences; 'bank' holds the noise of the members, NULL: unperturbed. False:
 * scratch ran out.
 */
bool egg_batch_run(egg_batch *batch, const egg_bank *bank, uint32_t sequences, uint32_t wanted);

/* Of the last run, until the next: (wanted, vocabulary); NULL where there is no memory for a device's. */
const float *egg_batch_logits(egg_batch *batch);

/* -log of the probability of each target, of the last run, until the next: (wanted). */
const float *egg_batch_losses(egg_batch *batch);

#endif
