/* SPDX-License-Identifier: MIT */
/* Shared by the parts of check_kernels: random operands and the levels of this machine. No third-party library. */
#ifndef EGG_TESTS_CHECK_KERNELS_H
#define EGG_TESTS_CHECK_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* The tables under comparison: the reference, for each level the reference with that level over it, and a device's. */
typedef struct level_set {
    egg_kernels ref;
    egg_kernels level[4];
    uint32_t count;
} level_set;

uint64_t random_u64(void);
uint32_t random_below(uint32_t bound);
uint32_t one_of(const uint32_t *choices, size_t count);
#define ONE_OF(...) one_of((const uint32_t[]){__VA_ARGS__}, EGG_COUNT(((const uint32_t[]){__VA_ARGS__})))

/* The length of a row. */
uint32_t any_length(void);

/*
 * 'bytes' of memory at 'misalign' bytes past a 64-byte boundary, ending where the allocation ends, so that a sanitizer
 * sees the first byte read too far. Lives until release_all.
 */
void *take(size_t bytes, size_t misalign);
void release_all(void);

/*
 * Where the level is a device's, operands and rows are aligned to 16 bytes, whatever was asked for, and lie where it
 * reaches them; a call is done when finish() has returned, which same() and release_all() call by themselves.
 */
void finish(void);

/* How many random cases are worth their time, of n: fewer where a sanitizer, or an emulator besides, is slow. */
uint32_t rounds(uint32_t n);

/* What lies between two rows: any number of elements below 'below', often none. */
size_t any_gap(uint32_t below, size_t element);

/* What an operand is made of: worst cases find overflow, random ones everything else. */
typedef enum pattern { RANDOM, ALL_HIGH, ALL_LOW, ALTERNATING, ZERO, SPARSE, PATTERNS } pattern;

/* n int8 values in [-limit, limit]; n floats in (-1, 1). */
void fill_i8(int8_t *values, size_t n, int limit, pattern kind);
void fill_f32(float *values, size_t n);

/* An output twice, one for the reference and one for the level, equal before, with canaries at both ends. */
enum { CANARY = 192 };

typedef struct twin {
    void *expected, *actual;
    size_t bytes;
} twin;

twin take_twin(size_t bytes, size_t misalign);
bool same(twin t);   /* canaries and the gaps between rows included */

/* One comparison; of the first bad ones of a slot, 'what' and four numbers are printed. */
void count_case(bool good, const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* The float32 slots; the others are where the table of slots is. */
typedef void slot_check(const egg_kernels *ref, const egg_kernels *level);
slot_check check_shrink_f32, check_linear_f32, check_linear_bf16, check_linear_q8, check_dense_f32, check_lookup_f32;
slot_check check_gather, check_sample_f32;
slot_check check_perturb_vector_f32;
slot_check check_layer_norm_f32, check_add_f32, check_relu_f32, check_tanh_f32, check_weigh_f32, check_outer_f32;
slot_check check_gradient_f32, check_optimize_f32;
slot_check check_rwkv7_shift, check_rwkv7_gate, check_rwkv7_recur, check_rwkv7_finish, check_rwkv7_sigmoid;
slot_check check_rwkv7_relu_squared, check_rwkv7_log_loss;

/* Times every slot of every level and prints the table; 'filter' is a part of a slot's name, or NULL. */
void bench_kernels(const level_set *levels, const char *filter);

#endif
