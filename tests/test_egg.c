/* SPDX-License-Identifier: MIT */
/* The model and one whole epoch against the scalar oracle, bit for bit, on every kernel level of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "es/update.h"
#include "models/egg.h"
#include "oracle.h"

enum { SEED = 20261124, MAX_MEMBERS = 16, MAX_STEPS = 16 };

typedef struct egg_case {
    uint32_t width, layers, rank, sigma_shift, members, steps, first_pair;
    bool perturbed;
} egg_case;

/* Random weights in the range that training visits, with some at the limits. */
static void randomize(egg_model *model, uint32_t stream)
{
    for (uint32_t id = 0; id < model->param_count; id++) {
        egg_param *param = &model->params[id];
        int8_t *w = param->data;
        size_t n = egg_param_elements(param);
        egg_noise_i8(egg_key_make(SEED, EGG_DOMAIN_INITIAL_WEIGHTS), (egg_noise_at){.param = id, .pair = stream}, 0, n,
                     w);
        for (size_t i = 0; i < n; i += 37) w[i] = i % 2 ? 127 : -127;
        if (param->kind == EGG_PARAM_VECTOR)
            for (size_t i = 0; i < n; i++) w[i] = (int8_t)(16 + w[i] / 4);
    }
}

static void copy_to_oracle(oracle_model *oracle, const egg_model *model)
{
    assert_int_equal(oracle->count, model->param_count);
    for (int id = 0; id < oracle->count; id++) {
        const oracle_param *p = &oracle->params[id];
        assert_int_equal(p->out, model->params[id].out);
        assert_int_equal(p->in, model->params[id].in);
        for (int i = 0; i < p->out * p->in; i++) {
            p->w[i] = ((const int8_t *)model->params[id].data)[i];
            p->v[i] = 256 * p->w[i];
        }
    }
}

static void assert_weights_equal(const oracle_model *oracle, const egg_model *model, bool fractions)
{
    for (int id = 0; id < oracle->count; id++)
        for (int i = 0; i < oracle->params[id].out * oracle->params[id].in; i++) {
            assert_int_equal(oracle->params[id].w[i], ((const int8_t *)model->params[id].data)[i]);
            if (fractions) assert_int_equal(oracle->params[id].v[i], model->params[id].fraction[i]);
        }
}

/* Tokens with a separator now and then, so that states are reset in the middle of a segment. */
static void make_tokens(uint8_t *tokens, size_t n, uint32_t stream)
{
    egg_words words = {.key = egg_key_make(SEED, EGG_DOMAIN_SAMPLING), .at = {.param = stream}};
    for (size_t i = 0; i < n; i++) {
        uint32_t word = egg_words_next(&words);
        tokens[i] = word >> 29 ? (uint8_t)word : 0;
    }
}

static void check_forward(const egg_case *c, const egg_kernels *kernels)
{
    egg_model *model;
    egg_arena arena;
    oracle_model oracle;
    assert_int_equal(egg_egg_open(&model, (egg_shape){c->width, c->layers}, kernels, NULL), EGG_OK);
    randomize(model, 0);
    egg_model_pack(model, kernels);
    oracle_model_open(&oracle, (int)c->width, (int)c->layers);
    copy_to_oracle(&oracle, model);

    static uint8_t tokens[MAX_MEMBERS * MAX_STEPS], targets[MAX_MEMBERS * MAX_STEPS];
    size_t rows = (size_t)c->members * c->steps;
    make_tokens(tokens, rows, 1);
    make_tokens(targets, rows, 2);
    int8_t *state = calloc(c->members, model->state_bytes);
    int *oracle_state = calloc(c->members * model->state_bytes, sizeof *oracle_state);
    for (size_t i = 0; i < c->members * model->state_bytes; i++)
        state[i] = (int8_t)(oracle_state[i] = (int)(i * 7 % 255) - 127);

    egg_perturb law = egg_perturb_i8(SEED, 5, c->rank, c->sigma_shift);
    oracle_law other = {.seed = SEED, .epoch = 5, .rank = (int)c->rank, .sigma_shift = (int)c->sigma_shift,
                        .on = c->perturbed};
    uint32_t rank = c->perturbed ? c->rank : 0;
    assert_int_equal(egg_arena_open(&arena, egg_model_scratch_bytes(model, c->members, c->steps, rank), NULL), EGG_OK);
    egg_pass pass = egg_pass_begin(kernels, &arena, c->perturbed ? &law : NULL, c->first_pair, c->members);
    egg_mat logits = egg_mat_i8(&pass, c->steps, EGG_VOCABULARY);
    int32_t loss[MAX_MEMBERS];
    model->ops->forward(&pass, model, tokens, state, logits);
    egg_sequence_loss(&pass, logits, targets, loss);
    assert_false(pass.failed);

    for (uint32_t m = 0; m < c->members; m++) {
        int *s = oracle_state + m * model->state_bytes, expected[256], sum = 0;
        for (uint32_t t = 0; t < c->steps; t++) {
            size_t row = (size_t)m * c->steps + t;
            oracle_step(&oracle, &other, (int)(2 * c->first_pair + m), tokens[row], s, expected);
            for (int k = 0; k < 256; k++) assert_int_equal(((int8_t *)logits.data)[row * logits.stride + k],
                                                           expected[k]);
            sum += oracle_loss(expected, targets[row]);
        }
        for (size_t i = 0; i < model->state_bytes; i++) assert_int_equal(state[m * model->state_bytes + i], s[i]);
        assert_int_equal(loss[m], sum);
    }
    egg_arena_close(&arena);
    free(state);
    free(oracle_state);
    oracle_model_close(&oracle);
    egg_model_free(model);
}

/* From the reference up, each time with one more level. */
static void for_each_level(void (*check)(const egg_kernels *kernels))
{
    uint32_t found = egg_cpu_detect();
    const char *last = "";
    for (uint32_t mask = 0; mask <= 0xff; mask = 2 * mask + 1) {
        egg_kernels kernels;
        egg_kernels_init(&kernels, found & mask);
        if (strcmp(last, kernels.level) == 0) continue;
        last = kernels.level;
        print_message("  kernel level %s\n", kernels.level);
        check(&kernels);
    }
}

static void forward_cases(const egg_kernels *kernels)
{
    static const egg_case cases[] = {
        {16, 1, 1, 4, 4, 3, 0, true},      {16, 3, 1, 4, 6, 7, 11, true},    {32, 2, 1, 3, 4, 5, 2, true},
        {64, 2, 1, 4, 8, 10, 100, true},   {64, 1, 1, 5, 2, 16, 0, true},    {128, 2, 1, 4, 4, 4, 7, true},
        {256, 2, 1, 4, 4, 3, 1, true},     {512, 1, 1, 4, 2, 2, 3, true},    {1024, 1, 1, 4, 2, 1, 9, true},
        {64, 1, 2, 4, 4, 5, 3, true},      {64, 1, 3, 4, 4, 5, 3, true},     {64, 1, 4, 2, 6, 3, 0, true},
        {128, 1, 9, 4, 2, 3, 5, true},     {16, 2, 1, 0, 2, 9, 1, true},     {16, 1, 1, 11, 2, 5, 1, true},
        {16, 2, 1, 4, 5, 7, 0, false},     {64, 2, 1, 4, 3, 10, 0, false},   {256, 1, 1, 4, 1, 5, 0, false},
        {1024, 1, 1, 4, 1, 1, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_forward(&cases[i], kernels);
}

static void test_forward(void **state)
{
    (void)state;
    for_each_level(forward_cases);
}

/* ---------------------------------------------------------------------------------------------------------- epoch */

typedef struct egg_epoch_case {
    uint32_t width, layers, rank, pairs;
    egg_rule rule;
    double alpha;
    uint32_t rate24, threads;
} egg_epoch_case;

static void check_epoch(const egg_epoch_case *c, const egg_kernels *kernels)
{
    enum { STEPS = 3 };
    egg_model *model;
    egg_update *update;
    egg_pool *pool;
    egg_arena arena;
    oracle_model oracle;
    uint32_t members = 2 * c->pairs;
    assert_int_equal(egg_egg_open(&model, (egg_shape){c->width, c->layers}, kernels, NULL), EGG_OK);
    randomize(model, 1);
    for (uint32_t i = 0; i < model->param_count; i++) {
        egg_param *param = &model->params[i];
        const int8_t *w = param->data;
        param->fraction = calloc(egg_param_elements(param), sizeof(int16_t));
        for (size_t k = 0; k < egg_param_elements(param); k++) param->fraction[k] = (int16_t)(256 * w[k]);
    }
    egg_model_pack(model, kernels);
    oracle_model_open(&oracle, (int)c->width, (int)c->layers);
    copy_to_oracle(&oracle, model);

    uint8_t *tokens = calloc(members, STEPS), *targets = calloc(members, STEPS);
    make_tokens(tokens, members * STEPS, 3);
    make_tokens(targets, members * STEPS, 4);
    int8_t *states = calloc(members, model->state_bytes);
    int *state = calloc(model->state_bytes, sizeof *state), *expected = calloc(members, sizeof *expected);
    int32_t *loss = calloc(members, sizeof *loss);
    egg_perturb law = egg_perturb_i8(SEED, 1, c->rank, 4);
    oracle_law other = {.seed = SEED, .epoch = 1, .rank = (int)c->rank, .sigma_shift = 4, .on = 1};
    assert_int_equal(egg_arena_open(&arena, egg_model_scratch_bytes(model, members, STEPS, c->rank), NULL), EGG_OK);
    egg_pass pass = egg_pass_begin(kernels, &arena, &law, 0, members);
    egg_mat logits = egg_mat_i8(&pass, STEPS, EGG_VOCABULARY);
    model->ops->forward(&pass, model, tokens, states, logits);
    egg_sequence_loss(&pass, logits, targets, loss);
    assert_false(pass.failed);
    for (uint32_t m = 0; m < members; m++) {
        int out[256];
        memset(state, 0, model->state_bytes * sizeof *state);
        for (uint32_t t = 0; t < STEPS; t++) {
            oracle_step(&oracle, &other, (int)m, tokens[m * STEPS + t], state, out);
            expected[m] += oracle_loss(out, targets[m * STEPS + t]);
        }
        assert_int_equal(loss[m], expected[m]);
    }

    int8_t *F = calloc(c->pairs, 1);
    egg_fitness fitness = {.F = F};
    int32_t *difference = calloc(c->pairs, sizeof *difference);
    egg_fitness_differences(loss, c->pairs, difference);
    egg_fitness_shape(&fitness, c->rule, difference, c->pairs);
    free(difference);
    egg_step step = c->rule == EGG_RULE_VOTE ? egg_step_vote(egg_vote_quantile(c->alpha), c->pairs, c->rank)
                                             : egg_step_fractional(c->rate24, fitness.sum_squares, c->rank);
    assert_int_equal(egg_pool_open(&pool, c->threads, NULL), EGG_OK);
    assert_int_equal(egg_update_open(&update, model->params, model->param_count, c->rank, c->threads, NULL), EGG_OK);
    egg_update_run(update, kernels, pool, &law, &step, F, c->pairs);
    if (c->rule == EGG_RULE_VOTE) oracle_vote(&oracle, &other, expected, (int)c->pairs, c->alpha);
    else oracle_fractional(&oracle, &other, expected, (int)c->pairs, c->rate24);
    assert_weights_equal(&oracle, model, c->rule == EGG_RULE_FRACTIONAL);

    egg_update_close(update);
    egg_pool_close(pool);
    egg_arena_close(&arena);
    free(tokens), free(targets), free(states), free(state), free(expected), free(loss), free(F);
    for (uint32_t i = 0; i < model->param_count; i++) {
        free(model->params[i].fraction);
        model->params[i].fraction = NULL;
    }
    egg_model_free(model);
    oracle_model_close(&oracle);
}

static void epoch_cases(const egg_kernels *kernels)
{
    static const egg_epoch_case cases[] = {
        {16, 1, 1, 8, EGG_RULE_VOTE, 1.0, 0, 1},       {16, 2, 1, 33, EGG_RULE_VOTE, 0.4, 0, 2},
        {32, 1, 2, 16, EGG_RULE_VOTE, 0.0625, 0, 3},   {16, 1, 1, 32, EGG_RULE_FRACTIONAL, 0, 11744051, 1},
        {64, 1, 1, 20, EGG_RULE_FRACTIONAL, 0, 5000000, 2}, {16, 1, 3, 10, EGG_RULE_FRACTIONAL, 0, 200000000, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_epoch(&cases[i], kernels);
}

static void test_epoch(void **state)
{
    (void)state;
    for_each_level(epoch_cases);
}

static void test_shapes(void **state)
{
    (void)state;
    egg_error error;
    static const uint32_t refused[] = {0, 8, 48, 100, 255, 2048};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(egg_egg_check_shape((egg_shape){refused[i], 1}, &error), EGG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "--width"));
    }
    egg_model *model;
    assert_int_equal(egg_egg_open(&model, (egg_shape){256, 6}, NULL, &error), EGG_OK);
    assert_int_equal(egg_model_parameters(model), 4856064);   /* paper: 6L-256D */
    egg_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_forward),
                                       cmocka_unit_test(test_epoch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
