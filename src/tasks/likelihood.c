/* SPDX-License-Identifier: MIT */
#include "tasks/likelihood.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"

enum {
    ROWS = 256,                    /* of a batch, as long as their logits stay within LOGIT_BYTES */
    LEAST_ROWS = 32,
    LOGIT_BYTES = 1 << 24,
    LANES = 16                     /* texts that may be on their way at once */
};

/* A text on its way through the model, for one member. */
typedef struct reader {
    uint32_t unit;                 /* slot of the unit */
    const egg_lesson *lesson;
    uint32_t at;                   /* tokens read */
    size_t place;                  /* of the result */
    double sum;
    float *state;
} reader;

/* Whose texts are read together: a pair's, who share a slot of the bank. Of the unperturbed model: one lesson. */
typedef struct reading_unit {
    uint32_t unit;                 /* local number of the pair, or the lesson */
    uint32_t next, left;           /* text to begin next; texts that have not ended; 0 = the slot is free */
} reading_unit;

typedef struct reading_worker {
    egg_arena arena;
    egg_bank bank;
    reading_unit units[LANES + 1];
    reader readers[LANES];         /* (count) */
    uint32_t count;
    float *states;                 /* (LANES, state_floats) */
    float *logits;                 /* (rows, vocabulary) */
    float *loss;                   /* (rows) */
    uint32_t *tokens, *member;     /* (rows) */
    uint32_t *wanted, *target;     /* (rows) rows that are scored, and what comes next there */
    uint32_t first[LANES + 1], scored[LANES + 1];   /* of each reader, in rows and in 'wanted' */
    float *state[LANES];
} reading_worker;

struct egg_likelihood {
    egg_likelihood_shape shape;
    const egg_language *language;
    uint32_t rows, units;          /* of a worker */
    reading_worker *workers;       /* (threads) */

    /* of the call in progress */
    const egg_perturb *law;        /* NULL: the unperturbed model reads */
    uint32_t first_pair;
    const egg_lesson *lessons;
    uint32_t lesson_count, unit_texts, end;
    float *S;
    atomic_uint next;              /* unit that is to be taken next */
    atomic_bool failed;
};

/* ------------------------------------------------------------------------------------------------------------ sizes */

static uint32_t rows_of(const egg_likelihood_shape *shape, const egg_rwkv7 *model)
{
    size_t most = LOGIT_BYTES / (model->shape.vocabulary * sizeof(float));
    uint32_t rows = most > ROWS ? ROWS : most < LEAST_ROWS ? LEAST_ROWS : (uint32_t)most;
    return shape->rows ? shape->rows : rows;
}

static uint32_t units_of(const egg_likelihood_shape *shape)
{
    uint32_t pair = 2 * shape->lessons, units = (LANES + pair - 1) / pair + 1;
    return units < shape->pairs ? units : shape->pairs;
}

static size_t scratch_of(const egg_likelihood_shape *shape, const egg_rwkv7 *model)
{
    uint32_t rows = rows_of(shape, model);
    return egg_rwkv7_scratch_bytes(&model->shape, rows, LANES, rows, shape->rank);
}

uint64_t egg_likelihood_bytes(const egg_likelihood_shape *shape, const egg_language *language)
{
    const egg_rwkv7 *model = language->model;
    uint64_t row = (model->shape.vocabulary + 1) * sizeof(float) + 4 * sizeof(uint32_t);
    uint64_t worker = sizeof(reading_worker) + LANES * egg_rwkv7_state_floats(model) * sizeof(float) +
                      rows_of(shape, model) * row + scratch_of(shape, model) +
                      egg_bank_bytes(model->params, model->param_count, units_of(shape), shape->rank, false);
    return shape->threads * worker;
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_worker(egg_likelihood *likelihood, reading_worker *worker, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_rwkv7 *model = likelihood->language->model;
    const egg_likelihood_shape *shape = &likelihood->shape;
    size_t rows = likelihood->rows, floats = egg_rwkv7_state_floats(model);
    worker->states = egg_alloc_array(LANES, floats * sizeof *worker->states);
    worker->logits = egg_alloc_array(rows, model->shape.vocabulary * sizeof *worker->logits);
    worker->loss = egg_alloc_array(rows, sizeof *worker->loss);
    worker->tokens = egg_alloc_array(rows, sizeof *worker->tokens);
    worker->member = egg_alloc_array(rows, sizeof *worker->member);
    worker->wanted = egg_alloc_array(rows, sizeof *worker->wanted);
    worker->target = egg_alloc_array(rows, sizeof *worker->target);
    if (!worker->states || !worker->logits || !worker->loss || !worker->tokens || !worker->member || !worker->wanted ||
        !worker->target)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory to read %zu tokens at once", rows);
    for (uint32_t i = 0; i < LANES; i++) worker->readers[i].state = worker->states + i * floats;
    EGG_TRY(egg_arena_open(&worker->arena, scratch_of(shape, model), error));
    EGG_TRY(
        egg_bank_open(&worker->bank, model->params, model->param_count, likelihood->units, shape->rank, false, error));
out:
    return status;
}

egg_status egg_likelihood_open(egg_likelihood **out, const egg_likelihood_shape *shape, const egg_language *language,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    egg_likelihood *likelihood = egg_alloc(sizeof *likelihood);
    *out = NULL;
    if (!likelihood) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a task");
    likelihood->shape = *shape;
    likelihood->language = language;
    likelihood->rows = rows_of(shape, language->model);
    likelihood->units = units_of(shape);
    likelihood->workers = egg_alloc_array(shape->threads, sizeof *likelihood->workers);
    if (!likelihood->workers) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u threads", shape->threads);
        goto out;
    }
    for (uint32_t i = 0; i < shape->threads; i++) EGG_TRY(open_worker(likelihood, &likelihood->workers[i], error));
    *out = likelihood;
    likelihood = NULL;
out:
    egg_likelihood_close(likelihood);
    return status;
}

void egg_likelihood_close(egg_likelihood *likelihood)
{
    if (!likelihood) return;
    for (uint32_t i = 0; likelihood->workers && i < likelihood->shape.threads; i++) {
        reading_worker *worker = &likelihood->workers[i];
        egg_arena_close(&worker->arena);
        egg_bank_close(&worker->bank);
        egg_free(worker->states);
        egg_free(worker->logits);
        egg_free(worker->loss);
        egg_free(worker->tokens);
        egg_free(worker->member);
        egg_free(worker->wanted);
        egg_free(worker->target);
    }
    egg_free(likelihood->workers);
    egg_free(likelihood);
}

/* ------------------------------------------------------------------------------------------------------------ begin */

/* The slot of a unit that has a text to begin; false where no more units come in, for now or at all. */
static bool find_unit(egg_likelihood *likelihood, reading_worker *worker, uint32_t *slot)
{
    uint32_t slots = likelihood->law ? likelihood->units : LANES, empty = slots;
    for (uint32_t s = 0; s < slots; s++) {
        const reading_unit *unit = &worker->units[s];
        if (unit->left && unit->next < likelihood->unit_texts) {
            *slot = s;
            return true;
        }
        if (!unit->left) empty = s;
    }
    if (empty == slots) return false;
    uint32_t next = atomic_fetch_add(&likelihood->next, 1);
    if (next >= likelihood->end) {
        atomic_store(&likelihood->next, likelihood->end);   /* or it could count up to where it wraps */
        return false;
    }
    worker->units[empty] = (reading_unit){.unit = next, .left = likelihood->unit_texts};
    if (likelihood->law)
        egg_bank_draw(&worker->bank, likelihood->language->kernels, likelihood->law, empty,
                      likelihood->first_pair + next, false);
    *slot = empty;
    return true;
}

/* Puts the next text into the first free reader; false: there is none for now. */
static bool begin_text(egg_likelihood *likelihood, reading_worker *worker)
{
    uint32_t slot;
    if (worker->count == LANES || !find_unit(likelihood, worker, &slot)) return false;
    reading_unit *unit = &worker->units[slot];
    uint32_t text = unit->next++, lesson = likelihood->law ? text % likelihood->lesson_count : unit->unit;
    reader *r = &worker->readers[worker->count++];
    r->unit = slot;
    r->lesson = &likelihood->lessons[lesson];
    r->at = 0;
    r->sum = 0;
    r->place = (size_t)unit->unit * likelihood->unit_texts + text;
    memset(r->state, 0, egg_rwkv7_state_floats(likelihood->language->model) * sizeof *r->state);
    return true;
}

static uint32_t member_of(const egg_likelihood *likelihood, const reader *r)
{
    uint32_t side = likelihood->law ? (uint32_t)(r->place % likelihood->unit_texts / likelihood->lesson_count) : 0;
    return 2 * r->unit + side;
}

/* ---------------------------------------------------------------------------------------------------------- batches */

/* The tokens of a reader that go into a batch with room for 'room' rows. The last token of a text is only a target. */
static uint32_t lay_text(const egg_likelihood *likelihood, reading_worker *worker, uint32_t i, uint32_t rows,
                         uint32_t *wanted)
{
    reader *r = &worker->readers[i];
    uint32_t left = r->lesson->count - 1 - r->at, room = likelihood->rows - rows, n = left < room ? left : room;
    worker->first[i] = rows;
    worker->scored[i] = *wanted;
    worker->state[i] = r->state;
    for (uint32_t k = 0; k < n; k++) {
        worker->tokens[rows + k] = r->lesson->tokens[r->at + k];
        worker->member[rows + k] = member_of(likelihood, r);
        if (r->at + k + 1 < r->lesson->given) continue;
        worker->wanted[*wanted] = rows + k;
        worker->target[(*wanted)++] = r->lesson->tokens[r->at + k + 1];
    }
    r->at += n;
    return n;
}

/* Whole texts as far as there is room; of the last one perhaps a part. Returns the sequences. */
static uint32_t lay_batch(egg_likelihood *likelihood, reading_worker *worker, uint32_t *wanted)
{
    uint32_t rows = 0, i = 0;
    *wanted = 0;
    for (; rows < likelihood->rows && (i < worker->count || begin_text(likelihood, worker)); i++)
        rows += lay_text(likelihood, worker, i, rows, wanted);
    worker->first[i] = rows;
    worker->scored[i] = *wanted;
    return i;
}

/* Takes out the readers that are done; the order of the others stays. */
static void settle_texts(const egg_likelihood *likelihood, reading_worker *worker, uint32_t sequences)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < worker->count; i++) {
        reader r = worker->readers[i];
        for (uint32_t k = worker->scored[i]; i < sequences && k < worker->scored[i + 1]; k++) r.sum -= worker->loss[k];
        if (r.at + 1 == r.lesson->count) {
            likelihood->S[r.place] = (float)r.sum;
            worker->units[r.unit].left--;
            continue;
        }
        worker->readers[i] = worker->readers[kept];   /* its state is free for the next text */
        worker->readers[kept++] = r;
    }
    worker->count = kept;
}

static bool run_batch(const egg_likelihood *likelihood, reading_worker *worker, uint32_t sequences, uint32_t wanted)
{
    const egg_language *language = likelihood->language;
    egg_mark mark = egg_arena_mark(&worker->arena);
    egg_pass pass = egg_pass_begin_rows(language->kernels, &worker->arena, likelihood->law ? &worker->bank : NULL,
                                        likelihood->law ? worker->member : NULL, worker->first[sequences]);
    const egg_rwkv7_batch batch = {.tokens = worker->tokens, .first = worker->first, .state = worker->state,
                                   .sequences = sequences, .wanted = worker->wanted, .wanted_count = wanted};
    egg_rwkv7_forward(&pass, language->model, &batch, worker->logits);
    egg_arena_release(&worker->arena, mark);
    if (pass.failed) return false;
    egg_rwkv7_log_loss(language->model, language->kernels, worker->logits, worker->target, wanted, worker->loss);
    return true;
}

static void work(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_likelihood *likelihood = context;
    reading_worker *worker = &likelihood->workers[thread];
    while (!atomic_load(&likelihood->failed)) {
        uint32_t wanted, sequences = lay_batch(likelihood, worker, &wanted);
        if (sequences == 0) break;
        if (!run_batch(likelihood, worker, sequences, wanted)) atomic_store(&likelihood->failed, true);
        settle_texts(likelihood, worker, sequences);
    }
}

egg_status egg_likelihood_run(egg_likelihood *likelihood, egg_pool *pool, const egg_perturb *law, egg_slice slice,
                              const egg_lesson *lessons, uint32_t count, float *S, egg_error *error)
{
    likelihood->law = law;
    likelihood->first_pair = slice.first_pair;
    likelihood->lessons = lessons;
    likelihood->lesson_count = count;
    likelihood->unit_texts = law ? 2 * count : 1;
    likelihood->end = law ? slice.pairs : count;
    likelihood->S = S;
    for (uint32_t i = 0; i < likelihood->shape.threads; i++) {
        reading_worker *worker = &likelihood->workers[i];
        worker->count = 0;
        for (size_t s = 0; s < LANES + 1; s++) worker->units[s].left = 0;
    }
    atomic_store(&likelihood->next, 0);
    atomic_store(&likelihood->failed, false);
    egg_parallel_for(pool, likelihood->shape.threads, 1, work, likelihood);
    if (atomic_load(&likelihood->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a batch of texts outgrew its memory");
    return EGG_OK;
}
