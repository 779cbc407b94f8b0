/* SPDX-License-Identifier: MIT */
#include "train/precision.h"

#include <string.h>

enum { ACTIVATIONS_F32, ACTIVATIONS_BF16 };   /* in the order of options.def */

egg_status egg_precision_check(const egg_settings *s, egg_error *error)
{
    if (s->activations == ACTIVATIONS_F32) return EGG_OK;
    if (s->weights != EGG_WEIGHTS_BF16 && s->weights != EGG_WEIGHTS_INT8)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--activations bf16: goes with --weights bf16 or int8");
    if (!*s->device || strcmp(s->device, "cpu") == 0)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--activations bf16: goes with --device cuda, found --device cpu");
    return EGG_OK;
}

egg_precision egg_precision_of(const egg_settings *s)
{
    static const egg_storage storage[] = {
        [EGG_WEIGHTS_AUTO] = EGG_STORAGE_F32,
        [EGG_WEIGHTS_F32] = EGG_STORAGE_F32,
        [EGG_WEIGHTS_BF16] = EGG_STORAGE_BF16,
        [EGG_WEIGHTS_INT8] = EGG_STORAGE_Q8,
    };
    return (egg_precision){.weights = storage[s->weights], .bf16_activations = s->activations == ACTIVATIONS_BF16};
}
