/* SPDX-License-Identifier: MIT */
/*
 * The task "predict the next byte": raw fitness of every member of a population on segments of text.
 *
 * The population is cut into streams of 'group' consecutive members. Stream q starts at byte q * train_bytes / streams
 * of the training text and reads 'steps' bytes an epoch, running on through the text and round its end. A member keeps
 * its recurrent state from epoch to epoch unless 'carry' is false; the byte 0 between documents resets it.
 */
#ifndef EGG_TASKS_PRETRAIN_H
#define EGG_TASKS_PRETRAIN_H

#include <stdbool.h>

#include "base/threads.h"
#include "data/corpus.h"
#include "models/model.h"
#include "tasks/slice.h"

typedef struct egg_pretrain_shape {
    uint32_t population, group, steps;
    uint32_t rank;
    uint32_t chunk_pairs;        /* pairs evaluated at once by a thread; 0 = chosen. No effect on results. */
    uint32_t threads;
    bool carry;
    uint64_t train_bytes;        /* the training text is [0, train_bytes) of the corpus */
} egg_pretrain_shape;

typedef struct egg_pretrain egg_pretrain;

/* 'model' and 'corpus' must outlive the task, which works where the model's kernels do; on a device 'threads' is 1. */
egg_status egg_pretrain_open(egg_pretrain **task, const egg_pretrain_shape *shape, const egg_model *model,
                             const egg_corpus *corpus, egg_error *error);
void egg_pretrain_close(egg_pretrain *task);

/* Bytes that open would allocate: the members' states and all else; 'device': what of it is on a device, and more. */
typedef struct egg_pretrain_memory {
    uint64_t states, scratch, fitness;
    uint64_t device_states, device_scratch;
} egg_pretrain_memory;

egg_pretrain_memory egg_pretrain_bytes(const egg_pretrain_shape *shape, const egg_model *model);

/*
 * Evaluates the members of a slice in epoch 'epoch'; egg_pretrain_loss() then holds their losses at their places, in
 * sixteenths of a bit.
 */
egg_status egg_pretrain_evaluate(egg_pretrain *task, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                                 uint64_t epoch, egg_slice slice, egg_error *error);
int32_t *egg_pretrain_loss(egg_pretrain *task);   /* (population) */

/*
 * The members' recurrent states (population, state_bytes), for checkpoints, as they are now; NULL where nothing is
 * carried. Who writes into them says so.
 */
int8_t *egg_pretrain_states(egg_pretrain *task, size_t *bytes);
void egg_pretrain_states_changed(egg_pretrain *task);

/* Text bytes read in an epoch, each segment counted once. */
uint64_t egg_pretrain_text_bytes(const egg_pretrain *task);

#endif
