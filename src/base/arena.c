/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include "base/compiler.h"
#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define EGG_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EGG_ASAN 1
#endif
#endif

#ifdef EGG_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) __asan_poison_memory_region(at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

egg_status egg_arena_open(egg_arena *arena, size_t bytes, egg_error *error)
{
    *arena = (egg_arena){.data = egg_alloc(bytes), .size = bytes};
    if (!arena->data) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu bytes of scratch", bytes);
    POISON(arena->data, bytes);
    return EGG_OK;
}

void egg_arena_close(egg_arena *arena)
{
    if (arena->data && !arena->foreign) {
        UNPOISON(arena->data, arena->size);
        egg_free(arena->data);
    }
    *arena = (egg_arena){0};
}

egg_arena egg_arena_over(void *memory, size_t bytes)
{
    return (egg_arena){.data = memory, .size = bytes, .foreign = true};
}

void *egg_arena_take(egg_arena *arena, size_t bytes)
{
    size_t rounded = (bytes + EGG_CACHE_LINE - 1) & ~(size_t)(EGG_CACHE_LINE - 1);
    if (rounded < bytes || rounded > arena->size - arena->used) return NULL;
    char *memory = arena->data + arena->used;
    arena->used += rounded;
    if (arena->used > arena->peak) arena->peak = arena->used;
    if (!arena->foreign) UNPOISON(memory, bytes);
    return memory;
}

egg_mark egg_arena_mark(const egg_arena *arena)
{
    return arena->used;
}

void egg_arena_release(egg_arena *arena, egg_mark mark)
{
    arena->used = mark;
    if (!arena->foreign) POISON(arena->data + mark, arena->size - mark);
}
