/* SPDX-License-Identifier: MIT */
/* What the host does for a device in pretraining: a pretended one has to give the processor's bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "es/device_memory.h"
#include "es/update.h"
#include "models/egg.h"
#include "pretended_device.h"
#include "tasks/generate.h"
#include "tasks/pretrain.h"
#include "tasks/score.h"
#include "train/machine.h"

/* ------------------------------------------------------------------------------------------------------------ runs */

enum { POPULATION = 24, STEPS = 7, EPOCHS = 6, PAIRS = POPULATION / 2 };

typedef struct result {
    egg_hash states[EPOCHS];            /* of the parameters */
    int32_t loss[EPOCHS][POPULATION];
    uint64_t changed[EPOCHS];
    int8_t last[POPULATION * 64];       /* the members' states */
    egg_score_result score;
} result;

typedef struct run_kind {
    egg_rule rule;
    uint32_t rank, chunk;
    bool carry;
} run_kind;

static const char text[] =
    "one fish, two fish, red fish, blue fish; black fish, old fish, new fish. this one has a little car.";

static egg_corpus *open_text(void)
{
    egg_corpus *corpus;
    const void *documents[2] = {text, text + 40};
    const size_t lengths[2] = {sizeof text - 1, 50};
    assert_int_equal(egg_corpus_open_memory(&corpus, documents, lengths, 2, NULL), EGG_OK);
    return corpus;
}

static void run_epochs(const egg_kernels *kernels, const run_kind *kind, egg_model *model, egg_pretrain *task,
                       egg_update *update, result *out)
{
    int8_t F[PAIRS];
    int32_t difference[PAIRS];
    egg_fitness fitness = {.F = F};
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        egg_perturb law = egg_perturb_i8(3, epoch, kind->rank, 4);
        assert_int_equal(egg_pretrain_evaluate(task, kernels, NULL, &law, epoch, (egg_slice){0, PAIRS}, NULL), EGG_OK);
        memcpy(out->loss[epoch], egg_pretrain_loss(task), sizeof out->loss[epoch]);
        egg_fitness_differences(egg_pretrain_loss(task), PAIRS, difference);
        egg_fitness_shape(&fitness, kind->rule, difference, PAIRS);
        egg_step step = kind->rule == EGG_RULE_VOTE ? egg_step_vote(egg_vote_quantile(0.5), PAIRS, kind->rank)
                                                    : egg_step_fractional(1 << 25, fitness.sum_squares, kind->rank);
        out->changed[epoch] = egg_update_run(update, kernels, NULL, &law, &step, F, PAIRS);
        out->states[epoch] = egg_params_state(model->params, model->param_count);
    }
}

static void run(const egg_kernels *kernels, const run_kind *kind, result *out)
{
    egg_model *model;
    egg_pretrain *task;
    egg_update *update;
    egg_scorer *scorer;
    size_t bytes;
    memset(out, 0, sizeof *out);
    egg_corpus *corpus = open_text();
    const egg_pretrain_shape shape = {.population = POPULATION, .group = 4, .steps = STEPS, .rank = kind->rank,
                                      .chunk_pairs = kind->chunk, .threads = 1, .carry = kind->carry,
                                      .train_bytes = egg_corpus_bytes(corpus)};
    assert_int_equal(egg_egg_open(&model, (egg_shape){16, 2}, kernels, NULL), EGG_OK);
    egg_egg_init_weights(model, &(egg_egg_init){.seed = 1, .matrix = 12, .head = 12, .embedding = 16});
    if (kind->rule == EGG_RULE_FRACTIONAL) assert_int_equal(egg_model_open_fractions(model, NULL), EGG_OK);
    egg_model_pack(model, kernels);
    assert_int_equal(egg_pretrain_open(&task, &shape, model, corpus, NULL), EGG_OK);
    assert_int_equal(egg_update_open(&update, model->params, model->param_count, kind->rank, 1, NULL), EGG_OK);
    assert_int_equal(egg_scorer_open(&scorer, model, 1, NULL), EGG_OK);
    run_epochs(kernels, kind, model, task, update, out);
    const int8_t *states = egg_pretrain_states(task, &bytes);
    assert_true(bytes <= sizeof out->last);
    if (states) memcpy(out->last, states, bytes);
    assert_int_equal(egg_scorer_run(scorer, kernels, NULL, corpus, 0, egg_corpus_bytes(corpus), &out->score, NULL),
                     EGG_OK);
    egg_scorer_close(scorer);
    egg_update_close(update);
    egg_pretrain_close(task);
    egg_model_free(model);
    egg_corpus_close(corpus);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const run_kind kinds[] = {
        {EGG_RULE_VOTE, 1, 0, true}, {EGG_RULE_VOTE, 2, 5, false}, {EGG_RULE_FRACTIONAL, 1, 3, true},
        {EGG_RULE_FRACTIONAL, 3, 0, false},
    };
    const egg_kernels host = pretended_kernels(false), device = pretended_kernels(true);
    static result expected, found;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        run(&host, &kinds[i], &expected);
        run(&device, &kinds[i], &found);
        assert_memory_equal(&found, &expected, sizeof found);
        assert_true(expected.changed[0] > 0 && expected.score.bytes > 0);
        assert_int_equal((int)pretended_blocks(), 0);
    }
}

/* More streams than a device reads at once, a prompt that takes several forwards. */
enum { STREAMS = 1030, WRITTEN = 3 };

static void write_texts(const egg_kernels *kernels, uint8_t written[WRITTEN][STREAMS])
{
    static const egg_sampling sampling = {.seed = 5, .temperature = 1, .top_p = 1};
    egg_model *model;
    egg_generator *generator;
    assert_int_equal(egg_egg_open(&model, (egg_shape){16, 1}, kernels, NULL), EGG_OK);
    egg_egg_init_weights(model, &(egg_egg_init){.seed = 1, .matrix = 12, .head = 12, .embedding = 16});
    egg_model_pack(model, kernels);
    assert_int_equal(egg_generator_open(&generator, model, kernels, STREAMS, 1, &sampling, NULL), EGG_OK);
    assert_int_equal(egg_generator_prompt(generator, NULL, (const uint8_t *)text, sizeof text - 1, NULL), EGG_OK);
    for (uint32_t i = 0; i < WRITTEN; i++)
        assert_int_equal(egg_generator_step(generator, NULL, written[i], NULL), EGG_OK);
    if (kernels->device) {
        egg_error error;
        pretended.failure = "unspecified launch failure";
        uint8_t lost[STREAMS];
        assert_int_equal(egg_generator_step(generator, NULL, lost, &error), EGG_ERR_DEVICE);
        pretended.failure = NULL;
    }
    egg_generator_close(generator);
    egg_model_free(model);
}

static void test_texts(void **state)
{
    (void)state;
    static uint8_t expected[WRITTEN][STREAMS], found[WRITTEN][STREAMS];
    const egg_kernels host = pretended_kernels(false), device = pretended_kernels(true);
    write_texts(&host, expected);
    write_texts(&device, found);
    assert_memory_equal(found, expected, sizeof found);
    assert_memory_not_equal(expected[1], expected[2], STREAMS);
    assert_int_equal((int)pretended_blocks(), 0);
}

/* What a run takes of the device is what was planned. */
static void test_plan(void **state)
{
    (void)state;
    for (int carry = 0; carry < 2; carry++) {
        const egg_kernels kernels = pretended_kernels(true);
        egg_corpus *corpus = open_text();
        egg_model *planned;
        static result unused;
        const run_kind kind = {EGG_RULE_FRACTIONAL, 2, 4, carry};
        const egg_pretrain_shape shape = {.population = POPULATION, .group = 4, .steps = STEPS, .rank = kind.rank,
                                          .chunk_pairs = kind.chunk, .threads = 1, .carry = carry,
                                          .train_bytes = egg_corpus_bytes(corpus)};
        assert_int_equal(egg_egg_open(&planned, (egg_shape){16, 2}, NULL, NULL), EGG_OK);
        egg_params_plan_for(planned->params, planned->param_count, &kernels);
        const egg_pretrain_memory memory = egg_pretrain_bytes(&shape, planned);
        uint64_t plan = egg_model_device_bytes(planned, &kernels) + egg_model_parameters(planned) * sizeof(int16_t) +
                        memory.device_states + memory.device_scratch + egg_scorer_device_bytes(planned) +
                        egg_update_bytes(planned->params, planned->param_count, kind.rank, 1);
        pretended.taken = 0;
        run(&kernels, &kind, &unused);
        assert_in_range(pretended.taken, plan, plan + 1024);   /* counters */
        egg_model_free(planned);
        egg_corpus_close(corpus);
    }
}

/* What the host writes after the kernels did: neither may get lost. */
static void test_both_sides_write(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    egg_model *model;
    assert_int_equal(egg_egg_open(&model, (egg_shape){16, 1}, &kernels, NULL), EGG_OK);
    egg_param *param = &model->params[2];
    ((int8_t *)param->data)[1] = 5;
    egg_model_pack(model, &kernels);
    assert_int_equal(((int8_t *)egg_param_kernel_data(param))[1], 5);
    ((int8_t *)egg_param_kernel_data(param))[2] = 6;   /* as a kernel would */
    param->mirror->ahead = true;
    egg_model_pack(model, &kernels);                   /* nothing to send: the device is ahead */
    assert_int_equal(((int8_t *)egg_param_kernel_data(param))[2], 6);
    pretended.downloaded = 0;
    egg_params_fetch(model->params, model->param_count);
    assert_int_equal(pretended.downloaded, 16);                  /* of this parameter alone */
    assert_int_equal(((int8_t *)param->data)[2], 6);
    egg_params_fetch(model->params, model->param_count);
    assert_int_equal(pretended.downloaded, 16);
    egg_model_free(model);
    assert_int_equal((int)pretended_blocks(), 0);
}

/* Whichever block the device cannot give: an error that says so, and all others given back. */
static void test_no_memory(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    egg_corpus *corpus = open_text();
    const egg_pretrain_shape shape = {.population = POPULATION, .group = 4, .steps = STEPS, .rank = 1, .threads = 1,
                                      .carry = true, .train_bytes = egg_corpus_bytes(corpus)};
    const egg_sampling sampling = {.top_p = 1};
    size_t refusals = 0;
    for (size_t allowed = 0;; allowed++) {
        egg_model *model = NULL;
        egg_pretrain *task = NULL;
        egg_update *update = NULL;
        egg_scorer *scorer = NULL;
        egg_generator *generator = NULL;
        egg_error error = {0};
        pretended.left = allowed;
        egg_status status = egg_egg_open(&model, (egg_shape){16, 1}, &kernels, &error);
        if (status == EGG_OK) status = egg_model_open_fractions(model, &error);
        if (status == EGG_OK) status = egg_pretrain_open(&task, &shape, model, corpus, &error);
        if (status == EGG_OK) status = egg_update_open(&update, model->params, model->param_count, 1, 1, &error);
        if (status == EGG_OK) status = egg_scorer_open(&scorer, model, 1, &error);
        if (status == EGG_OK) status = egg_generator_open(&generator, model, &kernels, 3, 1, &sampling, &error);
        egg_generator_close(generator);
        egg_scorer_close(scorer);
        egg_update_close(update);
        egg_pretrain_close(task);
        egg_model_free(model);
        assert_int_equal((int)pretended_blocks(), 0);
        if (status == EGG_OK) break;
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_non_null(strstr(error.text, "no memory"));
        refusals++;
    }
    pretended.left = SIZE_MAX;
    assert_true(refusals > 30);
    egg_corpus_close(corpus);
}

static void test_device_fails(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    egg_error error = {0};
    assert_int_equal(egg_device_wait(NULL, &error), EGG_OK);
    assert_int_equal(egg_device_wait(pretended_kernels(true).device, &error), EGG_OK);
    assert_int_equal(egg_machine_explain(&kernels, EGG_ERR_NOMEM, &error), EGG_ERR_NOMEM);
    pretended.failure = "an illegal memory access was encountered";
    assert_int_equal(egg_device_wait(kernels.device, &error), EGG_ERR_DEVICE);
    assert_non_null(strstr(error.text, "a pretended device: an illegal"));
    error.text[0] = '\0';
    assert_int_equal(egg_machine_explain(&kernels, EGG_OK, &error), EGG_OK);
    assert_int_equal(egg_machine_explain(&kernels, EGG_ERR_NOMEM, &error), EGG_ERR_DEVICE);
    assert_non_null(strstr(error.text, "a pretended device: an illegal"));
    pretended.failure = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_texts),
                                       cmocka_unit_test(test_plan), cmocka_unit_test(test_both_sides_write),
                                       cmocka_unit_test(test_no_memory), cmocka_unit_test(test_device_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
