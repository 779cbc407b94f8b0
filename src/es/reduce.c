/* SPDX-License-Identifier: MIT */
#include "es/reduce.h"

#include <string.h>

enum { MOST_COUNTS = 4 };

egg_status egg_reduce_sum(egg_comm *comm, egg_exact_sum *sum, int64_t *counts, uint32_t count, egg_error *error)
{
    int64_t values[EGG_EXACT_LIMBS + MOST_COUNTS];
    if (!comm) return EGG_OK;
    egg_exact_settle(sum);
    memcpy(values, sum->limb, sizeof sum->limb);
    for (uint32_t i = 0; i < count; i++) values[EGG_EXACT_LIMBS + i] = counts[i];
    egg_status status = egg_comm_sum(comm, values, EGG_EXACT_LIMBS + count, error);
    if (status != EGG_OK) return status;
    memcpy(sum->limb, values, sizeof sum->limb);
    for (uint32_t i = 0; i < count; i++) counts[i] = values[EGG_EXACT_LIMBS + i];
    return EGG_OK;
}

egg_status egg_reduce_ranges(egg_comm *comm, egg_range *ranges, uint32_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    if (comm) {
        for (uint32_t i = 0; i < count; i++) ranges[i].low = -ranges[i].low;
        status = egg_comm_max(comm, &ranges->low, 2 * count, error);   /* its members lie there one behind the other */
        for (uint32_t i = 0; i < count; i++) ranges[i].low = -ranges[i].low;
    }
    for (uint32_t i = 0; i < count; i++) {
        ranges[i].low += 0.0;   /* -0 + 0 = 0 */
        ranges[i].high += 0.0;
    }
    return status;
}
