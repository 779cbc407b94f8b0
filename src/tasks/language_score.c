/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "data/documents.h"
#include "tasks/batch.h"
#include "tasks/language.h"

enum {
    LANES = 16,
    ROWS = 64,
    DEVICE_LANES = 64,    /* a device, which is one thread's, wants more rows at once */
    DEVICE_ROWS = 1024,
    WINDOW_BYTES = 4096
};

/* Code lengths are added as integers, so that the sum does not depend on who added what first. */
static const double code_unit = 0x1p-24;   /* bits */

/* A document on its way through the model. */
typedef struct egg_reader {
    uint64_t at, end;            /* next byte to encode, end of the document */
    uint32_t *tokens;            /* [head, tail) wait to be read; of each but the last the next is the target */
    size_t head, tail;
    uint32_t slot;               /* of the state */
} egg_reader;

typedef struct egg_desk {        /* one thread's */
    egg_batch batch;
    egg_reader *readers;         /* (lanes) */
    uint32_t count;
    uint8_t *window;             /* (window_bytes) */
    int64_t code;                /* in code_unit */
    uint64_t bytes, documents;
} egg_desk;

typedef struct egg_reading {
    const egg_language *language;
    const egg_corpus *corpus;
    uint32_t lanes, rows;        /* of a desk: documents at once, and tokens */
    size_t window_bytes;
    egg_desk *desks;             /* (threads) */
    uint32_t threads;
    egg_documents documents;
    atomic_bool failed;
} egg_reading;

/* ------------------------------------------------------------------------------------------------------- documents */

static bool next_document(egg_reading *reading, egg_desk *desk, egg_reader *reader)
{
    if (!egg_documents_next(&reading->documents, &reader->at, &reader->end)) return false;
    reader->head = reader->tail = 0;
    egg_batch_clear(&desk->batch, reader->slot);
    desk->documents++;
    return true;
}

/* Encodes more of the document until a whole block waits, or all of it. */
static void fill_reader(const egg_reading *reading, egg_desk *desk, egg_reader *reader)
{
    while (reader->tail - reader->head <= reading->rows && reader->at < reader->end) {
        memmove(reader->tokens, reader->tokens + reader->head, (reader->tail - reader->head) * sizeof *reader->tokens);
        reader->tail -= reader->head;
        reader->head = 0;
        uint64_t left = reader->end - reader->at;
        size_t n = left < reading->window_bytes ? (size_t)left : reading->window_bytes, used;
        egg_corpus_read(reading->corpus, reader->at, n, desk->window);
        reader->tail += egg_tokenizer_encode_part(reading->language->tokenizer, desk->window, n, n == left,
                                                  reader->tokens + reader->tail, &used);
        reader->at += used;
    }
}

/* ---------------------------------------------------------------------------------------------------------- blocks */

/* Swaps a reader that is done for the last one. */
static void remove_reader(egg_desk *desk, uint32_t i)
{
    egg_reader done = desk->readers[i];
    desk->readers[i] = desk->readers[--desk->count];
    desk->readers[desk->count] = done;
}

/* Lays out a block: the readers in turn take what room there is, new ones come while there is some. Returns its rows.
 */
static uint32_t lay_out(egg_reading *reading, egg_desk *desk)
{
    egg_batch *batch = &desk->batch;
    uint32_t rows = 0, sequences = 0;
    for (uint32_t i = 0; i < reading->lanes && rows < reading->rows;) {
        egg_reader *reader = &desk->readers[i];
        if (i == desk->count) {
            if (!next_document(reading, desk, reader)) break;
            desk->count++;
        }
        fill_reader(reading, desk, reader);
        size_t inputs = reader->tail - reader->head - 1;   /* there is always one token */
        if (inputs == 0) {
            remove_reader(desk, i);
            continue;
        }
        const uint32_t room = reading->rows - rows, n = inputs < room ? (uint32_t)inputs : room;
        memcpy(batch->tokens + rows, reader->tokens + reader->head, n * sizeof *reader->tokens);
        memcpy(batch->target + rows, reader->tokens + reader->head + 1, n * sizeof *reader->tokens);
        reader->head += n;
        batch->first[sequences] = rows;
        batch->slot[sequences++] = reader->slot;
        rows += n;
        i++;
    }
    batch->first[sequences] = rows;
    return sequences;
}

static bool run_block(const egg_reading *reading, egg_desk *desk, uint32_t sequences)
{
    const egg_language *language = reading->language;
    const uint32_t rows = desk->batch.first[sequences];
    if (!egg_batch_run(&desk->batch, NULL, sequences, rows)) return false;
    const float *loss = egg_batch_losses(&desk->batch);
    for (uint32_t b = 0; b < rows; b++) {
        size_t bytes;
        egg_tokenizer_text(language->tokenizer, desk->batch.target[b], &bytes);
        desk->bytes += bytes;
        desk->code += llround((double)loss[b] * (1 / 0.69314718055994531) / code_unit);
    }
    return true;
}

static void run_desk(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)begin, (void)end;
    egg_reading *reading = context;
    egg_desk *desk = &reading->desks[thread];
    for (uint32_t sequences; (sequences = lay_out(reading, desk)) > 0;)
        if (!run_block(reading, desk, sequences)) {
            atomic_store(&reading->failed, true);
            return;
        }
}

/* ------------------------------------------------------------------------------------------------------------ whole */

static egg_status open_desk(const egg_reading *reading, egg_desk *desk, egg_error *error)
{
    const egg_rwkv7 *model = reading->language->model;
    const uint32_t lanes = reading->lanes, rows = reading->rows;
    const egg_batch_shape shape = {.rows = rows, .sequences = lanes, .slots = lanes, .wanted = rows};
    desk->readers = egg_alloc_array(lanes, sizeof *desk->readers);
    bool fits = desk->readers;
    for (uint32_t i = 0; fits && i < lanes; i++) {
        desk->readers[i].tokens = egg_alloc_array(rows + 1 + reading->window_bytes, sizeof(uint32_t));
        desk->readers[i].slot = i;
        fits = desk->readers[i].tokens;
    }
    desk->window = egg_alloc(reading->window_bytes);
    if (!fits || !desk->window) return egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring");
    egg_status status = egg_batch_open(&desk->batch, model, reading->language->kernels, &shape, error);
    for (uint32_t b = 0; status == EGG_OK && b < rows; b++) desk->batch.wanted[b] = b;
    return status;
}

static void close_desk(const egg_reading *reading, egg_desk *desk)
{
    for (uint32_t i = 0; desk->readers && i < reading->lanes; i++) egg_free(desk->readers[i].tokens);
    egg_free(desk->readers);
    egg_free(desk->window);
    egg_batch_close(&desk->batch);
}

egg_status egg_language_score(const egg_language *language, egg_pool *pool, const egg_corpus *corpus,
                              egg_score_result *result, egg_error *error)
{
    egg_status status = EGG_OK;
    size_t longest = egg_tokenizer_longest(language->tokenizer);
    const egg_device *device = language->kernels->device;
    egg_reading reading = {.language = language, .corpus = corpus, .threads = egg_pool_threads(pool),
                           .lanes = device ? DEVICE_LANES : LANES, .rows = device ? DEVICE_ROWS : ROWS,
                           .window_bytes = longest > WINDOW_BYTES ? longest : WINDOW_BYTES};
    int64_t code = 0;
    *result = (egg_score_result){0};
    egg_documents_open(&reading.documents, corpus, 0, egg_corpus_bytes(corpus));
    reading.desks = egg_alloc_array(reading.threads, sizeof *reading.desks);
    if (!reading.desks) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for scoring");
        goto out;
    }
    for (uint32_t i = 0; i < reading.threads; i++) EGG_TRY(open_desk(&reading, &reading.desks[i], error));
    egg_parallel_for(pool, reading.threads, 1, run_desk, &reading);
    EGG_TRY(egg_device_wait(device, error));
    if (atomic_load(&reading.failed)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "scoring outgrew its scratch memory");
        goto out;
    }
    for (uint32_t i = 0; i < reading.threads; i++) {
        code += reading.desks[i].code;
        result->bytes += reading.desks[i].bytes;
        result->documents += reading.desks[i].documents;
    }
    result->bits_per_byte = result->bytes ? (double)code * code_unit / (double)result->bytes : NAN;
out:
    for (uint32_t i = 0; reading.desks && i < reading.threads; i++) close_desk(&reading, &reading.desks[i]);
    egg_free(reading.desks);
    egg_documents_close(&reading.documents);
    return status;
}
