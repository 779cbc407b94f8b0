/* SPDX-License-Identifier: MIT */
/*
 * Batches of an RWKV-7: how texts are cut and who shares a run changes no bit, on the processor and, if there is one, on
 * a device, whose results are near the processor's.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "kernels/cuda/cuda_level.h"
#include "tasks/batch.h"

enum { TEXTS = 4, LONGEST = 9, VOCABULARY = 48, PAIRS = 3, UNPERTURBED = 1, WAYS_OF_NOISE = 2 };

static const uint32_t lengths[TEXTS] = {9, 1, 6, 4};
static const uint32_t members[TEXTS] = {3, 0, 5, 3};
static const egg_rwkv7_shape shape = {.vocabulary = VOCABULARY, .width = 64, .layers = 2, .head_size = 32,
                                      .hidden = 128, .w_rank = 16, .a_rank = 16, .v_rank = 16, .g_rank = 32};

static egg_kernels host, device;

static uint32_t token_of(uint32_t text, uint32_t at)
{
    return (text * 17 + at * 5 + at * at) % VOCABULARY;
}

/* What the model says behind every token of every text, and the loss of the next. */
typedef struct said {
    float logits[TEXTS][LONGEST][VOCABULARY], loss[TEXTS][LONGEST];
} said;

typedef struct fixture {
    const egg_kernels *kernels;
    egg_rwkv7 *model;
    egg_bank bank;
} fixture;

static void open_fixture(fixture *f, const egg_kernels *kernels, egg_storage storage)
{
    static float W[256 * 64];
    f->kernels = kernels;
    assert_int_equal(egg_rwkv7_open(&f->model, &shape, NULL, NULL), EGG_OK);
    for (uint32_t id = 0; id < f->model->param_count; id++) {
        egg_param *param = &f->model->params[id];
        assert_int_equal(egg_rwkv7_open_param(f->model, id, kernels, storage, false, NULL), EGG_OK);
        const float deviation = param->kind == EGG_PARAM_MATRIX ? 1 / sqrtf((float)param->in) : 0.3f;
        assert_true(egg_param_elements(param) <= EGG_COUNT(W));
        egg_noise_f32(egg_key_make(5, EGG_DOMAIN_INITIAL_WEIGHTS), (egg_noise_at){.param = id}, 0,
                      egg_param_elements(param), W);
        for (size_t i = 0; i < egg_param_elements(param); i++) W[i] *= deviation;
        assert_int_equal(egg_param_store(param, kernels, 0, param->out, W, NULL), EGG_OK);
    }
    egg_rwkv7_set_thaw(f->model, (egg_rwkv7_thaw){.vectors = true, .embedding = true, .head = true});
    const egg_perturb law = egg_perturb_f32(3, 1, 2, 0.05f);
    assert_int_equal(egg_bank_open(&f->bank, f->model->params, f->model->param_count, PAIRS, 2, false, NULL), EGG_OK);
    for (uint32_t p = 0; p < PAIRS; p++) egg_bank_draw(&f->bank, kernels, &law, p, 4 + p, p == UNPERTURBED);
    egg_bank_flush(&f->bank, kernels);
}

static void close_fixture(fixture *f)
{
    egg_bank_close(&f->bank);
    egg_rwkv7_close(f->model);
}

/* Adds 'n' tokens of a text, from 'at' on, as the next sequence of a run. */
static void add_text(egg_batch *batch, uint32_t *sequences, uint32_t *rows, uint32_t text, uint32_t at, uint32_t n)
{
    batch->first[*sequences] = *rows;
    batch->slot[*sequences] = TEXTS - 1 - text;
    for (uint32_t i = at; i < at + n; i++, ++*rows) {
        batch->tokens[*rows] = token_of(text, i);
        batch->member[*rows] = members[text];
        batch->wanted[*rows] = *rows;
        batch->target[*rows] = token_of(text, i + 1);
    }
    batch->first[++*sequences] = *rows;
}

static void keep(const float *logits, const float *loss, uint32_t row, uint32_t text, uint32_t at,
                 said *out)
{
    memcpy(out->logits[text][at], logits + (size_t)row * VOCABULARY, sizeof out->logits[text][at]);
    out->loss[text][at] = loss[row];
}

/* All texts at the same time, 'step' tokens of each in a run; those that end leave the others alone. */
static void read_texts(const fixture *f, bool perturbed, uint32_t step, said *out)
{
    egg_batch batch;
    const egg_batch_shape most = {.rows = TEXTS * LONGEST, .sequences = TEXTS, .slots = TEXTS,
                                  .wanted = TEXTS * LONGEST, .rank = 2};
    assert_int_equal(egg_batch_open(&batch, f->model, f->kernels, &most, NULL), EGG_OK);
    for (uint32_t text = 0; text < TEXTS; text++) egg_batch_clear(&batch, text);
    for (uint32_t at = 0; at < LONGEST; at += step) {
        uint32_t sequences = 0, rows = 0;
        for (uint32_t text = 0; text < TEXTS; text++) {
            const uint32_t left = lengths[text] > at ? lengths[text] - at : 0;
            if (left) add_text(&batch, &sequences, &rows, text, at, left < step ? left : step);
        }
        assert_true(egg_batch_run(&batch, perturbed ? &f->bank : NULL, sequences, rows));
        const float *loss = egg_batch_losses(&batch), *logits = egg_batch_logits(&batch);
        for (uint32_t s = 0; s < sequences; s++)
            for (uint32_t row = batch.first[s]; row < batch.first[s + 1]; row++)
                keep(logits, loss, row, TEXTS - 1 - batch.slot[s], at + row - batch.first[s], out);
    }
    assert_int_equal(egg_device_wait(f->kernels->device, NULL), EGG_OK);
    egg_batch_close(&batch);
}

/*
 * Two layers, each a few products of sums of up to 128 terms of about 1 one behind the other, whose roundings of 2^-24
 * norms and recurrences multiply by some units: well below a thousandth of logits that are about 1.
 */
static const double tolerance = 1e-4;

static void expect_near(const said *a, const said *b)
{
    for (uint32_t text = 0; text < TEXTS; text++)
        for (uint32_t at = 0; at < lengths[text]; at++) {
            assert_true(fabs((double)a->loss[text][at] - b->loss[text][at]) <= tolerance);
            for (uint32_t v = 0; v < VOCABULARY; v++)
                assert_true(fabs((double)a->logits[text][at][v] - b->logits[text][at][v]) <= tolerance);
        }
}

static void expect_losses(const said *out)
{
    for (uint32_t text = 0; text < TEXTS; text++)
        for (uint32_t at = 0; at < lengths[text]; at++) {
            double sum = 0;
            for (uint32_t v = 0; v < VOCABULARY; v++) sum += exp((double)out->logits[text][at][v]);
            const double expected = log(sum) - out->logits[text][at][token_of(text, at + 1)];
            assert_true(fabs(out->loss[text][at] - expected) <= tolerance);
        }
}

static void check_cuts(const egg_kernels *kernels, egg_storage storage, bool perturbed, said *whole)
{
    fixture f;
    said *parts = calloc(1, sizeof *parts);
    open_fixture(&f, kernels, storage);
    memset(whole, 0, sizeof *whole);
    read_texts(&f, perturbed, LONGEST, whole);
    expect_losses(whole);
    for (uint32_t step = 1; step <= 4; step += 3) {
        read_texts(&f, perturbed, step, parts);
        assert_memory_equal(parts, whole, sizeof *parts);
    }
    close_fixture(&f);
    free(parts);
}

static void test_cuts(void **state)
{
    (void)state;
    said *plain = malloc(sizeof *plain), *noisy = malloc(sizeof *noisy);
    check_cuts(&host, EGG_STORAGE_F32, false, plain);
    check_cuts(&host, EGG_STORAGE_F32, true, noisy);
    assert_memory_equal(plain->logits[0], noisy->logits[0], sizeof plain->logits[0]);   /* of the unperturbed pair */
    assert_memory_not_equal(plain->logits[2], noisy->logits[2], sizeof plain->logits[2]);
    free(plain);
    free(noisy);
}

static void test_device(void **state)
{
    (void)state;
    const char *why;
    const egg_device *found = egg_cuda_open(0, &why);
    if (!found) {
        print_message("no device: %s\n", why);
        skip();
    }
    assert_ptr_equal(egg_cuda_open(0, &why), found);   /* of two who have it the first that closes it leaves it open */
    assert_null(egg_cuda_open(1, &why));
    egg_cuda_close();
    egg_kernels_cuda(&device, found);
    said *expected = malloc(sizeof *expected), *out = malloc(sizeof *out);
    for (int storage = EGG_STORAGE_F32; storage <= EGG_STORAGE_Q8; storage++)
        for (int perturbed = 0; perturbed < WAYS_OF_NOISE; perturbed++) {
            check_cuts(&host, (egg_storage)storage, perturbed, expected);
            check_cuts(&device, (egg_storage)storage, perturbed, out);
            expect_near(expected, out);
        }
    free(expected);
    free(out);
    egg_cuda_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_device),
    };
    egg_kernels_init(&host, egg_cpu_levels(&(const char *){NULL}));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
