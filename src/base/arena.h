/* SPDX-License-Identifier: MIT */
/* Scratch memory of one thread: taken front to back, given back to a mark. Nothing in it outlives its mark. */
#ifndef EGG_BASE_ARENA_H
#define EGG_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct egg_arena {
    char *data;
    size_t size, used, peak;
    bool foreign;                /* the memory is another's and perhaps not the host's: it is never looked at */
} egg_arena;

typedef size_t egg_mark;

egg_status egg_arena_open(egg_arena *arena, size_t bytes, egg_error *error);
void egg_arena_close(egg_arena *arena);

/* An arena of memory that belongs to the caller, 64-byte aligned. */
egg_arena egg_arena_over(void *memory, size_t bytes);

/* 64-byte aligned, not cleared; NULL when the arena is exhausted. */
void *egg_arena_take(egg_arena *arena, size_t bytes);

egg_mark egg_arena_mark(const egg_arena *arena);
void egg_arena_release(egg_arena *arena, egg_mark mark);   /* poisons the rest under AddressSanitizer */

#endif
