/* SPDX-License-Identifier: MIT */
#include "tasks/answers.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "tasks/decode.h"
#include "tasks/sample.h"

enum {
    ROWS = 64,                     /* in flight, where nobody says: enough to fill the tiles of the products */
    PROMPT_ROWS = 64,              /* of a batch beside them, for the prompts of those that come in */
    DEVICE_ROWS = 4096,            /* on a device, as far as this part of its memory has room; as many for prompts */
    DEVICE_SHARE = 2
};

/* What the words of the domain EGG_DOMAIN_SAMPLING are for: their field 'param'. Generation has 0. */
enum { WORDS_OF_EPOCHS = 1, WORDS_OF_VALIDATION = 2 };

/* Who answers together: a pair's members, who share a slot of the bank. Of the unperturbed model: one question. */
typedef struct answer_unit {
    uint32_t unit;                 /* local number of the pair, or the question */
    uint32_t next, left;           /* answer to begin next; answers that have not ended; 0 = the slot is free */
} answer_unit;

typedef struct answer_row {
    bool busy, pushed;             /* 'pushed': its token waits to be read, not a prompt */
    uint32_t unit;                 /* slot of the unit */
    size_t answer;                 /* place of the result */
    uint32_t tokens;
    size_t bytes;                  /* of all tokens */
    char *tail;                    /* (tail_bytes) the end of the text: what a stop may have begun in, and a token */
    size_t tail_bytes;
    egg_words words;
} answer_row;

typedef struct answer_worker {
    egg_decoder *decoder;
    egg_bank bank;
    egg_sampler sampler;
    answer_unit *units;            /* (units) */
    answer_row *rows;              /* (rows) */
    char *tails;                   /* (rows, tail_bytes) */
    uint32_t busy;
    egg_answers_stats stats;
} answer_worker;

typedef struct answer_record {
    uint32_t tokens;
    uint32_t bytes;                /* of the text, without the stop */
} answer_record;

struct egg_answers {
    egg_answers_shape shape;
    const egg_language *language;
    uint32_t rows, units;          /* of a worker */
    size_t longest_token, longest_stop, tail_bytes;
    answer_record *records;        /* (capacity) */
    uint32_t *tokens;              /* (capacity, max_tokens) */
    answer_worker *workers;        /* (threads) */

    /* of the call in progress */
    const egg_perturb *law;        /* NULL: the unperturbed model answers */
    uint64_t epoch;
    uint32_t first_pair;
    const egg_prompt *prompts;
    uint32_t first_prompt;         /* the number of the first of them in a validation */
    uint32_t questions;            /* of a member */
    uint32_t unit_answers;         /* of a unit */
    uint32_t end;                  /* units */
    atomic_uint next;              /* unit that is to be taken next */
    atomic_bool failed;
};

/* ------------------------------------------------------------------------------------------------------------ sizes */

static size_t capacity_of(const egg_answers_shape *shape)
{
    size_t members = 2 * (size_t)shape->pairs * shape->questions;
    return members > shape->most ? members : shape->most;
}

static egg_decoder_shape decoder_with(const egg_rwkv7 *model, uint32_t rows, uint32_t rank)
{
    const bool device = egg_rwkv7_device(model);
    return (egg_decoder_shape){.slots = rows, .rows = rows + (device ? rows : PROMPT_ROWS), .rank = rank};
}

/* As many as there is memory for, of which all but a little grows with the rows. */
static uint32_t device_rows(const egg_device *device, const egg_rwkv7 *model, uint32_t rank)
{
    const egg_decoder_shape some = decoder_with(model, EGG_ROW_QUANTUM, rank);
    const uint64_t bytes = egg_decoder_bytes(model, &some).device / EGG_ROW_QUANTUM;
    const uint64_t rows = device->memory().total_bytes / DEVICE_SHARE / bytes;
    return rows < 1 ? 1 : rows > DEVICE_ROWS ? DEVICE_ROWS : (uint32_t)rows;
}

static uint32_t rows_of(const egg_answers_shape *shape, const egg_rwkv7 *model)
{
    const egg_device *device = egg_rwkv7_device(model);
    size_t rows = device ? device_rows(device, model, shape->rank) : ROWS;
    size_t share = (capacity_of(shape) + shape->threads - 1) / shape->threads;
    if (shape->rows) rows = shape->rows;
    return (uint32_t)(rows < share ? rows : share);
}

/* Enough that the last answers of some pairs leave room for the first of the next. */
static uint32_t units_of(const egg_answers_shape *shape, uint32_t rows)
{
    uint32_t pair = 2 * shape->questions, units = (rows + pair - 1) / pair + 1;
    return units < shape->pairs ? units : shape->pairs;
}

static size_t longest_stop_of(const egg_answers_shape *shape)
{
    size_t longest = 0;
    for (size_t i = 0; i < shape->stop_count; i++)
        if (strlen(shape->stops[i]) > longest) longest = strlen(shape->stops[i]);
    return longest;
}

egg_memory_bytes egg_answers_bytes(const egg_answers_shape *shape, const egg_language *language)
{
    const egg_rwkv7 *model = language->model;
    const uint32_t rows = rows_of(shape, model), units = units_of(shape, rows);
    const egg_decoder_shape decoder = decoder_with(model, rows, shape->rank);
    const uint64_t tail = longest_stop_of(shape) + egg_tokenizer_longest(language->tokenizer);
    const uint64_t record = sizeof(answer_record) + shape->max_tokens * sizeof(uint32_t);
    egg_memory_bytes worker = egg_decoder_bytes(model, &decoder);
    egg_memory_bytes bank = egg_bank_bytes(model->params, model->param_count, units, shape->rank, false);
    egg_memory_bytes sampler = egg_sampler_bytes(egg_rwkv7_device(model),
                                                 model->shape.vocabulary, rows);
    worker.host += sizeof(answer_worker) + bank.host + sampler.host + units * sizeof(answer_unit) +
                   rows * (sizeof(answer_row) + tail);
    return (egg_memory_bytes){.host = shape->threads * worker.host + capacity_of(shape) * record,
                              .device = shape->threads * (worker.device + bank.device + sampler.device)};
}

/* ------------------------------------------------------------------------------------------------------ open, close */

static egg_status open_worker(egg_answers *answers, answer_worker *worker, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_rwkv7 *model = answers->language->model;
    const egg_answers_shape *shape = &answers->shape;
    const egg_decoder_shape decoder = decoder_with(model, answers->rows, shape->rank);
    size_t most_units = answers->units > answers->rows ? answers->units : answers->rows;
    worker->units = egg_alloc_array(most_units, sizeof *worker->units);
    worker->rows = egg_alloc_array(answers->rows, sizeof *worker->rows);
    worker->tails = egg_alloc_array(answers->rows, answers->tail_bytes);
    if (!worker->units || !worker->rows || !worker->tails)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u answers side by side", answers->rows);
    for (uint32_t i = 0; i < answers->rows; i++) worker->rows[i].tail = worker->tails + i * answers->tail_bytes;
    EGG_TRY(egg_decoder_open(&worker->decoder, model, answers->language->kernels, &decoder, error));
    EGG_TRY(egg_sampler_open(&worker->sampler, &shape->sampling, answers->language->kernels, model->shape.vocabulary,
                             answers->rows, error));
    EGG_TRY(egg_bank_open(&worker->bank, model->params, model->param_count, answers->units, shape->rank, false, error));
out:
    return status;
}

egg_status egg_answers_open(egg_answers **out, const egg_answers_shape *shape, const egg_language *language,
                            egg_error *error)
{
    egg_status status = EGG_OK;
    egg_answers *answers = egg_alloc(sizeof *answers);
    *out = NULL;
    if (!answers) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a task");
    answers->shape = *shape;
    answers->language = language;
    answers->rows = rows_of(shape, language->model);
    answers->units = units_of(shape, answers->rows);
    answers->longest_token = egg_tokenizer_longest(language->tokenizer);
    answers->longest_stop = longest_stop_of(shape);
    answers->tail_bytes = answers->longest_stop + answers->longest_token;
    answers->records = egg_alloc_array(capacity_of(shape), sizeof *answers->records);
    answers->tokens = egg_alloc_array(capacity_of(shape), shape->max_tokens * sizeof *answers->tokens);
    answers->workers = egg_alloc_array(shape->threads, sizeof *answers->workers);
    if (!answers->records || !answers->tokens || !answers->workers) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu answers of %u tokens", capacity_of(shape),
                          shape->max_tokens);
        goto out;
    }
    for (uint32_t i = 0; i < shape->threads; i++) EGG_TRY(open_worker(answers, &answers->workers[i], error));
    *out = answers;
    answers = NULL;
out:
    egg_answers_close(answers);
    return status;
}

void egg_answers_close(egg_answers *answers)
{
    if (!answers) return;
    for (uint32_t i = 0; answers->workers && i < answers->shape.threads; i++) {
        answer_worker *worker = &answers->workers[i];
        egg_decoder_close(worker->decoder);
        egg_bank_close(&worker->bank);
        egg_sampler_close(&worker->sampler);
        egg_free(worker->units);
        egg_free(worker->rows);
        egg_free(worker->tails);
    }
    egg_free(answers->workers);
    egg_free(answers->records);
    egg_free(answers->tokens);
    egg_free(answers);
}

/* ------------------------------------------------------------------------------------------------------------ begin */

static uint32_t question_of(const egg_answers *answers, const answer_unit *unit, uint32_t answer)
{
    return answers->law ? answer % answers->questions : unit->unit;
}

static egg_words words_of(const egg_answers *answers, uint32_t question)
{
    egg_noise_at at = {.epoch = (uint32_t)answers->epoch, .param = WORDS_OF_EPOCHS, .pair = question};
    if (!answers->law) at = (egg_noise_at){.param = WORDS_OF_VALIDATION, .pair = answers->first_prompt + question};
    return (egg_words){.key = egg_key_make(answers->shape.sampling.seed, EGG_DOMAIN_SAMPLING), .at = at};
}

/* The slot of a unit that has an answer to begin; false where no more units come in, for now or at all. */
static bool find_unit(egg_answers *answers, answer_worker *worker, uint32_t *slot)
{
    uint32_t slots = answers->law ? answers->units : answers->rows, empty = slots;
    for (uint32_t s = 0; s < slots; s++) {
        const answer_unit *unit = &worker->units[s];
        if (unit->left && unit->next < answers->unit_answers) {
            *slot = s;
            return true;
        }
        if (!unit->left && empty == slots) empty = s;   /* the first, so that pairs and slots run alike */
    }
    if (empty == slots) return false;
    uint32_t next = atomic_fetch_add(&answers->next, 1);
    if (next >= answers->end) {
        atomic_store(&answers->next, answers->end);   /* or it could count up to where it wraps */
        return false;
    }
    worker->units[empty] = (answer_unit){.unit = next, .left = answers->unit_answers};
    if (answers->law)
        egg_bank_draw(&worker->bank, answers->language->kernels, answers->law, empty, answers->first_pair + next,
                      false);
    *slot = empty;
    return true;
}

static void fill_rows(egg_answers *answers, answer_worker *worker)
{
    for (uint32_t r = 0, slot; r < answers->rows; r++) {
        answer_row *row = &worker->rows[r];
        if (row->busy) continue;
        if (!find_unit(answers, worker, &slot)) return;
        answer_unit *unit = &worker->units[slot];
        uint32_t answer = unit->next++, question = question_of(answers, unit, answer);
        uint32_t side = answers->law ? answer / answers->questions : 0;
        const egg_prompt *prompt = &answers->prompts[question];
        *row = (answer_row){.busy = true, .unit = slot, .tail = row->tail, .words = words_of(answers, question),
                            .answer = (size_t)unit->unit * answers->unit_answers + answer};
        egg_decoder_start(worker->decoder, r, 2 * slot + side, prompt->tokens, prompt->count);
        worker->busy++;
    }
}

/* ------------------------------------------------------------------------------------------------------------ steps */

/* Where in the tail the first stop begins; its length where there is none. */
static size_t find_stop(const egg_answers *answers, const answer_row *row)
{
    const egg_answers_shape *shape = &answers->shape;
    for (size_t at = 0; at < row->tail_bytes; at++)
        for (size_t i = 0; i < shape->stop_count; i++) {
            size_t n = strlen(shape->stops[i]);
            if (n && n <= row->tail_bytes - at && memcmp(row->tail + at, shape->stops[i], n) == 0) return at;
        }
    return row->tail_bytes;
}

/* Adds the text of a token; true where a stop has come, which 'bytes' then no longer counts. */
static bool add_text(const egg_answers *answers, answer_row *row, uint32_t token)
{
    size_t bytes;
    const char *text = egg_tokenizer_text(answers->language->tokenizer, token, &bytes);
    if (bytes) memcpy(row->tail + row->tail_bytes, text, bytes);   /* a number without an entry writes nothing */
    row->tail_bytes += bytes;
    row->bytes += bytes;
    size_t stop = find_stop(answers, row), keep = answers->longest_stop ? answers->longest_stop - 1 : 0;
    if (stop < row->tail_bytes) {
        row->bytes -= row->tail_bytes - stop;
        return true;
    }
    if (keep > row->tail_bytes) keep = row->tail_bytes;
    memmove(row->tail, row->tail + row->tail_bytes - keep, keep);
    row->tail_bytes = keep;
    return false;
}

static void end_answer(egg_answers *answers, answer_worker *worker, uint32_t r)
{
    answer_row *row = &worker->rows[r];
    answers->records[row->answer] = (answer_record){.tokens = row->tokens, .bytes = (uint32_t)row->bytes};
    egg_decoder_stop(worker->decoder, r);
    worker->units[row->unit].left--;
    worker->busy--;
    worker->stats.answers++;
    row->busy = false;
}

/* A token for every answer that has read all it was given; an answer's random numbers are its question's. */
static void draw_tokens(egg_answers *answers, answer_worker *worker)
{
    for (uint32_t r = 0; answers->shape.sampling.temperature > 0 && r < answers->rows; r++)
        if (egg_decoder_has_logits(worker->decoder, r))
            worker->sampler.uniform[egg_decoder_place(worker->decoder, r)] = egg_words_uniform(&worker->rows[r].words);
    egg_decoder_draw(worker->decoder, &worker->sampler);
}

static void take_token(egg_answers *answers, answer_worker *worker, uint32_t r)
{
    const egg_answers_shape *shape = &answers->shape;
    answer_row *row = &worker->rows[r];
    if (!egg_decoder_has_logits(worker->decoder, r)) return;
    const uint32_t token = worker->sampler.token[egg_decoder_place(worker->decoder, r)];
    answers->tokens[row->answer * shape->max_tokens + row->tokens++] = token;
    bool over = token == EGG_TOKEN_END || add_text(answers, row, token),
         cut = !over && row->tokens == shape->max_tokens;
    worker->stats.answer_tokens++;
    worker->stats.cut += cut;
    row->pushed = !over && !cut;
    if (row->pushed) egg_decoder_push(worker->decoder, r, token);
    else end_answer(answers, worker, r);
}

/* One batch. The rows of prompts and of answers share its time. */
static void step_rows(egg_answers *answers, answer_worker *worker)
{
    uint32_t pushed = 0, rows;
    double begun = egg_clock_seconds();
    for (uint32_t r = 0; r < answers->rows; r++) pushed += worker->rows[r].busy && worker->rows[r].pushed;
    egg_bank_flush(&worker->bank, answers->language->kernels);
    egg_decoder_step(worker->decoder, answers->law ? &worker->bank : NULL, &rows);
    if (egg_decoder_failed(worker->decoder)) {
        atomic_store(&answers->failed, true);
        return;
    }
    draw_tokens(answers, worker);
    for (uint32_t r = 0; r < answers->rows; r++)
        if (worker->rows[r].busy) take_token(answers, worker, r);
    double seconds = egg_clock_seconds() - begun;
    worker->stats.prompt_tokens += rows - pushed;
    worker->stats.prompt_seconds += seconds * (rows - pushed) / rows;
    worker->stats.answer_seconds += seconds * pushed / rows;
}

static void work(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_answers *answers = context;
    answer_worker *worker = &answers->workers[thread];
    while (!atomic_load(&answers->failed)) {
        fill_rows(answers, worker);
        if (worker->busy == 0) break;
        step_rows(answers, worker);
    }
}

/* -------------------------------------------------------------------------------------------------------------- run */

static egg_status run_workers(egg_answers *answers, egg_pool *pool, egg_answers_stats *stats, egg_error *error)
{
    uint32_t threads = answers->shape.threads;
    for (uint32_t i = 0; i < threads; i++) {
        answer_worker *worker = &answers->workers[i];
        size_t units = answers->units > answers->rows ? answers->units : answers->rows;
        worker->stats = (egg_answers_stats){0};
        worker->busy = 0;
        for (size_t s = 0; s < units; s++) worker->units[s].left = 0;
        for (uint32_t r = 0; r < answers->rows; r++) worker->rows[r].busy = false;
    }
    atomic_store(&answers->next, 0);
    atomic_store(&answers->failed, false);
    egg_parallel_for(pool, threads, 1, work, answers);
    if (atomic_load(&answers->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a batch of answers outgrew its memory");
    *stats = (egg_answers_stats){0};
    for (uint32_t i = 0; i < threads; i++) {
        const egg_answers_stats *part = &answers->workers[i].stats;
        stats->answers += part->answers;
        stats->cut += part->cut;
        stats->prompt_tokens += part->prompt_tokens;
        stats->answer_tokens += part->answer_tokens;
        stats->prompt_seconds += part->prompt_seconds;
        stats->answer_seconds += part->answer_seconds;
    }
    return EGG_OK;
}

egg_status egg_answers_run(egg_answers *answers, egg_pool *pool, const egg_perturb *law, uint64_t epoch,
                           egg_slice slice, const egg_prompt *prompts, uint32_t count, egg_answers_stats *stats,
                           egg_error *error)
{
    answers->law = law;
    answers->epoch = epoch;
    answers->first_pair = slice.first_pair;
    answers->prompts = prompts;
    answers->questions = count;
    answers->unit_answers = 2 * count;
    answers->end = slice.pairs;
    return run_workers(answers, pool, stats, error);
}

egg_status egg_answers_validate(egg_answers *answers, egg_pool *pool, uint32_t first, const egg_prompt *prompts,
                                uint32_t count, egg_answers_stats *stats, egg_error *error)
{
    answers->law = NULL;
    answers->first_prompt = first;
    answers->prompts = prompts;
    answers->questions = count;
    answers->unit_answers = 1;
    answers->end = count;
    return run_workers(answers, pool, stats, error);
}

/* ---------------------------------------------------------------------------------------------------------- results */

static size_t place_of(const egg_answers *answers, uint32_t member, uint32_t question)
{
    return (size_t)member * answers->questions + question;
}

size_t egg_answers_text(const egg_answers *answers, uint32_t member, uint32_t question, char *text)
{
    size_t at = place_of(answers, member, question), used = 0;
    const answer_record *record = &answers->records[at];
    const uint32_t *tokens = answers->tokens + at * answers->shape.max_tokens;
    for (uint32_t i = 0; i < record->tokens && used < record->bytes; i++) {
        size_t bytes;
        const char *part = egg_tokenizer_text(answers->language->tokenizer, tokens[i], &bytes);
        if (bytes > record->bytes - used) bytes = record->bytes - used;   /* where a stop began */
        if (bytes) memcpy(text + used, part, bytes);
        used += bytes;
    }
    return used;
}

size_t egg_answers_room(const egg_answers *answers)
{
    return answers->shape.max_tokens * answers->longest_token;
}

uint32_t egg_answers_tokens(const egg_answers *answers, uint32_t member, uint32_t question)
{
    return answers->records[place_of(answers, member, question)].tokens;
}
