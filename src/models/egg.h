/* SPDX-License-Identifier: MIT */
/*
 * EGG: the int8 recurrent byte-level language model of the paper (section 6.1, App. G). No activation functions, no
 * floating point, integers throughout:
 *
 *   y = embedding[token]
 *   each layer:   y <- I8(y + GRU(LN1(y), state));   y <- I8(y + W2 (W1 LN2(y)))
 *   logits = head LN_out(y)
 *
 * Parameters: 513 D + L (4 D + 12 D^2).
 */
#ifndef EGG_MODELS_EGG_H
#define EGG_MODELS_EGG_H

#include "models/model.h"

/* Initial standard deviations in units where 16 is 1.0. */
typedef struct egg_egg_init {
    uint64_t seed;
    double matrix, head, embedding;
} egg_egg_init;

/* Widths whose shifts are integers: powers of two, 16 ... 1024 (docs/math.md says which are the paper's exactly). */
egg_status egg_egg_check_shape(egg_shape shape, egg_error *error);

/*
 * A model of zeros; egg_egg_init_weights() or a file fills it. Errors as egg_egg_check_shape, or no memory. With
 * kernels == NULL a model without weights, whose shapes memory can be planned with.
 */
egg_status egg_egg_open(egg_model **model, egg_shape shape, const egg_kernels *kernels, egg_error *error);
void egg_egg_init_weights(egg_model *model, const egg_egg_init *init);

#endif
