/* SPDX-License-Identifier: MIT */
/*
 * A population that answers questions against the same answers of one shared model (inference), and against answers
 * that are not batched: one member at a time, and one answer at a time. The model has the shapes of RWKV-7 0.1B, and
 * random weights.
 */
#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "bench/bench.h"
#include "tasks/answers.h"

enum {
    PAIRS = 32, QUESTIONS = 8,     /* 64 members */
    PROMPT_TOKENS = 8, ANSWER_TOKENS = 16,
    ROWS = 64,                     /* that a thread has in flight */
    FEW_PAIRS = 1                  /* for those that take long */
};

typedef struct answer_bench {
    egg_answers *answers;
    egg_pool *pool;
    egg_perturb law;
    bool perturbed;
    uint32_t pairs;
    const egg_prompt *prompts;
} answer_bench;

/* Activations stay of order one: matrices of deviation 1/sqrt(in), norms of 1, the rest small. */
static void fill_weights(egg_rwkv7 *model)
{
    for (uint32_t i = 0; i < model->param_count; i++) {
        egg_param *param = &model->params[i];
        bool matrix = param->kind == EGG_PARAM_MATRIX;
        egg_param_init_normal_f32(param, 1, matrix ? 1 / sqrtf((float)param->in) : 0.1f);
        for (uint32_t k = 0; param->kind == EGG_PARAM_VECTOR && k < param->in; k++) ((float *)param->data)[k] += 0.5f;
    }
}

static egg_status open_model(egg_rwkv7 **model, const egg_bench_setting *setting, egg_error *error)
{
    const egg_settings *s = setting->settings;
    uint32_t width = setting->one_size ? (uint32_t)s->width : 768,
             layers = setting->one_size ? (uint32_t)s->layers : 12;
    const egg_rwkv7_shape shape = {.vocabulary = 65536,
                                   .width = width,
                                   .layers = layers,
                                   .head_size = width < 64 ? width : 64,
                                   .hidden = 4 * width,
                                   .w_rank = 64,
                                   .a_rank = 64,
                                   .v_rank = 32,
                                   .g_rank = 128};
    egg_status status = egg_rwkv7_open(model, &shape, &setting->kernels, error);
    if (status != EGG_OK) return status;
    fill_weights(*model);
    egg_rwkv7_pack(*model, &setting->kernels);
    egg_rwkv7_set_thaw(*model, (egg_rwkv7_thaw){0});
    return EGG_OK;
}

static egg_status open_bench(answer_bench *bench, const egg_bench_setting *setting, const egg_language *language,
                             bool perturbed, uint32_t pairs, uint32_t rows, const egg_prompt *prompts, egg_error *error)
{
    const egg_answers_shape shape = {.pairs = perturbed ? pairs : 1,
                                     .questions = perturbed ? QUESTIONS : 1,
                                     .most = perturbed ? 1 : 2 * pairs * QUESTIONS,
                                     .rank = (uint32_t)setting->settings->rank,
                                     .max_tokens = ANSWER_TOKENS,
                                     .rows = rows,
                                     .threads = egg_pool_threads(setting->pool)};
    *bench = (answer_bench){.pool = setting->pool,
                            .law = egg_perturb_f32(1, 0, shape.rank, 1e-3f),
                            .perturbed = perturbed,
                            .pairs = pairs,
                            .prompts = prompts};
    return egg_answers_open(&bench->answers, &shape, language, error);
}

static egg_status run(void *context, egg_error *error)
{
    answer_bench *bench = context;
    egg_answers_stats stats;
    egg_slice slice = {.pairs = bench->pairs};
    if (bench->perturbed)
        return egg_answers_run(bench->answers, bench->pool, &bench->law, 0, slice, bench->prompts, QUESTIONS, &stats,
                               error);
    return egg_answers_validate(bench->answers, bench->pool, 0, bench->prompts, 2 * bench->pairs * QUESTIONS, &stats,
                                error);
}

/* Random prompts; those of a member come again for every member. */
static void fill_prompts(uint32_t *tokens, egg_prompt *prompts, uint32_t vocabulary)
{
    egg_words words = {.key = egg_key_make(1, EGG_DOMAIN_SAMPLING)};
    for (uint32_t i = 0; i < QUESTIONS * PROMPT_TOKENS; i++) tokens[i] = 1 + egg_words_next(&words) % (vocabulary - 1);
    for (uint32_t i = 0; i < 2 * PAIRS * QUESTIONS; i++)
        prompts[i] = (egg_prompt){.tokens = tokens + i % QUESTIONS * PROMPT_TOKENS, .count = PROMPT_TOKENS};
}

static egg_status measure(const egg_bench_setting *setting, const egg_language *language, const egg_prompt *prompts,
                          egg_error *error)
{
    enum { POPULATION, INFERENCE, MEMBER, ANSWER, CONTENDERS };
    egg_status status = EGG_OK;
    answer_bench benches[CONTENDERS] = {{0}};
    const egg_bench_report *report = &setting->report;
    const egg_rwkv7_shape *shape = &language->model->shape;
    uint32_t n = setting->repetitions;
    char size[64];
    snprintf(size, sizeof size, "RWKV-7 %ux%u, %ux%u answers", shape->layers, shape->width, 2 * PAIRS, QUESTIONS);
    EGG_TRY(open_bench(&benches[POPULATION], setting, language, true, PAIRS, ROWS, prompts, error));
    EGG_TRY(open_bench(&benches[INFERENCE], setting, language, false, PAIRS, ROWS, prompts, error));
    EGG_TRY(open_bench(&benches[MEMBER], setting, language, true, FEW_PAIRS, QUESTIONS, prompts, error));
    EGG_TRY(open_bench(&benches[ANSWER], setting, language, true, FEW_PAIRS, 1, prompts, error));
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population"},
        [INFERENCE] = {.name = "inference, one shared model"},
        [MEMBER] = {.name = "a member at a time"},
        [ANSWER] = {.name = "an answer at a time"},
    };
    for (size_t i = 0; i < CONTENDERS; i++) {
        contenders[i].run = run;
        contenders[i].context = &benches[i];
        contenders[i].work = 2.0 * benches[i].pairs * QUESTIONS * (PROMPT_TOKENS + ANSWER_TOKENS);
        contenders[i].unit = "tokens/s";
    }
    EGG_TRY(egg_contest(contenders, CONTENDERS, n, error));
    for (size_t i = 0; i < CONTENDERS; i++) egg_report_rate(report, size, &contenders[i], n);
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_report_ratio(report, size, "population_vs_member", &contenders[POPULATION], &contenders[MEMBER], n);
    egg_report_ratio(report, size, "population_vs_answer", &contenders[POPULATION], &contenders[ANSWER], n);
out:
    for (size_t i = 0; i < CONTENDERS; i++) egg_answers_close(benches[i].answers);
    return status;
}

egg_status egg_bench_finetune(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    egg_tokenizer *tokenizer = NULL;
    uint32_t tokens[QUESTIONS * PROMPT_TOKENS];
    egg_prompt prompts[2 * PAIRS * QUESTIONS];
    EGG_TRY(open_model(&model, setting, error));
    EGG_TRY(egg_tokenizer_open_byte(&tokenizer, error));
    const egg_language language = {.model = model, .tokenizer = tokenizer, .kernels = &setting->kernels};
    fill_prompts(tokens, prompts, model->shape.vocabulary);
    EGG_TRY(measure(setting, &language, prompts, error));
out:
    egg_tokenizer_close(tokenizer);
    egg_rwkv7_close(model);
    return status;
}
