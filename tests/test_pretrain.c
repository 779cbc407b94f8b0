/* SPDX-License-Identifier: MIT */
/* Which member reads what: streams, groups, the turn at the end of the text, recurrent states; and the schedule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/egg.h"
#include "oracle.h"
#include "run_folder.h"
#include "tasks/pretrain.h"
#include "train/schedule.h"

enum { WIDTH = 16, LAYERS = 2, TEXT_BYTES = 101, EPOCHS = 5 };

static void text_of(uint8_t text[TEXT_BYTES])
{
    for (int i = 0; i < TEXT_BYTES; i++) text[i] = (uint8_t)('a' + i * i % 23);
    text[40] = 0;   /* a second document */
}

/* The stream of bytes that a corpus is: a separator, then the text. */
static int byte_at(const uint8_t *text, uint64_t position, uint64_t train_bytes)
{
    position %= train_bytes;
    return position == 0 ? 0 : text[position - 1];
}

static void check(uint32_t population, uint32_t group, uint32_t steps, uint64_t train_bytes, bool carry,
                  uint32_t threads, uint32_t chunk)
{
    egg_kernels kernels;
    egg_model *model;
    egg_corpus *corpus;
    egg_pretrain *task;
    egg_pool *pool;
    oracle_model oracle;
    egg_error error = {0};
    uint8_t text[TEXT_BYTES];
    text_of(text);
    const void *documents[1] = {text};
    const size_t lengths[1] = {TEXT_BYTES};
    egg_kernels_init(&kernels, 0);
    assert_int_equal(egg_corpus_open_memory(&corpus, documents, lengths, 1, &error), EGG_OK);
    assert_int_equal(egg_egg_open(&model, (egg_shape){WIDTH, LAYERS}, &kernels, &error), EGG_OK);
    egg_egg_init_weights(model, &(egg_egg_init){.seed = 1, .matrix = 16, .head = 16, .embedding = 16});
    egg_model_pack(model, &kernels);
    oracle_model_open(&oracle, WIDTH, LAYERS);
    for (int id = 0; id < oracle.count; id++)
        for (int i = 0; i < oracle.params[id].out * oracle.params[id].in; i++)
            oracle.params[id].w[i] = ((const int8_t *)model->params[id].data)[i];

    const egg_pretrain_shape shape = {.population = population, .group = group, .steps = steps, .rank = 1,
                                      .chunk_pairs = chunk, .threads = threads, .carry = carry,
                                      .train_bytes = train_bytes};
    assert_int_equal(egg_pool_open(&pool, threads, &error), EGG_OK);
    assert_int_equal(egg_pretrain_open(&task, &shape, model, corpus, &error), EGG_OK);
    assert_int_equal(egg_pretrain_text_bytes(task), population / group * steps);
    int *states = calloc(population, LAYERS * WIDTH * sizeof *states);
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        egg_perturb law = egg_perturb_i8(1, (uint32_t)epoch, 1, 4);
        oracle_law same = {.seed = 1, .epoch = (uint32_t)epoch, .rank = 1, .sigma_shift = 4, .on = 1};
        uint32_t half = population / 4;   /* two slices, as two ranks would take them */
        const egg_slice slices[2] = {{half, population / 2 - half}, {0, half}};
        for (int i = 0; i < 2; i++)
            assert_int_equal(egg_pretrain_evaluate(task, &kernels, pool, &law, epoch, slices[i], &error), EGG_OK);
        if (!carry) memset(states, 0, population * LAYERS * WIDTH * sizeof *states);
        for (uint32_t m = 0; m < population; m++) {
            uint64_t streams = population / group, start = m / group * train_bytes / streams + epoch * steps;
            int loss = 0, logits[256];
            for (uint32_t t = 0; t < steps; t++) {
                oracle_step(&oracle, &same, (int)m, byte_at(text, start + t, train_bytes), states + m * LAYERS * WIDTH,
                            logits);
                loss += oracle_loss(logits, byte_at(text, start + t + 1, train_bytes));
            }
            assert_int_equal(egg_pretrain_loss(task)[m], loss);
        }
    }
    free(states);
    egg_pretrain_close(task);
    egg_pool_close(pool);
    oracle_model_close(&oracle);
    egg_model_free(model);
    egg_corpus_close(corpus);
}

static void test_streams(void **state)
{
    (void)state;
    check(12, 2, 5, 102, true, 2, 2);
    check(12, 4, 7, 90, true, 1, 1);     /* groups of two pairs, cut by chunks; a held-out tail */
    check(12, 12, 30, 61, true, 3, 5);   /* one stream for all, which comes round */
    check(8, 2, 6, 7, true, 1, 0);       /* hardly more text than a segment */
    check(12, 2, 5, 102, false, 2, 2);
}

static void test_too_little_text(void **state)
{
    (void)state;
    egg_model *model;
    egg_corpus *corpus;
    egg_pretrain *task;
    egg_error error = {0};
    egg_kernels kernels;
    const void *documents[1] = {"text"};
    const size_t lengths[1] = {4};
    egg_kernels_init(&kernels, 0);
    assert_int_equal(egg_corpus_open_memory(&corpus, documents, lengths, 1, &error), EGG_OK);
    assert_int_equal(egg_egg_open(&model, (egg_shape){WIDTH, 1}, &kernels, &error), EGG_OK);
    const egg_pretrain_shape shape = {.population = 2, .group = 2, .steps = 5, .rank = 1, .threads = 1,
                                      .train_bytes = 5};
    assert_int_equal(egg_pretrain_open(&task, &shape, model, corpus, &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "5 bytes"));
    egg_model_free(model);
    egg_corpus_close(corpus);
}

/* ------------------------------------------------------------------------------------------------------- schedule */

static void test_rate_by_epochs(void **state)
{
    (void)state;
    const egg_schedule schedule = {.initial24 = 1000, .epochs = 10, .record = -1};
    for (uint64_t epoch = 0; epoch < 10; epoch++)
        assert_int_equal(egg_schedule_rate24(&schedule, epoch, 1e9), 100 * (10 - epoch));
    assert_false(egg_schedule_finished(&schedule, 9, 1e9));
    assert_true(egg_schedule_finished(&schedule, 10, 0));
    assert_true(egg_schedule_progress(&schedule, 5, 0) == 0.5);
    assert_true(egg_schedule_progress(&schedule, 50, 0) == 1);
}

static void test_rate_by_time(void **state)
{
    (void)state;
    char folder[RUN_FOLDER_BYTES], path[RUN_FOLDER_BYTES];
    egg_error error = {0};
    folder_make(folder);
    folder_path(path, folder, "rates.bin");
    egg_schedule schedule = {.initial24 = 1000, .seconds = 10, .record = -1};
    assert_int_equal(egg_schedule_open_record(&schedule, path, true, &error), EGG_OK);
    assert_int_equal(egg_schedule_rate24(&schedule, 0, 0), 1000);
    assert_int_equal(egg_schedule_rate24(&schedule, 1, 2.5), 750);
    assert_int_equal(egg_schedule_rate24(&schedule, 2, 20), 1);
    egg_schedule_close_record(&schedule);
    assert_int_equal(egg_schedule_open_record(&schedule, path, false, &error), EGG_OK);
    assert_int_equal(egg_schedule_rate24(&schedule, 1, 9), 750);    /* as recorded, whatever the clock says now */
    assert_int_equal(egg_schedule_rate24(&schedule, 3, 7.5), 250);
    egg_schedule_close_record(&schedule);

    FILE *file = fopen(path, "wb");
    fputs("something else", file);
    fclose(file);
    assert_int_equal(egg_schedule_open_record(&schedule, path, false, &error), EGG_ERR_FORMAT);
    folder_remove(folder);
}

static void test_alpha(void **state)
{
    (void)state;
    const egg_schedule paper = {.rule = EGG_RULE_VOTE, .record = -1},
                       constant = {.rule = EGG_RULE_VOTE, .alpha = 0.25, .record = -1};
    assert_true(egg_schedule_alpha(&paper, 0) == 1);
    assert_true(egg_schedule_alpha(&paper, 200) == 0.25);   /* 1 / (0.015 * 200 + 1) */
    assert_true(egg_schedule_alpha(&constant, 12345) == 0.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),      cmocka_unit_test(test_too_little_text),
        cmocka_unit_test(test_rate_by_epochs),
        cmocka_unit_test(test_rate_by_time), cmocka_unit_test(test_alpha),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
