/* SPDX-License-Identifier: MIT */
#include "tasks/rollout.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "tasks/action.h"

enum {
    ROWS = 128,                    /* wanted in flight: enough to fill the tiles of the products */
    DENSE_BYTES = 3 << 19,         /* of full-rank noise that a thread holds: to stay in the second-level cache */
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

typedef struct rollout_worker {
    egg_arena arena;
    egg_bank bank;
    episode_row *rows;             /* (capacity) the first 'count' are in flight */
    uint32_t *member;              /* (capacity) of each row, within the bank */
    float *raw;                    /* (capacity, observations) */
    float *X, *Y;                  /* (capacity, columns) */
    float *action;                 /* (actions) */
    char *states;                  /* (capacity, state_stride) */
    uint32_t prepared;             /* states whose 'init' has been called */
    pair_slot *slots;              /* (slots) */
    double *totals;                /* (slots, sides, episodes) returns; NaN: invalid */
    uint32_t count;
    egg_rollout_stats stats;
} rollout_worker;

struct egg_rollout {
    egg_rollout_shape shape;
    const egg_mlp *policy;
    egg_normalizer *normalizer;
    uint32_t slots, capacity;      /* of a worker */
    uint32_t inputs, outputs;      /* columns of X and Y */
    size_t state_stride;
    float *fitness;                /* (population) */
    uint32_t sample_stride;        /* every so manieth pair is sampled */
    double *samples;               /* (sampled pairs, 1 + 2 * observations) count, sums, sums of squares */
    rollout_worker *workers;       /* (threads) */

    /* of the evaluation in progress */
    const egg_kernels *kernels;
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

static uint32_t slots_of(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    uint32_t pairs = shape->population / sides_of(shape), rows = sides_of(shape) * shape->episodes;
    uint64_t slots = shape->slots;
    if (!slots) {
        slots = ROWS / rows;
        egg_memory_bytes pair = egg_bank_bytes(policy->params, policy->param_count, 1, shape->rank, shape->dense);
        uint64_t pair_bytes = pair.host + pair.device;
        if (shape->dense && slots * pair_bytes > DENSE_BYTES) slots = DENSE_BYTES / pair_bytes;
    }
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

uint64_t egg_rollout_bytes(const egg_rollout_shape *shape, const egg_mlp *policy)
{
    const egg_env *env = shape->env;
    uint64_t slots = slots_of(shape, policy), rows = slots * sides_of(shape) * shape->episodes;
    uint64_t columns = egg_mlp_columns(env->observations) + egg_mlp_columns(env->actions) + env->observations;
    uint64_t row = sizeof(episode_row) + sizeof(uint32_t) + columns * sizeof(float) + state_stride_of(env) +
                   sizeof(double);
    uint64_t worker = rows * row + egg_mlp_scratch_bytes(policy, (uint32_t)rows, shape->rank) +
                      egg_bank_bytes(policy->params, policy->param_count, (uint32_t)slots, shape->rank, shape->dense).host;
    return shape->threads * worker + shape->population * sizeof(float) +
           sample_count(shape) * sample_floats(env) * sizeof(double);
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

static egg_status open_worker(const egg_rollout *rollout, rollout_worker *worker, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_rollout_shape *shape = &rollout->shape;
    const egg_mlp *policy = rollout->policy;
    size_t capacity = rollout->capacity;
    worker->rows = egg_alloc_array(capacity, sizeof *worker->rows);
    worker->member = egg_alloc_array(capacity, sizeof *worker->member);
    worker->raw = egg_alloc_array(capacity * shape->env->observations, sizeof *worker->raw);
    worker->X = egg_alloc_array(capacity * rollout->inputs, sizeof *worker->X);
    worker->Y = egg_alloc_array(capacity * rollout->outputs, sizeof *worker->Y);
    worker->action = egg_alloc_array(shape->env->actions, sizeof *worker->action);
    worker->slots = egg_alloc_array(rollout->slots, sizeof *worker->slots);
    worker->totals = egg_alloc_array(capacity, sizeof *worker->totals);
    if (!worker->rows || !worker->member || !worker->raw || !worker->X || !worker->Y || !worker->action ||
        !worker->slots ||
        !worker->totals)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u episodes side by side", rollout->capacity);
    EGG_TRY(egg_bank_open(&worker->bank, policy->params, policy->param_count, rollout->slots, shape->rank, shape->dense,
                          error));
    EGG_TRY(egg_arena_open(&worker->arena, egg_mlp_scratch_bytes(policy, rollout->capacity, shape->rank), error));
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
    rollout->normalizer = normalizer;
    rollout->slots = slots_of(shape, policy);
    rollout->capacity = rollout->slots * sides_of(shape) * shape->episodes;
    rollout->inputs = egg_mlp_columns(env->observations);
    rollout->outputs = egg_mlp_columns(env->actions);
    rollout->state_stride = state_stride_of(env);
    rollout->sample_stride = sample_stride_of(shape);
    rollout->fitness = egg_alloc_array(shape->population, sizeof *rollout->fitness);
    rollout->samples = egg_alloc_array(sample_count(shape) * sample_floats(env), sizeof *rollout->samples);
    rollout->workers = egg_alloc_array(shape->threads, sizeof *rollout->workers);
    if (!rollout->fitness || !rollout->samples || !rollout->workers) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a population of %u", shape->population);
        goto out;
    }
    for (uint32_t i = 0; i < shape->threads; i++) EGG_TRY(open_worker(rollout, &rollout->workers[i], error));
    *out = rollout;
    rollout = NULL;
out:
    egg_rollout_close(rollout);
    return status;
}

static void close_worker(const egg_rollout *rollout, rollout_worker *worker)
{
    for (uint32_t i = 0; rollout->shape.env->fini && i < worker->prepared; i++)
        rollout->shape.env->fini(worker->states + i * rollout->state_stride);
    egg_arena_close(&worker->arena);
    egg_bank_close(&worker->bank);
    egg_free(worker->rows);
    egg_free(worker->member);
    egg_free(worker->raw);
    egg_free(worker->X);
    egg_free(worker->Y);
    egg_free(worker->action);
    egg_free(worker->slots);
    egg_free(worker->totals);
    egg_free(worker->states);
}

void egg_rollout_close(egg_rollout *rollout)
{
    if (!rollout) return;
    for (uint32_t i = 0; rollout->workers && i < rollout->shape.threads; i++)
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

static void end_row(rollout_worker *worker, episode_row *row, bool valid)
{
    row->ended = true;
    worker->stats.episodes++;
    if (valid) return;
    worker->stats.invalid++;
    row->total = NAN;
}

static void begin_row(const egg_rollout *rollout, rollout_worker *worker, uint32_t slot, uint32_t side,
                      uint32_t episode)
{
    uint32_t r = worker->count++, words[4];
    episode_row *row = &worker->rows[r];
    draw_luck(rollout, worker->slots[slot].pair, side, episode, words);
    *row = (episode_row){.slot = slot, .side = side, .episode = episode,
                         .state = (slot * rollout->sides + side) * rollout->episodes + episode};
    row->luck = (egg_words){.key = egg_key_make(words[2] | (uint64_t)words[3] << 32, EGG_DOMAIN_SAMPLING)};
    worker->member[r] = 2 * slot + side;
    rollout->shape.env->reset(state_of(rollout, worker, row), words[0] | (uint64_t)words[1] << 32,
                              worker->raw + (size_t)r * rollout->shape.env->observations);
    if (!take_observation(rollout, worker, r)) end_row(worker, row, false);
}

/* Gives free slots the next pairs, as long as there are any. */
static void fill_slots(egg_rollout *rollout, rollout_worker *worker)
{
    for (uint32_t s = 0; s < rollout->slots; s++) {
        pair_slot *slot = &worker->slots[s];
        if (slot->rows) continue;
        uint32_t pair = atomic_fetch_add(&rollout->next, 1);
        if (pair >= rollout->end) {
            atomic_store(&rollout->next, rollout->end);   /* or it could count up to where it wraps */
            return;
        }
        *slot = (pair_slot){.pair = pair, .rows = rollout->sides * rollout->episodes, .sample = NO_SAMPLE};
        if (rollout->law) {
            bool baseline = egg_shaping_is_baseline(&rollout->shape.shaping, pair);
            egg_bank_draw(&worker->bank, rollout->kernels, rollout->law, s, pair, baseline);
            if (pair % rollout->sample_stride == 0) slot->sample = pair / rollout->sample_stride;
        }
        for (uint32_t side = 0; side < rollout->sides; side++)
            for (uint32_t e = 0; e < rollout->episodes; e++) begin_row(rollout, worker, s, side, e);
    }
}

/* ------------------------------------------------------------------------------------------------------------ steps */

static void forward(egg_rollout *rollout, rollout_worker *worker)
{
    egg_pass pass = egg_pass_begin_rows(rollout->kernels, &worker->arena, rollout->law ? &worker->bank : NULL,
                                        worker->member, worker->count);
    egg_mat X = {.data = worker->X, .stride = rollout->inputs, .steps = 1, .cols = rollout->inputs};
    egg_mat Y = {.data = worker->Y, .stride = rollout->outputs, .steps = 1, .cols = rollout->outputs};
    egg_mlp_forward(&pass, rollout->policy, X, Y);
    if (pass.failed) atomic_store(&rollout->failed, true);
}

/* log_std as the member of row r sees it; NULL for a policy of discrete actions. */
static const float *deviation_of(const egg_rollout *rollout, const rollout_worker *worker, uint32_t r)
{
    if (rollout->shape.env->discrete) return NULL;
    const egg_param *deviation = egg_mlp_deviation(rollout->policy);
    if (!rollout->law) return deviation->data;
    egg_member_vector vector = egg_bank_vector(&worker->bank, deviation);
    return (const float *)vector.data + worker->member[r] * vector.stride;
}

static void step_row(const egg_rollout *rollout, rollout_worker *worker, uint32_t r)
{
    const egg_env *env = rollout->shape.env;
    episode_row *row = &worker->rows[r];
    float *observation = worker->raw + (size_t)r * env->observations, reward = 0;
    if (row->ended) return;
    egg_action_choose(env, observation, worker->Y + (size_t)r * rollout->outputs, deviation_of(rollout, worker, r),
                      rollout->shape.deterministic ? NULL : &row->luck, worker->action);
    bool over = env->step(state_of(rollout, worker, row), worker->action, observation, &reward);
    row->total += reward;
    row->steps++;
    worker->stats.steps++;
    uint32_t bound = rollout->law ? rollout->shape.max_steps : env->max_steps;
    bool cut = !over && row->steps >= bound, valid = isfinite(reward);
    worker->stats.cut += cut;
    if (!over && !cut && valid) valid = take_observation(rollout, worker, r);
    if (over || cut || !valid) end_row(worker, row, valid);
}

static void step_rows(egg_rollout *rollout, rollout_worker *worker)
{
    forward(rollout, worker);
    for (uint32_t r = 0; r < worker->count; r++) step_row(rollout, worker, r);
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

static egg_status run_workers(egg_rollout *rollout, egg_pool *pool, uint32_t first, uint32_t count,
                              egg_rollout_stats *stats, egg_error *error)
{
    uint32_t threads = rollout->shape.threads;
    for (uint32_t i = 0; i < threads; i++) {
        rollout_worker *worker = &rollout->workers[i];
        worker->stats = (egg_rollout_stats){0};
        worker->count = 0;
        for (uint32_t s = 0; s < rollout->slots; s++) worker->slots[s].rows = 0;
    }
    rollout->end = first + count;
    atomic_store(&rollout->next, first);
    atomic_store(&rollout->failed, false);
    egg_parallel_for(pool, threads, 1, work, rollout);
    if (atomic_load(&rollout->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a step of the policy outgrew its memory");
    for (uint32_t i = 0; stats && i < threads; i++) {
        const egg_rollout_stats *part = &rollout->workers[i].stats;
        stats->steps += part->steps;
        stats->episodes += part->episodes;
        stats->cut += part->cut;
        stats->invalid += part->invalid;
    }
    return EGG_OK;
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
    rollout->play_seed = seed;
    rollout->sides = rollout->episodes = 1;
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
    begin_row(rollout, worker, 0, 0, 0);
    const episode_row *row = &worker->rows[0];
    for (bool going = true; going && !atomic_load(&rollout->failed);) {
        going = watch(context, state_of(rollout, worker, row), row->steps, row->total, row->ended) && !row->ended;
        if (going) step_rows(rollout, worker);
    }
    if (atomic_load(&rollout->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a step of the policy outgrew its memory");
    if (isnan(row->total))
        return egg_fail(error, EGG_ERR_FORMAT, "%s gave a reward or observation that is not finite after %u steps",
                        rollout->shape.env->name, row->steps);
    return EGG_OK;
}
