/* SPDX-License-Identifier: MIT */
/*
 * The kernel table: one slot per operation and element type. A kernel is a pure loop: no allocation, no threads, no
 * globals, no knowledge of models. Every slot holds the plain C reference (kernels_ref.c, the definition of right)
 * until a faster level overwrites it; int8 kernels of all levels agree bit for bit.
 *
 * Words: a *row* is one activation vector. Rows of one population member are contiguous, 'steps' rows each; member m
 * owns rows m*steps ... m*steps + steps - 1 and belongs to antithetic pair m / 2, with sign s = +1 for even m and -1
 * for odd m. Members and pairs count from 0 within a call. Paper letters: weights W (out, in), inputs X, outputs Y,
 * factors A (out) and B (in) of rank r.
 *
 * float32 kernels also take rows in any order and number, so that a finished episode or text can leave the batch:
 * where 'member' is not NULL, member[b] is the member m of row b; a member may have no row. int8 kernels take no tags.
 *
 * int8 values lie in [-127, 127]; I8(x) clips to that range; >> and "floor" round toward minus infinity. Every length
 * of a row (in, out, n, vocabulary) is a multiple of EGG_ROW_QUANTUM; factors and weights are 64-byte aligned, other
 * pointers and strides carry no assumption unless stated, but for kernels of a device, whose rows are 16-byte aligned.
 * Strides count elements. No kernel reads or writes outside
 * the rows given.
 */
#ifndef EGG_KERNELS_KERNELS_H
#define EGG_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/device.h"
#include "kernels/rwkv7.h"
#include "kernels/sample.h"
#include "random/noise.h"

enum { EGG_ROW_QUANTUM = 16 };

static inline uint32_t egg_row_member(const uint32_t *member, uint32_t row, uint32_t steps)
{
    return member ? member[row] : row / steps;
}

/* ---------------------------------------------------------------------------------------------------------- noise */

/*
 * out[p][i] = element first + i of the stream at {at.epoch, at.param, at.side, at.pair + p},   0 <= i < n
 *
 *   out (pairs, n; out_stride)      first and n are multiples of the block (16 for int8, 4 for float32)
 */
typedef struct egg_noise_args {
    egg_key key;
    egg_noise_at at;
    uint64_t first;
    size_t n;
    uint32_t pairs;
    void *out;
    size_t out_stride;
} egg_noise_args;

typedef void egg_noise_fn(const egg_noise_args *args);

/* ----------------------------------------------------------------------------------- the perturbed matrix product */

/* How float32 weights are held in memory; kernels/weights.h has the conversions. */
typedef enum egg_storage {
    EGG_STORAGE_F32,
    EGG_STORAGE_BF16,
    EGG_STORAGE_Q8         /* int8 with a float32 scale for each output */
} egg_storage;

/*
 * Weights in the order that the level's product reads them. 'packed' is 64-byte aligned and holds packed_bytes().
 *
 * float32, bf16 and q8 all take W in float32. Their rows from a multiple of EGG_ROW_QUANTUM on lie together, behind
 * packed_bytes() of those before, so that a matrix can be packed in parts.
 */
typedef size_t egg_packed_bytes_fn(uint32_t out, uint32_t in);
typedef void egg_pack_fn(const void *W, uint32_t out, uint32_t in, void *packed);

/*
 * shrink:  int8     t[b,k] = (s(b) * scale * sum_i X[b,i] * B[p(b),k,i]) >> 8       scale = round(256 / sqrt(r))
 *          float32  t[b,k] =  s(b) * c     * sum_i X[b,i] * B[p(b),k,i]             c = sigma / sqrt(r)
 *
 *   X (rows, in; x_stride)   B (pairs, r, in)   t (rows, r): int32 or float
 *
 * int8: in * 127 * EGG_NORMAL_I8_MAX * scale need not fit 32 bits, t does.
 */
typedef struct egg_shrink_args {
    const void *X;
    size_t x_stride;
    const void *B;
    void *t;
    const uint32_t *member;
    uint32_t rows, steps, in, rank;
    int32_t scale;
    float c;
} egg_shrink_args;

typedef void egg_shrink_fn(const egg_shrink_args *args);

/*
 * linear:  int8     Y[b,o] = I8( ( sum_i X[b,i] * W[o,i]  +  ((sum_k t[b,k] * A[p(b),k,o]) >> noise_shift) ) >> shift )
 *          float32  Y[b,o] =       sum_i X[b,i] * W[o,i]  +    sum_k t[b,k] * A[p(b),k,o]  +  bias[m(b),o]
 *
 *   X (rows, in; x_stride)   W packed   t (rows, r)   Y (rows, out; y_stride)
 *   A (pairs, r, out) or NULL: no second term
 *   bias, float32 only: (members, out; bias_stride, 0 where all members share one), or NULL: none
 *
 * bf16, q8: as float32, with W as it is held: the sum over i runs over its values, in q8 over q, and is then multiplied
 * by the scale of o. So on the processor bf16 gives the same bits as float32 does with the same values; a device may
 * add in another order. 'bf16_activations', with these two and only on a device or by the reference: X[b,i] is rounded
 * to bf16, too.
 *
 * int8: |sum_k t*A| < 2^31 (egg_law_check sees to it); 4 <= shift <= 15; 4 <= noise_shift <= 15. Y must not overlap X.
 */
typedef struct egg_linear_args {
    const void *X;
    size_t x_stride;
    const void *W;
    const void *A;
    const void *t;
    const float *bias;
    size_t bias_stride;
    void *Y;
    size_t y_stride;
    const uint32_t *member;
    uint32_t rows, steps, out, in, rank;
    uint32_t shift, noise_shift;
    bool bf16_activations;
} egg_linear_args;

typedef void egg_linear_fn(const egg_linear_args *args);

/*
 * perturbed (int8):  shrink and then linear, which take the same X and t. Nobody looks at t afterwards, so it may be
 * left unwritten.
 */
typedef void egg_perturbed_fn(const egg_shrink_args *shrink, const egg_linear_args *linear);

/*
 * dense (float32):  Y[b,o] += s(b) * c * sum_i X[b,i] * E[p(b),o,i]           full-rank noise: OpenES, which we compare
 * with
 *
 *   X (rows, in; x_stride)   E (pairs, out, in)   Y (rows, out; y_stride)     c = sigma
 */
typedef struct egg_dense_args {
    const float *X;
    size_t x_stride;
    const float *E;
    float *Y;
    size_t y_stride;
    const uint32_t *member;
    uint32_t rows, steps, out, in;
    float c;
} egg_dense_args;

typedef void egg_dense_fn(const egg_dense_args *args);

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

/*
 * embed (int8):  Y[b,i] = I8( W[v,i] + ((s(b) * scale * sum_k A[p(b),k,v] * B[p(b),k,i]) >> (8 + noise_shift)) )
 *                                                                                                     v = tokens[b]
 *
 *   W (vocabulary, n), not packed   tokens (rows)   A (pairs, r, vocabulary) or NULL   B (pairs, r, n)   Y (rows, n)
 */
typedef struct egg_embed_args {
    const int8_t *W;
    const uint8_t *tokens;
    const int8_t *A, *B;
    int8_t *Y;
    uint32_t rows, steps, vocabulary, n, rank;
    int32_t scale;
    uint32_t noise_shift;
} egg_embed_args;

typedef void egg_embed_fn(const egg_embed_args *args);

/*
 * lookup (float32):  Y[b,i] = w[v,i] + s(b) * c * sum_k A[p(b),k,v] * B[p(b),k,i]                     v = tokens[b]
 *          dense:    Y[b,i] = w[v,i] + s(b) * c * A[p(b),v,i]
 *
 *   w: the values of 'table' (vocabulary, n), not packed: a row is floats, or bf16, or in q8 its scale and then int8
 *   tokens (rows)   A (pairs, r, vocabulary) or NULL: w alone   B (pairs, r, n)   Y (rows, n; y_stride)
 *   dense, B NULL: A (pairs, vocabulary, n)
 */
typedef struct egg_lookup_args {
    const void *table;
    egg_storage storage;
    const uint32_t *tokens;
    const float *A, *B;
    float *Y;
    size_t y_stride;
    const uint32_t *member;
    uint32_t rows, steps, vocabulary, n, rank;
    float c;
} egg_lookup_args;

typedef void egg_lookup_fn(const egg_lookup_args *args);

static inline size_t egg_table_row_bytes(egg_storage storage, uint32_t n)
{
    switch (storage) {
    case EGG_STORAGE_BF16: return n * sizeof(uint16_t);
    case EGG_STORAGE_Q8: return sizeof(float) + n;
    case EGG_STORAGE_F32: break;
    }
    return n * sizeof(float);
}

/* gather:  Y[i] = X[row[i]], rows of n 32-bit words;  X (any number, n; x_stride)   Y (rows, n) */
typedef struct egg_gather_args {
    const uint32_t *X;
    size_t x_stride;
    const uint32_t *row;
    uint32_t *Y;
    uint32_t rows, n;
} egg_gather_args;

typedef void egg_gather_fn(const egg_gather_args *args);

/*
 * perturb_vector, elementwise:
 *   int8     out[2p + j] = I8( w + (((j ? -1 : 1) * scale * sum_k A[p,k] * B[p,k]) >> (8 + noise_shift)) )
 *   float32  out[2p + j] = w + (j ? -1 : 1) * c * A[p]              dense normal noise, c = sigma; no B, no rank
 *
 *   w (n)   A, B (pairs, r, n), float32: A (pairs, n; a_stride), which may be the second rows of the pairs in 'out'
 *   out (2 * pairs, n)
 */
typedef struct egg_perturb_vector_args {
    const void *w;
    const void *A, *B;
    size_t a_stride;
    void *out;
    uint32_t pairs, n, rank;
    int32_t scale;
    float c;
    uint32_t noise_shift;
} egg_perturb_vector_args;

typedef void egg_perturb_vector_fn(const egg_perturb_vector_args *args);

/* ---------------------------------------------------------------------------------------------------- elementwise */

/*
 * layer_norm:  int8     Y[b,i] = I8( floor( X[b,i] * w[i] / mav ) )   mav = max(1, floor( sum_i |X[b,i]| / n ))
 *              float32  Y[b,i] = (X[b,i] - mean) / sqrt(variance + epsilon) * w[i] + bias[i]     variance divides by n
 *
 *   X, Y (rows, n; strides), may be the same   w (members, n; w_stride, 0 where all members share one)
 *   float32 only: w may be NULL: ones; bias likewise as w, or NULL: none; 'relu': negative results become 0
 */
typedef struct egg_layer_norm_args {
    const void *X;
    size_t x_stride;
    const void *w;
    size_t w_stride;
    const float *bias;
    size_t bias_stride;
    void *Y;
    size_t y_stride;
    const uint32_t *member;
    uint32_t rows, steps, n;
    float epsilon;
    bool relu;
} egg_layer_norm_args;

typedef void egg_layer_norm_fn(const egg_layer_norm_args *args);

/* add:  Y[i] = I8(Y[i] + X[i])  for 0 <= i < n;  float32 without the clip. n is a multiple of EGG_ROW_QUANTUM. */
typedef void egg_add_fn(void *Y, const void *X, size_t n);

/*
 * Activations (float32), in place, for 0 <= i < n:  relu: Y[i] = max(Y[i], 0);  tanh: Y[i] = tanh(Y[i]), within 4 units
 * in the last place. n is a multiple of EGG_ROW_QUANTUM.
 */
typedef void egg_activate_fn(float *Y, size_t n);

/*
 * The two halves of EGG's gated recurrent unit, one row a member (int8 only). 'a' and 'b' are the products of the input
 * and of the state.
 *
 *   gru_gate:   f = I8(a + b + bias);   g = ((f + 127) * state) >> 8                       writes f and g
 *   gru_blend:  h = state + (((f + 127) * (I8(a + b + bias) - state)) >> 8)                reads f, writes state and Y
 *
 *   a, Y (rows, n; a_stride, y_stride)   b, f, g (rows, n)   bias (rows, n; bias_stride, 0 = shared)
 *   state (rows, n; state_stride)
 */
typedef struct egg_gru_args {
    const int8_t *a;
    size_t a_stride;
    const int8_t *b;
    const int8_t *bias;
    size_t bias_stride;
    int8_t *state;
    size_t state_stride;
    int8_t *f;
    int8_t *g;          /* gru_gate */
    int8_t *Y;          /* gru_blend */
    size_t y_stride;
    uint32_t rows, n;
} egg_gru_args;

typedef void egg_gru_fn(const egg_gru_args *args);

/*
 * gru_sequence (int8), optional: NULL where a level has nothing better than the loop over steps t, whose results it has:
 *
 *   forget;  product = state Uf^T + noise;  gru_gate with gate_in;  product = g Uh^T + noise;  gru_blend with blend_in
 *
 *   gate_in, blend_in (members * steps, n; in_stride)   tokens (members * steps)   Uf, Uh (n, n) packed
 *   Uf_A, Uf_B, Uh_A, Uh_B (pairs, r, n), or both of a matrix NULL: no noise   bf, bh (members, n; strides, 0 = shared)
 *   state (members, n; state_stride)   Y (members * steps, n; y_stride), of which nothing else may be a part
 *
 * rank, scale, shift and noise_shift are those of shrink and linear.
 */
typedef struct egg_gru_sequence_args {
    const int8_t *gate_in, *blend_in;
    size_t in_stride;
    const uint8_t *tokens;
    const void *Uf, *Uh;
    const int8_t *Uf_A, *Uf_B, *Uh_A, *Uh_B;
    const int8_t *bf, *bh;
    size_t bf_stride, bh_stride;
    int8_t *state;
    size_t state_stride;
    int8_t *Y;
    size_t y_stride;
    uint32_t members, steps, n, rank;
    int32_t scale;
    uint32_t shift, noise_shift;
} egg_gru_sequence_args;

typedef void egg_gru_sequence_fn(const egg_gru_sequence_args *args);

/* forget (int8):  state[b] = 0 where tokens[b * token_stride] is 0, the separator of documents;  state (rows, n) */
typedef struct egg_forget_args {
    int8_t *state;
    size_t state_stride;
    const uint8_t *tokens;
    size_t token_stride;
    uint32_t rows, n;
} egg_forget_args;

typedef void egg_forget_fn(const egg_forget_args *args);

/* count_saturated (int8):  *count += how many of X[i], 0 <= i < n, are -127 or 127 */
typedef void egg_count_saturated_fn(const int8_t *X, size_t n, uint64_t *count);

/*
 * loss (int8), paper App. H, in sixteenths of a bit, over a vocabulary of 256:
 *
 *   loss[b] = LOG2( sum_k EXP2(y[b,k]) ) - y[b,target[b]]     y = logits + 128     EXP2(i) = trunc(16 * 2^(i/16))
 *                                                             LOG2(v) = trunc(16 * log2(v / 16))
 *
 *   logits (rows, 256; stride)   targets (rows)   loss (rows)
 */
typedef struct egg_loss_args {
    const int8_t *logits;
    size_t stride;
    const uint8_t *targets;
    int32_t *loss;
    uint32_t rows;
} egg_loss_args;

typedef void egg_loss_fn(const egg_loss_args *args);

/* sum_steps:  out[m] = sum of x[m * steps + t] over 0 <= t < steps, for 0 <= m < members */
typedef void egg_sum_steps_fn(const int32_t *x, uint32_t members, uint32_t steps, int32_t *out);

/* --------------------------------------------------------------------------------------------------------- update */

/*
 * weigh:  out[p,i] = (A[p,i] * F[p] + 32) >> 6       A, out (pairs, n), may be the same   F (pairs), |F| <= 127
 * so F = 64 multiplies by one. |out| <= 95.
 */
typedef void egg_weigh_fn(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out);

/*
 * outer:  Z[i,j] += sum_{q < count} A[q,i] * B[q,j]          the fitness-weighted sum of outer products
 *
 *   A (count, m)   B (count, n)   Z (m, n) int32
 *   scratch: EGG_OUTER_SCRATCH(m, n, count) bytes, 64-byte aligned
 *
 * diagonal:  Z[i] += sum_{q < count} A[q,i] * B[q,i]         the same for vectors; A, B (count, n)
 *
 * |A| <= 95, |B| <= EGG_NORMAL_I8_MAX; the true sums fit 32 bits, partial ones may wrap.
 *
 * float32:  weigh:  out[p,i] = A[p,i] * F[p]          outer: as above, Z float, m >= 1 (not a multiple of anything)
 * Each Z[i,j] is one chain of additions in ascending q that does not depend on m, n or its place, so that a matrix cut
 * into rows gives the same bits.
 */
typedef struct egg_outer_args {
    const int8_t *A, *B;
    int32_t *Z;
    uint32_t count, m, n;
    void *scratch;
} egg_outer_args;

#define EGG_OUTER_SCRATCH(m, n, count) ((((size_t)(count) + 63) / 64 * 64) * ((size_t)(m) + (size_t)(n) + 128) * 2)

typedef struct egg_outer_f32_args {
    const float *A, *B;
    float *Z;
    uint32_t count, m, n;
} egg_outer_f32_args;

typedef void egg_outer_fn(const egg_outer_args *args);
typedef void egg_outer_f32_fn(const egg_outer_f32_args *args);
typedef void egg_weigh_f32_fn(const float *A, const float *F, uint32_t pairs, size_t n, float *out);
typedef void egg_diagonal_fn(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z);

/*
 * step_vote:        where |Z| >= threshold:  W = I8(W + (Z > 0 ? 1 : -1))
 * step_fractional:  V = clip(V + ((clip(Z, limit) * rate + 32768) >> 16), 32512);  W = (V + 128) >> 8
 *
 * clip(x, c) keeps -c...c; limit * rate + 32768 < 2^31. Both add to *changed how many W changed.
 */
typedef void egg_step_vote_fn(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed);
typedef void egg_step_fractional_fn(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate, int32_t limit,
                                    uint64_t *changed);

/*
 * gradient (float32):  G[o,i] *= c  where o < used_rows and i < used, else G[o,i] = 0;
 *                      squares[g] = sum of the squares of G's rows g * group_rows ... (g + 1) * group_rows - 1
 *
 *   G (rows, n)   squares (rows / group_rows, rounded up)   scratch (rows): the sums of each row, for a device
 *
 * Squares are exact in double. Those of a row are added up by EGG_SQUARE_LANES lanes, lane l those of every
 * EGG_SQUARE_LANESth column from l on, in ascending order; then the upper half of the lanes is added to the lower half,
 * until one is left. Rows are added in ascending order. So the same bits on all levels.
 */
enum { EGG_SQUARE_LANES = 32 };

typedef struct egg_gradient_args {
    float *G;
    double *squares, *scratch;
    uint32_t rows, n, used_rows, used, group_rows;
    float c;
} egg_gradient_args;

typedef void egg_gradient_fn(const egg_gradient_args *args);

typedef enum egg_optimizer_kind {
    EGG_OPTIMIZER_SGD,        /* W += lr G */
    EGG_OPTIMIZER_MOMENTUM,   /* m = beta1 m + G;  W += lr m */
    EGG_OPTIMIZER_ADAM,       /* Kingma and Ba 2015 */
    EGG_OPTIMIZER_ADAMW       /* the same with decoupled weight decay (Loshchilov and Hutter 2019) */
} egg_optimizer_kind;

/*
 * optimize (float32):  W *= decay;   with g = scale G:   SGD and momentum as above, with g for G
 *                      Adam, AdamW:  m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
 *                                    W += lr m / (correction sqrt(v) + epsilon)
 *
 *   G, W, m, v (n)     'lr' and 'correction' hold Adam's bias corrections: lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
 *
 * Every operation is rounded, in the order written: the same bits on all levels.
 */
typedef struct egg_optimize_args {
    egg_optimizer_kind kind;
    const float *G;
    float *W, *m, *v;         /* m, v: NULL where the kind has none */
    size_t n;
    float lr, scale, decay, beta1, beta2, epsilon, correction;
} egg_optimize_args;

typedef void egg_optimize_fn(const egg_optimize_args *args);

/*
 * peak:  'rounds' rounds of the multiply-adds that the level's product is made of, on registers alone; returns how many
 * multiply-adds that was. What benchmarks measure the products against.
 */
typedef uint64_t egg_peak_fn(uint64_t rounds);

/* ------------------------------------------------------------------------------------------------------ the table */

typedef struct egg_kernels {
    const char *level;              /* name of the strongest level in use */
    const egg_device *device;       /* NULL: pointers are the host's */

    egg_noise_fn *noise_i8, *noise_f32;
    egg_packed_bytes_fn *packed_bytes_i8, *packed_bytes_f32, *packed_bytes_bf16, *packed_bytes_q8;
    egg_pack_fn *pack_i8, *pack_f32, *pack_bf16, *pack_q8;
    egg_shrink_fn *shrink_i8, *shrink_f32;
    egg_linear_fn *linear_i8, *linear_f32, *linear_bf16, *linear_q8;
    egg_perturbed_fn *perturbed_i8;         /* may be NULL: one after the other */
    egg_dense_fn *dense_f32;
    egg_embed_fn *embed_i8;
    egg_lookup_fn *lookup_f32;
    egg_gather_fn *gather;
    egg_sample_fn *sample_f32;
    egg_perturb_vector_fn *perturb_vector_i8, *perturb_vector_f32;
    egg_layer_norm_fn *layer_norm_i8, *layer_norm_f32;
    egg_add_fn *add_i8, *add_f32;
    egg_activate_fn *relu_f32, *tanh_f32;
    egg_gru_fn *gru_gate_i8, *gru_blend_i8;
    egg_gru_sequence_fn *gru_sequence_i8;   /* may be NULL */
    egg_forget_fn *forget_i8;
    egg_count_saturated_fn *count_saturated_i8;
    egg_loss_fn *loss_i8;
    egg_sum_steps_fn *sum_steps_i32;
    egg_weigh_fn *weigh_i8;
    egg_weigh_f32_fn *weigh_f32;
    egg_outer_fn *outer_i8;
    egg_outer_f32_fn *outer_f32;
    egg_diagonal_fn *diagonal_i8;
    egg_step_vote_fn *step_vote_i8;
    egg_step_fractional_fn *step_fractional_i8;
    egg_gradient_fn *gradient_f32;
    egg_optimize_fn *optimize_f32;
    egg_peak_fn *peak_i8, *peak_f32;
    egg_peak_fn *peak_bf16;                 /* of bf16 and q8 on a device; NULL where they are made of peak_f32's */
    egg_rwkv7_kernels rwkv7;
} egg_kernels;

/* 'levels': egg_cpu_level bits; 0 gives the reference. */
void egg_kernels_init(egg_kernels *kernels, uint32_t levels);

/* One a level; each overwrites the slots that it has. Callers go through egg_kernels_init. */
void egg_kernels_ref(egg_kernels *kernels);
void egg_kernels_avx2(egg_kernels *kernels);
void egg_kernels_avx512vnni(egg_kernels *kernels);
void egg_kernels_neon(egg_kernels *kernels);

#endif
