/* SPDX-License-Identifier: MIT */
#include "es/update_f32.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "es/device_memory.h"

enum {
    GROUP_ROWS = EGG_SHARD_ROWS,    /* of a matrix, whose squares are one sum; ranks share out whole groups */
    TERMS_PER_BLOCK = 512,          /* outer products summed in one call: A, B and G of a group fit the second-level cache */
    DENSE_FLOATS = 1 << 18,         /* of noise drawn at once for a dense law, at least one pair's */
    DEVICE_TERMS_PER_BLOCK = 1 << 14,   /* enough products in a call to fill a device */
    DEVICE_FLOATS = 1 << 26         /* of rows taken together on a device, and of the noise drawn for them */
};

/* Rows that are summed and moved together: a group, or on a device several, where a call should be large. */
typedef struct row_task {
    egg_param *param;
    uint32_t first_row, rows;
} row_task;

typedef struct task_scratch {
    float *A, *B, *G;          /* (terms, rows), (terms, in) or (pairs, rows * in), (rows, in) */
    double *squares;           /* (rows) */
} task_scratch;

struct egg_update_f32 {
    egg_update_shape shape;
    const egg_device *device;  /* of the parameters */
    row_task *groups;
    double *squares;           /* (group_count) of the gradient of each */
    double *squares_there;     /* the same where the kernels add up */
    float *weight_there;       /* device: (shape.pairs), else NULL */
    uint32_t group_count;
    egg_rows own;              /* the groups of our shard */
    egg_param *params;
    uint32_t param_count;
    task_scratch *scratch;     /* (threads) */

    /* of the run in progress */
    const egg_kernels *kernels;
    const egg_perturb *law;
    const float *weight;
    uint32_t pairs;
    uint64_t step;
    double lr;
    float scale;               /* of the gradient, from clipping */
};

/* ---------------------------------------------------------------------------------------------------------- sizes */

static bool evolves(const egg_param *param)
{
    return !param->frozen;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Most rows of a task of this parameter. On a device cutting them finer would only draw B again. */
static uint32_t task_rows(const egg_param *param)
{
    size_t rows = GROUP_ROWS;
    if (param->device) rows = larger(rows, DEVICE_FLOATS / param->in / GROUP_ROWS * GROUP_ROWS);
    return (uint32_t)smaller(rows, param->out);
}

static bool is_dense(const egg_update_shape *shape, const egg_param *param)
{
    return shape->dense || param->kind == EGG_PARAM_VECTOR;
}

/* Pairs summed in one call, which no sum depends on. */
static uint32_t block_pairs(const egg_update_shape *shape, const egg_param *param)
{
    const size_t rows = task_rows(param), in = param->in, most = param->device ? DEVICE_TERMS_PER_BLOCK : TERMS_PER_BLOCK;
    size_t pairs;
    if (is_dense(shape, param)) pairs = smaller(most, (param->device ? DEVICE_FLOATS : DENSE_FLOATS) / (rows * in));
    else if (param->device) pairs = smaller(most, DEVICE_FLOATS / (rows + in)) / shape->rank;
    else pairs = most / shape->rank;
    return (uint32_t)larger(smaller(pairs, shape->pairs ? shape->pairs : pairs), 1);
}

/* What is open at once: on a device, one thread talks to it. */
static uint32_t scratches(const egg_update_shape *shape, const egg_device *device)
{
    return device ? 1 : shape->threads;
}

typedef struct scratch_sizes {
    size_t A, B, G, squares;   /* bytes */
} scratch_sizes;

static scratch_sizes measure(const egg_param *params, uint32_t count, const egg_update_shape *shape)
{
    scratch_sizes max = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (!evolves(&params[i])) continue;
        size_t rows = task_rows(&params[i]), in = params[i].in, pairs = block_pairs(shape, &params[i]);
        bool dense = is_dense(shape, &params[i]);
        max.A = larger(max.A, dense ? 0 : pairs * shape->rank * rows * sizeof(float));
        max.B = larger(max.B, (dense ? pairs * rows * in : pairs * shape->rank * in) * sizeof(float));
        max.G = larger(max.G, rows * in * sizeof(float));
        max.squares = larger(max.squares, rows * sizeof(double));
    }
    return max;
}

static egg_rows kept_rows(const egg_param *params, uint32_t count, uint32_t index, egg_shard shard)
{
    return egg_shard_rows(params, count, index, shard.parts ? shard : (egg_shard){.part = 0, .parts = 1});
}

/* Of all moments, or of all gradients, in one copy. */
static uint64_t kept_bytes(const egg_param *params, uint32_t count, egg_shard shard)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += (uint64_t)kept_rows(params, count, i, shard).count * params[i].in * sizeof(float);
    return bytes;
}

static uint32_t count_groups(const egg_param *params, uint32_t count)
{
    uint32_t groups = 0;
    for (uint32_t i = 0; i < count; i++)
        if (evolves(&params[i])) groups += (params[i].out + GROUP_ROWS - 1) / GROUP_ROWS;
    return groups;
}

static uint64_t scratch_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape)
{
    const scratch_sizes sizes = measure(params, count, shape);
    const uint64_t bytes = sizes.A + sizes.B + sizes.G + sizes.squares;
    return scratches(shape, egg_params_device(params, count)) * bytes;
}

uint64_t egg_update_f32_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape)
{
    const bool there = egg_params_device(params, count), clips = shape->optimizer.clip > 0;
    const uint32_t copies = egg_optimizer_moments(shape->optimizer.kind) + (clips && !there);
    return copies * kept_bytes(params, count, shape->shard) + (there ? 0 : scratch_bytes(params, count, shape));
}

uint64_t egg_update_f32_device_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape)
{
    if (!egg_params_device(params, count)) return 0;
    const uint32_t copies = egg_optimizer_moments(shape->optimizer.kind) + (shape->optimizer.clip > 0);
    return copies * kept_bytes(params, count, shape->shard) + scratch_bytes(params, count, shape) +
           shape->pairs * sizeof(float) + count_groups(params, count) * sizeof(double);
}

/* ------------------------------------------------------------------------------------------------ what is kept */

/* What a parameter keeps for an optimizer, by the host and where the kernels work. */
typedef struct kept_copies {
    float *moment[2], *there[2], *gradient;
} kept_copies;

static void give_copies(const egg_param *param, const kept_copies *copies)
{
    for (uint32_t k = 0; k < 2; k++) {
        egg_free(copies->moment[k]);
        egg_device_free(param->device, copies->there[k]);
    }
    egg_device_free(param->device, copies->gradient);
}

/* So many moments of n elements, and a gradient if it clips. On failure nothing is left. */
static bool take_copies(kept_copies *copies, const egg_param *param, uint32_t moments, bool clips, size_t n)
{
    bool fits = true;
    *copies = (kept_copies){0};
    for (uint32_t k = 0; fits && k < moments; k++) {
        copies->moment[k] = egg_alloc_array(n, sizeof(float));
        if (param->mirror) copies->there[k] = egg_device_alloc_array(param->device, n, sizeof(float));
        fits = copies->moment[k] && (!param->mirror || copies->there[k]);
    }
    if (fits && clips) fits = (copies->gradient = egg_device_alloc_array(param->device, n, sizeof(float)));
    if (!fits) give_copies(param, copies);
    return fits;
}

/* Puts copies of these rows into the parameter and returns those that were there. */
static kept_copies exchange_copies(egg_param *param, const kept_copies *copies, egg_rows rows)
{
    kept_copies old = {.gradient = param->gradient};
    for (uint32_t k = 0; k < 2; k++) {
        old.moment[k] = param->moment[k];
        param->moment[k] = copies->moment[k];
        if (!param->mirror) continue;
        old.there[k] = param->mirror->moment[k];
        param->mirror->moment[k] = copies->there[k];
    }
    param->gradient = copies->gradient;
    param->kept_first = rows.first;
    param->kept_rows = rows.count;
    return old;
}

static egg_status open_copies(egg_param *param, egg_rows rows, const egg_optimizer *optimizer, egg_error *error)
{
    kept_copies copies;
    const size_t n = (size_t)rows.count * param->in;
    if (!take_copies(&copies, param, egg_optimizer_moments(optimizer->kind), optimizer->clip > 0, n))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for what the optimizer keeps of '%s'", param->name);
    exchange_copies(param, &copies, rows);
    return EGG_OK;
}

/* Without memory for the smaller copies the larger ones stay. */
static void shrink_param(egg_param *param, egg_rows rows)
{
    kept_copies less;
    const uint32_t moments = param->moment[1] ? 2 : param->moment[0] ? 1 : 0;
    const size_t first = (size_t)(rows.first - param->kept_first) * param->in, n = (size_t)rows.count * param->in;
    egg_param_fetch(param);
    if (!take_copies(&less, param, moments, param->gradient, n)) return;
    for (uint32_t k = 0; k < moments; k++) {
        memcpy(less.moment[k], param->moment[k] + first, n * sizeof(float));
        if (param->mirror) egg_device_upload(param->device, less.there[k], less.moment[k], n * sizeof(float));
    }
    const kept_copies old = exchange_copies(param, &less, rows);
    give_copies(param, &old);
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_groups(egg_update_f32 *update, egg_error *error)
{
    const uint32_t count = count_groups(update->params, update->param_count);
    update->groups = egg_alloc_array(count, sizeof *update->groups);
    update->squares = egg_alloc_array(count, sizeof *update->squares);
    update->squares_there = egg_device_pair(update->device, update->squares, count * sizeof *update->squares);
    if (update->device)
        update->weight_there = egg_device_alloc_array(update->device, update->shape.pairs, sizeof(float));
    if (!update->groups || !update->squares_there || (update->device && !update->weight_there))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update's tasks");
    for (uint32_t i = 0; i < update->param_count; i++) {
        egg_param *param = &update->params[i];
        for (uint32_t first = 0; evolves(param) && first < param->out; first += GROUP_ROWS)
            update->groups[update->group_count++] = (row_task){
                .param = param,
                .first_row = first,
                .rows = param->out - first < GROUP_ROWS ? param->out - first : GROUP_ROWS,
            };
    }
    egg_update_f32_share(update, (egg_shard){.part = 0, .parts = 1});
    return EGG_OK;
}

egg_rows egg_update_f32_groups(const egg_update_f32 *update, egg_shard shard)
{
    egg_rows groups = {0};
    for (uint32_t i = 0, number = 0; i < update->param_count; i++) {
        const egg_param *param = &update->params[i];
        egg_rows own = egg_shard_rows(update->params, update->param_count, i, shard);
        if (own.count && !groups.count) groups.first = number + own.first / GROUP_ROWS;
        groups.count += (own.count + GROUP_ROWS - 1) / GROUP_ROWS;
        if (evolves(param)) number += (param->out + GROUP_ROWS - 1) / GROUP_ROWS;
    }
    return groups;
}

void egg_update_f32_share(egg_update_f32 *update, egg_shard shard)
{
    update->own = egg_update_f32_groups(update, shard);
}

void egg_update_f32_shrink(egg_update_f32 *update, egg_shard shard)
{
    for (uint32_t i = 0; i < update->param_count; i++)
        if (evolves(&update->params[i]))
            shrink_param(&update->params[i], kept_rows(update->params, update->param_count, i, shard));
}

double *egg_update_f32_squares(egg_update_f32 *update)
{
    return update->squares;
}

static bool open_scratch(task_scratch *scratch, const egg_device *device, const scratch_sizes *sizes)
{
    *scratch = (task_scratch){.A = egg_device_alloc(device, sizes->A), .B = egg_device_alloc(device, sizes->B),
                              .G = egg_device_alloc(device, sizes->G),
                              .squares = egg_device_alloc(device, sizes->squares)};
    return scratch->A && scratch->B && scratch->G && scratch->squares;
}

static egg_status open_scratches(egg_update_f32 *update, egg_error *error)
{
    const scratch_sizes sizes = measure(update->params, update->param_count, &update->shape);
    const uint32_t count = scratches(&update->shape, update->device);
    update->scratch = egg_alloc_array(count, sizeof *update->scratch);
    for (uint32_t i = 0; update->scratch && i < count; i++)
        if (!open_scratch(&update->scratch[i], update->device, &sizes)) goto fail;
    if (update->scratch) return EGG_OK;
fail:
    return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update's scratch of %u threads", count);
}

egg_status egg_update_f32_open(egg_update_f32 **out, egg_param *params, uint32_t count, const egg_update_shape *shape,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    *out = NULL;
    egg_update_f32 *update = egg_alloc(sizeof *update);
    if (!update) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update");
    update->shape = *shape;
    update->device = egg_params_device(params, count);
    update->params = params;
    update->param_count = count;
    for (uint32_t i = 0; i < count; i++)
        if (evolves(&params[i]))
            EGG_TRY(open_copies(&params[i], kept_rows(params, count, i, shape->shard), &shape->optimizer, error));
    EGG_TRY(open_groups(update, error));
    EGG_TRY(open_scratches(update, error));
    *out = update;
    update = NULL;
out:
    egg_update_f32_close(update);
    return status;
}

void egg_update_f32_close(egg_update_f32 *update)
{
    if (!update) return;
    for (uint32_t i = 0; update->scratch && i < scratches(&update->shape, update->device); i++) {
        egg_device_free(update->device, update->scratch[i].A);
        egg_device_free(update->device, update->scratch[i].B);
        egg_device_free(update->device, update->scratch[i].G);
        egg_device_free(update->device, update->scratch[i].squares);
    }
    egg_device_unpair(update->device, update->squares_there);
    egg_device_free(update->device, update->weight_there);
    egg_free(update->scratch);
    egg_free(update->groups);
    egg_free(update->squares);
    egg_free(update);
}

/* -------------------------------------------------------------------------------------------------------- gradient */

static void accumulate_low_rank(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch,
                                uint32_t first, uint32_t pairs, float *G)
{
    const egg_param *param = task->param;
    uint32_t rank = update->law->rank;
    egg_perturb_draw(update->law, update->kernels, param, EGG_A, first, pairs, task->first_row, task->rows, scratch->A);
    egg_perturb_draw(update->law, update->kernels, param, EGG_B, first, pairs, 0, param->in, scratch->B);
    update->kernels->weigh_f32(scratch->A, update->weight + first, pairs, (size_t)rank * task->rows, scratch->A);
    update->kernels->outer_f32(&(egg_outer_f32_args){.A = scratch->A, .B = scratch->B, .Z = G, .count = pairs * rank,
                                                     .m = task->rows, .n = param->in});
}

/* Dense noise is an outer product with one row as long as the task: its left factor is the weights. */
static void accumulate_dense(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch,
                             uint32_t first, uint32_t pairs, float *G)
{
    size_t in = task->param->in, n = task->rows * in;
    egg_perturb_draw_dense(update->law, update->kernels, task->param, first, pairs, task->first_row * in, n,
                           scratch->B, n);
    update->kernels->outer_f32(&(egg_outer_f32_args){.A = update->weight + first, .B = scratch->B, .Z = G,
                                                     .count = pairs,
                                                     .m = 1, .n = (uint32_t)n});
}

/* Multiplies by the law's deviation, clears the padding and adds up the squares. */
static void finish_gradient(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch, float *G,
                            double *squares)
{
    const egg_param *param = task->param;
    const uint32_t left = task->first_row < param->used_out ? param->used_out - task->first_row : 0;
    update->kernels->gradient_f32(&(egg_gradient_args){
        .G = G, .squares = squares, .scratch = scratch->squares, .rows = task->rows, .n = param->in,
        .used_rows = left < task->rows ? left : task->rows, .used = param->used_in, .group_rows = GROUP_ROWS,
        .c = egg_perturb_is_dense(update->law, param) ? update->law->sigma : update->law->c,
    });
}

/* Where the rows of a task begin in what is kept of its parameter. */
static size_t first_kept(const row_task *task)
{
    return (size_t)(task->first_row - task->param->kept_first) * task->param->in;
}

static float *gradient_of(const row_task *task, const task_scratch *scratch)
{
    return task->param->gradient ? task->param->gradient + first_kept(task) : scratch->G;
}

/* Leaves the gradient at gradient_of(), and the sums of the squares of its groups. */
static void accumulate_task(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch,
                            double *squares)
{
    float *G = gradient_of(task, scratch);
    bool dense = egg_perturb_is_dense(update->law, task->param);
    uint32_t block = block_pairs(&update->shape, task->param);
    egg_device_fill(update->device, G, 0, (size_t)task->rows * task->param->in * sizeof *G);
    for (uint32_t first = 0; first < update->pairs; first += block) {
        uint32_t pairs = update->pairs - first < block ? update->pairs - first : block;
        (dense ? accumulate_dense : accumulate_low_rank)(update, task, scratch, first, pairs, G);
    }
    finish_gradient(update, task, scratch, G, squares);
}

/* ------------------------------------------------------------------------------------------------------------ run */

/* The group 'first' and as many behind it, before 'end', as go into one task. */
static row_task merge_groups(const egg_update_f32 *update, size_t first, size_t end)
{
    row_task task = update->groups[first];
    const uint32_t most = task_rows(task.param);
    for (size_t i = first + 1; i < end && update->groups[i].param == task.param; i++) {
        if (task.rows + update->groups[i].rows > most) break;
        task.rows += update->groups[i].rows;
    }
    return task;
}

static void step_task(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch)
{
    const egg_param *param = task->param;
    size_t first = (size_t)task->first_row * param->in, n = (size_t)task->rows * param->in, kept = first_kept(task);
    float *moment[2];
    for (uint32_t k = 0; k < 2; k++) {
        moment[k] = egg_param_kernel_moment(param, k);
        if (moment[k]) moment[k] += kept;
    }
    if (param->mirror) param->mirror->ahead = param->mirror->moments_ahead = true;
    egg_optimizer_step(&update->shape.optimizer, update->kernels, update->step, update->lr, update->scale, n,
                       gradient_of(task, scratch), (float *)egg_param_kernel_data(param) + first, moment[0], moment[1]);
}

/* Our groups 'begin' to 'end', task by task. */
static void accumulate_groups(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_update_f32 *update = context;
    const task_scratch *scratch = &update->scratch[thread];
    row_task task;
    for (size_t i = begin; i < end; i += (task.rows + GROUP_ROWS - 1) / GROUP_ROWS) {
        task = merge_groups(update, update->own.first + i, update->own.first + end);
        accumulate_task(update, &task, scratch, &update->squares_there[update->own.first + i]);
        if (!task.param->gradient) step_task(update, &task, scratch);
    }
}

static void step_groups(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_update_f32 *update = context;
    row_task task;
    for (size_t i = begin; i < end; i += (task.rows + GROUP_ROWS - 1) / GROUP_ROWS) {
        task = merge_groups(update, update->own.first + i, update->own.first + end);
        step_task(update, &task, &update->scratch[thread]);
    }
}

static void pack_params(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    const egg_update_f32 *update = context;
    for (size_t i = begin; i < end; i++)
        if (evolves(&update->params[i])) egg_param_pack(&update->params[i], update->kernels);
}

/* One thread talks to a device, about all groups. */
static void for_own_groups(egg_update_f32 *update, egg_pool *pool, egg_range_fn *fn)
{
    const uint32_t count = update->own.count;
    egg_parallel_for(update->device ? NULL : pool, count, update->device ? count : 1, fn, update);
}

void egg_update_f32_estimate(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                             const float *weight, uint32_t pairs, uint64_t step, double lr)
{
    update->kernels = kernels;
    update->law = law;
    update->weight = weight;
    update->pairs = pairs;
    update->step = step;
    update->lr = lr;
    update->scale = 1;
    if (update->device) {
        egg_device_upload(update->device, update->weight_there, weight, pairs * sizeof *weight);
        update->weight = update->weight_there;
    }
    for_own_groups(update, pool, accumulate_groups);
    const egg_rows own = update->own;
    egg_device_download(update->device, update->squares + own.first, update->squares_there + own.first,
                        own.count * sizeof *update->squares);
}

egg_update_stats egg_update_f32_step(egg_update_f32 *update, egg_pool *pool)
{
    const float clip = update->shape.optimizer.clip;
    double squares = 0;
    for (uint32_t i = 0; i < update->group_count; i++) squares += update->squares[i];
    egg_update_stats stats = {.gradient_norm = sqrt(squares)};
    if (clip > 0) {   /* the groups only left their gradients, whose norm was not known yet */
        if (stats.gradient_norm > clip) update->scale = (float)(clip / stats.gradient_norm);
        for_own_groups(update, pool, step_groups);
    }
    return stats;
}

void egg_update_f32_pack(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool)
{
    update->kernels = kernels;
    egg_parallel_for(update->device ? NULL : pool, update->param_count, 1, pack_params, update);
}

egg_update_stats egg_update_f32_run(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool,
                                    const egg_perturb *law, const float *weight, uint32_t pairs, uint64_t step,
                                                       double lr)
{
    egg_update_f32_estimate(update, kernels, pool, law, weight, pairs, step, lr);
    egg_update_stats stats = egg_update_f32_step(update, pool);
    egg_update_f32_pack(update, kernels, pool);
    return stats;
}
