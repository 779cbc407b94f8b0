/* SPDX-License-Identifier: MIT */
/*
 * The perturbed product on tensor cores: activations, weights and factors in bf16, sums in float32. Not a slot of the
 * table, whose float products keep float32 activations; `eggroll bench linear` measures it.
 *
 *   Y[b,o] = sum_i X[b,i] W[o,i] + sum_k t[b,k] A[p,k,o]      t[b,k] = s(b) c sum_i X[b,i] B[p,k,i]      p = b / 2
 *
 * Row b belongs to member b. Factors are stored, or drawn where they are used: those of noise_f32, element k * out + o
 * of the stream of side A and pair p, k * in + i of side B, rounded to bf16. Both ways give the same bits.
 */
#ifndef EGG_KERNELS_CUDA_TENSOR_H
#define EGG_KERNELS_CUDA_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random/noise.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { EGG_TENSOR_MOST_RANK = 2 };   /* so many factors of a tile fit into shared memory beside the product's buffers */

typedef enum egg_tensor_noise {
    EGG_TENSOR_NO_NOISE,
    EGG_TENSOR_STORED,    /* A, B */
    EGG_TENSOR_DRAWN      /* from key, epoch and param */
} egg_tensor_noise;

/* Device pointers, 16-byte aligned, rows without gaps; 'in' and 'out' are multiples of 16. */
typedef struct egg_tensor_args {
    const uint16_t *X, *W;       /* (rows, in), (out, in) */
    uint16_t *Y;                 /* (rows, out) */
    egg_tensor_noise noise;
    const uint16_t *A, *B;       /* (pairs, rank, out), (pairs, rank, in) */
    egg_key key;
    uint32_t epoch, param;
    float *t;                    /* (rows, rank) */
    float c;
    uint32_t rows, out, in, rank;
} egg_tensor_args;

/* Whether a block of the open device can have the shared memory that the product takes. */
bool egg_cuda_tensor_fits(const egg_tensor_args *args);

/*
 * t, and Y from it, in this order and with nothing between, since the product of perturbed rows begins before t is
 * there: X, W, A and B are not to be written by what was put into the stream just before.
 */
void egg_cuda_tensor_shrink(const egg_tensor_args *args);
void egg_cuda_tensor_linear(const egg_tensor_args *args);

/*
 * Full-rank noise, drawn: Y[b,o] += s(b) c sum_i X[b,i] E[p,o,i], where E's element o * in + i is that of the stream of
 * side A and pair p, in float32.
 */
void egg_cuda_tensor_dense(const egg_tensor_args *args);

/*
 * The library of NVIDIA, which is loaded if this machine has it: its name and version, or NULL and '*why' there is
 * none. EGGROLL_CUBLAS may name its file.
 */
const char *egg_cuda_cublas(const char **why);

/* The product without noise by it, where it is there. */
void egg_cuda_cublas_linear(const egg_tensor_args *args);

/* 'to' (n) = 'from' rounded to bf16, n a multiple of 16: what the products take. */
void egg_cuda_tensor_round(const float *from, size_t n, uint16_t *to);

#ifdef __cplusplus
}
#endif

#endif
