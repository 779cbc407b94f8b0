/* SPDX-License-Identifier: MIT */
/*
 * A population that answers questions against the same answers of one shared model (inference): prompts read, noise
 * drawn, tokens chosen. On the processor, at the shapes of RWKV-7 0.1B, also against answers that are not batched: one
 * member at a time, and one answer at a time. On a device all answers are written at once, and its memory is held
 * against what the plan says. Weights are random.
 */
#include <stdio.h>

#include "base/memory.h"
#include "bench/language_model.h"
#include "es/device_memory.h"
#include "tasks/answers.h"

/* What is answered. */
typedef struct answer_size {
    uint32_t pairs, questions, prompt_tokens, answer_tokens;
    uint32_t rows;                 /* in flight, of a thread */
} answer_size;

typedef struct answer_bench {
    egg_answers *answers;          /* may be another's */
    egg_pool *pool;
    egg_perturb law;
    bool perturbed;
    answer_size size;
    const egg_prompt *prompts;     /* (2 pairs, questions) those of a member come again for every member */
    double tokens;                 /* read in prompts and written, in the last run: some answers end early */
} answer_bench;

static egg_answers_shape shape_of(const egg_bench_setting *setting, const answer_size *size)
{
    return (egg_answers_shape){.pairs = size->pairs, .questions = size->questions,
                               .rank = (uint32_t)setting->settings->rank, .max_tokens = size->answer_tokens,
                               .rows = size->rows, .threads = egg_pool_threads(setting->pool)};
}

static answer_bench bench_of(const egg_bench_setting *setting, bool perturbed, answer_size size,
                             const egg_prompt *prompts)
{
    return (answer_bench){.pool = setting->pool,
                          .law = egg_perturb_f32(1, 0, (uint32_t)setting->settings->rank, 1e-3f),
                          .perturbed = perturbed, .size = size, .prompts = prompts};
}

/* A table of answers for members, or for the shared model. */
static egg_status open_bench(answer_bench *bench, const egg_bench_setting *setting, const egg_language *language,
                             bool perturbed, answer_size size, const egg_prompt *prompts, egg_error *error)
{
    egg_answers_shape shape = shape_of(setting, &size);
    shape.most = 1;
    if (!perturbed) {
        shape.most = 2 * size.pairs * size.questions;
        shape.pairs = shape.questions = 1;
    }
    *bench = bench_of(setting, perturbed, size, prompts);
    return egg_answers_open(&bench->answers, &shape, language, error);
}

static egg_status run(void *context, egg_error *error)
{
    answer_bench *bench = context;
    egg_answers_stats stats = {0};
    const answer_size *size = &bench->size;
    egg_slice slice = {.pairs = size->pairs};
    egg_status status =
        bench->perturbed
            ? egg_answers_run(bench->answers, bench->pool, &bench->law, 0, slice, bench->prompts, size->questions,
                              &stats, error)
            : egg_answers_validate(bench->answers, bench->pool, 0, bench->prompts, 2 * size->pairs * size->questions,
                                   &stats, error);
    bench->tokens = (double)(stats.prompt_tokens + stats.answer_tokens);
    return status;
}

static egg_status contest(const egg_bench_setting *setting, egg_contender *contenders, answer_bench *benches,
                          size_t count, const char *size, egg_error *error)
{
    egg_status status = EGG_OK;
    for (size_t i = 0; i < count; i++) {
        contenders[i].run = run;
        contenders[i].context = &benches[i];
        contenders[i].unit = "tokens/s";
    }
    EGG_TRY(egg_contest(contenders, count, setting->repetitions, error));
    EGG_TRY(egg_device_wait(setting->kernels.device, error));
    for (size_t i = 0; i < count; i++) {
        contenders[i].work = benches[i].tokens;
        egg_report_rate(&setting->report, size, &contenders[i], setting->repetitions);
    }
out:
    return status;
}

/* ---------------------------------------------------------------------------------------------------- the questions */

typedef struct prompt_list {
    uint32_t *tokens;              /* (questions, prompt_tokens) */
    egg_prompt *prompts;           /* (2 pairs, questions) */
} prompt_list;

static egg_status open_prompts(prompt_list *list, const answer_size *size, uint32_t vocabulary, egg_error *error)
{
    const uint32_t tokens = size->questions * size->prompt_tokens, answers = 2 * size->pairs * size->questions;
    egg_words words = {.key = egg_key_make(1, EGG_DOMAIN_SAMPLING)};
    list->tokens = egg_alloc_array(tokens, sizeof *list->tokens);
    list->prompts = egg_alloc_array(answers, sizeof *list->prompts);
    if (!list->tokens || !list->prompts) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u prompts", answers);
    for (uint32_t i = 0; i < tokens; i++) list->tokens[i] = 1 + egg_words_next(&words) % (vocabulary - 1);
    for (uint32_t i = 0; i < answers; i++)
        list->prompts[i] = (egg_prompt){.tokens = list->tokens + i % size->questions * size->prompt_tokens,
                                        .count = size->prompt_tokens};
    return EGG_OK;
}

static void close_prompts(prompt_list *list)
{
    egg_free(list->tokens);
    egg_free(list->prompts);
}

/* ---------------------------------------------------------------------------------------------------- the processor */

static egg_status measure_host(const egg_bench_setting *setting, const egg_language *language, answer_size all,
                               const egg_prompt *prompts, egg_error *error)
{
    enum { POPULATION, INFERENCE, MEMBER, ANSWER, CONTENDERS };
    egg_status status = EGG_OK;
    answer_bench benches[CONTENDERS] = {{0}};
    answer_size member = all, answer = all;   /* one pair, since they take long */
    member.pairs = answer.pairs = 1;
    member.rows = all.questions;
    answer.rows = 1;
    const egg_bench_report *report = &setting->report;
    const egg_rwkv7_shape *shape = &language->model->shape;
    uint32_t n = setting->repetitions;
    char size[64];
    snprintf(size, sizeof size, "RWKV-7 %ux%u, %ux%u answers", shape->layers, shape->width, 2 * all.pairs,
             all.questions);
    EGG_TRY(open_bench(&benches[POPULATION], setting, language, true, all, prompts, error));
    EGG_TRY(open_bench(&benches[INFERENCE], setting, language, false, all, prompts, error));
    EGG_TRY(open_bench(&benches[MEMBER], setting, language, true, member, prompts, error));
    EGG_TRY(open_bench(&benches[ANSWER], setting, language, true, answer, prompts, error));
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population"},
        [INFERENCE] = {.name = "inference, one shared model"},
        [MEMBER] = {.name = "a member at a time"},
        [ANSWER] = {.name = "an answer at a time"},
    };
    EGG_TRY(contest(setting, contenders, benches, CONTENDERS, size, error));
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_report_ratio(report, size, "population_vs_member", &contenders[POPULATION], &contenders[MEMBER], n);
    egg_report_ratio(report, size, "population_vs_answer", &contenders[POPULATION], &contenders[ANSWER], n);
out:
    for (size_t i = 0; i < CONTENDERS; i++) egg_answers_close(benches[i].answers);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- a device */

static egg_answers_shape device_shape(const egg_bench_setting *setting, const answer_size *size)
{
    egg_answers_shape shape = shape_of(setting, size);
    shape.most = 2 * size->pairs * size->questions;
    return shape;
}

/* Of the device's memory: weights and the table of answers. */
static uint64_t planned_bytes(const egg_bench_setting *setting, const egg_language *language, const answer_size *size)
{
    const egg_answers_shape shape = device_shape(setting, size);
    return egg_rwkv7_device_bytes(language->model, language->kernels) + egg_answers_bytes(&shape, language).device;
}

/* Before there is anything. */
static egg_status check_device(const egg_bench_setting *setting, const egg_rwkv7_shape *shape,
                               const egg_tokenizer *tokenizer, const answer_size *size, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    EGG_TRY(egg_bench_rwkv7_plan(&model, EGG_STORAGE_BF16, shape, setting, error));
    const egg_language language = {.model = model, .tokenizer = tokenizer, .kernels = &setting->kernels};
    EGG_TRY(egg_bench_device_check(setting, planned_bytes(setting, &language, size), error));
out:
    egg_rwkv7_close(model);
    return status;
}

/*
 * Both contenders have the same table of answers, since the states of so many are most of the memory. The host's clock
 * will do: the last thing that a run does is to wait for what it draws tokens from.
 */
static egg_status measure_device(const egg_bench_setting *setting, const egg_language *language, answer_size all,
                                 const egg_prompt *prompts, uint64_t free_before, egg_error *error)
{
    enum { POPULATION, INFERENCE, CONTENDERS };
    egg_status status = EGG_OK;
    const egg_bench_report *report = &setting->report;
    const egg_rwkv7_shape *model = &language->model->shape;
    const uint32_t n = setting->repetitions;
    const egg_answers_shape shape = device_shape(setting, &all);
    answer_bench benches[CONTENDERS] = {[POPULATION] = bench_of(setting, true, all, prompts),
                                        [INFERENCE] = bench_of(setting, false, all, prompts)};
    egg_answers *answers = NULL;
    char size[64];
    snprintf(size, sizeof size, "RWKV-7 %ux%u bf16, %ux%u answers", model->layers, model->width, 2 * all.pairs,
             all.questions);
    EGG_TRY(egg_answers_open(&answers, &shape, language, error));
    for (int i = 0; i < CONTENDERS; i++) benches[i].answers = answers;
    egg_contender contenders[CONTENDERS] = {
        [POPULATION] = {.name = "population"},
        [INFERENCE] = {.name = "inference, one shared model"},
    };
    EGG_TRY(contest(setting, contenders, benches, CONTENDERS, size, error));
    egg_report_ratio(report, size, "population_vs_inference", &contenders[POPULATION], &contenders[INFERENCE], n);
    egg_bench_report_memory(setting, size, free_before, planned_bytes(setting, language, &all));
out:
    egg_answers_close(answers);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- either */

static answer_size size_of(const egg_bench_setting *setting)
{
    const uint32_t pairs = egg_bench_pairs(setting);
    if (!setting->kernels.device)
        return (answer_size){.pairs = 32, .questions = 8, .prompt_tokens = 8, .answer_tokens = 16, .rows = 64};
    return (answer_size){.pairs = pairs, .questions = EGG_BENCH_PROMPTS, .prompt_tokens = 8,
                         .answer_tokens = (uint32_t)setting->settings->seq_len, .rows = 2 * pairs * EGG_BENCH_PROMPTS};
}

static egg_status bench_shape(const egg_bench_setting *setting, const egg_rwkv7_shape *shape,
                              const egg_tokenizer *tokenizer, egg_error *error)
{
    const bool device = setting->kernels.device;
    const egg_storage storage = device ? EGG_STORAGE_BF16 : EGG_STORAGE_F32;
    const answer_size size = size_of(setting);
    const uint64_t free_before = egg_bench_device_free(setting);
    egg_status status = EGG_OK;
    egg_rwkv7 *model = NULL;
    prompt_list list = {0};
    if (device) EGG_TRY(check_device(setting, shape, tokenizer, &size, error));
    EGG_TRY(egg_bench_rwkv7_open(&model, &storage, 1, shape, setting, error));
    const egg_language language = {.model = model, .tokenizer = tokenizer, .kernels = &setting->kernels};
    EGG_TRY(open_prompts(&list, &size, shape->vocabulary, error));
    status = device ? measure_device(setting, &language, size, list.prompts, free_before, error)
                    : measure_host(setting, &language, size, list.prompts, error);
out:
    close_prompts(&list);
    egg_rwkv7_close(model);
    return status;
}

egg_status egg_bench_finetune(const egg_bench_setting *setting, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7_shape shapes[EGG_BENCH_RWKV7_SHAPES];
    const uint32_t count = egg_bench_rwkv7_shapes(setting, shapes);
    egg_tokenizer *tokenizer = NULL;
    EGG_TRY(egg_tokenizer_open_byte(&tokenizer, error));
    for (uint32_t i = 0; i < count; i++) EGG_TRY(bench_shape(setting, &shapes[i], tokenizer, error));
out:
    egg_tokenizer_close(tokenizer);
    return status;
}
