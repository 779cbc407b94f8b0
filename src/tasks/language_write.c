/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/memory.h"
#include "tasks/decode.h"
#include "tasks/language.h"
#include "tasks/sample.h"

enum { PROMPT_ROWS = 64, DEVICE_PROMPT_ROWS = 1024 };   /* of a batch, so that reading prompts fills the products */

/* One text. */
typedef struct egg_stream {
    egg_words words;
    uint64_t written;            /* bytes given away */
    char *held;                  /* (held_bytes) the beginning of a stop, perhaps, and the last token */
    size_t held_bytes;
    bool done;
} egg_stream;

typedef struct egg_writer {
    const egg_language *language;
    const egg_writing *writing;
    egg_writing_fn *write;
    void *context;
    uint32_t *prompt;            /* (prompt_tokens) */
    uint32_t prompt_tokens;
    egg_stream *streams;         /* (streams) */
    egg_decoder **decoders;      /* (parts) stream i is slot i / parts of part i % parts */
    egg_sampler *samplers;       /* (parts) */
    uint32_t *next;              /* (streams) the token just drawn */
    bool *has_next;              /* (streams) */
    uint32_t parts;
    size_t longest_stop;
    bool stopped;                /* the receiver wants no more */
} egg_writer;

/* ------------------------------------------------------------------------------------------------------- one stream */

/* Where in the held bytes the first stop begins; 'held_bytes' if there is none. */
static size_t find_stop(const egg_writer *writer, const egg_stream *stream)
{
    for (size_t at = 0; at < stream->held_bytes; at++)
        for (size_t i = 0; i < writer->writing->stop_count; i++) {
            size_t n = strlen(writer->writing->stops[i]);
            if (n && n <= stream->held_bytes - at && memcmp(stream->held + at, writer->writing->stops[i], n) == 0)
                return at;
        }
    return stream->held_bytes;
}

/* How many of the held bytes can be no part of a stop that is still to come. */
static size_t find_certain(const egg_writer *writer, const egg_stream *stream)
{
    for (size_t at = 0; at < stream->held_bytes; at++)
        for (size_t i = 0; i < writer->writing->stop_count; i++) {
            size_t left = stream->held_bytes - at;
            if (strlen(writer->writing->stops[i]) > left &&
                memcmp(stream->held + at, writer->writing->stops[i], left) == 0)
                return at;
        }
    return stream->held_bytes;
}

static void give(egg_writer *writer, uint32_t i, size_t bytes)
{
    egg_stream *stream = &writer->streams[i];
    if (bytes && !writer->stopped && !writer->write(writer->context, i, stream->held, bytes)) writer->stopped = true;
    stream->written += bytes;
    stream->held_bytes -= bytes;
    memmove(stream->held, stream->held + bytes, stream->held_bytes);
}

static void take_token(egg_writer *writer, uint32_t i, uint32_t token)
{
    egg_stream *stream = &writer->streams[i];
    size_t bytes;
    const char *text = egg_tokenizer_text(writer->language->tokenizer, token, &bytes);
    if (token == EGG_TOKEN_END) {
        give(writer, i, stream->held_bytes);
        stream->done = true;
        return;
    }
    if (bytes) memcpy(stream->held + stream->held_bytes, text, bytes);   /* a number without an entry writes nothing */
    stream->held_bytes += bytes;
    size_t stop = find_stop(writer, stream);
    if (stop < stream->held_bytes) {
        give(writer, i, stop);
        stream->done = true;
        return;
    }
    bool enough = stream->written + stream->held_bytes >= writer->writing->bytes;
    give(writer, i, enough ? stream->held_bytes : find_certain(writer, stream));
    stream->done = enough;
}

/* ------------------------------------------------------------------------------------------------------------ steps */

/* Of a part: its streams read what waits, and those that are done reading draw their next token. */
static void step_part(egg_writer *writer, uint32_t p)
{
    egg_decoder *decoder = writer->decoders[p];
    egg_sampler *sampler = &writer->samplers[p];
    const uint32_t streams = writer->writing->streams;
    egg_decoder_step(decoder, NULL, NULL);
    for (uint32_t slot = 0, i = p; i < streams; slot++, i += writer->parts) {
        writer->has_next[i] = egg_decoder_has_logits(decoder, slot);
        if (writer->has_next[i])
            sampler->uniform[egg_decoder_place(decoder, slot)] = egg_words_uniform(&writer->streams[i].words);
    }
    egg_decoder_draw(decoder, sampler);
    for (uint32_t slot = 0, i = p; i < streams; slot++, i += writer->parts)
        if (writer->has_next[i]) writer->next[i] = sampler->token[egg_decoder_place(decoder, slot)];
}

static void step_parts(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    for (size_t p = begin; p < end; p++) step_part(context, (uint32_t)p);
}

static egg_status write_all(egg_writer *writer, egg_pool *pool, egg_error *error)
{
    uint32_t left = writer->writing->streams;
    while (left && !writer->stopped) {
        egg_parallel_for(pool, writer->parts, 1, step_parts, writer);
        for (uint32_t p = 0; p < writer->parts; p++)
            if (egg_decoder_failed(writer->decoders[p]))
                return egg_fail(error, EGG_ERR_NOMEM, "generation outgrew its scratch memory");
        egg_status status = egg_device_wait(writer->language->kernels->device, error);   /* before a text shows it */
        if (status != EGG_OK) return status;
        for (uint32_t i = 0; i < writer->writing->streams && !writer->stopped; i++) {
            if (!writer->has_next[i]) continue;
            egg_decoder *decoder = writer->decoders[i % writer->parts];
            take_token(writer, i, writer->next[i]);
            if (!writer->streams[i].done) {
                egg_decoder_push(decoder, i / writer->parts, writer->next[i]);
                continue;
            }
            egg_decoder_stop(decoder, i / writer->parts);
            left--;
        }
    }
    return EGG_OK;
}

/* ----------------------------------------------------------------------------------------------------------- opening
 */

static egg_status open_prompt(egg_writer *writer, egg_error *error)
{
    size_t bytes = strlen(writer->writing->prompt);
    writer->prompt = egg_alloc_array(bytes + 1, sizeof *writer->prompt);
    if (!writer->prompt) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a prompt of %zu bytes", bytes);
    size_t tokens = egg_tokenizer_encode(writer->language->tokenizer, writer->writing->prompt, bytes, writer->prompt);
    if (tokens == 0) writer->prompt[tokens++] = EGG_TOKEN_END;
    writer->prompt_tokens = (uint32_t)tokens;
    for (size_t i = 0; i < writer->writing->stop_count; i++) {
        size_t n = strlen(writer->writing->stops[i]);
        if (n > writer->longest_stop) writer->longest_stop = n;
    }
    return EGG_OK;
}

static egg_status open_part(egg_writer *writer, uint32_t p, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t slots = (writer->writing->streams - p + writer->parts - 1) / writer->parts;
    uint32_t rows = writer->language->kernels->device ? DEVICE_PROMPT_ROWS : PROMPT_ROWS;
    const egg_decoder_shape shape = {.slots = slots, .rows = slots > rows ? slots : rows};
    const egg_rwkv7 *model = writer->language->model;
    EGG_TRY(egg_decoder_open(&writer->decoders[p], model, writer->language->kernels, &shape, error));
    EGG_TRY(egg_sampler_open(&writer->samplers[p], &writer->writing->sampling, writer->language->kernels,
                             model->shape.vocabulary, slots, error));
    for (uint32_t slot = 0; slot < slots; slot++)
        egg_decoder_start(writer->decoders[p], slot, 0, writer->prompt, writer->prompt_tokens);
out:
    return status;
}

static egg_status open_writer(egg_writer *writer, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t streams = writer->writing->streams;
    writer->streams = egg_alloc_array(streams, sizeof *writer->streams);
    writer->next = egg_alloc_array(streams, sizeof *writer->next);
    writer->has_next = egg_alloc_array(streams, sizeof *writer->has_next);
    writer->decoders = egg_alloc_array(writer->parts, sizeof *writer->decoders);
    writer->samplers = egg_alloc_array(writer->parts, sizeof *writer->samplers);
    if (!writer->streams || !writer->next || !writer->has_next || !writer->decoders || !writer->samplers)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u streams", streams);
    EGG_TRY(open_prompt(writer, error));
    for (uint32_t i = 0; i < streams; i++) {
        egg_stream *stream = &writer->streams[i];
        stream->words = (egg_words){.key = egg_key_make(writer->writing->sampling.seed, EGG_DOMAIN_SAMPLING),
                                    .at = {.pair = i}};
        stream->held = egg_alloc(writer->longest_stop + egg_tokenizer_longest(writer->language->tokenizer));
        if (!stream->held) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u streams", streams);
    }
    for (uint32_t p = 0; p < writer->parts; p++) EGG_TRY(open_part(writer, p, error));
out:
    return status;
}

static void close_writer(egg_writer *writer)
{
    for (uint32_t p = 0; writer->decoders && p < writer->parts; p++) egg_decoder_close(writer->decoders[p]);
    for (uint32_t p = 0; writer->samplers && p < writer->parts; p++) egg_sampler_close(&writer->samplers[p]);
    for (uint32_t i = 0; writer->streams && i < writer->writing->streams; i++) egg_free(writer->streams[i].held);
    egg_free(writer->streams);
    egg_free(writer->next);
    egg_free(writer->has_next);
    egg_free(writer->decoders);
    egg_free(writer->samplers);
    egg_free(writer->prompt);
}

egg_status egg_language_write(const egg_language *language, egg_pool *pool, const egg_writing *writing,
                              egg_writing_fn *write, void *context, egg_error *error)
{
    uint32_t threads = egg_pool_threads(pool);
    egg_writer writer = {.language = language, .writing = writing, .write = write, .context = context,
                         .parts = threads < writing->streams ? threads : writing->streams};
    egg_status status = open_writer(&writer, error);
    if (status == EGG_OK) status = write_all(&writer, pool, error);
    close_writer(&writer);
    return status;
}

egg_status egg_language_tokenizer(egg_tokenizer **tokenizer, const egg_rwkv7 *model, const char *vocabulary,
                                  egg_error *error)
{
    *tokenizer = NULL;
    if (*vocabulary) return egg_tokenizer_open_world(tokenizer, vocabulary, error);
    if (model->shape.vocabulary != EGG_VOCABULARY)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--vocab: the model has %u tokens, expected the file of its vocabulary",
                        model->shape.vocabulary);
    return egg_tokenizer_open_byte(tokenizer, error);
}

egg_status egg_language_check(const egg_language *language, egg_error *error)
{
    uint32_t tokens = egg_tokenizer_vocabulary(language->tokenizer), known = language->model->shape.vocabulary;
    if (tokens <= known) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT, "--vocab: the vocabulary has tokens up to %u, the model knows %u of them",
                    tokens - 1, known);
}
