/* SPDX-License-Identifier: MIT */
/*
 * EGG and integer EGGROLL once more, one scalar at a time, straight from the formulas of docs/math.md and the paper's
 * App. G to I, sharing no code with src/: its own generator, its own tables, division where the product code shifts or
 * multiplies. Slow; what the tests compare the library with.
 */
#ifndef EGG_TESTS_ORACLE_H
#define EGG_TESTS_ORACLE_H

#include <stdint.h>

typedef enum { ORACLE_EMBEDDING, ORACLE_MATRIX, ORACLE_VECTOR } oracle_kind;

typedef struct oracle_param {
    oracle_kind kind;
    int out, in;
    int *w;           /* (out, in) */
    int *v;           /* (out, in) with 8 fractional bits */
} oracle_param;

/* Parameters in the order embedding, head, ln_out, then for each layer ln1 wf uf bf wh uh bh ln2 w1 w2. */
typedef struct oracle_model {
    int width, layers, count;
    oracle_param *params;
} oracle_model;

typedef struct oracle_law {
    uint64_t seed;
    uint32_t epoch;
    int rank, sigma_shift;
    int on;           /* 0: no perturbation */
} oracle_law;

void oracle_model_open(oracle_model *model, int width, int layers);
void oracle_model_close(oracle_model *model);

int oracle_noise(const oracle_law *law, int param, int side, int pair, uint64_t element);

/* One step of one member: reads 'token', changes 'state' (layers, width), writes logits (256). */
void oracle_step(const oracle_model *model, const oracle_law *law, int member, int token, int *state, int *logits);

/* Loss of one token in sixteenths of a bit. */
int oracle_loss(const int *logits, int target);

/* New weights from the members' losses (2 * pairs). */
void oracle_vote(oracle_model *model, const oracle_law *law, const int *loss, int pairs, double alpha);
void oracle_fractional(oracle_model *model, const oracle_law *law, const int *loss, int pairs, uint32_t rate24);

#endif
