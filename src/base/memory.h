/* SPDX-License-Identifier: MIT */
/* Every block of memory the library owns comes from here: aligned, zeroed, counted. */
#ifndef EGG_BASE_MEMORY_H
#define EGG_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * 'bytes' of zeros, aligned to 64, or NULL. Free with egg_free. Zero bytes give a valid pointer. The zeros are
 * written, so the memory is resident at once: what `eggroll plan` adds up is what the process uses.
 */
void *egg_alloc(size_t bytes);
void *egg_alloc_array(size_t count, size_t bytes_each);   /* NULL also where the product overflows */
void egg_free(void *memory);
char *egg_strdup(const char *text);

/* For tests. */
uint64_t egg_alloc_count(void);                /* calls of egg_alloc since the program began */
void egg_alloc_fail_at(uint64_t nth);          /* the nth call from now fails, once; 0 = never */

#endif
