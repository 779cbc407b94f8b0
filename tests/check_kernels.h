/* SPDX-License-Identifier: MIT */
/* Shared by the two halves of check_kernels: random operands and the levels of this machine. No third-party library. */
#ifndef EGG_TESTS_CHECK_KERNELS_H
#define EGG_TESTS_CHECK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* The kernel tables under comparison: the reference, and for each level the reference with that level over it. */
typedef struct level_set {
    egg_kernels ref;
    egg_kernels level[3];
    uint32_t count;
} level_set;

uint64_t random_u64(void);
uint32_t random_below(uint32_t bound);

/*
 * 'bytes' of memory at 'misalign' bytes past a 64-byte boundary, ending where the allocation ends, so that a sanitizer
 * sees the first byte read too far. Lives until release_all.
 */
void *take(size_t bytes, size_t misalign);
void release_all(void);

/* What an operand is made of: worst cases find overflow, random ones everything else. */
typedef enum pattern { RANDOM, ALL_HIGH, ALL_LOW, ALTERNATING, ZERO, SPARSE, PATTERNS } pattern;

/* n int8 values in [-limit, limit]; n floats in (-1, 1). */
void fill_i8(int8_t *values, size_t n, int limit, pattern kind);
void fill_f32(float *values, size_t n);

/* Times every slot of every level and prints the table; 'filter' is a part of a slot's name, or NULL. */
void bench_kernels(const level_set *levels, const char *filter);

#endif
