/* SPDX-License-Identifier: MIT */
/*
 * The noise of some antithetic pairs, drawn once and used over many steps: an episode, a generated text. A bank has
 * slots; a slot holds one pair at a time, so that a pair that is done makes room for the next while others go on.
 * Members of a bank count from 0: those of slot s are 2s and 2s + 1.
 */
#ifndef EGG_NN_BANK_H
#define EGG_NN_BANK_H

#include "es/device_memory.h"
#include "es/perturb.h"

/*
 * The noise of one parameter. Low rank: A (pairs, rank, out), B (pairs, rank, in). Dense law: A (pairs, out, in), B
 * NULL. Both NULL: none.
 */
typedef struct egg_factors {
    const void *A, *B;
} egg_factors;

/* A vector parameter as each member sees it: (members, n), or one shared row and stride 0. */
typedef struct egg_member_vector {
    const void *data;
    size_t stride;
} egg_member_vector;

/* Consecutive pairs that are to be drawn into consecutive slots. */
typedef struct egg_bank_run {
    uint32_t slot, pair, count;
    bool none;
} egg_bank_run;

typedef struct egg_bank {
    const egg_param *params;     /* (count) of the model */
    uint32_t count, slots;
    egg_perturb law;             /* of what is in it; rank and 'dense' do not change */
    egg_bank_run run;            /* asked for and not drawn yet */
    float **A, **B;              /* (count) of each parameter, over the slots; a vector's A is as its members see it */
} egg_bank;

/*
 * A bank of float32 parameters for laws of this rank and density, or NULL law fields otherwise zero. Noise lies where
 * the parameters' kernels work; the device that these have is to be there until the bank is closed.
 */
egg_status egg_bank_open(egg_bank *bank, const egg_param *params, uint32_t count, uint32_t slots, uint32_t rank,
                         bool dense, egg_error *error);
void egg_bank_close(egg_bank *bank);
egg_memory_bytes egg_bank_bytes(const egg_param *params, uint32_t count, uint32_t slots, uint32_t rank, bool dense);

/*
 * Draws pair 'pair' of the population into 'slot'. 'none' leaves it unperturbed (a baseline). What is asked for is there
 * after egg_bank_flush: consecutive pairs for consecutive slots are drawn together, which a device needs.
 */
void egg_bank_draw(egg_bank *bank, const egg_kernels *kernels, const egg_perturb *law, uint32_t slot, uint32_t pair,
                   bool none);
void egg_bank_flush(egg_bank *bank, const egg_kernels *kernels);

/* What layers ask for; {NULL} and the shared vector where the parameter is frozen. */
egg_factors egg_bank_factors(const egg_bank *bank, const egg_param *param);
egg_member_vector egg_bank_vector(const egg_bank *bank, const egg_param *param);

#endif
