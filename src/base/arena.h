/* SPDX-License-Identifier: MIT */
/* Scratch memory of one thread: taken front to back, given back to a mark. Nothing in it outlives its mark. */
#ifndef EGG_BASE_ARENA_H
#define EGG_BASE_ARENA_H

#include <stddef.h>

#include "base/status.h"

typedef struct egg_arena {
    char *data;
    size_t size, used, peak;
} egg_arena;

typedef size_t egg_mark;

egg_status egg_arena_open(egg_arena *arena, size_t bytes, egg_error *error);
void egg_arena_close(egg_arena *arena);

/* 64-byte aligned, not cleared; NULL when the arena is exhausted. */
void *egg_arena_take(egg_arena *arena, size_t bytes);

egg_mark egg_arena_mark(const egg_arena *arena);
void egg_arena_release(egg_arena *arena, egg_mark mark);   /* poisons the rest under AddressSanitizer */

#endif
