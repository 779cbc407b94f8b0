/* SPDX-License-Identifier: MIT */
/*
 * The law of an epoch's perturbations: what turns (parameter, pair) into a low-rank E = (1/sqrt(r)) A B^T times sigma.
 */
#ifndef EGG_ES_PERTURB_H
#define EGG_ES_PERTURB_H

#include "es/param.h"

typedef struct egg_perturb {
    egg_key key;
    uint32_t epoch;        /* of the noise: several epochs of training may share one */
    uint32_t rank;
    uint32_t noise_shift;  /* int8: 4 + sigma_shift; A and B each carry a factor of 16, weights one: 16*16/16 = 2^4 */
    int32_t scale;         /* int8: round(256 / sqrt(rank)) */
    float c;               /* float32: sigma / sqrt(rank) */
    float sigma;           /* float32: of a vector's dense noise, and of everything's where 'dense' */
    bool dense;            /* float32: full-rank noise for matrices too (OpenES); then rank is 1 and c is sigma */
} egg_perturb;

/* The integer law with sigma = 2^-sigma_shift in units of the weights, where 16 is 1.0 (paper App. G). */
egg_perturb egg_perturb_i8(uint64_t seed, uint32_t noise_epoch, uint32_t rank, uint32_t sigma_shift);
egg_perturb egg_perturb_f32(uint64_t seed, uint32_t noise_epoch, uint32_t rank, float sigma);
egg_perturb egg_perturb_dense(uint64_t seed, uint32_t noise_epoch, float sigma);

/*
 * Refuses a rank for which a perturbation of an int8 product over 'in' inputs could leave 32 bits (docs/math.md):
 * in * 127 * 48 * 48 * rank * scale / 256 + rank * 48 must stay below 2^31.
 */
egg_status egg_perturb_check_i8(const egg_perturb *law, uint32_t in, egg_error *error);

/*
 * Draws elements [first, first + n) of each of the 'rank' components of one factor of 'pairs' pairs from 'first_pair':
 * out (pairs, rank, n). 'first' and 'n' are multiples of EGG_ROW_QUANTUM.
 */
void egg_perturb_draw(const egg_perturb *law, const egg_kernels *kernels, const egg_param *param, egg_side side,
                      uint32_t first_pair, uint32_t pairs, uint32_t first, uint32_t n, void *out);

/*
 * float32: draws elements [first, first + n) of dense N(0,1) noise in the shape of the parameter, side A of its
 * address: out (pairs, n; stride). What perturbs vectors, and matrices under a dense law.
 */
void egg_perturb_draw_dense(const egg_perturb *law, const egg_kernels *kernels, const egg_param *param,
                            uint32_t first_pair, uint32_t pairs, uint64_t first, size_t n, float *out, size_t stride);

/* Whether a float32 parameter's noise is dense under this law. */
static inline bool egg_perturb_is_dense(const egg_perturb *law, const egg_param *param)
{
    return param->dtype == EGG_F32 && (law->dense || param->kind == EGG_PARAM_VECTOR);
}

#endif
