/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static atomic_uint_fast64_t alloc_count;
static atomic_uint_fast64_t alloc_fail_at;   /* value of alloc_count at which to fail; 0 = never */

void *egg_alloc(size_t bytes)
{
    uint64_t now = atomic_fetch_add(&alloc_count, 1) + 1;
    if (now == atomic_load(&alloc_fail_at)) return NULL;
    if (bytes > SIZE_MAX - 2 * EGG_CACHE_LINE) return NULL;
    size_t rounded = (bytes + EGG_CACHE_LINE) & ~(size_t)(EGG_CACHE_LINE - 1);
    void *memory = aligned_alloc(EGG_CACHE_LINE, rounded);
    if (memory) memset(memory, 0, rounded);
    return memory;
}

void *egg_alloc_array(size_t count, size_t bytes_each)
{
    if (bytes_each && count > SIZE_MAX / bytes_each) return NULL;
    return egg_alloc(count * bytes_each);
}

void egg_free(void *memory)
{
    free(memory);
}

char *egg_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = egg_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

uint64_t egg_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

void egg_alloc_fail_at(uint64_t nth)
{
    atomic_store(&alloc_fail_at, nth ? atomic_load(&alloc_count) + nth : 0);
}
