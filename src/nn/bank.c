/* SPDX-License-Identifier: MIT */
#include "nn/bank.h"

#include "base/memory.h"
#include "es/device_memory.h"

/* Floats of side A and B of one parameter in one slot. */
static size_t slot_floats(const egg_param *param, uint32_t rank, bool dense, egg_side side)
{
    if (param->frozen) return 0;
    if (param->kind == EGG_PARAM_VECTOR) return side == EGG_A ? 2 * (size_t)param->in : 0;
    if (dense) return side == EGG_A ? egg_param_elements(param) : 0;
    return (size_t)rank * egg_param_factor_length(param, side);
}

egg_memory_bytes egg_bank_bytes(const egg_param *params, uint32_t count, uint32_t slots, uint32_t rank, bool dense)
{
    const uint64_t lists = 2 * count * sizeof(float *);
    uint64_t floats = 0;
    for (uint32_t i = 0; i < count; i++)
        floats += slot_floats(&params[i], rank, dense, EGG_A) + slot_floats(&params[i], rank, dense, EGG_B);
    const uint64_t noise = floats * slots * sizeof(float);
    if (egg_params_device(params, count)) return (egg_memory_bytes){.host = lists, .device = noise};
    return (egg_memory_bytes){.host = lists + noise};
}

static float *open_side(const egg_bank *bank, const egg_param *param, egg_side side)
{
    const size_t floats = bank->slots * slot_floats(param, bank->law.rank, bank->law.dense, side);
    return egg_device_alloc_array(param->device, floats, sizeof(float));
}

egg_status egg_bank_open(egg_bank *bank, const egg_param *params, uint32_t count, uint32_t slots, uint32_t rank,
                         bool dense, egg_error *error)
{
    *bank = (egg_bank){.params = params, .count = count, .slots = slots, .law = {.rank = rank, .dense = dense}};
    bank->A = egg_alloc_array(count, sizeof *bank->A);
    bank->B = egg_alloc_array(count, sizeof *bank->B);
    for (uint32_t i = 0; bank->A && bank->B && i < count; i++) {
        bank->A[i] = open_side(bank, &params[i], EGG_A);
        bank->B[i] = open_side(bank, &params[i], EGG_B);
        if (!bank->A[i] || !bank->B[i]) goto fail;
    }
    if (bank->A && bank->B) return EGG_OK;
fail:
    egg_bank_close(bank);
    return egg_fail(error, EGG_ERR_NOMEM, "no memory for the noise of %u pairs", slots);
}

void egg_bank_close(egg_bank *bank)
{
    for (uint32_t i = 0; bank->A && bank->B && i < bank->count; i++) {
        egg_device_free(bank->params[i].device, bank->A[i]);
        egg_device_free(bank->params[i].device, bank->B[i]);
    }
    egg_free(bank->A);
    egg_free(bank->B);
    *bank = (egg_bank){0};
}

/* A vector is kept as its two members see it, w + sigma n and w - sigma n, so that layers only read. */
static void draw_vector(const egg_bank *bank, const egg_kernels *kernels, const egg_param *param,
                        const egg_bank_run *run)
{
    const size_t n = param->in, stride = 2 * n;
    float *out = bank->A[param - bank->params] + run->slot * stride, *noise = out + n;   /* where perturb_vector may have it */
    if (run->none) egg_device_fill(param->device, out, 0, run->count * stride * sizeof *out);
    else egg_perturb_draw_dense(&bank->law, kernels, param, run->pair, run->count, 0, n, noise, stride);
    kernels->perturb_vector_f32(&(egg_perturb_vector_args){.w = egg_param_kernel_data(param), .A = noise,
                                                           .a_stride = stride, .out = out, .pairs = run->count,
                                                           .n = param->in, .rank = 1, .c = bank->law.sigma});
}

static void draw_matrix(const egg_bank *bank, const egg_kernels *kernels, const egg_param *param,
                        const egg_bank_run *run)
{
    size_t a = slot_floats(param, bank->law.rank, bank->law.dense, EGG_A);
    size_t b = slot_floats(param, bank->law.rank, bank->law.dense, EGG_B);
    float *A = bank->A[param - bank->params] + run->slot * a, *B = bank->B[param - bank->params] + run->slot * b;
    if (run->none) {
        egg_device_fill(param->device, A, 0, run->count * a * sizeof *A);
        egg_device_fill(param->device, B, 0, run->count * b * sizeof *B);
    } else if (bank->law.dense) {
        egg_perturb_draw_dense(&bank->law, kernels, param, run->pair, run->count, 0, a, A, a);
    } else {
        egg_perturb_draw(&bank->law, kernels, param, EGG_A, run->pair, run->count, 0, param->out, A);
        egg_perturb_draw(&bank->law, kernels, param, EGG_B, run->pair, run->count, 0, param->in, B);
    }
}

void egg_bank_flush(egg_bank *bank, const egg_kernels *kernels)
{
    const egg_bank_run run = bank->run;
    for (uint32_t i = 0; run.count && i < bank->count; i++) {
        const egg_param *param = &bank->params[i];
        if (param->frozen) continue;
        if (param->kind == EGG_PARAM_VECTOR) draw_vector(bank, kernels, param, &run);
        else draw_matrix(bank, kernels, param, &run);
    }
    bank->run.count = 0;
}

/* All that waits has the law of the bank, since a call under another one, an epoch later, finds nothing waiting. */
void egg_bank_draw(egg_bank *bank, const egg_kernels *kernels, const egg_perturb *law, uint32_t slot, uint32_t pair,
                   bool none)
{
    egg_bank_run *run = &bank->run;
    const bool follows = run->count && slot == run->slot + run->count && pair == run->pair + run->count &&
                         none == run->none;
    if (!follows) {
        egg_bank_flush(bank, kernels);
        *run = (egg_bank_run){.slot = slot, .pair = pair, .none = none};
    }
    bank->law = *law;
    run->count++;
}

egg_factors egg_bank_factors(const egg_bank *bank, const egg_param *param)
{
    size_t i = (size_t)(param - bank->params);
    if (param->frozen) return (egg_factors){0};
    return (egg_factors){.A = bank->A[i], .B = bank->law.dense ? NULL : bank->B[i]};
}

egg_member_vector egg_bank_vector(const egg_bank *bank, const egg_param *param)
{
    if (param->frozen) return (egg_member_vector){.data = egg_param_kernel_data(param), .stride = 0};
    return (egg_member_vector){.data = bank->A[param - bank->params], .stride = param->in};
}
