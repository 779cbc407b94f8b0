/* SPDX-License-Identifier: MIT */
/*
 * A byte-level language model behind one table of functions: what tasks, trainer and commands know of it. Parameters do
 * not change in a forward; what changes is the state.
 */
#ifndef EGG_MODELS_MODEL_H
#define EGG_MODELS_MODEL_H

#include "nn/layers.h"

enum { EGG_VOCABULARY = 256 };

typedef struct egg_model egg_model;

typedef struct egg_shape {
    uint32_t width, layers;
} egg_shape;

typedef struct egg_model_ops {
    const char *architecture;   /* as model files name it */

    /*
     * logits = model(tokens), over all steps of all members, from 'state' on, which is left at the last step.
     *
     *   tokens (members * steps)   state (members, state_bytes)   logits (members * steps, 256)
     */
    void (*forward)(egg_pass *pass, const egg_model *model, const uint8_t *tokens, void *state, egg_mat logits);
} egg_model_ops;

struct egg_model {
    const egg_model_ops *ops;
    egg_shape shape;
    egg_param *params;          /* (param_count), params[i].id == i */
    uint32_t param_count;
    size_t state_bytes;         /* of one member */
    struct egg_rwkv7 *rwkv7;    /* a float language model, and nothing above; else NULL */
    egg_kernels kernels;        /* of one that egg_model_open() gave: what it is packed for; closed with it */
};

void egg_model_free(egg_model *model);     /* NULL is fine */

uint64_t egg_model_parameters(const egg_model *model);

/* Bytes of the weights and their packed copies, in the host's memory and on the kernels' device. */
uint64_t egg_model_bytes(const egg_model *model, const egg_kernels *kernels);
uint64_t egg_model_device_bytes(const egg_model *model, const egg_kernels *kernels);

/* The device that the kernels work on; NULL: in the host's memory. */
static inline const egg_device *egg_model_device(const egg_model *model)
{
    return egg_params_device(model->params, model->param_count);
}

/* Gives every parameter its fraction, of weights as they are: what the fractional update keeps. */
egg_status egg_model_open_fractions(egg_model *model, egg_error *error);

/* After the parameters' data changed. */
void egg_model_pack(const egg_model *model, const egg_kernels *kernels);

/*
 * Scratch that forward needs for 'members' sequences of 'steps' steps under perturbations of 'rank' (0: none), the
 * logits included.
 */
size_t egg_model_scratch_bytes(const egg_model *model, uint32_t members, uint32_t steps, uint32_t rank);

#endif
