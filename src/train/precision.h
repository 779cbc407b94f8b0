/* SPDX-License-Identifier: MIT */
/* How float models multiply: options "weights" and "activations". */
#ifndef EGG_TRAIN_PRECISION_H
#define EGG_TRAIN_PRECISION_H

#include "es/param.h"
#include "train/options.h"

/* How the matrices are held that are multiplied with, and an embedding that is only read; in the order of options.def. */
typedef enum egg_weights {
    EGG_WEIGHTS_AUTO,       /* for inference what is BF16 in the file stays so, the rest is float32: no bit is lost */
    EGG_WEIGHTS_F32,
    EGG_WEIGHTS_BF16,
    EGG_WEIGHTS_INT8        /* with a scale for each output channel */
} egg_weights;

/* EGG_ERR_ARGUMENT: rounded activations where no kernel rounds them. */
egg_status egg_precision_check(const egg_settings *settings, egg_error *error);

/* Of a model that is trained: nothing is held as BF16 unless asked for. */
egg_precision egg_precision_of(const egg_settings *settings);

#endif
