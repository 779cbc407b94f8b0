/* SPDX-License-Identifier: MIT */
/* The update of a run over several ranks: by every rank as a whole, or shared out by rows. */
#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "train/ranks.h"

enum { TRIALS = 3 };

static const double overhead = 1.1;   /* of a shard: factors that two shards both draw, tasks that do not divide evenly */

static size_t all_bytes(const egg_param *params, uint32_t count, egg_shard_part part)
{
    return egg_shard_bytes(params, count, (egg_shard){.part = 0, .parts = 1}, part);
}

uint64_t egg_ranks_update_bytes(uint32_t size, uint32_t sharding, const egg_param *params, uint32_t count)
{
    uint64_t data = 0, fractions = all_bytes(params, count, EGG_SHARD_FRACTION);
    if (size <= 1 || sharding == EGG_SHARDING_NONE) return 0;
    for (uint32_t i = 0; i < count; i++)   /* of a shape to plan with, too, which has no data */
        if (!params[i].frozen) data += egg_param_elements(&params[i]) * egg_dtype_bytes(params[i].dtype);
    return data > fractions ? data : fractions;
}

egg_shard egg_ranks_first_shard(uint32_t rank, uint32_t size, uint32_t sharding)
{
    bool shares = size > 1 && sharding == EGG_SHARDING_ROWS;
    return shares ? (egg_shard){.part = rank, .parts = size} : (egg_shard){.part = 0, .parts = 1};
}

egg_status egg_ranks_open_update(egg_ranks *ranks, uint32_t sharding, const egg_param *params, uint32_t count,
                                 egg_error *error)
{
    ranks->rows_bytes = (size_t)egg_ranks_update_bytes(ranks->size, sharding, params, count);
    if (ranks->rows_bytes == 0) return EGG_OK;
    ranks->rows = egg_alloc(ranks->rows_bytes);
    if (!ranks->rows) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the rows of %u ranks", ranks->size);
    ranks->undecided = sharding == EGG_SHARDING_AUTO;
    ranks->shard = egg_ranks_first_shard(ranks->rank, ranks->size, sharding);
    return EGG_OK;
}

static egg_status gather_shards(egg_ranks *ranks, egg_param *params, uint32_t count, egg_shard_part part,
                                egg_error *error)
{
    char *rows = ranks->rows;
    size_t place = 0;
    if (all_bytes(params, count, part) == 0) return EGG_OK;
    for (uint32_t r = 0; r < ranks->size; r++) {
        egg_shard shard = {.part = r, .parts = ranks->size};
        ranks->bytes[r] = egg_shard_bytes(params, count, shard, part);
        if (r == ranks->rank) egg_shard_take(params, count, shard, part, rows + place);
        place += ranks->bytes[r];
    }
    egg_status status = egg_comm_allgather(ranks->comm, rows, ranks->bytes, error);
    for (uint32_t r = 0; status == EGG_OK && r < ranks->size; rows += ranks->bytes[r++])
        if (r != ranks->rank) egg_shard_put(params, count, (egg_shard){.part = r, .parts = ranks->size}, part, rows);
    return status;
}

egg_status egg_ranks_gather_rows(egg_ranks *ranks, egg_param *params, uint32_t count, egg_shard_part part,
                                 egg_error *error)
{
    return ranks->shard.parts == 1 ? EGG_OK : gather_shards(ranks, params, count, part, error);
}

bool egg_ranks_is_complete(const egg_ranks *ranks, const egg_param *params, uint32_t count)
{
    return ranks->shard.parts == 1 || (all_bytes(params, count, EGG_SHARD_FRACTION) == 0 &&
                                       egg_ranks_has_all_moments(ranks, params, count));
}

egg_status egg_ranks_complete(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count,
                              egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_ranks_gather_rows(ranks, params, count, EGG_SHARD_FRACTION, error));
    EGG_TRY(egg_ranks_collect_moments(ranks, folder, params, count, error));
out:
    return status;
}

/* The time of an exchange of all rows, which all ranks hold already: the shortest of a few. */
static egg_status time_exchange(egg_ranks *ranks, egg_param *params, uint32_t count, double *seconds, egg_error *error)
{
    egg_status status = EGG_OK;
    for (int i = 0; i < TRIALS; i++) {
        double begun = egg_clock_seconds();
        EGG_TRY(gather_shards(ranks, params, count, EGG_SHARD_DATA, error));
        double taken = egg_clock_seconds() - begun;
        if (i == 0 || taken < *seconds) *seconds = taken;
    }
out:
    return status;
}

egg_status egg_ranks_decide(egg_ranks *ranks, double seconds, egg_param *params, uint32_t count, bool *changed,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    double exchange;
    *changed = false;
    if (!ranks->undecided) return EGG_OK;
    ranks->undecided = false;
    EGG_TRY(time_exchange(ranks, params, count, &exchange, error));
    int64_t shares = ranks->rank == 0 && overhead * seconds / ranks->size + exchange < seconds;
    EGG_TRY(egg_ranks_agree(ranks, EGG_OK, &shares, 1, error));
    if (shares) ranks->shard = (egg_shard){.part = ranks->rank, .parts = ranks->size};
    *changed = shares;
out:
    return status;
}

static egg_status gather_squares(egg_ranks *ranks, egg_update_f32 *update, egg_error *error)
{
    for (uint32_t r = 0; r < ranks->size; r++)
        ranks->bytes[r] = egg_update_f32_groups(update,
                                               (egg_shard){.part = r, .parts = ranks->size}).count * sizeof(double);
    return egg_comm_allgather(ranks->comm, egg_update_f32_squares(update), ranks->bytes, error);
}

/* What a weight is where it is not 0, if only its sign says anything; else 0. */
static float unit_of(const egg_shaping *shaping, uint32_t population)
{
    double unit = (shaping->antithetic ? 2 : 1) * (1 / sqrt((double)population));
    return shaping->kind == EGG_SHAPING_SIGN ? (float)unit : 0;
}

/* The weights of all pairs on all ranks, from the fitness of each one's slice: by exchanging no more than the rule needs. */
static egg_status score(egg_ranks *ranks, egg_evolution *evolution, uint64_t epoch, float *fitness,
                        egg_evolution_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t population, pairs;
    const egg_shaping *shaping = egg_evolution_shaping(evolution, &population);
    const egg_slice own = egg_ranks_slice(ranks);
    float *weights = egg_evolution_weights(evolution, &pairs);
    if (egg_shaping_is_separable(shaping, population)) {
        EGG_TRY(egg_evolution_score_part(evolution, epoch, fitness, own.first_pair, own.pairs, ranks->comm, stats,
                                         error));
        EGG_TRY(egg_ranks_gather_weights(ranks, unit_of(shaping, population), weights, error));
        egg_evolution_count_ties(evolution, stats);
    } else {
        EGG_TRY(egg_ranks_gather(ranks, fitness, population / pairs * sizeof *fitness, error));
        *stats = egg_evolution_score(evolution, epoch, fitness);
    }
out:
    return status;
}

egg_status egg_ranks_tell(egg_ranks *ranks, egg_evolution *evolution, egg_param *params, uint32_t count,
                          const egg_kernels *kernels, egg_pool *pool, uint64_t epoch, float *fitness,
                          egg_evolution_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_update_f32 *update = egg_evolution_update(evolution);
    bool changed;
    EGG_TRY(score(ranks, evolution, epoch, fitness, stats, error));
    if (ranks->shard.parts == 1) {
        double begun = egg_clock_seconds();
        stats->gradient_norm = egg_evolution_apply(evolution, kernels, pool, epoch, stats->rate).gradient_norm;
        EGG_TRY(egg_ranks_decide(ranks, egg_clock_seconds() - begun, params, count, &changed, error));
        if (!changed) return EGG_OK;
        egg_update_f32_share(update, ranks->shard);
        egg_update_f32_shrink(update, ranks->shard);
        return EGG_OK;
    }
    egg_evolution_estimate(evolution, kernels, pool, epoch, stats->rate);
    EGG_TRY(gather_squares(ranks, update, error));
    stats->gradient_norm = egg_update_f32_step(update, pool).gradient_norm;
    EGG_TRY(egg_ranks_gather_rows(ranks, params, count, EGG_SHARD_DATA, error));
    egg_params_send(params, count);
    egg_update_f32_pack(update, kernels, pool);
out:
    return status;
}
