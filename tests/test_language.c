/* SPDX-License-Identifier: MIT */
/* Text through RWKV-7: scores as the oracle computes them, decoding that no schedule changes, sampling, stops. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "oracle_rwkv7.h"
#include "random_rwkv7.h"
#include "scratch.h"
#include "tasks/decode.h"
#include "tasks/language.h"
#include "tasks/sample.h"
#include "tasks/stops.h"
#include "train/rwkv7_file.h"

static const egg_rwkv7_shape shape = {.vocabulary = 288, .width = 64, .layers = 2, .head_size = 32, .hidden = 96,
                                      .w_rank = 16, .a_rank = 16, .v_rank = 16, .g_rank = 16};

typedef struct fixture {
    egg_kernels kernels;
    egg_shards *shards;
    egg_rwkv7 *model;
    egg_tokenizer *world;
    egg_language language;
} fixture;

static int setup(void **state)
{
    const char *unknown;
    fixture *f = calloc(1, sizeof *f);
    if (!f || scratch_open(state) != 0) return -1;
    egg_kernels_init(&f->kernels, egg_cpu_levels(&unknown));
    random_rwkv7_write(&(random_rwkv7){.path = scratch_path("model"), .shape = shape, .type = EGG_TENSOR_F32});
    assert_int_equal(egg_shards_open(&f->shards, scratch_path("model"), NULL), EGG_OK);
    assert_int_equal(egg_rwkv7_file_read(&f->model, f->shards, &f->kernels, EGG_RWKV7_INFERENCE, NULL), EGG_OK);
    assert_int_equal(egg_tokenizer_open_world(&f->world, EGG_TEST_SOURCE_DIR "/fixtures/tiny_vocab.txt", NULL), EGG_OK);
    f->language = (egg_language){.model = f->model, .tokenizer = f->world, .kernels = &f->kernels};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    egg_tokenizer_close(f->world);
    egg_rwkv7_close(f->model);
    egg_shards_close(f->shards);
    free(f);
    return scratch_close(state);
}

/* ----------------------------------------------------------------------------------------------------------- scores */

/* -log2 p of all tokens but the first. */
static double oracle_bits(oracle_rwkv7 *oracle, const uint32_t *tokens, size_t count)
{
    double logits[288], bits = 0;
    oracle_rwkv7_reset(oracle);
    for (size_t t = 0; t + 1 < count; t++) {
        double sum = 0;
        oracle_rwkv7_step(oracle, tokens[t], logits);
        for (uint32_t v = 0; v < shape.vocabulary; v++) sum += exp(logits[v]);
        bits += (log(sum) - logits[tokens[t + 1]]) / log(2);
    }
    return bits;
}

static egg_score_result score(const egg_language *language, uint32_t threads, const void *const *documents,
                              const size_t *lengths, size_t count)
{
    egg_pool *pool;
    egg_corpus *corpus;
    egg_score_result result;
    egg_error error = {0};
    assert_int_equal(egg_pool_open(&pool, threads, NULL), EGG_OK);
    assert_int_equal(egg_corpus_open_memory(&corpus, documents, lengths, count, NULL), EGG_OK);
    if (egg_language_score(language, pool, corpus, &result, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_corpus_close(corpus);
    egg_pool_close(pool);
    return result;
}

static void test_scores_are_the_oracles(void **state)
{
    fixture *f = *state;
    enum { DOCUMENTS = 40 };
    char texts[DOCUMENTS][700];
    const void *documents[DOCUMENTS];
    size_t lengths[DOCUMENTS], bytes = 0;
    uint32_t tokens[700];
    double bits = 0;
    oracle_rwkv7 *oracle = oracle_rwkv7_open(f->shards);
    for (uint32_t d = 0; d < DOCUMENTS; d++) {   /* of 1 to 600 bytes, more of them than lanes */
        size_t n = d % 7 == 6 ? 600 : 1 + d, first;
        for (size_t i = 0; i < n; i++)
            texts[d][i] = "there her it's say \xe9\xa5\xbd the\n\n"[(i * (d + 3) + i / 5) % 27];
        documents[d] = texts[d];
        lengths[d] = n;
        size_t count = egg_tokenizer_encode(f->world, texts[d], n, tokens);
        bits += oracle_bits(oracle, tokens, count);
        egg_tokenizer_text(f->world, tokens[0], &first);
        bytes += n - first;
    }
    egg_score_result one = score(&f->language, 1, documents, lengths, DOCUMENTS);
    egg_score_result two = score(&f->language, 2, documents, lengths, DOCUMENTS);
    assert_int_equal(one.bytes, bytes);
    assert_int_equal(one.documents, DOCUMENTS);
    assert_true(fabs(one.bits_per_byte - bits / (double)bytes) < 1e-4);
    assert_true(one.bits_per_byte == two.bits_per_byte && one.bytes == two.bytes);
    oracle_rwkv7_close(oracle);
}

static void test_nothing_to_score(void **state)
{
    fixture *f = *state;
    const void *documents[] = {"a", "b"};
    egg_score_result result = score(&f->language, 2, documents, (size_t[]){1, 1}, 2);
    assert_true(isnan(result.bits_per_byte));
    assert_int_equal(result.bytes, 0);
    assert_int_equal(result.documents, 2);
}

static void test_a_vocabulary_that_does_not_fit(void **state)
{
    fixture *f = *state;
    egg_rwkv7 narrow = *f->model;
    egg_error error = {0};
    narrow.shape.vocabulary = 256;
    egg_language language = {.model = &narrow, .tokenizer = f->world, .kernels = &f->kernels};
    assert_int_equal(egg_language_check(&language, &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "--vocab: the vocabulary has tokens up to 276, the model knows 256 of them");
    assert_int_equal(egg_language_check(&f->language, &error), EGG_OK);
}

/* --------------------------------------------------------------------------------------------------------- decoding */

enum { SEQUENCES = 7, PROMPT = 23, LENGTH = 40 };

/* Greedy continuations of prompts of different lengths, as many at once as there are slots. */
static void decode(const fixture *f, uint32_t slots, uint32_t rows, uint32_t out[SEQUENCES][LENGTH])
{
    egg_decoder *decoder;
    uint32_t prompts[SEQUENCES][PROMPT], in_slot[SEQUENCES], used[SEQUENCES] = {0}, next = 0, read, most = 0;
    const egg_decoder_shape decoder_shape = {.slots = slots, .rows = rows};
    assert_int_equal(egg_decoder_open(&decoder, f->model, &f->kernels, &decoder_shape, NULL), EGG_OK);
    for (uint32_t q = 0; q < SEQUENCES; q++)
        for (uint32_t t = 0; t < PROMPT; t++) prompts[q][t] = (q * 37 + t * 11 + 1) % shape.vocabulary;
    for (uint32_t s = 0; s < slots; s++) {
        in_slot[s] = next;
        egg_decoder_start(decoder, s, 0, prompts[next], 1 + 3 * next);
        next++;
    }
    while (egg_decoder_step(decoder, NULL, &read)) {
        if (read > most) most = read;
        for (uint32_t s = 0; s < slots; s++) {
            const float *logits = egg_decoder_logits(decoder, s);
            if (!logits) continue;
            uint32_t q = in_slot[s], best = 0, wanted = LENGTH - 4 * q;
            for (uint32_t v = 1; v < shape.vocabulary; v++)
                if (logits[v] > logits[best]) best = v;
            out[q][used[q]++] = best;
            if (used[q] < wanted) {
                egg_decoder_push(decoder, s, best);
                continue;
            }
            egg_decoder_stop(decoder, s);
            if (next == SEQUENCES) continue;
            in_slot[s] = next;
            egg_decoder_start(decoder, s, 0, prompts[next], 1 + 3 * next);
            next++;
        }
    }
    assert_false(egg_decoder_failed(decoder));
    assert_true(most <= rows);
    for (uint32_t q = 0; q < SEQUENCES; q++) assert_int_equal(used[q], LENGTH - 4 * q);
    egg_decoder_close(decoder);
}

static void test_no_schedule_changes_a_token(void **state)
{
    fixture *f = *state;
    uint32_t one[SEQUENCES][LENGTH] = {{0}}, found[SEQUENCES][LENGTH];
    decode(f, 1, 1, one);
    static const uint32_t schedules[][2] = {{1, 16}, {3, 3}, {3, 20}, {7, 7}, {7, 64}};
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
        memset(found, 0, sizeof found);
        decode(f, schedules[i][0], schedules[i][1], found);
        assert_memory_equal(found, one, sizeof one);
    }
}

/* ---------------------------------------------------------------------------------------------------------- writing */

typedef struct texts {
    char text[8][2048];
    size_t used[8];
    size_t calls, enough;
} texts;

static bool receive(void *context, uint32_t stream, const char *text, size_t bytes)
{
    texts *t = context;
    assert_true(bytes > 0 && t->used[stream] + bytes < sizeof t->text[stream]);
    memcpy(t->text[stream] + t->used[stream], text, bytes);
    t->used[stream] += bytes;
    t->calls++;
    return !t->enough || t->calls < t->enough;
}

static void write_texts(const fixture *f, uint32_t threads, const egg_writing *writing, texts *t)
{
    egg_pool *pool;
    egg_error error = {0};
    assert_int_equal(egg_pool_open(&pool, threads, NULL), EGG_OK);
    if (egg_language_write(&f->language, pool, writing, receive, t, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_pool_close(pool);
}

static void test_writing_does_not_depend_on_streams_and_threads(void **state)
{
    fixture *f = *state;
    egg_writing writing = {.prompt = "the there", .sampling = {.seed = 3, .temperature = 1, .top_p = 1}, .streams = 5,
                           .bytes = 60};
    texts *five = calloc(1, sizeof *five), *other = calloc(1, sizeof *other);
    write_texts(f, 2, &writing, five);
    writing.streams = 3;
    write_texts(f, 1, &writing, other);
    for (uint32_t s = 0; s < 3; s++) {
        assert_int_equal(five->used[s], other->used[s]);
        assert_memory_equal(five->text[s], other->text[s], five->used[s]);
    }
    assert_true(memcmp(five->text[0], five->text[1], 20) != 0);
    free(five);
    free(other);
}

static void test_stops(void **state)
{
    fixture *f = *state;
    egg_writing writing = {.prompt = "the",
                           .sampling = {.seed = 5, .temperature = 1, .top_p = 1},
                           .streams = 1,
                           .bytes = 300};
    texts *free_text = calloc(1, sizeof *free_text), *stopped = calloc(1, sizeof *stopped);
    write_texts(f, 1, &writing, free_text);
    assert_true(free_text->used[0] >= 100);
    for (size_t at = 5; at < 90; at += 17) {   /* some bytes of it, wherever tokens begin and end */
        char stop[4] = {0};
        memcpy(stop, free_text->text[0] + at, 3);
        if (strlen(stop) < 3) continue;
        const char *found = memmem(free_text->text[0], free_text->used[0], stop, 3);
        const char *stops[] = {"no such text in there", stop};
        writing.stops = stops;
        writing.stop_count = 2;
        memset(stopped, 0, sizeof *stopped);
        write_texts(f, 1, &writing, stopped);
        assert_int_equal(stopped->used[0], found - free_text->text[0]);
        assert_memory_equal(stopped->text[0], free_text->text[0], stopped->used[0]);
    }
    free(free_text);
    free(stopped);
}

static void test_the_receiver_can_stop(void **state)
{
    fixture *f = *state;
    texts *t = calloc(1, sizeof *t);
    t->enough = 3;
    write_texts(f, 2, &(egg_writing){.prompt = "", .sampling = {.seed = 5, .temperature = 1, .top_p = 1}, .streams = 4,
                                     .bytes = 300}, t);
    assert_int_equal(t->calls, 3);
    free(t);
}

static void test_options_of_stops(void **state)
{
    (void)state;
    egg_stops stops;
    egg_error error = {0};
    assert_int_equal(egg_stops_open(&stops, "", NULL), EGG_OK);
    assert_int_equal(stops.count, 0);
    assert_int_equal(egg_stops_open(&stops, "one\\|\\\\|\\n\\tx", NULL), EGG_OK);
    assert_int_equal(stops.count, 2);
    assert_string_equal(stops.texts[0], "one|\\");
    assert_string_equal(stops.texts[1], "\n\tx");
    egg_stops_close(&stops);
    static const char *const wrong[] = {"|", "a|", "|a", "a||b", "\\", "a\\q"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(egg_stops_open(&stops, wrong[i], &error), EGG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "--stop: '"));
    }
}

/* --------------------------------------------------------------------------------------------------------- sampling */

/* The law, by brute force: which tokens stay, and their shares. */
static void expected_shares(const float *logits, uint32_t n, const egg_sampling *sampling, double *share)
{
    bool kept[64] = {false};
    double weight[64], total = 0, sum = 0, largest = 0;
    for (uint32_t k = 0; k < n; k++) weight[k] = exp(logits[k] / sampling->temperature);
    for (uint32_t k = 0; k < n; k++) largest = fmax(largest, weight[k]);
    for (uint32_t k = 0; k < n; k++) {
        if (weight[k] < sampling->min_p * largest) weight[k] = 0;
        total += weight[k];
    }
    while (sum < sampling->top_p * total * (1 - 1e-12)) {
        uint32_t best = n;
        for (uint32_t k = 0; k < n; k++)
            if (!kept[k] && weight[k] > 0 && (best == n || weight[k] > weight[best])) best = k;
        if (best == n) break;
        kept[best] = true;
        sum += weight[best];
    }
    for (uint32_t k = 0; k < n; k++) share[k] = kept[k] ? weight[k] / sum : 0;
}

static uint32_t draw(egg_sampler *sampler, const float *logits, double uniform)
{
    sampler->uniform[0] = uniform;
    egg_sampler_draw(sampler, logits, 1);
    return sampler->token[0];
}

static void test_the_law_of_sampling(void **state)
{
    (void)state;
    egg_kernels kernels;
    egg_kernels_init(&kernels, 0);
    enum { N = 64, POINTS = 100000 };
    static const egg_sampling samplings[] = {
        {.temperature = 1, .top_p = 1},
        {.temperature = 0.5, .top_p = 0.9},
        {.temperature = 2, .top_p = 0.5, .min_p = 0.1},
        {.temperature = 1, .top_p = 1, .min_p = 0.3},
        {.temperature = 1, .top_p = 0.01},
    };
    float logits[N];
    for (uint32_t k = 0; k < N; k++) logits[k] = (float)(k * 29 % 13) * 0.4f;   /* with ties */
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++) {
        egg_sampler sampler;
        double share[N], found[N] = {0};
        assert_int_equal(egg_sampler_open(&sampler, &samplings[i], &kernels, N, 1, NULL), EGG_OK);
        expected_shares(logits, N, &samplings[i], share);
        for (uint32_t p = 0; p < POINTS; p++)
            found[draw(&sampler, logits, (p + 0.5) / POINTS)] += 1.0 / POINTS;
        for (uint32_t k = 0; k < N; k++) assert_true(fabs(found[k] - share[k]) < 2.0 / POINTS);
        egg_sampler_close(&sampler);
    }
}

static void test_the_likeliest(void **state)
{
    (void)state;
    egg_kernels kernels;
    egg_kernels_init(&kernels, 0);
    egg_sampler sampler;
    float logits[16] = {NAN, 1, 3, 3, -INFINITY};
    assert_int_equal(egg_sampler_open(&sampler, &(egg_sampling){.temperature = 0}, &kernels, 16, 1, NULL), EGG_OK);
    assert_int_equal(draw(&sampler, logits, 0.9), 2);
    egg_sampler_close(&sampler);
    assert_int_equal(egg_sampler_open(&sampler, &(egg_sampling){.temperature = 0.01, .top_p = 1}, &kernels, 16, 1, NULL), EGG_OK);
    assert_int_equal(draw(&sampler, logits, 0.1), 2);
    assert_int_equal(draw(&sampler, logits, 0.9), 3);
    egg_sampler_close(&sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_the_oracles),
        cmocka_unit_test(test_nothing_to_score),
        cmocka_unit_test(test_a_vocabulary_that_does_not_fit),
        cmocka_unit_test(test_no_schedule_changes_a_token),
        cmocka_unit_test(test_writing_does_not_depend_on_streams_and_threads),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_the_receiver_can_stop),
        cmocka_unit_test(test_options_of_stops),
        cmocka_unit_test(test_the_law_of_sampling),
        cmocka_unit_test(test_the_likeliest),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
