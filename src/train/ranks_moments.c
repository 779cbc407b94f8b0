/* SPDX-License-Identifier: MIT */
/*
 * Moments of ranks that share out the update: each has those of its rows. Rank 0 needs all to save a run and to take one
 * up; it then has them in a file of the run's folder instead of in memory. On a device it needs them to take a run up
 * only, whose last epochs it may have to apply.
 */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "es/device_memory.h"
#include "train/ranks.h"

enum { COPIES = 3 };           /* what is kept of a parameter: two moments, the gradient */

/* What stands in the parameters while the rows of all do. */
struct egg_own_rows {
    float *copy[COPIES];
    float *there[COPIES];      /* the same of the kernels' device, where they were exchanged, too */
    uint32_t first, rows;
};

/* The host's; of the gradient, which with a device is there alone, NULL. */
static float **copy_of(egg_param *param, int which)
{
    if (which < 2) return &param->moment[which];
    return param->mirror ? NULL : &param->gradient;
}

static float **there_of(egg_param *param, int which)
{
    return which < 2 ? &param->mirror->moment[which] : &param->gradient;
}

static bool is_kept(egg_param *param, int which)
{
    float **copy = copy_of(param, which);
    return copy && *copy;
}

static bool has_moments(const egg_param *params, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (params[i].moment[0]) return true;
    return false;
}

bool egg_ranks_has_all_moments(const egg_ranks *ranks, const egg_param *params, uint32_t count)
{
    return ranks->shard.parts == 1 || ranks->all_rows || !has_moments(params, count);
}

/* The gradient counts with a device, too, where the file does not get to hold it: to be wide without any moments. */
static size_t bytes_of_all(const egg_param *params, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const egg_param *param = &params[i];
        uint32_t copies = !!param->moment[0] + !!param->moment[1] + !!param->gradient;
        bytes += copies * egg_param_elements(param) * sizeof(float);
    }
    return bytes;
}

/* Puts arrays of all rows, from 'place' on, in the place of those of our rows; returns where they end. */
static float *widen_param(egg_param *param, struct egg_own_rows *own, float *place)
{
    *own = (struct egg_own_rows){.first = param->kept_first, .rows = param->kept_rows};
    for (int k = 0; k < COPIES; k++) {
        if (!is_kept(param, k)) continue;
        float **copy = copy_of(param, k);
        own->copy[k] = *copy;
        memcpy(place + (size_t)own->first * param->in, *copy, (size_t)own->rows * param->in * sizeof *place);
        *copy = place;
        place += egg_param_elements(param);
    }
    param->kept_first = 0;
    param->kept_rows = param->out;
    return place;
}

/* The same on a device, without what is in them. */
static egg_status widen_there(egg_param *param, struct egg_own_rows *own, egg_error *error)
{
    for (int k = 0; param->mirror && k < COPIES; k++) {
        float **there = there_of(param, k), *wide;
        if (!*there) continue;
        wide = egg_device_alloc_array(param->device, egg_param_elements(param), sizeof *wide);
        if (!wide)
            return egg_fail(error, EGG_ERR_NOMEM, "no memory on %s for the moments of all ranks", param->device->name);
        own->there[k] = *there;
        *there = wide;
    }
    return EGG_OK;
}

/* Room for all rows of the host's copies. */
static egg_status widen(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count, egg_error *error)
{
    if (ranks->shard.parts == 1 || ranks->all_rows) return EGG_OK;
    size_t bytes = bytes_of_all(params, count);
    if (bytes == 0) return EGG_OK;
    egg_params_fetch(params, count);
    ranks->own_rows = egg_alloc_array(count, sizeof *ranks->own_rows);
    if (!ranks->own_rows) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the moments of all ranks");
    egg_status status = egg_file_memory_open(&ranks->all_rows, bytes, folder, error);
    ranks->all_rows_bytes = bytes;
    if (status != EGG_OK) {
        egg_ranks_narrow(ranks, params, count);
        return status;
    }
    float *place = ranks->all_rows;
    for (uint32_t i = 0; i < count; i++) place = widen_param(&params[i], &ranks->own_rows[i], place);
    return EGG_OK;
}

egg_status egg_ranks_widen(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count, egg_error *error)
{
    if (ranks->all_rows) return EGG_OK;
    egg_status status = widen(ranks, folder, params, count, error);
    for (uint32_t i = 0; status == EGG_OK && ranks->all_rows && i < count; i++)
        status = widen_there(&params[i], &ranks->own_rows[i], error);
    if (status != EGG_OK) egg_ranks_narrow(ranks, params, count);
    return status;
}

static void narrow_param(egg_param *param, const struct egg_own_rows *own)
{
    const size_t first = (size_t)own->first * param->in, bytes = (size_t)own->rows * param->in * sizeof(float);
    egg_param_fetch(param);
    for (int k = 0; k < COPIES; k++) {
        if (!is_kept(param, k)) continue;
        float **copy = copy_of(param, k);
        memcpy(own->copy[k], *copy + first, bytes);
        *copy = own->copy[k];
    }
    for (int k = 0; k < COPIES; k++) {
        if (!own->there[k]) continue;
        egg_device_free(param->device, *there_of(param, k));
        *there_of(param, k) = own->there[k];
        if (k < 2) egg_device_upload(param->device, own->there[k], own->copy[k], bytes);
    }
    param->kept_first = own->first;
    param->kept_rows = own->rows;
}

void egg_ranks_narrow(egg_ranks *ranks, egg_param *params, uint32_t count)
{
    for (uint32_t i = 0; ranks->all_rows && i < count; i++) narrow_param(&params[i], &ranks->own_rows[i]);
    egg_file_memory_close(ranks->all_rows, ranks->all_rows_bytes);
    egg_free(ranks->own_rows);
    ranks->all_rows = NULL;
    ranks->own_rows = NULL;
}

/* ---------------------------------------------------------------------------------------------------------- exchange */

/* Where the rows of every rank's shard of a parameter begin: bounds (size + 1). */
static void find_bounds(const egg_ranks *ranks, const egg_param *params, uint32_t count, uint32_t index,
                        uint64_t *bounds)
{
    for (uint32_t r = 0; r < ranks->size; r++)
        bounds[r] = egg_shard_rows(params, count, index, (egg_shard){.part = r, .parts = ranks->size}).first;
    bounds[0] = 0;
    bounds[ranks->size] = params[index].out;
}

/* An array that begins with row 0, of which only the rows that are kept may be touched. */
static void *from_row_0(const egg_param *param, const float *kept)
{
    return (void *)((uintptr_t)kept - (uintptr_t)param->kept_first * param->in * sizeof *kept);
}

/* Every shard's rows to rank 0, which has room for all, or from it. */
static egg_status move_moments(egg_ranks *ranks, egg_param *params, uint32_t count, bool to_first, egg_error *error)
{
    egg_status status = EGG_OK;
    uint64_t *shards = egg_alloc_array(ranks->size + 1, sizeof *shards);
    uint64_t *whole = egg_alloc_array(ranks->size + 1, sizeof *whole);
    if (!shards || !whole) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the rows of %u ranks", ranks->size);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    for (uint32_t i = 0; i < count; i++) {
        if (params[i].frozen) continue;
        find_bounds(ranks, params, count, i, shards);
        for (uint32_t r = 1; r <= ranks->size; r++) whole[r] = params[i].out;
        for (int k = 0; k < 2; k++)
            if (params[i].moment[k])
                EGG_TRY(egg_comm_move(ranks->comm, from_row_0(&params[i], params[i].moment[k]),
                                      params[i].in * sizeof(float), to_first ? shards : whole,
                                      to_first ? whole : shards, error));
    }
out:
    egg_free(shards);
    egg_free(whole);
    return status;
}

egg_status egg_ranks_collect_moments(egg_ranks *ranks, const char *folder, egg_param *params, uint32_t count,
                                     egg_error *error)
{
    egg_status status = EGG_OK;
    if (ranks->shard.parts == 1 || !has_moments(params, count)) return EGG_OK;
    egg_params_fetch(params, count);
    if (ranks->rank == 0) status = widen(ranks, folder, params, count, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(move_moments(ranks, params, count, true, error));
out:
    return status;
}

static egg_status broadcast_moments(egg_ranks *ranks, egg_param *params, uint32_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = egg_param_elements(&params[i]) * sizeof(float);
        for (int k = 0; k < 2; k++)
            if (params[i].moment[k]) EGG_TRY(egg_ranks_share(ranks, params[i].moment[k], bytes, error));
    }
out:
    return status;
}

egg_status egg_ranks_share_moments(egg_ranks *ranks, egg_param *params, uint32_t count, egg_error *error)
{
    if (!has_moments(params, count)) return EGG_OK;
    if (ranks->shard.parts == 1) return broadcast_moments(ranks, params, count, error);
    return move_moments(ranks, params, count, false, error);
}
