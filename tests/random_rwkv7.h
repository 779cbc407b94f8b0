/* SPDX-License-Identifier: MIT */
/* Files of random RWKV-7 models, for tests. */
#ifndef EGG_TESTS_RANDOM_RWKV7_H
#define EGG_TESTS_RANDOM_RWKV7_H

#include "data/safetensors.h"
#include "models/rwkv7.h"

typedef struct random_rwkv7 {
    const char *path;
    egg_rwkv7_shape shape;
    egg_tensor_type type;          /* F32 or BF16 */
    const char *without;           /* leaves this tensor out */
    const char *wrong;             /* this tensor gets one row more */
    const char *integer;           /* this one is of type I8 */
} random_rwkv7;

/* Writes a model whose activations stay of order one; the same one each time. */
void random_rwkv7_write(const random_rwkv7 *model);

#endif
