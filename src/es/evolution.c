/* SPDX-License-Identifier: MIT */
#include "es/evolution.h"

#include <math.h>

#include "base/memory.h"

struct egg_evolution {
    egg_evolution_shape shape;
    egg_update_f32 *update;
    float *weight;                 /* (pairs) */
    float *score;                  /* (population) */
    uint32_t *order;               /* (population) */
};

static egg_update_shape update_shape(const egg_evolution_shape *shape)
{
    return (egg_update_shape){.optimizer = shape->optimizer, .rank = shape->rank, .dense = shape->dense,
                              .pairs = egg_shaping_pairs(&shape->shaping, shape->population),
                              .threads = shape->threads, .shard = shape->shard};
}

uint64_t egg_evolution_bytes(const egg_evolution_shape *shape, const egg_param *params, uint32_t count)
{
    egg_update_shape update = update_shape(shape);
    return egg_update_f32_bytes(params, count, &update) + (uint64_t)shape->population * 3 * sizeof(float);
}

uint64_t egg_evolution_device_bytes(const egg_evolution_shape *shape, const egg_param *params, uint32_t count)
{
    egg_update_shape update = update_shape(shape);
    return egg_update_f32_device_bytes(params, count, &update);
}

egg_status egg_evolution_open(egg_evolution **out, const egg_evolution_shape *shape, egg_param *params, uint32_t count,
                              egg_error *error)
{
    egg_status status = EGG_OK;
    egg_update_shape update = update_shape(shape);
    egg_evolution *evolution = NULL;
    *out = NULL;
    EGG_TRY(egg_shaping_check(&shape->shaping, shape->population, error));
    evolution = egg_alloc(sizeof *evolution);
    if (!evolution) return egg_fail(error, EGG_ERR_NOMEM, "no memory for an evolution");
    evolution->shape = *shape;
    evolution->weight = egg_alloc_array(shape->population, sizeof *evolution->weight);
    evolution->score = egg_alloc_array(shape->population, sizeof *evolution->score);
    evolution->order = egg_alloc_array(shape->population, sizeof *evolution->order);
    if (!evolution->weight || !evolution->score || !evolution->order) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the fitness of %u members", shape->population);
        goto out;
    }
    EGG_TRY(egg_update_f32_open(&evolution->update, params, count, &update, error));
    *out = evolution;
    evolution = NULL;
out:
    egg_evolution_close(evolution);
    return status;
}

void egg_evolution_close(egg_evolution *evolution)
{
    if (!evolution) return;
    egg_update_f32_close(evolution->update);
    egg_free(evolution->weight);
    egg_free(evolution->score);
    egg_free(evolution->order);
    egg_free(evolution);
}

double egg_evolution_sigma(const egg_evolution_shape *shape, uint64_t epoch)
{
    return shape->sigma * pow(shape->sigma_decay, (double)(epoch - shape->sigma_epoch));
}

double egg_evolution_rate(const egg_evolution_shape *shape, uint64_t epoch)
{
    return shape->rate * pow(shape->rate_decay, (double)(epoch - shape->rate_epoch));
}

void egg_evolution_reschedule(egg_evolution *evolution, const egg_evolution_shape *shape)
{
    evolution->shape.sigma = shape->sigma;
    evolution->shape.sigma_decay = shape->sigma_decay;
    evolution->shape.sigma_epoch = shape->sigma_epoch;
    evolution->shape.rate = shape->rate;
    evolution->shape.rate_decay = shape->rate_decay;
    evolution->shape.rate_epoch = shape->rate_epoch;
}

egg_perturb egg_evolution_law(const egg_evolution_shape *shape, uint64_t epoch)
{
    uint32_t noise_epoch = shape->noise_reuse ? (uint32_t)(epoch / shape->noise_reuse) : 0;
    float sigma = (float)egg_evolution_sigma(shape, epoch);
    return shape->dense ? egg_perturb_dense(shape->seed, noise_epoch, sigma)
                        : egg_perturb_f32(shape->seed, noise_epoch, shape->rank, sigma);
}

float *egg_evolution_weights(egg_evolution *evolution, uint32_t *count)
{
    *count = egg_shaping_pairs(&evolution->shape.shaping, evolution->shape.population);
    return evolution->weight;
}

egg_update_stats egg_evolution_apply(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool,
                                     uint64_t epoch, double rate)
{
    const egg_evolution_shape *shape = &evolution->shape;
    egg_perturb law = egg_evolution_law(shape, epoch);
    return egg_update_f32_run(evolution->update, kernels, pool, &law, evolution->weight,
                              egg_shaping_pairs(&shape->shaping, shape->population), epoch + 1, rate);
}

static egg_evolution_stats begin_stats(const egg_evolution *evolution, uint64_t epoch)
{
    const egg_evolution_shape *shape = &evolution->shape;
    return (egg_evolution_stats){.scores = {.weight = evolution->weight},
                                 .sigma = (float)egg_evolution_sigma(shape, epoch),
                                 .rate = egg_evolution_rate(shape, epoch)};
}

egg_evolution_stats egg_evolution_score(egg_evolution *evolution, uint64_t epoch, float *fitness)
{
    const egg_evolution_shape *shape = &evolution->shape;
    egg_evolution_stats stats = begin_stats(evolution, epoch);
    egg_scores_shape(&stats.scores, &shape->shaping, fitness, shape->population, evolution->score, evolution->order);
    return stats;
}

egg_status egg_evolution_score_part(egg_evolution *evolution, uint64_t epoch, float *fitness, uint32_t first_pair,
                                    uint32_t pairs, egg_comm *comm, egg_evolution_stats *stats, egg_error *error)
{
    const egg_evolution_shape *shape = &evolution->shape;
    const uint32_t each = shape->shaping.antithetic ? 2 : 1;
    *stats = begin_stats(evolution, epoch);
    stats->scores.weight += first_pair;
    egg_status status = egg_scores_shape_part(&stats->scores, &shape->shaping, fitness + (size_t)each * first_pair,
                                              each * pairs, shape->population, comm, evolution->score, error);
    stats->scores.weight = evolution->weight;
    return status;
}

void egg_evolution_count_ties(const egg_evolution *evolution, egg_evolution_stats *stats)
{
    egg_scores_count_ties(&stats->scores, &evolution->shape.shaping, evolution->shape.population);
}

const egg_shaping *egg_evolution_shaping(const egg_evolution *evolution, uint32_t *population)
{
    *population = evolution->shape.population;
    return &evolution->shape.shaping;
}

egg_evolution_stats egg_evolution_tell(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool,
                                       uint64_t epoch, float *fitness)
{
    egg_evolution_stats stats = egg_evolution_score(evolution, epoch, fitness);
    stats.gradient_norm = egg_evolution_apply(evolution, kernels, pool, epoch, stats.rate).gradient_norm;
    return stats;
}

void egg_evolution_estimate(egg_evolution *evolution, const egg_kernels *kernels, egg_pool *pool, uint64_t epoch,
                            double rate)
{
    const egg_evolution_shape *shape = &evolution->shape;
    egg_perturb law = egg_evolution_law(shape, epoch);
    egg_update_f32_estimate(evolution->update, kernels, pool, &law, evolution->weight,
                            egg_shaping_pairs(&shape->shaping, shape->population), epoch + 1, rate);
}

egg_update_f32 *egg_evolution_update(egg_evolution *evolution)
{
    return evolution->update;
}
