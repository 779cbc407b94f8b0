/* SPDX-License-Identifier: MIT */
#include "tasks/likelihood.h"

#include <stdatomic.h>

#include "base/memory.h"
#include "tasks/batch.h"

enum {
    ROWS = 256,                    /* of a batch, as long as their logits stay within LOGIT_BYTES */
    LEAST_ROWS = 32,
    LOGIT_BYTES = 1 << 24,
    LANES = 16,                    /* texts that may be on their way at once */
    DEVICE_ROWS = 8192,            /* the same on a device, whose logits and states may take this part of its memory */
    DEVICE_LANES = 512,
    DEVICE_SHARE = 8
};

/* A text on its way through the model, for one member. */
typedef struct reader {
    uint32_t unit;                 /* slot of the unit */
    const egg_lesson *lesson;
    uint32_t at;                   /* tokens read */
    size_t place;                  /* of the result */
    double sum;
    uint32_t slot;                 /* of the state */
} reader;

/* Whose texts are read together: a pair's, who share a slot of the bank. Of the unperturbed model: one lesson. */
typedef struct reading_unit {
    uint32_t unit;                 /* local number of the pair, or the lesson */
    uint32_t next, left;           /* text to begin next; texts that have not ended; 0 = the slot is free */
} reading_unit;

typedef struct reading_worker {
    egg_batch batch;
    egg_bank bank;
    reading_unit *units;           /* (lanes + 1) */
    reader *readers;               /* (lanes) the first 'count' are in flight */
    uint32_t *scored;              /* (lanes + 1) of each reader, in 'wanted' */
    uint32_t count;
} reading_worker;

struct egg_likelihood {
    egg_likelihood_shape shape;
    const egg_language *language;
    uint32_t lanes, units;         /* of a worker */
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

static uint32_t between(uint64_t value, uint32_t least, uint32_t most)
{
    return value < least ? least : value > most ? most : (uint32_t)value;
}

/* What a worker has at once. */
static egg_batch_shape batch_of(const egg_likelihood_shape *shape, const egg_rwkv7 *model)
{
    const egg_device *device = egg_rwkv7_device(model);
    const size_t logits = model->shape.vocabulary * sizeof(float);
    uint32_t rows = between(LOGIT_BYTES / logits, LEAST_ROWS, ROWS), lanes = LANES;
    if (device) {
        const uint64_t share = device->memory().total_bytes / DEVICE_SHARE;
        rows = between(share / logits, LEAST_ROWS, DEVICE_ROWS);
        lanes = between(share / (egg_rwkv7_state_floats(model) * sizeof(float)), 1, DEVICE_LANES);
    }
    if (shape->rows) rows = shape->rows;
    return (egg_batch_shape){.rows = rows, .sequences = lanes, .slots = lanes, .wanted = rows, .rank = shape->rank};
}

static uint32_t units_of(const egg_likelihood_shape *shape, uint32_t lanes)
{
    uint32_t pair = 2 * shape->lessons, units = (lanes + pair - 1) / pair + 1;
    return units < shape->pairs ? units : shape->pairs;
}

egg_memory_bytes egg_likelihood_bytes(const egg_likelihood_shape *shape, const egg_language *language)
{
    const egg_rwkv7 *model = language->model;
    const egg_batch_shape batch = batch_of(shape, model);
    const uint32_t lanes = batch.sequences, units = units_of(shape, lanes);
    egg_memory_bytes worker = egg_batch_bytes(model, &batch);
    egg_memory_bytes bank = egg_bank_bytes(model->params, model->param_count, units, shape->rank, false);
    worker.host += sizeof(reading_worker) + bank.host +
                   (lanes + 1) * (sizeof(reading_unit) + sizeof(reader) + sizeof(uint32_t));
    worker.device += bank.device;
    return (egg_memory_bytes){.host = shape->threads * worker.host, .device = shape->threads * worker.device};
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_worker(egg_likelihood *likelihood, reading_worker *worker, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_rwkv7 *model = likelihood->language->model;
    const egg_likelihood_shape *shape = &likelihood->shape;
    const egg_batch_shape batch = batch_of(shape, model);
    const size_t lanes = batch.sequences;
    worker->units = egg_alloc_array(lanes + 1, sizeof *worker->units);
    worker->readers = egg_alloc_array(lanes, sizeof *worker->readers);
    worker->scored = egg_alloc_array(lanes + 1, sizeof *worker->scored);
    if (!worker->units || !worker->readers || !worker->scored)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory to read %zu texts at once", lanes);
    for (uint32_t i = 0; i < lanes; i++) worker->readers[i].slot = i;
    EGG_TRY(egg_batch_open(&worker->batch, model, likelihood->language->kernels, &batch, error));
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
    likelihood->lanes = batch_of(shape, language->model).sequences;
    likelihood->units = units_of(shape, likelihood->lanes);
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
        egg_batch_close(&worker->batch);
        egg_bank_close(&worker->bank);
        egg_free(worker->units);
        egg_free(worker->readers);
        egg_free(worker->scored);
    }
    egg_free(likelihood->workers);
    egg_free(likelihood);
}

/* ------------------------------------------------------------------------------------------------------------ begin */

/* The slot of a unit that has a text to begin; false where no more units come in, for now or at all. */
static bool find_unit(egg_likelihood *likelihood, reading_worker *worker, uint32_t *slot)
{
    uint32_t slots = likelihood->law ? likelihood->units : likelihood->lanes, empty = slots;
    for (uint32_t s = 0; s < slots; s++) {
        const reading_unit *unit = &worker->units[s];
        if (unit->left && unit->next < likelihood->unit_texts) {
            *slot = s;
            return true;
        }
        if (!unit->left && empty == slots) empty = s;   /* the first, so that pairs and slots run alike */
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
    if (worker->count == likelihood->lanes || !find_unit(likelihood, worker, &slot)) return false;
    reading_unit *unit = &worker->units[slot];
    uint32_t text = unit->next++, lesson = likelihood->law ? text % likelihood->lesson_count : unit->unit;
    reader *r = &worker->readers[worker->count++];
    r->unit = slot;
    r->lesson = &likelihood->lessons[lesson];
    r->at = 0;
    r->sum = 0;
    r->place = (size_t)unit->unit * likelihood->unit_texts + text;
    egg_batch_clear(&worker->batch, r->slot);
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
    egg_batch *batch = &worker->batch;
    uint32_t left = r->lesson->count - 1 - r->at, room = batch->shape.rows - rows, n = left < room ? left : room;
    batch->first[i] = rows;
    batch->slot[i] = r->slot;
    worker->scored[i] = *wanted;
    for (uint32_t k = 0; k < n; k++) {
        batch->tokens[rows + k] = r->lesson->tokens[r->at + k];
        batch->member[rows + k] = member_of(likelihood, r);
        if (r->at + k + 1 < r->lesson->given) continue;
        batch->wanted[*wanted] = rows + k;
        batch->target[(*wanted)++] = r->lesson->tokens[r->at + k + 1];
    }
    r->at += n;
    return n;
}

/* Whole texts as far as there is room; of the last one perhaps a part. Returns the sequences. */
static uint32_t lay_batch(egg_likelihood *likelihood, reading_worker *worker, uint32_t *wanted)
{
    uint32_t rows = 0, i = 0;
    *wanted = 0;
    for (; rows < worker->batch.shape.rows && (i < worker->count || begin_text(likelihood, worker)); i++)
        rows += lay_text(likelihood, worker, i, rows, wanted);
    worker->batch.first[i] = rows;
    worker->scored[i] = *wanted;
    return i;
}

/* Takes out the readers that are done; the order of the others stays. */
static void settle_texts(const egg_likelihood *likelihood, reading_worker *worker, uint32_t sequences,
                         const float *loss)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < worker->count; i++) {
        reader r = worker->readers[i];
        for (uint32_t k = worker->scored[i]; i < sequences && k < worker->scored[i + 1]; k++) r.sum -= loss[k];
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

static void work(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_likelihood *likelihood = context;
    reading_worker *worker = &likelihood->workers[thread];
    while (!atomic_load(&likelihood->failed)) {
        uint32_t wanted, sequences = lay_batch(likelihood, worker, &wanted);
        if (sequences == 0) break;
        egg_bank_flush(&worker->bank, likelihood->language->kernels);
        if (egg_batch_run(&worker->batch, likelihood->law ? &worker->bank : NULL, sequences, wanted))
            settle_texts(likelihood, worker, sequences, egg_batch_losses(&worker->batch));
        else atomic_store(&likelihood->failed, true);
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
        for (uint32_t s = 0; s <= likelihood->lanes; s++) worker->units[s].left = 0;
    }
    atomic_store(&likelihood->next, 0);
    atomic_store(&likelihood->failed, false);
    egg_parallel_for(pool, likelihood->shape.threads, 1, work, likelihood);
    if (atomic_load(&likelihood->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a batch of texts outgrew its memory");
    return EGG_OK;
}
