/* SPDX-License-Identifier: MIT */
/*
 * RWKV-7 against the float64 oracle; batches against single sequences and sequences against steps, bit for bit; members
 * of a population against a model whose weights are perturbed for real; and files that are wrong.
 */
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
#include "base/file.h"
#include "base/memory.h"
#include "kernels/weights.h"
#include "models/rwkv7.h"
#include "oracle_rwkv7.h"
#include "random_rwkv7.h"
#include "scratch.h"
#include "train/rwkv7_file.h"

#define TINY EGG_TEST_DATA_DIR "/rwkv7-tiny-834k.safetensors"

static const egg_rwkv7_shape small = {.vocabulary = 48, .width = 96, .layers = 3, .head_size = 32, .hidden = 160,
                                      .w_rank = 16, .a_rank = 32, .v_rank = 16, .g_rank = 48};

/* Widths, heads and ranks of the published model of 0.1B parameters; fewer layers and tokens, for the time it takes. */
static const egg_rwkv7_shape published = {.vocabulary = 512, .width = 768, .layers = 3, .head_size = 64, .hidden = 3072,
                                          .w_rank = 64, .a_rank = 64, .v_rank = 32, .g_rank = 128};

static const char text[] = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.";
enum { TEXT_STEPS = sizeof text - 1 };

typedef struct fixture {
    egg_kernels kernels;
    egg_shards *shards;
    egg_rwkv7 *model;
    oracle_rwkv7 *oracle;
} fixture;

static void open_fixture(fixture *f, const char *path)
{
    const char *unknown;
    egg_error error = {0};
    egg_kernels_init(&f->kernels, egg_cpu_levels(&unknown));
    if (egg_shards_open(&f->shards, path, &error) != EGG_OK) fail_msg("%s", error.text);
    if (egg_rwkv7_file_read(&f->model, f->shards, &f->kernels, EGG_RWKV7_TRAINING, &error) != EGG_OK)
        fail_msg("%s", error.text);
    f->oracle = oracle_rwkv7_open(f->shards);
}

static void close_fixture(fixture *f)
{
    oracle_rwkv7_close(f->oracle);
    egg_rwkv7_close(f->model);
    egg_shards_close(f->shards);
}

static void open_random(fixture *f, egg_rwkv7_shape shape, egg_tensor_type type)
{
    random_rwkv7_write(&(random_rwkv7){.path = scratch_path("random.safetensors"), .shape = shape, .type = type});
    open_fixture(f, scratch_path("random.safetensors"));
}

static bool have_tiny(void)
{
    if (egg_path_exists(TINY)) return true;
    print_message("skipped: %s is not there\n", TINY);
    return false;
}

enum { MOST_SEQUENCES = 32 };

/* The logits of all rows, (rows, vocabulary); the states are changed. free() them. */
static float *forward(const fixture *f, const egg_bank *bank, const uint32_t *row_member, uint32_t sequences,
                      const uint32_t *first, const uint32_t *tokens, float *const *states)
{
    uint32_t rows = first[sequences], *wanted = malloc(rows * sizeof *wanted), slot[MOST_SEQUENCES];
    const size_t floats = egg_rwkv7_state_floats(f->model);
    float *all = egg_alloc_array(sequences, floats * sizeof *all);
    assert_true(sequences <= MOST_SEQUENCES);
    for (uint32_t s = 0; s < sequences; s++) slot[s] = sequences - 1 - s;
    for (uint32_t s = 0; s < sequences; s++) memcpy(all + slot[s] * floats, states[s], floats * sizeof *all);
    float *logits = aligned_alloc(64, (size_t)rows * f->model->shape.vocabulary * sizeof *logits);
    egg_arena arena;
    for (uint32_t i = 0; i < rows; i++) wanted[i] = i;
    size_t bytes = egg_rwkv7_scratch_bytes(&f->model->shape, rows, rows, bank ? bank->law.rank : 0);
    assert_int_equal(egg_arena_open(&arena, bytes, NULL), EGG_OK);
    egg_pass pass = egg_pass_begin_rows(&f->kernels, &arena, bank, row_member, rows);
    egg_rwkv7_forward(&pass, f->model,
                      &(egg_rwkv7_batch){.tokens = tokens, .first = first, .state = {all, floats, slot},
                                         .sequences = sequences, .wanted = wanted, .wanted_count = rows},
                      logits);
    assert_false(pass.failed);
    assert_int_equal(arena.used, 0);
    for (uint32_t s = 0; s < sequences; s++) memcpy(states[s], all + slot[s] * floats, floats * sizeof *all);
    egg_free(all);
    egg_arena_close(&arena);
    free(wanted);
    return logits;
}

static float *new_state(const fixture *f)
{
    return egg_alloc_array(egg_rwkv7_state_floats(f->model), sizeof(float));
}

static float *forward_one(const fixture *f, uint32_t steps, const uint32_t *tokens, float *state)
{
    return forward(f, NULL, NULL, 1, (uint32_t[]){0, steps}, tokens, &state);
}

/* Largest difference from the oracle's logits, over the largest logit. */
static double distance_from_oracle(const fixture *f, uint32_t steps, const uint32_t *tokens, const float *logits)
{
    uint32_t vocabulary = f->model->shape.vocabulary;
    double *expected = malloc(vocabulary * sizeof *expected), worst = 0, largest = 0;
    oracle_rwkv7_reset(f->oracle);
    for (uint32_t t = 0; t < steps; t++) {
        oracle_rwkv7_step(f->oracle, tokens[t], expected);
        for (uint32_t v = 0; v < vocabulary; v++) {
            worst = fmax(worst, fabs(logits[(size_t)t * vocabulary + v] - expected[v]));
            largest = fmax(largest, fabs(expected[v]));
        }
    }
    free(expected);
    assert_true(largest > 0.5);
    return worst / largest;
}

static void some_tokens(uint32_t *tokens, uint32_t n, uint32_t vocabulary)
{
    for (uint32_t i = 0; i < n; i++) tokens[i] = (i * 7919 + i * i * 31 + 5) % vocabulary;
}

/* ---------------------------------------------------------------------------------------------------------- parity */

/* The oracle itself against the logits that others compute from the same weights. */
static void test_the_oracle(void **state)
{
    (void)state;
    if (!have_tiny()) skip();
    egg_shards *shards;
    double logits[256];
    char line[256];
    assert_int_equal(egg_shards_open(&shards, TINY, NULL), EGG_OK);
    oracle_rwkv7 *oracle = oracle_rwkv7_open(shards);
    for (const char *c = "\"in"; *c; c++) oracle_rwkv7_step(oracle, (uint8_t)*c, logits);
    FILE *file = fopen(EGG_TEST_SOURCE_DIR "/kat/rwkv7_tiny_logits.txt", "r");
    assert_non_null(file);
    uint32_t i = 0;
    while (fgets(line, sizeof line, file))
        if (*line != '#')
            assert_true(i < 256 && fabs(strtod(line, NULL) - logits[i++]) < 2e-6); /* theirs are float32 */
    assert_int_equal(i, 256);
    fclose(file);
    oracle_rwkv7_close(oracle);
    egg_shards_close(shards);
}

static void test_parity_on_a_trained_model(void **state)
{
    (void)state;
    if (!have_tiny()) skip();
    uint32_t tokens[TEXT_STEPS];
    fixture f;
    open_fixture(&f, TINY);
    for (uint32_t i = 0; i < TEXT_STEPS; i++) tokens[i] = (uint8_t)text[i];
    float *one = new_state(&f), *logits = forward_one(&f, TEXT_STEPS, tokens, one);
    double distance = distance_from_oracle(&f, TEXT_STEPS, tokens, logits);
    print_message("relative distance %.1e\n", distance);
    assert_true(distance < 1e-4);
    free(logits);
    egg_free(one);
    close_fixture(&f);
}

static void check_random(egg_rwkv7_shape shape, egg_tensor_type type, uint32_t steps)
{
    fixture f;
    uint32_t *tokens = malloc(steps * sizeof *tokens);
    open_random(&f, shape, type);
    some_tokens(tokens, steps, shape.vocabulary);
    float *one = new_state(&f), *logits = forward_one(&f, steps, tokens, one);
    double distance = distance_from_oracle(&f, steps, tokens, logits);
    print_message("relative distance %.1e\n", distance);
    assert_true(distance < 1e-4);
    free(logits);
    free(tokens);
    egg_free(one);
    close_fixture(&f);
}

static void test_parity_on_random_models(void **state)
{
    (void)state;
    egg_rwkv7_shape single = small;
    single.layers = 1;
    check_random(small, EGG_TENSOR_F32, 20);
    check_random(single, EGG_TENSOR_BF16, 20);
    check_random(published, EGG_TENSOR_BF16, 4);
}

/* --------------------------------------------------------------------------------------------------------- batches */

static void test_steps_are_the_sequence(void **state)
{
    (void)state;
    enum { STEPS = 13 };
    uint32_t tokens[STEPS];
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    some_tokens(tokens, STEPS, small.vocabulary);
    float *whole_state = new_state(&f), *step_state = new_state(&f);
    float *whole = forward_one(&f, STEPS, tokens, whole_state);
    for (uint32_t t = 0, n; t < STEPS; t += n) {   /* 1, 2, 3, 4, 3 at a time */
        n = t == 10 ? 3 : t == 6 ? 4 : t == 3 ? 3 : t == 1 ? 2 : 1;
        float *part = forward_one(&f, n, tokens + t, step_state);
        assert_memory_equal(part, whole + (size_t)t * small.vocabulary, n * small.vocabulary * sizeof *part);
        free(part);
    }
    assert_memory_equal(step_state, whole_state, egg_rwkv7_state_floats(f.model) * sizeof(float));
    free(whole);
    egg_free(whole_state);
    egg_free(step_state);
    close_fixture(&f);
}

static void test_batches_are_their_sequences(void **state)
{
    (void)state;
    enum { SEQUENCES = 5, ROWS = 21 };
    static const uint32_t first[SEQUENCES + 1] = {0, 1, 8, 9, 11, ROWS};
    uint32_t tokens[ROWS];
    float *states[SEQUENCES];
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    some_tokens(tokens, ROWS, small.vocabulary);
    for (uint32_t s = 0; s < SEQUENCES; s++) states[s] = new_state(&f);
    float *batch = forward(&f, NULL, NULL, SEQUENCES, first, tokens, states);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        float *alone = new_state(&f);
        float *logits = forward_one(&f, first[s + 1] - first[s], tokens + first[s], alone);
        assert_memory_equal(logits, batch + (size_t)first[s] * small.vocabulary,
                            (first[s + 1] - first[s]) * small.vocabulary * sizeof *logits);
        assert_memory_equal(alone, states[s], egg_rwkv7_state_floats(f.model) * sizeof(float));
        free(logits);
        egg_free(alone);
        egg_free(states[s]);
    }
    free(batch);
    close_fixture(&f);
}

static void test_wanted_rows(void **state)
{
    (void)state;
    enum { ROWS = 6 };
    uint32_t tokens[ROWS];
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    some_tokens(tokens, ROWS, small.vocabulary);
    float *one = new_state(&f), *again = new_state(&f), *all = forward_one(&f, ROWS, tokens, one);
    float *some = aligned_alloc(64, 2 * small.vocabulary * sizeof *some);
    egg_arena arena;
    assert_int_equal(egg_arena_open(&arena, egg_rwkv7_scratch_bytes(&small, ROWS, 2, 0), NULL), EGG_OK);
    egg_pass pass = egg_pass_begin_rows(&f.kernels, &arena, NULL, NULL, ROWS);
    egg_rwkv7_forward(&pass, f.model,
                      &(egg_rwkv7_batch){.tokens = tokens,
                                         .first = (uint32_t[]){0, ROWS},
                                         .state = {again, 0, (uint32_t[]){0}},
                                         .sequences = 1,
                                         .wanted = (uint32_t[]){5, 2},
                                         .wanted_count = 2},
                      some);
    assert_false(pass.failed);
    assert_memory_equal(some, all + 5 * small.vocabulary, small.vocabulary * sizeof *some);
    assert_memory_equal(some + small.vocabulary, all + 2 * small.vocabulary, small.vocabulary * sizeof *some);
    egg_arena_close(&arena);
    free(all);
    free(some);
    egg_free(one);
    egg_free(again);
    close_fixture(&f);
}

/* ------------------------------------------------------------------------------------------------------ population */

static void check_members(egg_rwkv7_thaw thaw, uint32_t rank)
{
    enum { STEPS = 5, MEMBERS = 4, FIRST_PAIR = 3 };
    fixture f;
    uint32_t tokens[MEMBERS * STEPS], member[MEMBERS * STEPS], first[MEMBERS + 1];
    float *states[MEMBERS];
    egg_bank bank;
    open_random(&f, small, EGG_TENSOR_F32);
    egg_rwkv7_set_thaw(f.model, thaw);
    egg_perturb law = egg_perturb_f32(21, 4, rank, 0.02f);
    assert_int_equal(egg_bank_open(&bank, f.model->params, f.model->param_count, MEMBERS / 2, rank, false, NULL),
                     EGG_OK);
    for (uint32_t p = 0; p < MEMBERS / 2; p++) egg_bank_draw(&bank, &f.kernels, &law, p, FIRST_PAIR + p, false);
    egg_bank_flush(&bank, &f.kernels);
    for (uint32_t m = 0; m < MEMBERS; m++) {
        first[m] = m * STEPS;
        some_tokens(tokens + first[m], STEPS, small.vocabulary);
        for (uint32_t t = 0; t < STEPS; t++) member[first[m] + t] = MEMBERS - 1 - m;   /* in no order */
        states[m] = new_state(&f);
    }
    first[MEMBERS] = MEMBERS * STEPS;
    float *logits = forward(&f, &bank, member, MEMBERS, first, tokens, states);
    for (uint32_t m = 0; m < MEMBERS; m++) {
        uint32_t q = MEMBERS - 1 - m;
        oracle_rwkv7_perturb(f.oracle, f.model, &law, FIRST_PAIR + q / 2, q % 2);
        double distance = distance_from_oracle(&f, STEPS, tokens, logits + (size_t)first[m] * small.vocabulary);
        assert_true(distance < 1e-4);
        oracle_rwkv7_close(f.oracle);
        f.oracle = oracle_rwkv7_open(f.shards);
        assert_true(distance_from_oracle(&f, STEPS, tokens, logits + (size_t)first[m] * small.vocabulary) > 1e-3);
        egg_free(states[m]);
    }
    free(logits);
    egg_bank_close(&bank);
    close_fixture(&f);
}

static void test_members_are_perturbed_models(void **state)
{
    (void)state;
    check_members((egg_rwkv7_thaw){0}, 1);
    check_members((egg_rwkv7_thaw){.vectors = true, .embedding = true, .head = true}, 2);
}

static void test_what_is_frozen(void **state)
{
    (void)state;
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    uint32_t matrices = 0, vectors = 0, others = 0;
    for (uint32_t i = 0; i < f.model->param_count; i++) {
        assert_int_equal(f.model->params[i].id, i);
        matrices += !f.model->params[i].frozen;
    }
    assert_int_equal(matrices, 3 * 14 - 2);   /* w1 w2 a1 a2 v1 v2 g1 g2 and six more; no v1 v2 in the first layer */
    egg_rwkv7_set_thaw(f.model, (egg_rwkv7_thaw){.vectors = true, .embedding = true, .head = true});
    for (uint32_t i = 0; i < f.model->param_count; i++) {
        vectors += f.model->params[i].kind == EGG_PARAM_VECTOR;
        others += f.model->params[i].kind == EGG_PARAM_EMBEDDING;
        assert_true(!f.model->params[i].frozen);
    }
    assert_int_equal(vectors, 4 + 3 * 19 - 1);
    assert_int_equal(others, 1);
    close_fixture(&f);
}

/* --------------------------------------------------------------------------------------------------------- storage */

static float *forward_text(const fixture *f)
{
    uint32_t tokens[TEXT_STEPS];
    for (uint32_t i = 0; i < TEXT_STEPS; i++) tokens[i] = (uint8_t)text[i] % f->model->shape.vocabulary;
    float *one = new_state(f), *logits = forward_one(f, TEXT_STEPS, tokens, one);
    egg_free(one);
    return logits;
}

/* The fixture's model read again. */
static void read_as(fixture *f, egg_rwkv7_use use, egg_weights weights)
{
    egg_error error = {0};
    egg_rwkv7_close(f->model);
    if (egg_rwkv7_file_read_as(&f->model, f->shards, &f->kernels, use, weights, &error) != EGG_OK)
        fail_msg("%s", error.text);
}

static double largest_distance(const float *a, const float *b, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs((double)a[i]));
    }
    return worst / largest;
}

/* Rounds the matrices, and the embedding too if asked to, of a model that has data. */
static void round_to_bf16(const fixture *f, bool embedding)
{
    for (uint32_t id = 0; id < f->model->param_count; id++) {
        const egg_param *param = &f->model->params[id];
        if (param->kind == EGG_PARAM_VECTOR || (param->kind == EGG_PARAM_EMBEDDING && !embedding)) continue;
        float *w = param->data;
        for (size_t i = 0; i < egg_param_elements(param); i++) w[i] = egg_bf16_value(egg_bf16_of(w[i]));
    }
    egg_rwkv7_pack(f->model, &f->kernels);
}

/* Returns how far rounding moved the logits. */
static double check_bf16(fixture *f)
{
    const size_t n = (size_t)TEXT_STEPS * f->model->shape.vocabulary;
    float *plain = forward_text(f);
    round_to_bf16(f, true);
    float *rounded = forward_text(f);
    read_as(f, EGG_RWKV7_INFERENCE, EGG_WEIGHTS_BF16);
    float *found = forward_text(f);
    assert_memory_equal(found, rounded, n * sizeof *found);
    const double distance = largest_distance(plain, found, n);
    free(plain);
    free(rounded);
    free(found);
    return distance;
}

static void test_bf16_is_float32_of_rounded_weights(void **state)
{
    (void)state;
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    const double distance = check_bf16(&f);
    print_message("bf16 from float32: %.1e of the largest logit\n", distance);
    assert_true(distance > 1e-6 && distance < 0.02);
    close_fixture(&f);
    if (!have_tiny()) return;
    open_fixture(&f, TINY);
    assert_true(check_bf16(&f) == 0);   /* it was trained in bfloat16 */
    close_fixture(&f);
}

/* Rounds the oracle's matrices and embedding to int8, a float32 scale for each output, by the definition. */
static void quantize_oracle(const fixture *f)
{
    for (uint32_t id = 0; id < f->model->param_count; id++) {
        const egg_param *param = &f->model->params[id];
        if (param->kind == EGG_PARAM_VECTOR) continue;
        const bool transposed = egg_rwkv7_tensor_of(f->model, id).transposed;
        const size_t row = transposed ? 1 : param->in, step = transposed ? param->out : 1;
        double *w = oracle_rwkv7_tensor(f->oracle, param->name)->values;
        for (uint32_t o = 0; o < param->out; o++) {
            double most = 0;
            for (uint32_t i = 0; i < param->in; i++) most = fmax(most, fabs(w[o * row + i * step]));
            const float scale = (float)most / 127;
            for (uint32_t i = 0; i < param->in; i++) {
                double *value = &w[o * row + i * step];
                if (scale > 0) *value = (double)nearbyintf((float)*value / scale) * scale;
            }
        }
    }
}

/* int8 computes what it says, closely; and what it says is not far from the model. */
static void check_int8(fixture *f, double bound)
{
    uint32_t tokens[TEXT_STEPS];
    const size_t n = (size_t)TEXT_STEPS * f->model->shape.vocabulary;
    for (uint32_t i = 0; i < TEXT_STEPS; i++) tokens[i] = (uint8_t)text[i] % f->model->shape.vocabulary;
    float *plain = forward_text(f);
    quantize_oracle(f);
    read_as(f, EGG_RWKV7_INFERENCE, EGG_WEIGHTS_INT8);
    float *found = forward_text(f);
    const double from_oracle = distance_from_oracle(f, TEXT_STEPS, tokens, found);
    const double from_plain = largest_distance(plain, found, n);
    print_message("int8 from its oracle: %.1e, from float32: %.1e of the largest logit\n", from_oracle, from_plain);
    assert_true(from_oracle < 1e-4);
    assert_true(from_plain > 1e-4 && from_plain < bound);
    free(plain);
    free(found);
}

static void test_int8(void **state)
{
    (void)state;
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    check_int8(&f, 0.05);
    close_fixture(&f);
    if (!have_tiny()) return;
    open_fixture(&f, TINY);
    check_int8(&f, 0.005);
    close_fixture(&f);
}

/* Rows that share a batch share nothing else, however weights are held. */
static void test_storages_are_batched(void **state)
{
    (void)state;
    enum { SEQUENCES = 20, STEPS = 2 };
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    for (egg_weights weights = EGG_WEIGHTS_BF16; weights <= EGG_WEIGHTS_INT8; weights++) {
        uint32_t tokens[SEQUENCES * STEPS], first[SEQUENCES + 1];
        float *states[SEQUENCES];
        read_as(&f, EGG_RWKV7_INFERENCE, weights);
        some_tokens(tokens, SEQUENCES * STEPS, small.vocabulary);
        for (uint32_t s = 0; s < SEQUENCES; s++) states[s] = new_state(&f);
        for (uint32_t s = 0; s <= SEQUENCES; s++) first[s] = s * STEPS;
        float *batch = forward(&f, NULL, NULL, SEQUENCES, first, tokens, states);
        for (uint32_t s = 0; s < SEQUENCES; s++) {
            float *one = new_state(&f);
            for (uint32_t t = first[s]; t < first[s + 1]; t++) {
                float *step = forward_one(&f, 1, tokens + t, one);
                assert_memory_equal(step, batch + (size_t)t * small.vocabulary, small.vocabulary * sizeof *step);
                free(step);
            }
            egg_free(one);
            egg_free(states[s]);
        }
        free(batch);
    }
    close_fixture(&f);
}

/* Training keeps float32 weights; what its matrices multiply with is packed from them in any storage. */
static void test_storages_of_training(void **state)
{
    (void)state;
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    const size_t bytes = TEXT_STEPS * small.vocabulary * sizeof(float);
    round_to_bf16(&f, false);
    float *rounded = forward_text(&f);
    read_as(&f, EGG_RWKV7_TRAINING, EGG_WEIGHTS_BF16);
    float *found = forward_text(&f);
    assert_memory_equal(found, rounded, bytes);
    free(found);
    for (uint32_t id = 0; id < f.model->param_count; id++) {   /* as an update would */
        const egg_param *param = &f.model->params[id];
        if (!param->frozen) ((float *)param->data)[0] += 0.25f;
    }
    egg_rwkv7_pack(f.model, &f.kernels);
    found = forward_text(&f);
    assert_memory_not_equal(found, rounded, bytes);
    assert_int_equal(egg_rwkv7_file_write(f.model, scratch_path("stepped"), EGG_TENSOR_F32, NULL, 0, NULL), EGG_OK);
    close_fixture(&f);
    open_fixture(&f, scratch_path("stepped"));
    round_to_bf16(&f, false);
    free(rounded);
    rounded = forward_text(&f);
    assert_memory_equal(found, rounded, bytes);
    free(found);
    free(rounded);
    close_fixture(&f);
}

static void test_bytes_of_storages(void **state)
{
    (void)state;
    fixture f;
    open_random(&f, small, EGG_TENSOR_BF16);
    uint64_t vectors = 0, matrices = 0, channels = 0;
    for (uint32_t id = 0; id < f.model->param_count; id++) {
        const egg_param *param = &f.model->params[id];
        if (param->kind == EGG_PARAM_VECTOR) vectors += param->in;
        else matrices += egg_param_elements(param), channels += param->out;
    }
    const struct {
        egg_weights weights;
        uint64_t bytes;
    } expected[] = {
        {EGG_WEIGHTS_F32, 4 * vectors + 4 * matrices},
        {EGG_WEIGHTS_BF16, 4 * vectors + 2 * matrices},
        {EGG_WEIGHTS_AUTO, 4 * vectors + 2 * matrices},   /* as the file is */
        {EGG_WEIGHTS_INT8, 4 * vectors + matrices + 4 * channels},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        read_as(&f, EGG_RWKV7_INFERENCE, expected[i].weights);
        assert_int_equal(egg_rwkv7_bytes(f.model, &f.kernels), expected[i].bytes);
    }
    close_fixture(&f);
    open_random(&f, small, EGG_TENSOR_F32);
    read_as(&f, EGG_RWKV7_INFERENCE, EGG_WEIGHTS_AUTO);
    assert_int_equal(egg_rwkv7_bytes(f.model, &f.kernels), expected[0].bytes);
    close_fixture(&f);
}

/* ----------------------------------------------------------------------------------------------------------- files */

static void assert_refused(random_rwkv7 model, const char *reason)
{
    egg_shards *shards;
    egg_rwkv7 *read;
    egg_error error = {0};
    egg_kernels kernels;
    egg_kernels_init(&kernels, 0);
    model.path = scratch_path("wrong.safetensors");
    if (!model.shape.width) model.shape = small;
    model.type = EGG_TENSOR_F32;
    random_rwkv7_write(&model);
    assert_int_equal(egg_shards_open(&shards, model.path, NULL), EGG_OK);
    assert_int_equal(egg_rwkv7_file_read(&read, shards, &kernels, EGG_RWKV7_INFERENCE, &error), EGG_ERR_FORMAT);
    assert_null(read);
    if (!strstr(error.text, reason)) fail_msg("'%s' lacks '%s'", error.text, reason);
    egg_shards_close(shards);
}

static void test_wrong_files(void **state)
{
    (void)state;
    assert_refused((random_rwkv7){.without = "emb.weight"},
                   "wrong.safetensors: tensor 'emb.weight' of an RWKV-7 is missing");
    assert_refused((random_rwkv7){.without = "blocks.1.att.w2"},
                   "tensor 'blocks.1.att.w2' is missing, expected one of shape [16, 96]");
    assert_refused((random_rwkv7){.without = "blocks.0.att.x_g"},
                   "tensor 'blocks.0.att.x_g' is missing, expected one of "
                   "shape [1, 1, 96]");
    assert_refused((random_rwkv7){.wrong = "blocks.2.ffn.value.weight"},
                   "tensor 'blocks.2.ffn.value.weight' has shape [97, 160], expected [96, 160]");
    assert_refused((random_rwkv7){.wrong = "blocks.1.att.v1"},
                   "tensor 'blocks.1.att.v1' has shape [97, 16], expected [96, 16]");
    assert_refused((random_rwkv7){.integer = "ln_out.bias"},
                   "tensor 'ln_out.bias' is of type I8, expected F32, BF16 or F16");
}

static void test_impossible_shapes(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_rwkv7_shape shape = small;
    shape.w_rank = 24;
    assert_int_equal(egg_rwkv7_check_shape(&shape, &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "the rank of w of an RWKV-7 is 24, expected a multiple of 16");
    shape = small;
    shape.head_size = 64;
    assert_int_equal(egg_rwkv7_check_shape(&shape, &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "the width of an RWKV-7 is 96, expected a multiple of its head size 64");
    shape.width = shape.head_size = 2048;
    assert_int_equal(egg_rwkv7_check_shape(&shape, &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "the head size of an RWKV-7 is 2048, expected at most 1024");
    shape = small;
    shape.layers = 0;
    assert_int_equal(egg_rwkv7_check_shape(&shape, &error), EGG_ERR_ARGUMENT);
}

static void test_inference_keeps_less(void **state)
{
    (void)state;
    enum { STEPS = 4 };
    uint32_t tokens[STEPS];
    fixture f;
    open_random(&f, small, EGG_TENSOR_BF16);
    some_tokens(tokens, STEPS, small.vocabulary);
    float *one = new_state(&f), *two = new_state(&f), *expected = forward_one(&f, STEPS, tokens, one);
    egg_rwkv7_close(f.model);
    assert_int_equal(egg_rwkv7_file_read(&f.model, f.shards, &f.kernels, EGG_RWKV7_INFERENCE, NULL), EGG_OK);
    float *found = forward_one(&f, STEPS, tokens, two);
    assert_memory_equal(found, expected, STEPS * small.vocabulary * sizeof *found);
    free(expected);
    free(found);
    egg_free(one);
    egg_free(two);
    close_fixture(&f);
}

static void test_missing_memory(void **state)
{
    (void)state;
    egg_shards *shards;
    egg_kernels kernels;
    egg_rwkv7_shape shape = small;
    shape.layers = 1;
    egg_kernels_init(&kernels, 0);
    random_rwkv7_write(
        &(random_rwkv7){.path = scratch_path("memory.safetensors"), .shape = shape, .type = EGG_TENSOR_F32});
    assert_int_equal(egg_shards_open(&shards, scratch_path("memory.safetensors"), NULL), EGG_OK);
    egg_status status = EGG_ERR_NOMEM;
    for (uint64_t nth = 1; status != EGG_OK; nth++) {
        egg_rwkv7 *model;
        egg_error error = {0};
        egg_alloc_fail_at(nth);
        status = egg_rwkv7_file_read(&model, shards, &kernels, EGG_RWKV7_INFERENCE, &error);
        egg_alloc_fail_at(0);
        assert_true(status == EGG_OK || (status == EGG_ERR_NOMEM && !model && strstr(error.text, "no memory")));
        assert_true(status != EGG_OK || nth > 20);
        egg_rwkv7_close(model);
    }
    egg_shards_close(shards);
}

static void test_written_models(void **state)
{
    (void)state;
    fixture f, g;
    open_random(&f, small, EGG_TENSOR_BF16);   /* so that nothing is lost in either type */
    for (int type = 0; type < 2; type++) {
        const char *path = scratch_path("written.safetensors");
        assert_int_equal(egg_rwkv7_file_write(f.model, path, type ? EGG_TENSOR_BF16 : EGG_TENSOR_F32, NULL, 0, NULL),
                         EGG_OK);
        open_fixture(&g, path);
        assert_int_equal(egg_shards_count(g.shards), egg_shards_count(f.shards));
        for (size_t i = 0; i < egg_shards_count(f.shards); i++) {
            const egg_tensor *a = egg_shards_at(f.shards, i), *b = egg_shards_at(g.shards, i);
            assert_string_equal(a->name, b->name);
            assert_int_equal(a->dims, b->dims);
            assert_memory_equal(a->shape, b->shape, a->dims * sizeof *a->shape);
            if (type) assert_memory_equal(a->data, b->data, a->bytes);
        }
        for (uint32_t id = 0; id < f.model->param_count; id++)
            assert_memory_equal(f.model->params[id].data, g.model->params[id].data,
                                egg_param_elements(&f.model->params[id]) * sizeof(float));
        close_fixture(&g);
    }
    float *first = f.model->params[0].data;   /* rounding: 1 + 2^-8 is a tie and goes to 1, the next number does not */
    first[0] = 1 + 0x1p-8f;
    first[1] = 1 + 0x1p-8f + 0x1p-20f;
    first[2] = 1 + 3 * 0x1p-8f;
    first[3] = NAN;
    assert_int_equal(egg_rwkv7_file_write(f.model, scratch_path("rounded"), EGG_TENSOR_BF16, NULL, 0, NULL), EGG_OK);
    open_fixture(&g, scratch_path("rounded"));
    const float *found = g.model->params[0].data;
    assert_true(found[0] == 1 && found[1] == 1 + 0x1p-7f && found[2] == 1 + 0x1p-6f && isnan(found[3]));
    close_fixture(&g);
    close_fixture(&f);
}

/* Scratch that runs out is remembered, not walked past. */
static void test_exhausted_scratch(void **state)
{
    (void)state;
    uint32_t tokens[2] = {1, 2}, wanted = 1;
    float logits[48];
    fixture f;
    open_random(&f, small, EGG_TENSOR_F32);
    float *one = new_state(&f);
    size_t enough = egg_rwkv7_scratch_bytes(&small, 2, 1, 0);
    for (size_t bytes = 0; bytes < enough - 24 * 64 - 2 * 96 * 4; bytes += 448) {
        egg_arena arena;
        assert_int_equal(egg_arena_open(&arena, bytes, NULL), EGG_OK);
        egg_pass pass = egg_pass_begin_rows(&f.kernels, &arena, NULL, NULL, 2);
        egg_rwkv7_forward(&pass, f.model,
                          &(egg_rwkv7_batch){.tokens = tokens,
                                             .first = (uint32_t[]){0, 2},
                                             .state = {one, 0, (uint32_t[]){0}},
                                             .sequences = 1,
                                             .wanted = &wanted,
                                             .wanted_count = 1},
                          logits);
        assert_true(pass.failed);
        egg_arena_close(&arena);
    }
    egg_free(one);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oracle),
        cmocka_unit_test(test_parity_on_a_trained_model),
        cmocka_unit_test(test_parity_on_random_models),
        cmocka_unit_test(test_steps_are_the_sequence),
        cmocka_unit_test(test_batches_are_their_sequences),
        cmocka_unit_test(test_wanted_rows),
        cmocka_unit_test(test_members_are_perturbed_models),
        cmocka_unit_test(test_what_is_frozen),
        cmocka_unit_test(test_bf16_is_float32_of_rounded_weights),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_storages_are_batched),
        cmocka_unit_test(test_storages_of_training),
        cmocka_unit_test(test_bytes_of_storages),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_impossible_shapes),
        cmocka_unit_test(test_inference_keeps_less),
        cmocka_unit_test(test_missing_memory),
        cmocka_unit_test(test_written_models),
        cmocka_unit_test(test_exhausted_scratch),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
