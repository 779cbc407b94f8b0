/* SPDX-License-Identifier: MIT */
/* Using a model: scores against the oracle, generation, model files that are not what they should be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/safetensors.h"
#include "eggroll.h"
#include "models/egg.h"
#include "oracle.h"
#include "run_folder.h"
#include "tasks/generate.h"
#include "train/model_file.h"

enum { WIDTH = 32, LAYERS = 2 };

/* A model with random weights, on disk. */
static void model_make(const char *path, egg_model **out)
{
    egg_kernels kernels;
    egg_safetensors_writer *writer;
    egg_kernels_init(&kernels, 0);
    assert_int_equal(egg_egg_open(out, (egg_shape){WIDTH, LAYERS}, &kernels, NULL), EGG_OK);
    egg_egg_init_weights(*out, &(egg_egg_init){.seed = 3, .matrix = 16, .head = 16, .embedding = 16});
    egg_model_pack(*out, &kernels);
    assert_int_equal(egg_safetensors_writer_open(&writer, path, NULL), EGG_OK);
    egg_model_file_write(writer, *out);
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
}

static egg_options *options_of(const char *command, const char *first, ...)
{
    egg_error error = {0};
    egg_options *options = egg_options_new(command);
    va_list arguments;
    va_start(arguments, first);
    for (const char *name = first; name; name = va_arg(arguments, const char *))
        if (egg_options_set(options, name, va_arg(arguments, const char *), &error) != EGG_OK)
            fail_msg("%s", error.text);
    va_end(arguments);
    return options;
}

/* ---------------------------------------------------------------------------------------------------------- score */

/* Bits of one document from a zero state, its first byte unscored. */
static double oracle_bits(const oracle_model *model, const uint8_t *text, size_t bytes)
{
    const oracle_law none = {0};
    int state[LAYERS * WIDTH] = {0}, logits[256];
    double bits = 0;
    for (size_t i = 0; i + 1 < bytes; i++) {
        double sum = 0;
        oracle_step(model, &none, 0, text[i], state, logits);
        for (int k = 0; k < 256; k++) sum += exp2(logits[k] / 16.0);
        bits += log2(sum) - logits[text[i + 1]] / 16.0;
    }
    return bits;
}

static void oracle_copy(oracle_model *oracle, const egg_model *model)
{
    oracle_model_open(oracle, WIDTH, LAYERS);
    for (int id = 0; id < oracle->count; id++)
        for (int i = 0; i < oracle->params[id].out * oracle->params[id].in; i++)
            oracle->params[id].w[i] = ((const int8_t *)model->params[id].data)[i];
}

static void test_score(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    egg_model *weights, *model;
    egg_mapping bytes;
    oracle_model oracle;
    egg_error error = {0};
    folder_make(folder);
    folder_path(path, folder, "model.safetensors");
    model_make(path, &weights);
    text_make(folder, text);
    assert_int_equal(egg_mapping_open(&bytes, text, NULL), EGG_OK);
    oracle_copy(&oracle, weights);

    double expected = 0;
    uint64_t scored = 0, documents = 0;
    for (size_t begin = 0; begin < bytes.bytes;) {   /* NUL separates documents in a plain file */
        const uint8_t *end = memchr(bytes.data + begin, 0, bytes.bytes - begin);
        size_t n = end ? (size_t)(end - bytes.data) - begin : bytes.bytes - begin;
        expected += oracle_bits(&oracle, bytes.data + begin, n);
        scored += n ? n - 1 : 0;
        documents += n > 0;
        begin += n + 1;
    }
    assert_int_equal(egg_model_open(&model, path, &error), EGG_OK);
    double first = 0;
    for (int threads = 1; threads <= 3; threads++) {
        char count[8];
        const char *data = text;
        egg_score score;
        snprintf(count, sizeof count, "%d", threads);
        egg_options *options = options_of("eval", "threads", count, NULL);
        if (egg_model_score(model, options, &data, 1, &score, &error) != EGG_OK) fail_msg("%s", error.text);
        assert_int_equal(score.bytes, scored);
        assert_int_equal(score.documents, documents);
        /* each byte's length is rounded to 2^-24 bits */
        assert_true(fabs(score.bits_per_byte - expected / (double)scored) < 1e-6);
        if (threads == 1) first = score.bits_per_byte;
        assert_true(score.bits_per_byte == first);
        egg_options_free(options);
    }
    egg_mapping_close(&bytes);
    oracle_model_close(&oracle);
    egg_model_close(model);
    egg_model_free(weights);
    folder_remove(folder);
}

static void test_score_of_nothing(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES], text[RUN_FOLDER_BYTES];
    egg_model *weights, *model;
    egg_error error = {0};
    egg_score score;
    folder_make(folder);
    folder_path(path, folder, "model.safetensors");
    folder_path(text, folder, "one-byte.txt");
    model_make(path, &weights);
    assert_int_equal(egg_file_replace(text, "x", 1, NULL), EGG_OK);
    assert_int_equal(egg_model_open(&model, path, &error), EGG_OK);
    egg_options *options = options_of("eval", NULL);
    const char *data = text;
    assert_int_equal(egg_model_score(model, options, &data, 1, &score, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "one-byte.txt"));
    egg_options_free(options);
    egg_model_close(model);
    egg_model_free(weights);
    folder_remove(folder);
}

/* ------------------------------------------------------------------------------------------------------- generate */

enum { MAX_STREAMS = 40, MAX_TEXT = 64 };

typedef struct texts {
    char text[MAX_STREAMS][MAX_TEXT];
    size_t bytes[MAX_STREAMS];
    size_t stop_after;   /* of stream 0; 0 = never */
} texts;

static bool collect(void *context, uint32_t stream, const char *text, size_t bytes)
{
    texts *all = context;
    assert_true(stream < MAX_STREAMS && all->bytes[stream] + bytes <= MAX_TEXT);
    memcpy(all->text[stream] + all->bytes[stream], text, bytes);
    all->bytes[stream] += bytes;
    return !all->stop_after || all->bytes[0] < all->stop_after;
}

static void generate(egg_model *model, egg_options *options, texts *all)
{
    egg_error error = {0};
    size_t stop_after = all->stop_after;
    memset(all, 0, sizeof *all);
    all->stop_after = stop_after;
    if (egg_model_generate(model, options, collect, all, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_options_free(options);
}

static void test_generate(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES];
    egg_model *weights, *model;
    static texts one, many, again;
    folder_make(folder);
    folder_path(path, folder, "model.safetensors");
    model_make(path, &weights);
    assert_int_equal(egg_model_open(&model, path, NULL), EGG_OK);

    generate(model, options_of("generate", "bytes", "50", "seed", "7", "prompt", "hello", "threads", "1", NULL), &one);
    generate(model,
             options_of("generate", "bytes", "50", "seed", "7", "prompt", "hello", "streams", "37", "threads", "3",
                               NULL), &many);
    assert_int_equal(one.bytes[0], 50);
    assert_memory_equal(one.text[0], many.text[0], 50);              /* a stream does not depend on its neighbours */
    assert_memory_not_equal(many.text[0], many.text[1], 50);
    for (size_t s = 0; s < 37; s++) assert_null(memchr(many.text[s], 0, 50));
    generate(model, options_of("generate", "bytes", "50", "seed", "8", "prompt", "hello", NULL), &again);
    assert_memory_not_equal(one.text[0], again.text[0], 50);
    again.stop_after = 3;
    generate(model, options_of("generate", "bytes", "50", "seed", "7", "prompt", "hello", NULL), &again);
    assert_int_equal(again.bytes[0], 3);
    again.stop_after = 0;

    /* A prompt longer than a block, and the likeliest bytes: the oracle agrees. */
    char prompt[201];
    memset(prompt, 'p', 200);
    prompt[200] = 0;
    generate(model, options_of("generate", "bytes", "20", "temperature", "0", "prompt", prompt, NULL), &again);
    oracle_model oracle;
    oracle_copy(&oracle, weights);
    const oracle_law none = {0};
    int oracle_state[LAYERS * WIDTH] = {0}, logits[256];
    oracle_step(&oracle, &none, 0, 0, oracle_state, logits);
    for (int i = 0; i < 200; i++) oracle_step(&oracle, &none, 0, 'p', oracle_state, logits);
    for (int i = 0; i < 20; i++) {
        int best = 1;
        for (int k = 2; k < 256; k++)
            if (logits[k] > logits[best]) best = k;
        assert_int_equal((uint8_t)again.text[0][i], best);
        oracle_step(&oracle, &none, 0, best, oracle_state, logits);
    }
    oracle_model_close(&oracle);
    egg_model_close(model);
    egg_model_free(weights);
    folder_remove(folder);
}

static void test_sampling(void **state)
{
    (void)state;
    int8_t logits[256];
    memset(logits, -127, sizeof logits);
    logits[0] = 127;                      /* never drawn, however likely */
    logits['a'] = 127;
    logits['b'] = 111;                    /* half as likely: 16 is one bit */
    logits['c'] = 95;
    egg_sampling sampling = {.temperature = 1, .top_p = 1};
    int counts[256] = {0};
    for (int i = 0; i < 7000; i++) counts[egg_sample_byte(logits, &sampling, (i + 0.5) / 7000)]++;
    assert_true(abs(counts['a'] - 4000) < 30 && abs(counts['b'] - 2000) < 30 && abs(counts['c'] - 1000) < 30);
    assert_int_equal(counts[0], 0);
    sampling.min_p = 0.4;                 /* keeps a and b */
    assert_int_equal(egg_sample_byte(logits, &sampling, 0.9999), 'b');
    sampling = (egg_sampling){.temperature = 1, .top_p = 0.5};
    assert_int_equal(egg_sample_byte(logits, &sampling, 0.9999), 'a');
    sampling = (egg_sampling){.temperature = 1, .top_p = 0.8};
    assert_int_equal(egg_sample_byte(logits, &sampling, 0.9999), 'b');
    sampling = (egg_sampling){.temperature = 0, .top_p = 1};
    assert_int_equal(egg_sample_byte(logits, &sampling, 0.9999), 'a');
    sampling = (egg_sampling){.temperature = 0.001, .top_p = 1};
    assert_int_equal(egg_sample_byte(logits, &sampling, 0.9999), 'a');
}

/* ------------------------------------------------------------------------------------------------------- bad files */

static void refuse(const char *path, egg_status expected, const char *part)
{
    egg_error error = {0};
    egg_model *model = NULL;
    egg_status status = egg_model_open(&model, path, &error);
    if (status == EGG_OK) egg_model_close(model);
    if (status != expected || !strstr(error.text, part))
        fail_msg("expected status %d and '%s', found %d and '%s'", expected, part, status, error.text);
}

/* Writes a model file with the given metadata and the tensors of 'model', the one numbered 'odd' replaced. */
static void write_file(const char *path, const char *architecture, const char *width, const egg_model *model,
                       uint32_t odd, egg_tensor_type type, uint64_t rows, uint64_t cols)
{
    static int16_t zeros[1 << 16];
    egg_safetensors_writer *writer;
    assert_int_equal(egg_safetensors_writer_open(&writer, path, NULL), EGG_OK);
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", architecture);
    egg_safetensors_writer_metadata(writer, "width", width);
    egg_safetensors_writer_metadata(writer, "layers", "2");
    for (uint32_t i = 0; i < model->param_count; i++) {
        const egg_param *p = &model->params[i];
        bool vector = p->kind == EGG_PARAM_VECTOR;
        uint64_t shape[2] = {vector ? p->in : p->out, p->in};
        if (i == odd && rows)
            egg_safetensors_writer_tensor(writer, p->name, type, 2, (uint64_t[]){rows, cols}, zeros);
        else if (i != odd)
            egg_safetensors_writer_tensor(writer, p->name, EGG_TENSOR_I8, vector ? 1 : 2, shape, p->data);
    }
    assert_int_equal(egg_safetensors_writer_commit(writer, NULL), EGG_OK);
}

static void test_bad_files(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES];
    egg_model *model;
    const uint32_t head = 1;
    folder_make(folder);
    folder_path(path, folder, "model.safetensors");
    model_make(path, &model);
    write_file(path, "egg", "32", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    egg_model *good;
    assert_int_equal(egg_model_open(&good, path, NULL), EGG_OK);
    egg_model_close(good);
    assert_int_equal(egg_model_open(&good, folder, NULL), EGG_OK);   /* a folder that holds a model */
    egg_model_close(good);

    write_file(path, "rwkv7", "32", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_UNSUPPORTED, "architecture 'rwkv7', expected 'egg'");
    write_file(path, "egg", "33", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_FORMAT, "width 33");
    write_file(path, "egg", "wide", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_FORMAT, "'width' is 'wide'");
    write_file(path, "egg", "64", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_FORMAT, "has shape [256, 32], expected [256, 64]");
    write_file(path, "egg", "32", model, head, EGG_TENSOR_I16, 256, 32);
    refuse(path, EGG_ERR_FORMAT, "'head' is of type I16, expected I8");
    write_file(path, "egg", "32", model, head, EGG_TENSOR_I8, 32, 256);
    refuse(path, EGG_ERR_FORMAT, "'head' has shape [32, 256], expected [256, 32]");
    write_file(path, "egg", "32", model, head, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_FORMAT, "'head' is missing");
    ((int8_t *)model->params[head].data)[5] = -128;
    write_file(path, "egg", "32", model, UINT32_MAX, EGG_TENSOR_I8, 0, 0);
    refuse(path, EGG_ERR_FORMAT, "'head' holds -128 at 5");
    assert_int_equal(egg_file_replace(path, "not a model", 11, NULL), EGG_OK);
    refuse(path, EGG_ERR_FORMAT, "model.safetensors");
    refuse("no/such/model", EGG_ERR_IO, "no/such/model");
    egg_model_free(model);
    folder_remove(folder);
    folder_make(folder);
    refuse(folder, EGG_ERR_FORMAT, "not a run folder");
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_score),    cmocka_unit_test(test_score_of_nothing), cmocka_unit_test(test_generate),
        cmocka_unit_test(test_sampling), cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
