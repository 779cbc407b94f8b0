/* SPDX-License-Identifier: MIT */
/*
 * RWKV-7 (x070), the recurrent language model, float32, as its published checkpoints have it:
 *
 *   x = LN0(embedding[token])
 *   each layer:   x += time mix of LN1(x)      a head's state St (size, size) goes on as
 *                                              St <- St diag(w) - (St kappa)(kappa a)^T + v k^T,   y = St r
 *                 x += channel mix of LN2(x)   W_value relu(W_key z)^2
 *   logits = head LN_out(x)
 *
 * A batch is any mixture of sequences: whole prompts, parts of them, single steps. Each has its own state, and its
 * result does not depend, to the bit, on what it shares the batch with, nor on how a sequence is cut into calls.
 *
 * Parameters carry the checkpoint's names. All matrices are kept (out, in), also the low-rank ones that checkpoints
 * store (in, out): factor A runs over outputs and B over inputs for every parameter alike. What evolution perturbs by
 * default is what the paper's code does: the matrices of the layers. Vectors, embedding and head are frozen unless
 * thawed.
 */
#ifndef EGG_MODELS_RWKV7_H
#define EGG_MODELS_RWKV7_H

#include "nn/layers.h"

/* All are multiples of EGG_ROW_QUANTUM but 'layers'; the width is a multiple of head_size. */
typedef struct egg_rwkv7_shape {
    uint32_t vocabulary, width, layers, head_size;
    uint32_t hidden;                       /* of the channel mix */
    uint32_t w_rank, a_rank, v_rank, g_rank;   /* of decay, rate, value and gate; no v in a model of one layer */
} egg_rwkv7_shape;

typedef struct egg_rwkv7_thaw {
    bool vectors, embedding, head;
} egg_rwkv7_thaw;

typedef struct egg_rwkv7 {
    egg_rwkv7_shape shape;
    egg_param *params;                     /* (param_count), params[i].id == i */
    uint32_t param_count;
} egg_rwkv7;

/* The device that the kernels work on; NULL: in the host's memory. */
static inline const egg_device *egg_rwkv7_device(const egg_rwkv7 *model)
{
    return egg_params_device(model->params, model->param_count);
}

/* EGG_ERR_ARGUMENT says which size cannot be. */
egg_status egg_rwkv7_check_shape(const egg_rwkv7_shape *shape, egg_error *error);

/* A model of zeros, to be filled and then packed; with kernels == NULL without weights, to plan with. */
egg_status egg_rwkv7_open(egg_rwkv7 **model, const egg_rwkv7_shape *shape, const egg_kernels *kernels,
                          egg_error *error);

/*
 * Gives a parameter of a model without weights its memory, to be filled with egg_param_store. Matrices, and if
 * 'packed_only' the embedding too, are held as 'storage' says.
 */
egg_status egg_rwkv7_open_param(egg_rwkv7 *model, uint32_t id, const egg_kernels *kernels, egg_storage storage,
                                bool packed_only, egg_error *error);
void egg_rwkv7_close(egg_rwkv7 *model);    /* NULL is fine */

/* How a checkpoint stores a parameter. */
typedef struct egg_rwkv7_tensor {
    uint64_t shape[3];
    uint32_t dims;
    bool transposed;                       /* (in, out) there */
} egg_rwkv7_tensor;

egg_rwkv7_tensor egg_rwkv7_tensor_of(const egg_rwkv7 *model, uint32_t id);

/* After the data changed: brings all matrices into the kernels' order. */
void egg_rwkv7_pack(egg_rwkv7 *model, const egg_kernels *kernels);

/* Chooses what evolution may change; nothing but perturbation and update asks for it. Call it after packing. */
void egg_rwkv7_set_thaw(egg_rwkv7 *model, egg_rwkv7_thaw thaw);

/* For all products: egg_param's bf16_activations. */
void egg_rwkv7_round_activations(egg_rwkv7 *model, bool bf16);

uint64_t egg_rwkv7_parameters(const egg_rwkv7 *model);
uint64_t egg_rwkv7_bytes(const egg_rwkv7 *model, const egg_kernels *kernels);   /* of the weights in memory */
uint64_t egg_rwkv7_device_bytes(const egg_rwkv7 *model, const egg_kernels *kernels);   /* of them on a device */
size_t egg_rwkv7_state_floats(const egg_rwkv7 *model);   /* of one sequence; all zeros at its start */

typedef struct egg_rwkv7_batch {
    const uint32_t *tokens;                /* (rows) below the vocabulary */
    const uint32_t *first;                 /* (sequences + 1) rows of sequence s: first[s] ... first[s + 1] - 1 */
    egg_states state;                      /* each (state_floats), left at the sequence's last row */
    uint32_t sequences;
    const uint32_t *wanted;                /* (wanted_count) rows whose logits are asked for */
    uint32_t wanted_count;
} egg_rwkv7_batch;

/*
 * logits (wanted_count, vocabulary). The pass is one of egg_pass_begin_rows over all rows of the batch; with a bank,
 * rows of a sequence have one member.
 */
void egg_rwkv7_forward(egg_pass *pass, const egg_rwkv7 *model, const egg_rwkv7_batch *batch, float *logits);

/* loss[i] = -log of the probability that the softmax of logits[i] gives target[i]; logits (count, vocabulary). */
void egg_rwkv7_log_loss(const egg_rwkv7 *model, const egg_kernels *kernels, const float *logits, const uint32_t *target,
                        uint32_t count, float *loss);

/* Scratch that forward needs at most, without the logits. */
size_t egg_rwkv7_scratch_bytes(const egg_rwkv7_shape *shape, uint32_t rows, uint32_t wanted, uint32_t rank);

#endif
