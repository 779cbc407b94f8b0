/* SPDX-License-Identifier: MIT */
#include "tasks/rollout.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "es/device_memory.h"
#include "tasks/action.h"

enum {
    ROWS = 128,                    /* wanted in flight: enough to fill the tiles of the products */
    DENSE_BYTES = 3 << 19,         /* of full-rank noise that a thread holds: to stay in the second-level cache */
    DEVICE_ROWS = 8192,            /* wanted in flight on a device: enough to fill it */
    DEVICE_SHARE = 4,              /* of a device's memory, one part in so many may go into a table */
    DEVICE_GRAIN = 64,             /* rows whose environments a thread steps at a time */
    SAMPLED_PAIRS = 256,           /* whose observations are kept for the normalizer, at most */
    NO_SAMPLE = -1
};

/* What the words of the domain EGG_DOMAIN_ROLLOUT are for: their field 'param'. */
enum { WORDS_OF_EPOCHS = 0, WORDS_OF_PLAY = 1 };

typedef struct episode_row {
    uint32_t slot, side, episode;
    uint32_t state;                /* which of the worker's states it plays in */
    uint32_t steps;
    bool ended;
    double total;
    egg_words luck;                /* for drawing actions */
} episode_row;

typedef struct pair_slot {
    uint32_t pair;                 /* global number; without noise: the episode that is played */
    uint32_t rows;                 /* episodes in flight; 0 = the slot is free */
    int64_t sample;                /* where its observations are kept, or NO_SAMPLE */
} pair_slot;

/* What a thread needs that steps environments. */
typedef struct env_stepper {
    float *action;                 /* (actions) */
    egg_rollout_stats stats;
} EGG_ALIGNED(EGG_CACHE_LINE) env_stepper;

/* One table of rows. What ends in _there is where the kernels work, which on the host is the same. */
typedef struct rollout_worker {
    egg_arena arena;
    egg_bank bank;
    episode_row *rows;             /* (capacity) the first 'count' are in flight */
    uint32_t *member, *member_there;   /* (capacity) of each row, within the bank */
    bool moved;                    /* 'member' is not what is there */
    float *raw;                    /* (capacity, observations) */
    float *X, *Y, *X_there, *Y_there;  /* (capacity, columns) */
    float *deviation;              /* (2 * slots, columns) log_std as the members see it; NULL: all see the policy's */
    char *states;                  /* (capacity, state_stride) */
    uint32_t prepared;             /* states whose 'init' has been called */
    pair_slot *slots;              /* (slots) */
    double *totals;                /* (slots, sides, episodes) returns; NaN: invalid */
    uint32_t count;
    env_stepper *steppers;         /* (steppers_each) */
} rollout_worker;

struct egg_rollout {
    egg_rollout_shape shape;
    const egg_mlp *policy;
    const egg_device *device;      /* of the policy */
    egg_normalizer *normalizer;
    uint32_t slots, capacity;      /* of a worker */
    uint32_t inputs, outputs;      /* columns of X and Y */
    size_t state_stride;
    float *fitness;                /* (population) */
    uint32_t sample_stride;        /* every so manieth pair is sampled */
    double *samples;               /* (sampled pairs, 1 + 2 * observations) count, sums, sums of squares */
    rollout_worker *workers;       /* (worker_count) a thread each; on a device one, whose rows all threads step */
    uint32_t worker_count, steppers_each;

    /* of the evaluation in progress */
    const egg_kernels *kernels;
    egg_pool *pool;                /* that steps the rows of the one worker; NULL: each steps its own */
    const egg_perturb *law;        /* NULL: the unperturbed policy plays */
    uint64_t epoch;
    uint32_t sides, episodes;      /* members of a pair, episodes of a member */
    uint64_t play_seed;
    float *returns;                /* of the unperturbed policy */
    uint32_t end;
    atomic_uint next;              /* pair that is to be taken next */
    atomic_bool failed;
};

/* ------------------------------------------------------------------------------------------------------------ sizes */

static uint32_t sides_of(const egg_rollout_shape *shape)
{
    return shape->antithetic ? 2 : 1;
}

static const egg_device *device_of(const egg_mlp *policy)
{
    return egg_params_device(policy->params, policy->param_count);
}

static uint64_t pair_bytes(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    const egg_memory_bytes bytes = egg_bank_bytes(policy->params, policy->param_count, 1, shape->rank, shape->dense);
    return bytes.host + bytes.device;
}

/* The largest number of pairs that keeps the kernels' memory in bounds. */
static uint64_t chosen_slots(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    const uint32_t rows = sides_of(shape) * shape->episodes;
    const egg_device *device = device_of(policy);
    uint64_t slots = (device ? DEVICE_ROWS : ROWS) / rows, most = slots;
    if (device) most = device->memory().total_bytes / DEVICE_SHARE /
                       (pair_bytes(shape, policy) + egg_mlp_scratch_bytes(policy, rows, shape->rank));
    else if (shape->dense) most = DENSE_BYTES / pair_bytes(shape, policy);
    return slots < most ? slots : most;
}

static uint32_t slots_of(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    uint32_t pairs = shape->population / sides_of(shape);
    uint64_t slots = shape->slots ? shape->slots : chosen_slots(shape, policy);
    if (slots < 1) slots = 1;
    return slots > pairs ? pairs : (uint32_t)slots;
}

static size_t state_stride_of(const egg_env *env)
{
    return (env->state_bytes + EGG_CACHE_LINE) / EGG_CACHE_LINE * EGG_CACHE_LINE;
}

static uint32_t sample_stride_of(const egg_rollout_shape *shape)
{
    uint32_t pairs = shape->population / sides_of(shape);
    return (pairs + SAMPLED_PAIRS - 1) / SAMPLED_PAIRS;
}

static size_t sample_floats(const egg_env *env)
{
    return 1 + 2 * (size_t)env->observations;
}

static size_t sample_count(const egg_rollout_shape *shape)
{
    uint32_t pairs = shape->population / sides_of(shape), stride = sample_stride_of(shape);
    return (pairs + stride - 1) / stride;
}

egg_mlp_shape egg_rollout_policy_shape(const egg_env *env, uint32_t width, uint32_t layers, egg_activation activation)
{
    return (egg_mlp_shape){.inputs = env->observations, .outputs = env->actions, .width = width, .layers = layers,
                           .activation = activation, .deviation = !env->discrete};
}

/* The vector log_std where each member sees its own, else NULL. */
static const egg_param *perturbed_deviation(const egg_mlp *policy)
{
    const egg_param *deviation = egg_mlp_deviation(policy);
    return deviation && !deviation->frozen ? deviation : NULL;
}

/* Of one table: with a device, its rows there and what the host sees of them. */
static egg_memory_bytes table_bytes(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    const egg_env *env = shape->env;
    const uint32_t slots = slots_of(shape, policy);
    const uint64_t rows = (uint64_t)slots * sides_of(shape) * shape->episodes;
    const uint64_t columns = egg_mlp_columns(env->observations) + egg_mlp_columns(env->actions);
    const uint64_t exchanged = rows * (columns * sizeof(float) + sizeof(uint32_t));
    const uint64_t scratch = egg_mlp_scratch_bytes(policy, (uint32_t)rows, shape->rank);
    const egg_param *deviation = perturbed_deviation(policy);
    egg_memory_bytes bytes = egg_bank_bytes(policy->params, policy->param_count, slots, shape->rank, shape->dense);
    bytes.host += exchanged + rows * (sizeof(episode_row) + env->observations * sizeof(float) + state_stride_of(env) +
                                      sizeof(double));
    if (!device_of(policy)) {
        bytes.host += scratch;
        return bytes;
    }
    if (deviation) bytes.host += 2 * (uint64_t)slots * deviation->in * sizeof(float);
    bytes.device += exchanged + scratch;
    return bytes;
}

egg_memory_bytes egg_rollout_bytes(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    egg_memory_bytes bytes = table_bytes(shape, policy);
    if (!device_of(policy)) bytes.host *= shape->threads;
    bytes.host += shape->threads * sizeof(env_stepper) + shape->population * sizeof(float) +
                  sample_count(shape) * sample_floats(shape->env) * sizeof(double);
    return bytes;
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_states(const egg_rollout *rollout, rollout_worker *worker, egg_error *error)
{
    const egg_env *env = rollout->shape.env;
    worker->states = egg_alloc_array(rollout->capacity, rollout->state_stride);
    if (!worker->states) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the states of %u episodes",
                                         rollout->capacity);
    for (; env->init && worker->prepared < rollout->capacity; worker->prepared++) {
        egg_status status = env->init(worker->states + worker->prepared * rollout->state_stride, error);
        if (status != EGG_OK) return status;
    }
    return EGG_OK;
}

static bool open_steppers(const egg_rollout *rollout, rollout_worker *worker)
{
    worker->steppers = egg_alloc_array(rollout->steppers_each, sizeof *worker->steppers);
    for (uint32_t i = 0; worker->steppers && i < rollout->steppers_each; i++)
        if (!(worker->steppers[i].action = egg_alloc_array(rollout->shape.env->actions, sizeof(float)))) return false;
    return worker->steppers;
}

static bool open_rows(const egg_rollout *rollout, rollout_worker *worker)
{
    const size_t capacity = rollout->capacity;
    worker->rows = egg_alloc_array(capacity, sizeof *worker->rows);
    worker->member = egg_alloc_array(capacity, sizeof *worker->member);
    worker->raw = egg_alloc_array(capacity * rollout->shape.env->observations, sizeof *worker->raw);
    worker->X = egg_alloc_array(capacity * rollout->inputs, sizeof *worker->X);
    worker->Y = egg_alloc_array(capacity * rollout->outputs, sizeof *worker->Y);
    worker->slots = egg_alloc_array(rollout->slots, sizeof *worker->slots);
    worker->totals = egg_alloc_array(capacity, sizeof *worker->totals);
    return worker->rows && worker->member && worker->raw && worker->X && worker->Y && worker->slots && worker->totals;
}

static bool open_there(const egg_rollout *rollout, rollout_worker *worker)
{
    const egg_device *device = rollout->device;
    const size_t capacity = rollout->capacity;
    worker->member_there = egg_device_pair(device, worker->member, capacity * sizeof *worker->member);
    worker->X_there = egg_device_pair(device, worker->X, capacity * rollout->inputs * sizeof *worker->X);
    worker->Y_there = egg_device_pair(device, worker->Y, capacity * rollout->outputs * sizeof *worker->Y);
    return worker->member_there && worker->X_there && worker->Y_there;
}

/* On the host the bank itself has it. */
static bool open_deviation(const egg_rollout *rollout, rollout_worker *worker)
{
    const egg_param *deviation = perturbed_deviation(rollout->policy);
    if (!deviation) return true;
    worker->deviation = rollout->device ? egg_alloc_array(2 * (size_t)rollout->slots * deviation->in, sizeof(float))
                                        : (float *)egg_bank_vector(&worker->bank, deviation).data;
    return worker->deviation;
}

static egg_status open_worker(const egg_rollout *rollout, rollout_worker *worker, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_rollout_shape *shape = &rollout->shape;
    const egg_mlp *policy = rollout->policy;
    EGG_TRY(egg_bank_open(&worker->bank, policy->params, policy->param_count, rollout->slots, shape->rank, shape->dense,
                          error));
    if (!open_steppers(rollout, worker) || !open_rows(rollout, worker) || !open_there(rollout, worker) ||
        !open_deviation(rollout, worker)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u episodes side by side", rollout->capacity);
        goto out;
    }
    EGG_TRY(egg_device_arena_open(rollout->device, &worker->arena,
                                  egg_mlp_scratch_bytes(policy, rollout->capacity, shape->rank), error));
    EGG_TRY(open_states(rollout, worker, error));
out:
    return status;
}

egg_status egg_rollout_open(egg_rollout **out, const egg_rollout_shape *shape, const egg_mlp *policy,
                            egg_normalizer *normalizer, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_env *env = shape->env;
    *out = NULL;
    egg_rollout *rollout = egg_alloc(sizeof *rollout);
    if (!rollout) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a task");
    rollout->shape = *shape;
    if (!shape->max_steps || shape->max_steps > env->max_steps) rollout->shape.max_steps = env->max_steps;
    rollout->policy = policy;
    rollout->device = device_of(policy);
    rollout->worker_count = rollout->device ? 1 : shape->threads;
    rollout->steppers_each = rollout->device ? shape->threads : 1;
    rollout->normalizer = normalizer;
    rollout->slots = slots_of(shape, policy);
    rollout->capacity = rollout->slots * sides_of(shape) * shape->episodes;
    rollout->inputs = egg_mlp_columns(env->observations);
    rollout->outputs = egg_mlp_columns(env->actions);
    rollout->state_stride = state_stride_of(env);
    rollout->sample_stride = sample_stride_of(shape);
    rollout->fitness = egg_alloc_array(shape->population, sizeof *rollout->fitness);
    rollout->samples = egg_alloc_array(sample_count(shape) * sample_floats(env), sizeof *rollout->samples);
    rollout->workers = egg_alloc_array(rollout->worker_count, sizeof *rollout->workers);
    if (!rollout->fitness || !rollout->samples || !rollout->workers) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a population of %u", shape->population);
        goto out;
    }
    for (uint32_t i = 0; i < rollout->worker_count; i++) EGG_TRY(open_worker(rollout, &rollout->workers[i], error));
    *out = rollout;
    rollout = NULL;
out:
    egg_rollout_close(rollout);
    return status;
}

static void close_worker(const egg_rollout *rollout, rollout_worker *worker)
{
    const egg_device *device = rollout->device;
    for (uint32_t i = 0; rollout->shape.env->fini && i < worker->prepared; i++)
        rollout->shape.env->fini(worker->states + i * rollout->state_stride);
    for (uint32_t i = 0; worker->steppers && i < rollout->steppers_each; i++) egg_free(worker->steppers[i].action);
    egg_device_arena_close(device, &worker->arena);
    egg_bank_close(&worker->bank);
    egg_device_unpair(device, worker->member_there);
    egg_device_unpair(device, worker->X_there);
    egg_device_unpair(device, worker->Y_there);
    if (device) egg_free(worker->deviation);
    egg_free(worker->steppers);
    egg_free(worker->rows);
    egg_free(worker->member);
    egg_free(worker->raw);
    egg_free(worker->X);
    egg_free(worker->Y);
    egg_free(worker->slots);
    egg_free(worker->totals);
    egg_free(worker->states);
}

void egg_rollout_close(egg_rollout *rollout)
{
    if (!rollout) return;
    for (uint32_t i = 0; rollout->workers && i < rollout->worker_count; i++)
        close_worker(rollout, &rollout->workers[i]);
    egg_free(rollout->workers);
    egg_free(rollout->samples);
    egg_free(rollout->fitness);
    egg_free(rollout);
}

/* ------------------------------------------------------------------------------------------------------------- luck */

/* Four words that decide an episode: two for the environment, two for the policy's draws. */
static void draw_luck(const egg_rollout *rollout, uint32_t pair, uint32_t side, uint32_t episode, uint32_t words[4])
{
    egg_noise_at at = {.epoch = (uint32_t)rollout->epoch, .param = WORDS_OF_EPOCHS, .pair = pair};
    uint64_t seed = rollout->shape.seed;
    if (!rollout->law) {
        at = (egg_noise_at){.param = WORDS_OF_PLAY, .pair = pair};
        seed = rollout->play_seed;
    } else if (rollout->shape.seeds == EGG_SEEDS_EPOCH) {
        at.pair = 0;
    } else if (rollout->shape.seeds == EGG_SEEDS_MEMBER) {
        at.side = side;
    }
    egg_noise_block(egg_key_make(seed, EGG_DOMAIN_ROLLOUT), at, episode, words);
}

/* --------------------------------------------------------------------------------------------------------- episodes */

static void *state_of(const egg_rollout *rollout, const rollout_worker *worker, const episode_row *row)
{
    return worker->states + row->state * rollout->state_stride;
}

static double *sample_of(const egg_rollout *rollout, const rollout_worker *worker, const episode_row *row)
{
    const pair_slot *slot = &worker->slots[row->slot];
    if (slot->sample == NO_SAMPLE || row->side || row->episode) return NULL;
    return rollout->samples + (size_t)slot->sample * sample_floats(rollout->shape.env);
}

/*
 * The observation of row r: kept for the normalizer if the row is sampled, and normalized for the policy. One row of a
 * pair is sampled, and adds up in the order of its own steps, whatever its neighbours do. False: it is not finite.
 */
static bool take_observation(const egg_rollout *rollout, rollout_worker *worker, uint32_t r)
{
    uint32_t n = rollout->shape.env->observations;
    const float *raw = worker->raw + (size_t)r * n;
    double *sample = sample_of(rollout, worker, &worker->rows[r]);
    float zero = 0;
    for (uint32_t i = 0; i < n; i++) zero += raw[i] * 0;   /* NaN where anything is not finite */
    if (zero != 0) return false;
    if (sample) {
        sample[0]++;
        for (uint32_t i = 0; i < n; i++) {
            sample[1 + i] += raw[i];
            sample[1 + n + i] += (double)raw[i] * raw[i];
        }
    }
    egg_normalizer_apply(rollout->normalizer, raw, worker->X + (size_t)r * rollout->inputs);
    return true;
}

static void end_row(env_stepper *stepper, episode_row *row, bool valid)
{
    row->ended = true;
    stepper->stats.episodes++;
    if (valid) return;
    stepper->stats.invalid++;
    row->total = NAN;
}

/* Does something to row r of a worker, for itself alone. */
typedef void row_fn(const egg_rollout *rollout, rollout_worker *worker, env_stepper *stepper, uint32_t r);

typedef struct row_range {
    const egg_rollout *rollout;
    rollout_worker *worker;
    row_fn *fn;
    uint32_t first;
} row_range;

static void do_rows(void *context, size_t begin, size_t end, uint32_t thread)
{
    const row_range *range = context;
    for (size_t i = begin; i < end; i++)
        range->fn(range->rollout, range->worker, &range->worker->steppers[thread], range->first + (uint32_t)i);
}

/* All rows from 'first' on: by the pool where there is one table, else by the worker that is asked. */
static void for_rows(const egg_rollout *rollout, rollout_worker *worker, uint32_t first, row_fn *fn)
{
    const uint32_t rows = worker->count - first;
    row_range range = {.rollout = rollout, .worker = worker, .fn = fn, .first = first};
    egg_parallel_for(rollout->pool, rows, rollout->pool ? DEVICE_GRAIN : rows, do_rows, &range);
}

static void begin_row(const egg_rollout *rollout, rollout_worker *worker, env_stepper *stepper, uint32_t r)
{
    uint32_t words[4];
    episode_row *row = &worker->rows[r];
    draw_luck(rollout, worker->slots[row->slot].pair, row->side, row->episode, words);
    row->luck = (egg_words){.key = egg_key_make(words[2] | (uint64_t)words[3] << 32, EGG_DOMAIN_SAMPLING)};
    rollout->shape.env->reset(state_of(rollout, worker, row), words[0] | (uint64_t)words[1] << 32,
                              worker->raw + (size_t)r * rollout->shape.env->observations);
    if (!take_observation(rollout, worker, r)) end_row(stepper, row, false);
}

static void add_row(const egg_rollout *rollout, rollout_worker *worker, uint32_t slot, uint32_t side, uint32_t episode)
{
    uint32_t r = worker->count++;
    worker->rows[r] = (episode_row){.slot = slot, .side = side, .episode = episode,
                                    .state = (slot * rollout->sides + side) * rollout->episodes + episode};
    worker->member[r] = 2 * slot + side;
    worker->moved = true;
}

static bool take_pair(egg_rollout *rollout, uint32_t *pair)
{
    *pair = atomic_fetch_add(&rollout->next, 1);
    if (*pair < rollout->end) return true;
    atomic_store(&rollout->next, rollout->end);   /* or it could count up to where it wraps */
    return false;
}

static void fill_slot(const egg_rollout *rollout, rollout_worker *worker, uint32_t s, uint32_t pair)
{
    pair_slot *slot = &worker->slots[s];
    *slot = (pair_slot){.pair = pair, .rows = rollout->sides * rollout->episodes, .sample = NO_SAMPLE};
    if (rollout->law) {
        bool baseline = egg_shaping_is_baseline(&rollout->shape.shaping, pair);
        egg_bank_draw(&worker->bank, rollout->kernels, rollout->law, s, pair, baseline);
        if (pair % rollout->sample_stride == 0) slot->sample = pair / rollout->sample_stride;
    }
    for (uint32_t side = 0; side < rollout->sides; side++)
        for (uint32_t e = 0; e < rollout->episodes; e++) add_row(rollout, worker, s, side, e);
}

/* The deviations of the members in the slots first ... end - 1, which the host reads. */
static void fetch_deviations(const egg_rollout *rollout, rollout_worker *worker, uint32_t first, uint32_t end)
{
    const egg_param *deviation = perturbed_deviation(rollout->policy);
    if (!worker->deviation || first >= end) return;
    const size_t slot = 2 * (size_t)deviation->in;
    const float *there = egg_bank_vector(&worker->bank, deviation).data;
    egg_device_download(rollout->device, worker->deviation + first * slot, there + first * slot,
                        (end - first) * slot * sizeof *there);
}

/* Gives free slots the next pairs, as long as there are any. */
static void fill_slots(egg_rollout *rollout, rollout_worker *worker)
{
    const uint32_t first_row = worker->count;
    uint32_t pair, first = UINT32_MAX, end = 0;
    for (uint32_t s = 0; s < rollout->slots; s++) {
        if (worker->slots[s].rows) continue;
        if (!take_pair(rollout, &pair)) break;
        fill_slot(rollout, worker, s, pair);
        if (first == UINT32_MAX) first = s;
        end = s + 1;
    }
    if (rollout->law) {
        egg_bank_flush(&worker->bank, rollout->kernels);
        fetch_deviations(rollout, worker, first, end);
    }
    for_rows(rollout, worker, first_row, begin_row);
}

/* ------------------------------------------------------------------------------------------------------------ steps */

static void run_policy(egg_rollout *rollout, rollout_worker *worker)
{
    const egg_bank *bank = rollout->law ? &worker->bank : NULL;
    const egg_pass_key key = egg_pass_key_of(worker, bank, worker->count, 0, 0);
    if (egg_device_begin_replay(rollout->device, &key, sizeof key)) return;
    egg_pass pass = egg_pass_begin_rows(rollout->kernels, &worker->arena, bank, worker->member_there, worker->count);
    egg_mat X = {.data = worker->X_there, .stride = rollout->inputs, .steps = 1, .cols = rollout->inputs};
    egg_mat Y = {.data = worker->Y_there, .stride = rollout->outputs, .steps = 1, .cols = rollout->outputs};
    egg_mlp_forward(&pass, rollout->policy, X, Y);
    egg_device_end_replay(rollout->device);
    if (pass.failed) atomic_store(&rollout->failed, true);
}

static void forward(egg_rollout *rollout, rollout_worker *worker)
{
    const egg_device *device = rollout->device;
    const size_t rows = worker->count;
    if (worker->moved) egg_device_upload(device, worker->member_there, worker->member, rows * sizeof *worker->member);
    worker->moved = false;
    egg_device_upload(device, worker->X_there, worker->X, rows * rollout->inputs * sizeof *worker->X);
    run_policy(rollout, worker);
    egg_device_download(device, worker->Y, worker->Y_there, rows * rollout->outputs * sizeof *worker->Y);
    if (egg_device_wait(device, NULL) != EGG_OK) atomic_store(&rollout->failed, true);
}

/* log_std as the member of row r sees it; NULL for a policy of discrete actions. */
static const float *deviation_of(const egg_rollout *rollout, const rollout_worker *worker, uint32_t r)
{
    if (rollout->shape.env->discrete) return NULL;
    const egg_param *deviation = egg_mlp_deviation(rollout->policy);
    if (!rollout->law || !worker->deviation) return deviation->data;
    return worker->deviation + (size_t)worker->member[r] * deviation->in;
}

static void step_row(const egg_rollout *rollout, rollout_worker *worker, env_stepper *stepper, uint32_t r)
{
    const egg_env *env = rollout->shape.env;
    episode_row *row = &worker->rows[r];
    float *observation = worker->raw + (size_t)r * env->observations, reward = 0;
    if (row->ended) return;
    egg_action_choose(env, observation, worker->Y + (size_t)r * rollout->outputs, deviation_of(rollout, worker, r),
                      rollout->shape.deterministic ? NULL : &row->luck, stepper->action);
    bool over = env->step(state_of(rollout, worker, row), stepper->action, observation, &reward);
    row->total += reward;
    row->steps++;
    stepper->stats.steps++;
    uint32_t bound = rollout->law ? rollout->shape.max_steps : env->max_steps;
    bool cut = !over && row->steps >= bound, valid = isfinite(reward);
    stepper->stats.cut += cut;
    if (!over && !cut && valid) valid = take_observation(rollout, worker, r);
    if (over || cut || !valid) end_row(stepper, row, valid);
}

static void step_rows(egg_rollout *rollout, rollout_worker *worker)
{
    forward(rollout, worker);
    for_rows(rollout, worker, 0, step_row);
}

/* ---------------------------------------------------------------------------------------------------------- endings */

/* The returns of a pair whose episodes have all ended, added up in their order. */
static void settle_pair(const egg_rollout *rollout, const rollout_worker *worker, uint32_t s)
{
    uint32_t pair = worker->slots[s].pair;
    for (uint32_t side = 0; side < rollout->sides; side++) {
        const double *totals = worker->totals + ((size_t)s * rollout->sides + side) * rollout->episodes;
        double sum = 0;
        for (uint32_t e = 0; e < rollout->episodes; e++) sum += totals[e];
        float mean = (float)(sum / rollout->episodes);
        if (rollout->law) rollout->fitness[(size_t)rollout->sides * pair + side] = mean;
        else rollout->returns[pair] = mean;
    }
}

/* Takes the rows that ended out of the table; the last row fills the gap. */
static void drop_ended(const egg_rollout *rollout, rollout_worker *worker)
{
    uint32_t n = rollout->shape.env->observations;
    for (uint32_t r = 0; r < worker->count;) {
        episode_row *row = &worker->rows[r];
        if (!row->ended) {
            r++;
            continue;
        }
        size_t member = (size_t)row->slot * rollout->sides + row->side;
        worker->totals[member * rollout->episodes + row->episode] = row->total;
        if (--worker->slots[row->slot].rows == 0) settle_pair(rollout, worker, row->slot);
        uint32_t last = --worker->count;
        if (r == last) break;
        *row = worker->rows[last];
        worker->member[r] = worker->member[last];
        worker->moved = true;
        memcpy(worker->raw + (size_t)r * n, worker->raw + (size_t)last * n, n * sizeof *worker->raw);
        memcpy(worker->X + (size_t)r * rollout->inputs, worker->X + (size_t)last * rollout->inputs,
               rollout->inputs * sizeof *worker->X);
    }
}

static void work(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_rollout *rollout = context;
    rollout_worker *worker = &rollout->workers[thread];
    for (;;) {
        fill_slots(rollout, worker);
        drop_ended(rollout, worker);   /* episodes whose first observation was invalid */
        if (worker->count == 0 && atomic_load(&rollout->next) >= rollout->end) break;
        if (worker->count == 0) continue;
        step_rows(rollout, worker);
        drop_ended(rollout, worker);
        if (atomic_load(&rollout->failed)) break;
    }
}

static void begin_worker(const egg_rollout *rollout, rollout_worker *worker)
{
    for (uint32_t i = 0; i < rollout->steppers_each; i++) worker->steppers[i].stats = (egg_rollout_stats){0};
    for (uint32_t s = 0; s < rollout->slots; s++) worker->slots[s].rows = 0;
    worker->count = 0;
}

static void add_stats(const egg_rollout *rollout, const rollout_worker *worker, egg_rollout_stats *stats)
{
    for (uint32_t i = 0; i < rollout->steppers_each; i++) {
        const egg_rollout_stats *part = &worker->steppers[i].stats;
        stats->steps += part->steps;
        stats->episodes += part->episodes;
        stats->cut += part->cut;
        stats->invalid += part->invalid;
    }
}

static egg_status check_steps(const egg_rollout *rollout, egg_error *error)
{
    egg_status status = egg_device_wait(rollout->device, error);
    if (status == EGG_OK && atomic_load(&rollout->failed))
        status = egg_fail(error, EGG_ERR_NOMEM, "a step of the policy outgrew its memory");
    return status;
}

static egg_status run_workers(egg_rollout *rollout, egg_pool *pool, uint32_t first, uint32_t count,
                              egg_rollout_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    for (uint32_t i = 0; i < rollout->worker_count; i++) begin_worker(rollout, &rollout->workers[i]);
    rollout->end = first + count;
    atomic_store(&rollout->next, first);
    atomic_store(&rollout->failed, false);
    rollout->pool = rollout->device ? pool : NULL;   /* one thread talks to a device; else each runs a worker */
    egg_parallel_for(rollout->device ? NULL : pool, rollout->worker_count, 1, work, rollout);
    EGG_TRY(check_steps(rollout, error));
    for (uint32_t i = 0; stats && i < rollout->worker_count; i++) add_stats(rollout, &rollout->workers[i], stats);
out:
    return status;
}

egg_status egg_rollout_evaluate(egg_rollout *rollout, const egg_kernels *kernels, egg_pool *pool,
                                const egg_perturb *law,
                                uint64_t epoch, egg_slice slice, egg_rollout_stats *stats, egg_error *error)
{
    const egg_rollout_shape *shape = &rollout->shape;
    rollout->kernels = kernels;
    rollout->law = law;
    rollout->epoch = epoch;
    rollout->sides = sides_of(shape);
    rollout->episodes = shape->episodes;
    memset(rollout->samples, 0, sample_count(shape) * sample_floats(shape->env) * sizeof *rollout->samples);
    *stats = (egg_rollout_stats){0};
    return run_workers(rollout, pool, slice.first_pair, slice.pairs, stats, error);
}

float *egg_rollout_fitness(egg_rollout *rollout)
{
    return rollout->fitness;
}

double *egg_rollout_samples(egg_rollout *rollout, uint32_t *stride, size_t *bytes_each)
{
    *stride = rollout->sample_stride;
    *bytes_each = sample_floats(rollout->shape.env) * sizeof *rollout->samples;
    return rollout->samples;
}

void egg_rollout_learn_observations(egg_rollout *rollout)
{
    uint32_t n = rollout->shape.env->observations;
    for (size_t i = 0; i < sample_count(&rollout->shape); i++) {
        const double *sample = rollout->samples + i * sample_floats(rollout->shape.env);
        egg_normalizer_add(rollout->normalizer, sample[0], sample + 1, sample + 1 + n);
    }
}

/* ------------------------------------------------------------------------------------------------------------- play */

static void begin_play(egg_rollout *rollout, const egg_kernels *kernels, uint64_t seed)
{
    rollout->kernels = kernels;
    rollout->law = NULL;
    rollout->pool = NULL;
    rollout->play_seed = seed;
    rollout->sides = rollout->episodes = 1;
    if (egg_mlp_deviation(rollout->policy)) egg_param_fetch_weights(egg_mlp_deviation(rollout->policy));
}

egg_status egg_rollout_play(egg_rollout *rollout, const egg_kernels *kernels, egg_pool *pool, uint64_t seed,
                            uint32_t count, float *returns, egg_rollout_stats *stats, egg_error *error)
{
    begin_play(rollout, kernels, seed);
    rollout->returns = returns;
    if (stats) *stats = (egg_rollout_stats){0};
    return run_workers(rollout, pool, 0, count, stats, error);
}

egg_status egg_rollout_watch(egg_rollout *rollout, const egg_kernels *kernels, uint64_t seed,
                             egg_rollout_watch_fn *watch, void *context, egg_error *error)
{
    rollout_worker *worker = &rollout->workers[0];
    begin_play(rollout, kernels, seed);
    atomic_store(&rollout->failed, false);
    worker->count = 0;
    worker->slots[0] = (pair_slot){.rows = 1, .sample = NO_SAMPLE};
    add_row(rollout, worker, 0, 0, 0);
    for_rows(rollout, worker, 0, begin_row);
    const episode_row *row = &worker->rows[0];
    for (bool going = true; going && !atomic_load(&rollout->failed);) {
        going = watch(context, state_of(rollout, worker, row), row->steps, row->total, row->ended) && !row->ended;
        if (going) step_rows(rollout, worker);
    }
    egg_status status = check_steps(rollout, error);
    if (status == EGG_OK && isnan(row->total))
        status = egg_fail(error, EGG_ERR_FORMAT, "%s gave a reward or observation that is not finite after %u steps",
                          rollout->shape.env->name, row->steps);
    return status;
}
