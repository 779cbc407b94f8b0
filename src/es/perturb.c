/* SPDX-License-Identifier: MIT */
#include "es/perturb.h"

#include <math.h>

/* round(256 / sqrt(rank)) in integers: the largest s with (2s - 1)^2 * rank <= 512^2. */
static int32_t rank_scale(uint32_t rank)
{
    int32_t scale = 0;
    while ((uint64_t)(2 * scale + 1) * (uint64_t)(2 * scale + 1) * rank <= 512 * 512) scale++;
    return scale;
}

egg_perturb egg_perturb_i8(uint64_t seed, uint32_t noise_epoch, uint32_t rank, uint32_t sigma_shift)
{
    return (egg_perturb){
        .key = egg_key_make(seed, EGG_DOMAIN_PERTURBATION),
        .epoch = noise_epoch,
        .rank = rank,
        .noise_shift = 4 + sigma_shift,
        .scale = rank_scale(rank),
    };
}

egg_perturb egg_perturb_f32(uint64_t seed, uint32_t noise_epoch, uint32_t rank, float sigma)
{
    return (egg_perturb){
        .key = egg_key_make(seed, EGG_DOMAIN_PERTURBATION),
        .epoch = noise_epoch,
        .rank = rank,
        .c = sigma / sqrtf((float)rank),
        .sigma = sigma,
    };
}

egg_perturb egg_perturb_dense(uint64_t seed, uint32_t noise_epoch, float sigma)
{
    egg_perturb law = egg_perturb_f32(seed, noise_epoch, 1, sigma);
    law.dense = true;
    return law;
}

egg_status egg_perturb_check_i8(const egg_perturb *law, uint32_t in, egg_error *error)
{
    uint64_t shrunk = ((uint64_t)in * 127 * EGG_NORMAL_I8_MAX * (uint64_t)law->scale >> 8) + 1;
    if (shrunk * EGG_NORMAL_I8_MAX * law->rank < INT32_MAX) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT,
                    "--rank: %u is too large for products over %u inputs, whose perturbation must fit 32 bits",
                    law->rank,
                    in);
}

void egg_perturb_draw(const egg_perturb *law, const egg_kernels *kernels, const egg_param *param, egg_side side,
                      uint32_t first_pair, uint32_t pairs, uint32_t first, uint32_t n, void *out)
{
    uint32_t length = egg_param_factor_length(param, side);
    size_t element = egg_dtype_bytes(param->dtype);
    egg_noise_args args = {
        .key = law->key,
        .at = {.epoch = law->epoch, .param = param->id, .side = side, .pair = first_pair},
        .pairs = pairs,
        .out_stride = (size_t)law->rank * n,
    };
    egg_noise_fn *noise = param->dtype == EGG_I8 ? kernels->noise_i8 : kernels->noise_f32;
    if (n == length) {   /* the components lie one behind the other in the stream as in 'out' */
        args.n = (size_t)law->rank * n;
        args.out = out;
        noise(&args);
        return;
    }
    for (uint32_t k = 0; k < law->rank; k++) {
        args.first = (uint64_t)k * length + first;
        args.n = n;
        args.out = (char *)out + (size_t)k * n * element;
        noise(&args);
    }
}

void egg_perturb_draw_dense(const egg_perturb *law, const egg_kernels *kernels, const egg_param *param,
                            uint32_t first_pair, uint32_t pairs, uint64_t first, size_t n, float *out, size_t stride)
{
    kernels->noise_f32(&(egg_noise_args){
        .key = law->key,
        .at = {.epoch = law->epoch, .param = param->id, .side = EGG_A, .pair = first_pair},
        .first = first,
        .n = n,
        .pairs = pairs,
        .out = out,
        .out_stride = stride,
    });
}
