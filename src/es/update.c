/* SPDX-License-Identifier: MIT */
#include "es/update.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"
#include "es/device_memory.h"

enum {
    TERMS_PER_BLOCK = 1024,   /* outer products summed in one call: A, B and Z of a block fit the second-level cache */
    MIN_TASK_ROWS = 64,       /* below it drawing B again for each task costs more than balance gains */
    MAX_TASK_ROWS = 256,
    TASKS_PER_THREAD = 4,
    DEVICE_TERMS_PER_BLOCK = 1 << 14   /* enough products in a call to fill a device */
};

typedef struct egg_update_task {
    egg_param *param;
    uint32_t first_row, rows;   /* of a vector: first_row = 0, rows = 1 */
    uint64_t cost;
} egg_update_task;

typedef struct egg_update_scratch {
    int8_t *A, *B;   /* (terms, task rows), (terms, in) */
    int32_t *Z;      /* (task rows, in) */
    void *outer;
} egg_update_scratch;

struct egg_update {
    egg_param *params;
    uint32_t param_count;
    const egg_device *device;      /* of the parameters */
    egg_update_task *tasks;
    uint64_t *changed;             /* (task_count) weights changed by each */
    uint64_t *changed_there;       /* the same where the kernels count */
    int8_t *F_there;               /* device: (EGG_UPDATE_MAX_TERMS), else NULL */
    uint32_t task_count, threads;
    egg_update_scratch *scratch;   /* (threads) */

    /* of the run in progress */
    const egg_kernels *kernels;
    const egg_perturb *law;
    const egg_step *step;
    const int8_t *F;
    uint32_t pairs;
};

typedef struct egg_update_sizes {
    size_t A, B, Z, outer;
} egg_update_sizes;

/* ---------------------------------------------------------------------------------------------------------- steps */

uint32_t egg_vote_quantile(double alpha)
{
    /* Entry z is erfc(z / (16 sqrt(2))): the share of a normal law beyond z sixteenths of a standard deviation. */
    static const double beyond[] = {
        0x1.0000000000000p+0, 0x1.e67bfb89b5133p-1, 0x1.cd116c3bf96a6p-1, 0x1.b3d97b25b41bcp-1, 0x1.9aecba9d22528p-1,
        0x1.8262de8bd8374p-1, 0x1.6a527901e8243p-1, 0x1.52d0bc4ee0dc2p-1, 0x1.3bf143b9aa712p-1, 0x1.25c5e3c3b41c1p-1,
        0x1.105e82b1e4ca0p-1, 0x1.f791f3bffb742p-2, 0x1.d0220056b3a4ep-2, 0x1.aa803b13e3a6cp-2, 0x1.86bb4f580a4bap-2,
        0x1.64dd8ea6a7372p-2, 0x1.44ed0bb7cb20bp-2, 0x1.26ebc4925aa20p-2, 0x1.0ad7da0f9b0b9p-2, 0x1.e157a5e4d23e0p-3,
        0x1.b0bdd12ba9c29p-3, 0x1.83cab6400a0e6p-3, 0x1.5a61963dc9206p-3, 0x1.34612cf6c4d10p-3, 0x1.11a46d89647efp-3,
        0x1.e4067bd5a15b0p-4, 0x1.aaa65bfa4f82ep-4, 0x1.76d04e5c4ac56p-4, 0x1.482a2414556ddp-4, 0x1.1e58df4c1099bp-4,
        0x1.f20394ecbf67bp-5, 0x1.af96e328c3cf8p-5, 0x1.74bcf82c9d860p-5, 0x1.40cccd806626bp-5, 0x1.13243b7f38028p-5,
        0x1.d651df344c7e8p-6, 0x1.90924f21d3612p-6, 0x1.53f86ae1471edp-6, 0x1.1f85a1c9b297ep-6, 0x1.e49cebb53f987p-7,
        0x1.96f4e57e49ce4p-7, 0x1.5487bf0374d49p-7, 0x1.1bee6c07df146p-7, 0x1.d7c9abffe731cp-8, 0x1.86904349ec803p-8,
        0x1.42297a541b29dp-8, 0x1.08c890e7cdbf7p-8, 0x1.b1ad9b59f98dbp-9, 0x1.61de1f985b5d7p-9, 0x1.1fb2cbad16b6ap-9,
        0x1.d21af4ae0dd6dp-10, 0x1.7832e558d7053p-10, 0x1.2e86fd7d03406p-10, 0x1.e4c9eefc4f5d7p-11, 0x1.8301be4097ac0p-11,
        0x1.33d0aab71796cp-11, 0x1.e7dbc92b77dd5p-12, 0x1.812f0e4b6d184p-12, 0x1.2eff7fc311e78p-12, 0x1.daf021c90dfc8p-13,
        0x1.72d9564b2dce0p-13, 0x1.20806177106fdp-13, 0x1.bf37663a4a43bp-14, 0x1.595675c2cbdc0p-14, 0x1.09ad7954afff8p-14,
        0x1.97443804f6995p-15, 0x1.36feaecd8d1e3p-15, 0x1.d930fc1054522p-16, 0x1.66a5bcbf244eap-16, 0x1.0ed0e1d208db4p-16,
        0x1.9775b45c268bcp-17, 0x1.3160c1826c206p-17, 0x1.c80728dd3b03ap-18, 0x1.5338f6af8ca46p-18, 0x1.f6c707d24b099p-19,
        0x1.7332387830fe3p-19, 0x1.11056da03cb85p-19, 0x1.901d0a9b24853p-20, 0x1.241499db1b218p-20, 0x1.a8d400adbd127p-21,
        0x1.33ca2f2133831p-21, 0x1.bc4ed8bb089fdp-22, 0x1.3f7a8d8ed2701p-22, 0x1.c9b4b6d0b61dcp-23, 0x1.46a16cd7b7555p-23,
        0x1.d06bc2cfad773p-24, 0x1.48eb8caab7cc6p-24, 0x1.d024981172f2dp-25, 0x1.463cfa9c7fce7p-25, 0x1.c8e057e966197p-26,
        0x1.3eb34524706c6p-26, 0x1.baf0b99522398p-27, 0x1.32a35e335e12bp-27, 0x1.a6f2123add778p-28, 0x1.2293637785101p-28,
        0x1.8dbff0d10530ep-29, 0x1.0f30ef0092d48p-29, 0x1.706576a4a4920p-30, 0x1.f289d4870f466p-31, 0x1.500afb591eac5p-31,
        0x1.c34c28f35ea26p-32, 0x1.2de2be7f9538bp-32, 0x1.9256fc30ef212p-33, 0x1.0b1665032fb87p-33, 0x1.61404b2da0191p-34,
    };
    uint32_t z = 0;
    while (z + 1 < EGG_COUNT(beyond) && alpha <= beyond[z + 1]) z++;
    return z;
}

egg_step egg_step_vote(uint32_t z, uint32_t pairs, uint32_t rank)
{
    return (egg_step){.rule = EGG_RULE_VOTE, .threshold = (int32_t)(16 * z * egg_isqrt((uint64_t)pairs * rank))};
}

egg_step egg_step_fractional(uint32_t rate24, uint64_t sum_squares, uint32_t rank)
{
    egg_step step = {.rule = EGG_RULE_FRACTIONAL};
    uint64_t deviation = egg_isqrt((16 * sum_squares * rank) << 16);   /* of Z, times 256 */
    if (deviation) step.rate = (int32_t)(((uint64_t)rate24 * 256 + deviation / 2) / deviation);
    step.limit = step.rate ? (INT32_MAX - 32768) / step.rate : INT32_MAX;
    return step;
}

/* ---------------------------------------------------------------------------------------------------------- tasks */

static bool evolves(const egg_param *param)
{
    return !param->frozen;
}

/* Rows of a task of this parameter: few enough to balance the threads, enough to be worth drawing B. */
static uint32_t task_rows(const egg_param *param, uint64_t total_cost, uint32_t threads)
{
    if (param->kind == EGG_PARAM_VECTOR) return 1;
    if (param->device) return param->out;   /* it balances by itself */
    uint64_t rows = total_cost / ((uint64_t)TASKS_PER_THREAD * threads) / param->in / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM;
    if (rows < MIN_TASK_ROWS) rows = MIN_TASK_ROWS;
    if (rows > MAX_TASK_ROWS) rows = MAX_TASK_ROWS;
    return rows < param->out ? (uint32_t)rows : param->out;
}

static uint64_t shard_cost(const egg_param *params, uint32_t count, egg_shard shard)
{
    uint64_t cost = 0;
    for (uint32_t i = 0; i < count; i++) cost += (uint64_t)egg_shard_rows(params, count, i, shard).count * params[i].in;
    return cost;
}

static uint64_t total_cost(const egg_param *params, uint32_t count)
{
    return shard_cost(params, count, (egg_shard){.part = 0, .parts = 1});
}

/* As many as any shard can have. */
static uint32_t max_tasks(const egg_param *params, uint32_t count)
{
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < count; i++)
        if (evolves(&params[i])) tasks += (params[i].out + MIN_TASK_ROWS - 1) / MIN_TASK_ROWS;
    return tasks;
}

static void make_tasks(egg_update *update, egg_shard shard)
{
    uint64_t cost = shard_cost(update->params, update->param_count, shard);
    update->task_count = 0;
    for (uint32_t i = 0; i < update->param_count; i++) {
        egg_param *param = &update->params[i];
        egg_rows own = egg_shard_rows(update->params, update->param_count, i, shard);
        uint32_t rows = task_rows(param, cost, update->threads), end = own.first + own.count;
        for (uint32_t first = own.first; first < end; first += rows) {
            uint32_t n = end - first < rows ? end - first : rows;
            update->tasks[update->task_count++] =
                (egg_update_task){.param = param, .first_row = first, .rows = n, .cost = (uint64_t)n * param->in};
        }
    }
}

/* Largest first, so that no thread is left with a large one at the end. */
static int compare_tasks(const void *left, const void *right)
{
    const egg_update_task *a = left, *b = right;
    if (a->cost != b->cost) return a->cost < b->cost ? 1 : -1;
    if (a->param->id != b->param->id) return a->param->id < b->param->id ? -1 : 1;
    return a->first_row < b->first_row ? -1 : 1;
}

static uint32_t block_terms(const egg_device *device, uint32_t rank)
{
    uint32_t terms = device ? DEVICE_TERMS_PER_BLOCK : TERMS_PER_BLOCK;
    return rank < terms ? terms / rank * rank : rank;
}

/* The largest of each buffer over all tasks. */
static egg_update_sizes scratch_sizes(const egg_param *params, uint32_t count, uint32_t rank, uint32_t threads)
{
    egg_update_sizes max = {0};
    uint64_t cost = total_cost(params, count);
    size_t terms = block_terms(egg_params_device(params, count), rank);
    for (uint32_t i = 0; i < count; i++) {
        if (!evolves(&params[i])) continue;
        size_t rows = task_rows(&params[i], cost, threads), in = params[i].in;
        size_t a = params[i].kind == EGG_PARAM_VECTOR ? in : rows, outer = EGG_OUTER_SCRATCH(a, in, terms);
        if (terms * a > max.A) max.A = terms * a;
        if (terms * in > max.B) max.B = terms * in;
        if (rows * in * sizeof(int32_t) > max.Z) max.Z = rows * in * sizeof(int32_t);
        if (params[i].kind != EGG_PARAM_VECTOR && outer > max.outer) max.outer = outer;
    }
    return max;
}

uint64_t egg_update_bytes(const egg_param *params, uint32_t count, uint32_t rank, uint32_t threads)
{
    egg_update_sizes sizes = scratch_sizes(params, count, rank, threads);
    uint64_t fitness = egg_params_device(params, count) ? EGG_UPDATE_MAX_TERMS : 0;
    return (uint64_t)threads * (sizes.A + sizes.B + sizes.Z + sizes.outer) + fitness;
}

static bool open_scratch(egg_update_scratch *scratch, const egg_device *device, const egg_update_sizes *sizes)
{
    *scratch = (egg_update_scratch){.A = egg_device_alloc(device, sizes->A), .B = egg_device_alloc(device, sizes->B),
                                    .Z = egg_device_alloc(device, sizes->Z),
                                    .outer = egg_device_alloc(device, sizes->outer)};
    return scratch->A && scratch->B && scratch->Z && scratch->outer;
}

egg_status egg_update_open(egg_update **out, egg_param *params, uint32_t count, uint32_t rank, uint32_t threads,
                           egg_error *error)
{
    *out = NULL;
    egg_update *update = egg_alloc(sizeof *update);
    if (!update) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update");
    uint32_t tasks = max_tasks(params, count);
    update->params = params;
    update->param_count = count;
    update->device = egg_params_device(params, count);
    update->threads = threads;
    update->tasks = egg_alloc_array(tasks, sizeof *update->tasks);
    update->changed = egg_alloc_array(tasks, sizeof *update->changed);
    update->scratch = egg_alloc_array(threads, sizeof *update->scratch);
    if (!update->tasks || !update->changed || !update->scratch) goto fail;
    update->changed_there = egg_device_pair(update->device, update->changed, tasks * sizeof *update->changed);
    if (update->device) update->F_there = egg_device_alloc(update->device, EGG_UPDATE_MAX_TERMS);
    if (!update->changed_there || (update->device && !update->F_there)) goto fail;
    egg_update_sizes sizes = scratch_sizes(params, count, rank, threads);
    for (uint32_t i = 0; i < threads; i++)
        if (!open_scratch(&update->scratch[i], update->device, &sizes)) goto fail;
    egg_update_share(update, (egg_shard){.part = 0, .parts = 1});
    *out = update;
    return EGG_OK;

fail:
    egg_update_close(update);
    return egg_fail(error, EGG_ERR_NOMEM, "no memory for the update's scratch of %u threads", threads);
}

void egg_update_share(egg_update *update, egg_shard shard)
{
    make_tasks(update, shard);
    qsort(update->tasks, update->task_count, sizeof *update->tasks, compare_tasks);
}

void egg_update_close(egg_update *update)
{
    if (!update) return;
    for (uint32_t i = 0; update->scratch && i < update->threads; i++) {
        egg_device_free(update->device, update->scratch[i].A);
        egg_device_free(update->device, update->scratch[i].B);
        egg_device_free(update->device, update->scratch[i].Z);
        egg_device_free(update->device, update->scratch[i].outer);
    }
    egg_device_unpair(update->device, update->changed_there);
    egg_device_free(update->device, update->F_there);
    egg_free(update->scratch);
    egg_free(update->changed);
    egg_free(update->tasks);
    egg_free(update);
}

/* ------------------------------------------------------------------------------------------------------------ run */

/* Adds the pairs [first, first + pairs) to scratch->Z. */
static void accumulate(const egg_update *update, const egg_update_task *task, const egg_update_scratch *scratch,
                       uint32_t first, uint32_t pairs)
{
    const egg_param *param = task->param;
    const egg_kernels *kernels = update->kernels;
    bool vector = param->kind == EGG_PARAM_VECTOR;
    uint32_t rank = update->law->rank, n = vector ? param->in : task->rows, terms = pairs * rank;

    egg_perturb_draw(update->law, kernels, param, EGG_A, first, pairs, task->first_row, n, scratch->A);
    egg_perturb_draw(update->law, kernels, param, EGG_B, first, pairs, 0, param->in, scratch->B);
    kernels->weigh_i8(scratch->A, update->F + first, pairs, (size_t)rank * n, scratch->A);
    if (vector) {
        kernels->diagonal_i8(scratch->A, scratch->B, terms, n, scratch->Z);
        return;
    }
    kernels->outer_i8(&(egg_outer_args){.A = scratch->A, .B = scratch->B, .Z = scratch->Z, .count = terms, .m = n,
                                        .n = param->in, .scratch = scratch->outer});
}

static void take_step(const egg_update *update, const egg_update_task *task, const int32_t *Z, uint64_t *changed)
{
    const egg_param *param = task->param;
    size_t first = (size_t)task->first_row * param->in, n = (size_t)task->rows * param->in;
    int8_t *W = (int8_t *)egg_param_kernel_data(param) + first;
    const egg_step *step = update->step;
    if (param->mirror) param->mirror->ahead = true;
    if (step->rule == EGG_RULE_VOTE)
        update->kernels->step_vote_i8(W, Z, n, step->threshold, changed);
    else
        update->kernels->step_fractional_i8(W, egg_param_kernel_fraction(param) + first, Z, n, step->rate, step->limit,
                                            changed);
}

static void run_tasks(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_update *update = context;
    const egg_update_scratch *scratch = &update->scratch[thread];
    uint32_t block = block_terms(update->device, update->law->rank) / update->law->rank;
    for (size_t i = begin; i < end; i++) {
        const egg_update_task *task = &update->tasks[i];
        egg_device_fill(update->device, scratch->Z, 0, (size_t)task->rows * task->param->in * sizeof *scratch->Z);
        for (uint32_t first = 0; first < update->pairs; first += block)
            accumulate(update, task, scratch, first, update->pairs - first < block ? update->pairs - first : block);
        take_step(update, task, scratch->Z, &update->changed_there[i]);
    }
}

static void pack_params(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    const egg_update *update = context;
    for (size_t i = begin; i < end; i++)
        if (evolves(&update->params[i])) egg_param_pack(&update->params[i], update->kernels);
}

uint64_t egg_update_rows(egg_update *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                         const egg_step *step, const int8_t *F, uint32_t pairs)
{
    update->kernels = kernels;
    update->law = law;
    update->step = step;
    update->F = F;
    update->pairs = pairs;
    if (update->device) {
        egg_device_upload(update->device, update->F_there, F, pairs);
        update->F = update->F_there;
    }
    const size_t counts = update->task_count * sizeof *update->changed;
    egg_device_fill(update->device, update->changed_there, 0, counts);
    egg_parallel_for(pool, update->task_count, 1, run_tasks, update);
    egg_device_download(update->device, update->changed, update->changed_there, counts);
    uint64_t changed = 0;
    for (uint32_t i = 0; i < update->task_count; i++) changed += update->changed[i];
    return changed;
}

void egg_update_pack(egg_update *update, const egg_kernels *kernels, egg_pool *pool)
{
    update->kernels = kernels;
    egg_parallel_for(pool, update->param_count, 1, pack_params, update);
}

uint64_t egg_update_run(egg_update *update, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                        const egg_step *step, const int8_t *F, uint32_t pairs)
{
    uint64_t changed = egg_update_rows(update, kernels, pool, law, step, F, pairs);
    egg_update_pack(update, kernels, pool);
    return changed;
}
