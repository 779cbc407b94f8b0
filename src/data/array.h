/* SPDX-License-Identifier: MIT */
/* Arrays that grow while files are read. */
#ifndef EGG_DATA_ARRAY_H
#define EGG_DATA_ARRAY_H

#include <string.h>

#include "base/memory.h"

/*
 * Room for one more element behind the 'count' there are: returns 'array' itself, or a copy of twice the capacity whose
 * new part is zero, and frees 'array'. NULL without memory; 'array' then stands as it was.
 */
static inline void *egg_array_grow(void *array, size_t count, size_t *capacity, size_t bytes_each)
{
    if (count < *capacity) return array;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = egg_alloc_array(wanted, bytes_each);
    if (!grown) return NULL;
    if (count) memcpy(grown, array, count * bytes_each);
    egg_free(array);
    *capacity = wanted;
    return grown;
}

#endif
