/* SPDX-License-Identifier: MIT */
/* A parameter: a named tensor, how evolution perturbs it, and what the update keeps beside it. */
#ifndef EGG_ES_PARAM_H
#define EGG_ES_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "es/device_memory.h"
#include "kernels/kernels.h"

typedef enum egg_param_kind {
    EGG_PARAM_MATRIX,      /* low-rank perturbation; used through the shared product */
    EGG_PARAM_EMBEDDING,   /* low-rank perturbation; rows are looked up */
    EGG_PARAM_VECTOR       /* int8: product of two factors, an element has the law of a matrix entry; float32: normal */
} egg_param_kind;

typedef enum egg_dtype { EGG_I8, EGG_F32 } egg_dtype;

/* Of the products with float32 matrices; egg_param says what either means. */
typedef struct egg_precision {
    egg_storage weights;
    bool bf16_activations;
} egg_precision;

enum { EGG_PARAM_NAME_BYTES = 48 };

/*
 * Where the kernels of a device find the weights and the moments: beside the host's, which are still as they were while
 * the kernels' are ahead. Moments are of the same rows, unless the host has more for a while (train/ranks.h); then
 * neither is ahead.
 */
typedef struct egg_mirror {
    void *data;
    int16_t *fraction;
    float *moment[2];
    bool ahead;            /* weights and fractions */
    bool moments_ahead;
} egg_mirror;

typedef struct egg_param {
    char name[EGG_PARAM_NAME_BYTES];
    uint32_t id;           /* position in the model: part of the noise's address */
    egg_param_kind kind;
    bool frozen;           /* neither perturbed nor updated */
    egg_dtype dtype;
    egg_storage storage;   /* float32: how 'packed' holds the weights */
    bool bf16_activations; /* a device's product with 'packed', bf16 or q8, rounds what it multiplies by to bf16 */
    bool packed_only;      /* nothing changes the weights: no 'data' where there is 'packed' */
    uint32_t out, in;      /* a vector of n elements: out = 1, in = n */
    uint32_t used_out, used_in;   /* float32: what of (out, in) is meant; the rest pads to EGG_ROW_QUANTUM, stays 0 */
    const egg_device *device;   /* where the kernels work; NULL: in the host's memory, and there is no mirror */
    egg_mirror *mirror;
    void *data;            /* (out, in) int8 or float32, the host's; by the model, the update */
    int16_t *fraction;     /* (out, in) the same weights in 1/256 of an int8 step, or NULL; by the update */
    float *moment[2];      /* (kept_rows, in) what the optimizer keeps of a float parameter, or NULL; by the update */
    float *gradient;       /* (kept_rows, in) where the optimizer clips, or NULL; where the kernels work; by the update */
    uint32_t kept_first, kept_rows;   /* the rows that have these: all, unless ranks share out the update */
    void *packed;          /* matrices: the weights in the order of the kernel table's product, where its kernels
                              work; embeddings that are packed_only and not float32: their rows. By egg_param_pack or
                              egg_param_store */
} egg_param;

static inline size_t egg_param_elements(const egg_param *param)
{
    return (size_t)param->out * param->in;
}

size_t egg_dtype_bytes(egg_dtype dtype);

/* The device that kernels work on the parameters with, one for all; NULL: in the host's memory. */
static inline const egg_device *egg_params_device(const egg_param *params, uint32_t count)
{
    return count ? params[0].device : NULL;
}

/* Elements of one component of factor A and of factor B. */
static inline uint32_t egg_param_factor_length(const egg_param *param, egg_side side)
{
    return param->kind == EGG_PARAM_VECTOR || side == EGG_B ? param->in : param->out;
}

/* The weights and their fractions where kernels read and write them. */
static inline void *egg_param_kernel_data(const egg_param *param)
{
    return param->mirror ? param->mirror->data : param->data;
}

static inline int16_t *egg_param_kernel_fraction(const egg_param *param)
{
    return param->mirror ? param->mirror->fraction : param->fraction;
}

static inline float *egg_param_kernel_moment(const egg_param *param, uint32_t which)
{
    return param->mirror ? param->mirror->moment[which] : param->moment[which];
}

/*
 * Copies between the two where there is a mirror. fetch: before the host reads or changes weights and moments; does
 * nothing unless kernels have changed them since. send: after the host changed them; does nothing while the kernels'
 * are ahead.
 */
void egg_param_fetch(const egg_param *param);
void egg_param_fetch_weights(const egg_param *param);   /* and fractions, but no moments */
void egg_params_fetch(const egg_param *params, uint32_t count);
void egg_params_send(const egg_param *params, uint32_t count);

/* Makes parameters without memory ones to plan with for these kernels' device. */
void egg_params_plan_for(egg_param *params, uint32_t count, const egg_kernels *kernels);

/* Gives an int8 parameter its fraction, of the weights as they are. */
egg_status egg_param_open_fraction(egg_param *param, egg_error *error);

/*
 * Allocates 'data' (zeros), and 'packed' for a matrix; with kernels == NULL neither: a shape to plan with. float32
 * shapes are padded up to EGG_ROW_QUANTUM, except the one row of a vector; integer models have none to pad.
 */
egg_status egg_param_open(egg_param *param, const egg_kernels *kernels, uint32_t id, egg_param_kind kind,
                          egg_dtype dtype, uint32_t out, uint32_t in, const char *name, egg_error *error);
void egg_param_close(egg_param *param);

/*
 * A float32 parameter whose packed weights are held as 'storage' says. An update needs data: it changes the float32
 * weights and packs them again. Without ('packed_only') egg_param_store fills the parameter. Vectors, and embeddings
 * with data, are float32 in any case. With 'packed_only' 'out' and 'in' are multiples of EGG_ROW_QUANTUM, but for the one
 * row of a vector.
 */
egg_status egg_param_open_stored(egg_param *param, const egg_kernels *kernels, uint32_t id, egg_param_kind kind,
                                 egg_storage storage, bool packed_only, uint32_t out, uint32_t in, const char *name,
                                 egg_error *error);

/* Rows first ... first + rows - 1 from W (rows, in); both are multiples of EGG_ROW_QUANTUM, or all of a vector. */
egg_status egg_param_store(const egg_param *param, const egg_kernels *kernels, uint32_t first, uint32_t rows,
                           const float *W, egg_error *error);

/* The rows of a float32 embedding where kernels look them up, and how they are held. */
const void *egg_param_table(const egg_param *param);
egg_storage egg_param_table_storage(const egg_param *param);

/*
 * Freezes the parameters that 'patterns' names: words with commas between them, each a kind ("matrix", "embedding",
 * "vector") or a name in which * stands for anything. EGG_ERR_ARGUMENT where a word fits none, or nothing is left.
 */
egg_status egg_params_freeze(egg_param *params, uint32_t count, const char *patterns, egg_error *error);

/*
 * A hash of all that decides how the parameters move on: weights, fractions and moments, padding included. Allocates
 * nothing.
 */
egg_hash egg_params_state(const egg_param *params, uint32_t count);

/* The product of the parameter's arithmetic and storage. */
egg_linear_fn *egg_param_linear(const egg_param *param, const egg_kernels *kernels);

/*
 * Bytes of 'data' and 'packed'; of a shape to plan with, those it would have. With a device, those of the host's
 * 'data', and those of the mirror and 'packed' on the device, fractions left out.
 */
uint64_t egg_param_bytes(const egg_param *param, const egg_kernels *kernels);
uint64_t egg_param_device_bytes(const egg_param *param, const egg_kernels *kernels);
egg_memory_bytes egg_params_bytes(const egg_param *params, uint32_t count, const egg_kernels *kernels);   /* of all */

/* Gives up the packed copies, which then are not kept up either: for who updates, but never multiplies. */
void egg_params_unpack(egg_param *params, uint32_t count);

/* To be called after the weights changed where kernels see them. Does nothing where 'packed' is NULL. */
void egg_param_pack(const egg_param *param, const egg_kernels *kernels);

/*
 * Integer models: the product of a row of 'in' inputs with int8 weights, 16 = 1.0, is divided by 16 * sqrt(in) (paper
 * App. G), here by 2^shift. Exact where 'in' is a power of 4; for the other powers of 2 sqrt(in) is rounded up to one.
 */
uint32_t egg_product_shift(uint32_t in);

/*
 * Fills an int8 parameter with round(deviation * n), n normal, from the stream (seed, id): the sum of four int8
 * normals.
 */
void egg_param_init_normal_i8(egg_param *param, uint64_t seed, double deviation);
void egg_param_init_constant_i8(egg_param *param, int8_t value);

/* Fills the used part of a float parameter with deviation * n, n normal, from the stream (seed, id). */
void egg_param_init_normal_f32(egg_param *param, uint64_t seed, float deviation);

/* The used part of a float parameter, (used_out, used_in) without padding, to and from 'values'. */
void egg_param_read_f32(const egg_param *param, float *values);
void egg_param_write_f32(egg_param *param, const float *values);

#endif
