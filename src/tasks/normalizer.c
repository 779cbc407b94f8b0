/* SPDX-License-Identifier: MIT */
#include "tasks/normalizer.h"

#include <math.h>

#include "base/memory.h"

static const float cut = 10;

egg_status egg_normalizer_open(egg_normalizer *normalizer, uint32_t n, egg_error *error)
{
    *normalizer = (egg_normalizer){
        .n = n,
        .mean = egg_alloc_array(n, sizeof(double)),
        .squares = egg_alloc_array(n, sizeof(double)),
        .shift = egg_alloc_array(n, sizeof(float)),
        .scale = egg_alloc_array(n, sizeof(float)),
    };
    if (!normalizer->mean || !normalizer->squares || !normalizer->shift || !normalizer->scale) {
        egg_normalizer_close(normalizer);
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the statistics of %u observations", n);
    }
    egg_normalizer_refresh(normalizer, false);
    return EGG_OK;
}

void egg_normalizer_close(egg_normalizer *normalizer)
{
    egg_free(normalizer->mean);
    egg_free(normalizer->squares);
    egg_free(normalizer->shift);
    egg_free(normalizer->scale);
    *normalizer = (egg_normalizer){0};
}

void egg_normalizer_add(egg_normalizer *normalizer, double count, const double *sums, const double *squares)
{
    if (count <= 0) return;
    double total = normalizer->count + count;
    for (uint32_t i = 0; i < normalizer->n; i++) {   /* Chan's way to join two sets of statistics */
        double mean = sums[i] / count, delta = mean - normalizer->mean[i];
        double within = squares[i] - sums[i] * mean;
        normalizer->squares[i] += (within > 0 ? within : 0) + delta * delta * normalizer->count * count / total;
        normalizer->mean[i] += delta * count / total;
    }
    normalizer->count = total;
}

void egg_normalizer_refresh(egg_normalizer *normalizer, bool on)
{
    const double least = 1e-4;   /* of a deviation: an observation that never changes must not explode when it does */
    for (uint32_t i = 0; i < normalizer->n; i++) {
        bool known = on && normalizer->count > 1;
        double deviation = known ? sqrt(normalizer->squares[i] / normalizer->count) : 1;
        normalizer->shift[i] = known ? (float)normalizer->mean[i] : 0;
        normalizer->scale[i] = deviation > least ? (float)(1 / deviation) : 1;
    }
}

void egg_normalizer_apply(const egg_normalizer *normalizer, const float *in, float *out)
{
    for (uint32_t i = 0; i < normalizer->n; i++) {
        float x = (in[i] - normalizer->shift[i]) * normalizer->scale[i];
        out[i] = x > cut ? cut : x < -cut ? -cut : x;
    }
}
