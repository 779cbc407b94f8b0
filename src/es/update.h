/* SPDX-License-Identifier: MIT */
/*
 * The update: for every parameter  Z = sum_p F_p A_p B_p^T  over all pairs, the factors drawn again from their
 * addresses, then a step of the int8 weights. Cut into tasks of whole output rows, so that any number of threads gives
 * the same bits, and into blocks of pairs, so that memory does not grow with the population.
 */
#ifndef EGG_ES_UPDATE_H
#define EGG_ES_UPDATE_H

#include "base/threads.h"
#include "es/fitness.h"
#include "es/perturb.h"
#include "es/shard.h"

/* How Z moves the weights in one epoch. */
typedef struct egg_step {
    egg_rule rule;
    int32_t threshold;     /* vote: Z below it in magnitude moves nothing */
    int32_t rate, limit;   /* fractional: see egg_step_fractional_fn */
} egg_step;

/*
 * vote (paper App. G): a two-sided z-test. Without a signal Z has standard deviation 256 sqrt(pairs * rank), so
 * threshold = 16 * z * floor(sqrt(pairs * rank)), z in sixteenths of a standard deviation.
 */
egg_step egg_step_vote(uint32_t z, uint32_t pairs, uint32_t rank);

/*
 * z = trunc(16 * Phi^-1(1 - alpha / 2)) for a share 'alpha' of weights to be moved without a signal, 0 < alpha <= 1.
 * By comparing with a table of exactly rounded doubles, so that no libm decides over bits.
 */
uint32_t egg_vote_quantile(double alpha);

/*
 * fractional: V moves by rate24 / 2^24 of an int8 step (256 units of V) for every standard deviation of Z, which is
 * 4 sqrt(rank * sum F^2) without a signal. sum_squares = 0 (nothing but ties) gives a step that changes nothing.
 */
egg_step egg_step_fractional(uint32_t rate24, uint64_t sum_squares, uint32_t rank);

/* The largest pairs * rank for which Z is proved to fit 32 bits (docs/math.md). */
enum { EGG_UPDATE_MAX_TERMS = 1 << 19 };

typedef struct egg_update egg_update;

/*
 * 'params' (count) must outlive the update. Scratch for 'threads' threads is allocated here, where the kernels of the
 * parameters work; 'threads' is 1 where that is a device.
 */
egg_status egg_update_open(egg_update **update, egg_param *params, uint32_t count, uint32_t rank, uint32_t threads,
                           egg_error *error);
void egg_update_close(egg_update *update);
/* Bytes that open would allocate, nearly all of them where the kernels work. */
uint64_t egg_update_bytes(const egg_param *params, uint32_t count, uint32_t rank, uint32_t threads);

/*
 * The update as ranks share it out: 'rows' moves the rows of the last shard given to 'share' (at first all) and returns
 * how many weights changed; who has the rows of all shards then packs.
 */
void egg_update_share(egg_update *update, egg_shard shard);
uint64_t egg_update_rows(egg_update *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                         const egg_step *step, const int8_t *F, uint32_t pairs);
void egg_update_pack(egg_update *update, const egg_kernels *kernels, egg_pool *pool);

/*
 * Both: moves and repacks all parameters; returns how many weights changed. F (pairs) as egg_fitness_shape() gives it.
 */
uint64_t egg_update_run(egg_update *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                        const egg_step *step, const int8_t *F, uint32_t pairs);

#endif
