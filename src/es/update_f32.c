/* SPDX-License-Identifier: MIT */
#include "es/update_f32.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    TASK_ROWS = EGG_SHARD_ROWS,   /* of a matrix; ranks share out whole tasks */
    TERMS_PER_BLOCK = 512,     /* outer products summed in one call: A, B and G of a task fit the second-level cache */
    DENSE_FLOATS = 1 << 18     /* of noise drawn at once for a dense law, at least one pair's */
};

typedef struct row_task {
    egg_param *param;
    uint32_t first_row, rows;
} row_task;

typedef struct task_scratch {
    float *A, *B, *G;          /* (terms, rows), (terms, in) or (pairs, rows * in), (rows, in) */
    double *squares;           /* (TASK_ROWS) */
} task_scratch;

struct egg_update_f32 {
    egg_update_shape shape;
    row_task *tasks;
    double *squares;           /* (task_count) of the gradient of each */
    uint32_t task_count;
    egg_rows own;              /* the tasks of our shard */
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

/* ---------------------------------------------------------------------------------------------------------- tasks */

static bool evolves(const egg_param *param)
{
    return !param->frozen;
}

static uint32_t task_rows(const egg_param *param)
{
    return param->out < TASK_ROWS ? param->out : TASK_ROWS;
}

static bool is_dense(const egg_update_shape *shape, const egg_param *param)
{
    return shape->dense || param->kind == EGG_PARAM_VECTOR;
}

/* Pairs summed in one call. */
static uint32_t block_pairs(const egg_update_shape *shape, const egg_param *param)
{
    size_t floats = (size_t)task_rows(param) * param->in;
    size_t pairs = is_dense(shape, param) ? DENSE_FLOATS / floats : TERMS_PER_BLOCK / shape->rank;
    return pairs > TERMS_PER_BLOCK ? TERMS_PER_BLOCK : pairs ? (uint32_t)pairs : 1;
}

typedef struct scratch_sizes {
    size_t A, B, G;            /* bytes */
} scratch_sizes;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

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
    }
    return max;
}

static egg_rows kept_rows(const egg_param *params, uint32_t count, uint32_t index, egg_shard shard)
{
    return egg_shard_rows(params, count, index, shard.parts ? shard : (egg_shard){.part = 0, .parts = 1});
}

uint64_t egg_update_f32_bytes(const egg_param *params, uint32_t count, const egg_update_shape *shape)
{
    scratch_sizes sizes = measure(params, count, shape);
    uint64_t bytes = (uint64_t)shape->threads * (sizes.A + sizes.B + sizes.G + TASK_ROWS * sizeof(double));
    uint32_t copies = egg_optimizer_moments(shape->optimizer.kind) + (shape->optimizer.clip > 0);
    for (uint32_t i = 0; i < count; i++)
        bytes += (uint64_t)copies * kept_rows(params, count, i, shape->shard).count * params[i].in * sizeof(float);
    return bytes;
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_copies(egg_param *param, egg_rows rows, const egg_optimizer *optimizer, egg_error *error)
{
    size_t n = (size_t)rows.count * param->in;
    param->kept_first = rows.first;
    param->kept_rows = rows.count;
    uint32_t moments = egg_optimizer_moments(optimizer->kind);
    for (uint32_t i = 0; i < moments; i++)
        if (!(param->moment[i] = egg_alloc_array(n, sizeof(float)))) goto fail;
    if (optimizer->clip > 0 && !(param->gradient = egg_alloc_array(n, sizeof(float)))) goto fail;
    return EGG_OK;
fail:
    return egg_fail(error, EGG_ERR_NOMEM, "no memory for what the optimizer keeps of '%s'", param->name);
}

static egg_status open_tasks(egg_update_f32 *update, egg_error *error)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < update->param_count; i++)
        if (evolves(&update->params[i])) count += (update->params[i].out + TASK_ROWS - 1) / TASK_ROWS;
    update->tasks = egg_alloc_array(count, sizeof *update->tasks);
    update->squares = egg_alloc_array(count, sizeof *update->squares);
    if (!update->tasks || !update->squares) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update's tasks");
    for (uint32_t i = 0; i < update->param_count; i++) {
        egg_param *param = &update->params[i];
        for (uint32_t first = 0; evolves(param) && first < param->out; first += TASK_ROWS)
            update->tasks[update->task_count++] = (row_task){
                .param = param,
                .first_row = first,
                .rows = param->out - first < TASK_ROWS ? param->out - first : TASK_ROWS,
            };
    }
    egg_update_f32_share(update, (egg_shard){.part = 0, .parts = 1});
    return EGG_OK;
}

egg_rows egg_update_f32_tasks(const egg_update_f32 *update, egg_shard shard)
{
    egg_rows tasks = {0};
    for (uint32_t i = 0, number = 0; i < update->param_count; i++) {
        const egg_param *param = &update->params[i];
        egg_rows own = egg_shard_rows(update->params, update->param_count, i, shard);
        if (own.count && !tasks.count) tasks.first = number + own.first / TASK_ROWS;
        tasks.count += (own.count + TASK_ROWS - 1) / TASK_ROWS;
        if (evolves(param)) number += (param->out + TASK_ROWS - 1) / TASK_ROWS;
    }
    return tasks;
}

void egg_update_f32_share(egg_update_f32 *update, egg_shard shard)
{
    update->own = egg_update_f32_tasks(update, shard);
}

static float *shrink_copy(float *copy, size_t first, size_t n)
{
    float *less = copy ? egg_alloc_array(n, sizeof *less) : NULL;
    if (less && n) memcpy(less, copy + first, n * sizeof *less);
    return less;
}

/* Without memory for the smaller copies the larger ones stay. */
static void shrink_param(egg_param *param, egg_rows rows)
{
    float **copies[] = {&param->moment[0], &param->moment[1], &param->gradient}, *less[3];
    const size_t first = (size_t)(rows.first - param->kept_first) * param->in, n = (size_t)rows.count * param->in;
    bool fits = true;
    for (int i = 0; i < 3; i++) {
        less[i] = shrink_copy(*copies[i], first, n);
        fits &= !*copies[i] || less[i];
    }
    for (int i = 0; i < 3; i++) {
        egg_free(fits ? *copies[i] : less[i]);
        if (fits) *copies[i] = less[i];
    }
    if (!fits) return;
    param->kept_first = rows.first;
    param->kept_rows = rows.count;
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

static egg_status open_scratch(egg_update_f32 *update, egg_error *error)
{
    scratch_sizes sizes = measure(update->params, update->param_count, &update->shape);
    update->scratch = egg_alloc_array(update->shape.threads, sizeof *update->scratch);
    if (!update->scratch) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update");
    for (uint32_t i = 0; i < update->shape.threads; i++) {
        task_scratch *scratch = &update->scratch[i];
        *scratch = (task_scratch){.A = egg_alloc(sizes.A + 64), .B = egg_alloc(sizes.B + 64),
                                  .G = egg_alloc(sizes.G + 64),
                                  .squares = egg_alloc_array(TASK_ROWS, sizeof *scratch->squares)};
        if (!scratch->A || !scratch->B || !scratch->G || !scratch->squares)
            return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update's scratch of %u threads",
                            update->shape.threads);
    }
    return EGG_OK;
}

egg_status egg_update_f32_open(egg_update_f32 **out, egg_param *params, uint32_t count, const egg_update_shape *shape,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    *out = NULL;
    egg_update_f32 *update = egg_alloc(sizeof *update);
    if (!update) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update");
    update->shape = *shape;
    update->params = params;
    update->param_count = count;
    for (uint32_t i = 0; i < count; i++)
        if (evolves(&params[i]))
            EGG_TRY(open_copies(&params[i], kept_rows(params, count, i, shape->shard), &shape->optimizer, error));
    EGG_TRY(open_tasks(update, error));
    EGG_TRY(open_scratch(update, error));
    *out = update;
    update = NULL;
out:
    egg_update_f32_close(update);
    return status;
}

void egg_update_f32_close(egg_update_f32 *update)
{
    if (!update) return;
    for (uint32_t i = 0; update->scratch && i < update->shape.threads; i++) {
        egg_free(update->scratch[i].A);
        egg_free(update->scratch[i].B);
        egg_free(update->scratch[i].G);
        egg_free(update->scratch[i].squares);
    }
    egg_free(update->scratch);
    egg_free(update->tasks);
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
                           scratch->B);
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
        .used_rows = left < task->rows ? left : task->rows, .used = param->used_in,
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

/* Leaves the gradient at gradient_of(), and the sum of its squares. */
static void accumulate_task(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch,
                            double *squares)
{
    float *G = gradient_of(task, scratch);
    bool dense = egg_perturb_is_dense(update->law, task->param);
    uint32_t block = block_pairs(&update->shape, task->param);
    memset(G, 0, (size_t)task->rows * task->param->in * sizeof *G);
    for (uint32_t first = 0; first < update->pairs; first += block) {
        uint32_t pairs = update->pairs - first < block ? update->pairs - first : block;
        (dense ? accumulate_dense : accumulate_low_rank)(update, task, scratch, first, pairs, G);
    }
    finish_gradient(update, task, scratch, G, squares);
}

/* ------------------------------------------------------------------------------------------------------------ run */

static void step_task(const egg_update_f32 *update, const row_task *task, const task_scratch *scratch)
{
    egg_param *param = task->param;
    size_t first = (size_t)task->first_row * param->in, n = (size_t)task->rows * param->in, kept = first_kept(task);
    egg_optimizer_step(&update->shape.optimizer, update->kernels, update->step, update->lr, update->scale, n,
                       gradient_of(task, scratch), (float *)param->data + first,
                       param->moment[0] ? param->moment[0] + kept : NULL,
                       param->moment[1] ? param->moment[1] + kept : NULL);
}

static void accumulate_tasks(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_update_f32 *update = context;
    for (size_t i = update->own.first + begin; i < update->own.first + end; i++) {
        accumulate_task(update, &update->tasks[i], &update->scratch[thread], &update->squares[i]);
        if (!update->tasks[i].param->gradient) step_task(update, &update->tasks[i], &update->scratch[thread]);
    }
}

static void step_tasks(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_update_f32 *update = context;
    for (size_t i = update->own.first + begin; i < update->own.first + end; i++)
        step_task(update, &update->tasks[i], &update->scratch[thread]);
}

static void pack_params(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    const egg_update_f32 *update = context;
    for (size_t i = begin; i < end; i++)
        if (evolves(&update->params[i])) egg_param_pack(&update->params[i], update->kernels);
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
    egg_parallel_for(pool, update->own.count, 1, accumulate_tasks, update);
}

egg_update_stats egg_update_f32_step(egg_update_f32 *update, egg_pool *pool)
{
    const float clip = update->shape.optimizer.clip;
    double squares = 0;
    for (uint32_t i = 0; i < update->task_count; i++) squares += update->squares[i];
    egg_update_stats stats = {.gradient_norm = sqrt(squares)};
    if (clip > 0) {   /* the tasks only left their gradients, whose norm was not known yet */
        if (stats.gradient_norm > clip) update->scale = (float)(clip / stats.gradient_norm);
        egg_parallel_for(pool, update->own.count, 1, step_tasks, update);
    }
    return stats;
}

void egg_update_f32_pack(egg_update_f32 *update, const egg_kernels *kernels, egg_pool *pool)
{
    update->kernels = kernels;
    egg_parallel_for(pool, update->param_count, 1, pack_params, update);
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
