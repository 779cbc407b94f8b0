/* SPDX-License-Identifier: MIT */
/*
 * A population on questions: what its members write and how likely texts are to them, against the oracle with weights
 * that are perturbed for real; batches, threads and refilled places that change nothing; the fitness that follows.
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
#include "es/answers.h"
#include "oracle_rwkv7.h"
#include "random_rwkv7.h"
#include "scratch.h"
#include "tasks/answers.h"
#include "tasks/likelihood.h"
#include "train/rwkv7_file.h"

enum { PAIRS = 5, QUESTIONS = 3, MEMBERS = 2 * PAIRS, MOST_TOKENS = 12, RANK = 2, FIRST_PAIR = 7 };

static const egg_rwkv7_shape shape = {.vocabulary = 256, .width = 64, .layers = 2, .head_size = 32, .hidden = 96,
                                      .w_rank = 16, .a_rank = 16, .v_rank = 16, .g_rank = 16};

typedef struct fixture {
    egg_kernels kernels;
    egg_shards *shards;
    egg_rwkv7 *model;
    egg_tokenizer *bytes;
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
    assert_int_equal(egg_rwkv7_file_read(&f->model, f->shards, &f->kernels, EGG_RWKV7_TRAINING, NULL), EGG_OK);
    assert_int_equal(egg_tokenizer_open_byte(&f->bytes, NULL), EGG_OK);
    f->language = (egg_language){.model = f->model, .tokenizer = f->bytes, .kernels = &f->kernels};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    egg_tokenizer_close(f->bytes);
    egg_rwkv7_close(f->model);
    egg_shards_close(f->shards);
    free(f);
    return scratch_close(state);
}

/* Prompts of different lengths: one longer than a batch has room for. */
static uint32_t prompt_tokens[QUESTIONS][200];
static const uint32_t prompt_counts[QUESTIONS] = {1, 200, 23};

static void make_prompts(egg_prompt prompts[QUESTIONS])
{
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        for (uint32_t i = 0; i < prompt_counts[q]; i++) prompt_tokens[q][i] = 1 + (i * 37 + q * 11 + i * i) % 255;
        prompts[q] = (egg_prompt){.tokens = prompt_tokens[q], .count = prompt_counts[q]};
    }
}

/* ---------------------------------------------------------------------------------------------------------- answers */

typedef struct outcome {
    char text[MEMBERS][QUESTIONS][MOST_TOKENS + 1];
    size_t bytes[MEMBERS][QUESTIONS];
    uint32_t tokens[MEMBERS][QUESTIONS];
    egg_answers_stats stats;
} outcome;

typedef struct asking {
    double temperature;
    const char *const *stops;
    size_t stop_count;
    uint32_t rows, threads;
    float sigma;
    bool unperturbed;
} asking;

static void ask(const fixture *f, const asking *how, const egg_prompt *prompts, outcome *out)
{
    const egg_answers_shape task = {.pairs = PAIRS, .questions = QUESTIONS, .most = QUESTIONS, .rank = RANK,
                                    .max_tokens = MOST_TOKENS, .stops = how->stops, .stop_count = how->stop_count,
                                    .sampling = {.seed = 5, .temperature = how->temperature, .top_p = 1},
                                    .rows = how->rows, .threads = how->threads};
    egg_perturb law = egg_perturb_f32(21, 4, RANK, how->sigma);
    egg_answers *answers;
    egg_pool *pool;
    egg_error error = {0};
    memset(out, 0, sizeof *out);
    assert_int_equal(egg_pool_open(&pool, how->threads, NULL), EGG_OK);
    if (egg_answers_open(&answers, &task, &f->language, &error) != EGG_OK) fail_msg("%s", error.text);
    egg_slice slice = {.first_pair = FIRST_PAIR, .pairs = PAIRS};
    egg_status status = how->unperturbed
                            ? egg_answers_validate(answers, pool, 0, prompts, QUESTIONS, &out->stats, &error)
                            : egg_answers_run(answers, pool, &law, 3, slice, prompts, QUESTIONS, &out->stats, &error);
    if (status != EGG_OK) fail_msg("%s", error.text);
    assert_int_equal(egg_answers_room(answers), MOST_TOKENS);
    for (uint32_t m = 0; m < (how->unperturbed ? 1 : MEMBERS); m++)
        for (uint32_t q = 0; q < QUESTIONS; q++) {
            out->bytes[m][q] = egg_answers_text(answers, m, q, out->text[m][q]);
            out->tokens[m][q] = egg_answers_tokens(answers, m, q);
        }
    egg_answers_close(answers);
    egg_pool_close(pool);
}

static void check_same(const outcome *a, const outcome *b)
{
    assert_memory_equal(a->bytes, b->bytes, sizeof a->bytes);
    assert_memory_equal(a->text, b->text, sizeof a->text);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    assert_int_equal(a->stats.answers, b->stats.answers);
    assert_int_equal(a->stats.cut, b->stats.cut);
    assert_int_equal(a->stats.prompt_tokens, b->stats.prompt_tokens);
    assert_int_equal(a->stats.answer_tokens, b->stats.answer_tokens);
}

/* What the oracle writes at temperature 0; false where two tokens are too close to tell. */
static bool oracle_writes(oracle_rwkv7 *oracle, const egg_prompt *prompt, char text[MOST_TOKENS + 1])
{
    double logits[256];
    uint32_t n = 0;
    oracle_rwkv7_reset(oracle);
    for (uint32_t i = 0; i < prompt->count; i++) oracle_rwkv7_step(oracle, prompt->tokens[i], logits);
    memset(text, 0, MOST_TOKENS + 1);
    for (;;) {
        uint32_t best = 0, second = 1;
        for (uint32_t k = 1; k < 256; k++) {
            if (logits[k] > logits[best]) {
                second = best;
                best = k;
            } else if (second == best || logits[k] > logits[second]) {
                second = k;
            }
        }
        if (logits[best] - logits[second] < 1e-4) return false;
        if (best == EGG_TOKEN_END) return true;
        text[n++] = (char)best;
        if (n == MOST_TOKENS) return true;
        oracle_rwkv7_step(oracle, best, logits);
    }
}

static void test_members_write_what_perturbed_models_write(void **state)
{
    fixture *f = *state;
    egg_prompt prompts[QUESTIONS];
    outcome *out = malloc(sizeof *out);
    char expected[MOST_TOKENS + 1];
    uint32_t compared = 0, different = 0;
    make_prompts(prompts);
    ask(f, &(asking){.threads = 1, .sigma = 0.05f}, prompts, out);
    egg_perturb law = egg_perturb_f32(21, 4, RANK, 0.05f);
    for (uint32_t m = 0; m < MEMBERS; m++) {
        oracle_rwkv7 *oracle = oracle_rwkv7_open(f->shards);
        oracle_rwkv7_perturb(oracle, f->model, &law, FIRST_PAIR + m / 2, m % 2);
        for (uint32_t q = 0; q < QUESTIONS; q++) {
            if (!oracle_writes(oracle, &prompts[q], expected)) continue;
            assert_int_equal(out->bytes[m][q], strlen(expected));
            assert_memory_equal(out->text[m][q], expected, strlen(expected));
            compared++;
            different += strcmp(expected, out->text[0][q]) != 0;
        }
        oracle_rwkv7_close(oracle);
    }
    assert_true(compared > MEMBERS * QUESTIONS / 2 && different > 5);
    assert_int_equal(out->stats.answers, MEMBERS * QUESTIONS);
    assert_int_equal(out->stats.prompt_tokens, MEMBERS * (1 + 200 + 23));
    uint64_t tokens = 0;
    for (uint32_t m = 0; m < MEMBERS; m++)
        for (uint32_t q = 0; q < QUESTIONS; q++) tokens += out->tokens[m][q];
    assert_int_equal(out->stats.answer_tokens, tokens);
    free(out);
}

static void test_no_schedule_changes_an_answer(void **state)
{
    fixture *f = *state;
    static const uint32_t rows[] = {1, 2, 5, 7, 30, 64}, threads[] = {1, 1, 2, 3, 2, 1};
    static const char *const stops[] = {"e", "\x80", "xyz"};
    egg_prompt prompts[QUESTIONS];
    outcome *first = malloc(sizeof *first), *other = malloc(sizeof *other);
    make_prompts(prompts);
    for (int unperturbed = 0; unperturbed < 2; unperturbed++) {
        asking how = {.temperature = 0.9, .threads = 1, .sigma = 0.02f, .stops = stops, .stop_count = 3,
                      .unperturbed = unperturbed};
        ask(f, &how, prompts, first);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            how.rows = rows[i];
            how.threads = threads[i];
            ask(f, &how, prompts, other);
            check_same(first, other);
        }
    }
    free(first);
    free(other);
}

/* Without noise all members are the same model: then only the random numbers could tell them apart. */
static void test_members_share_their_luck(void **state)
{
    fixture *f = *state;
    egg_prompt prompts[QUESTIONS];
    outcome *out = malloc(sizeof *out);
    make_prompts(prompts);
    prompts[1] = prompts[2];
    ask(f, &(asking){.temperature = 2, .threads = 1, .sigma = 0}, prompts, out);
    for (uint32_t m = 1; m < MEMBERS; m++)
        for (uint32_t q = 0; q < QUESTIONS; q++) {
            assert_int_equal(out->bytes[m][q], out->bytes[0][q]);
            assert_memory_equal(out->text[m][q], out->text[0][q], out->bytes[0][q]);
        }
    assert_memory_not_equal(out->text[0][1], out->text[0][2], MOST_TOKENS);   /* another question has other luck */
    free(out);
}

typedef struct written {
    char text[64];
    size_t bytes;
} written;

static bool write_text(void *context, uint32_t stream, const char *text, size_t bytes)
{
    written *w = context;
    (void)stream;
    memcpy(w->text + w->bytes, text, bytes);
    w->bytes += bytes;
    return true;
}

/* The stops of generation, which find theirs by another route. */
static void test_answers_end_before_a_stop(void **state)
{
    fixture *f = *state;
    egg_prompt prompts[QUESTIONS];
    outcome *plain = malloc(sizeof *plain), *out = malloc(sizeof *out);
    make_prompts(prompts);
    ask(f, &(asking){.threads = 1, .unperturbed = true}, prompts, plain);
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        assert_true(plain->bytes[0][q] >= 6);
        char stop[3] = {plain->text[0][q][3], plain->text[0][q][4], '\0'};
        const char *const stops[] = {"\x01\x02\x03\x04\x05", stop};
        char prompt[201] = "";
        written w = {.bytes = 0};
        for (uint32_t i = 0; i < prompts[q].count; i++) prompt[i] = (char)prompts[q].tokens[i];
        const egg_writing writing = {.prompt = prompt,
                                     .streams = 1,
                                     .bytes = MOST_TOKENS,
                                     .stops = stops,
                                     .stop_count = 2,
                                     .sampling = {.top_p = 1}};
        assert_int_equal(egg_language_write(&f->language, NULL, &writing, write_text, &w, NULL), EGG_OK);
        ask(f, &(asking){.threads = 1, .unperturbed = true, .stops = stops, .stop_count = 2}, prompts, out);
        assert_true(w.bytes <= 3);
        assert_int_equal(out->bytes[0][q], w.bytes);
        assert_memory_equal(out->text[0][q], w.text, w.bytes);
        assert_true(out->tokens[0][q] <= 5);
    }
    free(plain);
    free(out);
}

/* ------------------------------------------------------------------------------------------------------- likelihood */

enum { LESSONS = 4, LESSON_TOKENS = 300 };

static void make_lessons(uint32_t tokens[LESSONS][LESSON_TOKENS], egg_lesson lessons[LESSONS])
{
    static const uint32_t counts[LESSONS] = {2, LESSON_TOKENS, 40, 41}, given[LESSONS] = {1, 290, 1, 20};
    for (uint32_t l = 0; l < LESSONS; l++) {
        for (uint32_t i = 0; i < counts[l]; i++) tokens[l][i] = (i * 31 + l * 7 + i * i) % 256;
        lessons[l] = (egg_lesson){.tokens = tokens[l], .count = counts[l], .given = given[l]};
    }
}

static double oracle_likes(oracle_rwkv7 *oracle, const egg_lesson *lesson)
{
    double logits[256], sum = 0;
    oracle_rwkv7_reset(oracle);
    for (uint32_t i = 0; i + 1 < lesson->count; i++) {
        oracle_rwkv7_step(oracle, lesson->tokens[i], logits);
        double most = logits[0], total = 0;
        for (uint32_t k = 1; k < 256; k++) most = fmax(most, logits[k]);
        for (uint32_t k = 0; k < 256; k++) total += exp(logits[k] - most);
        if (i + 1 >= lesson->given) sum += logits[lesson->tokens[i + 1]] - most - log(total);
    }
    return sum;
}

static void likelihood(const fixture *f, uint32_t rows, uint32_t threads, bool perturbed, const egg_lesson *lessons,
                       float *S)
{
    const egg_likelihood_shape task = {
        .pairs = PAIRS, .lessons = LESSONS, .rank = RANK, .rows = rows, .threads = threads};
    egg_perturb law = egg_perturb_f32(21, 4, RANK, 0.02f);
    egg_likelihood *likelihood;
    egg_pool *pool;
    egg_error error = {0};
    assert_int_equal(egg_pool_open(&pool, threads, NULL), EGG_OK);
    assert_int_equal(egg_likelihood_open(&likelihood, &task, &f->language, NULL), EGG_OK);
    egg_slice slice = {.first_pair = FIRST_PAIR, .pairs = PAIRS};
    if (egg_likelihood_run(likelihood, pool, perturbed ? &law : NULL, slice, lessons, LESSONS, S, &error) != EGG_OK)
        fail_msg("%s", error.text);
    egg_likelihood_close(likelihood);
    egg_pool_close(pool);
}

static void test_likelihoods_are_those_of_perturbed_models(void **state)
{
    fixture *f = *state;
    static uint32_t tokens[LESSONS][LESSON_TOKENS];
    egg_lesson lessons[LESSONS];
    float S[MEMBERS + 1][LESSONS];
    make_lessons(tokens, lessons);
    likelihood(f, 0, 1, true, lessons, S[0]);
    likelihood(f, 0, 1, false, lessons, S[MEMBERS]);
    egg_perturb law = egg_perturb_f32(21, 4, RANK, 0.02f);
    for (uint32_t m = 0; m <= MEMBERS; m++) {
        oracle_rwkv7 *oracle = oracle_rwkv7_open(f->shards);
        if (m < MEMBERS) oracle_rwkv7_perturb(oracle, f->model, &law, FIRST_PAIR + m / 2, m % 2);
        for (uint32_t l = 0; l < LESSONS; l++) {
            double expected = oracle_likes(oracle, &lessons[l]);
            if (!(fabs(S[m][l] - expected) < 1e-4 * fabs(expected)))
                fail_msg("member %u, lesson %u: %g, expected %g", m, l, S[m][l], expected);
        }
        oracle_rwkv7_close(oracle);
    }
    assert_true(fabsf(S[0][2] - S[1][2]) > 1e-3f && fabsf(S[0][2] - S[MEMBERS][2]) > 1e-3f);
}

static void test_no_batch_changes_a_likelihood(void **state)
{
    fixture *f = *state;
    static uint32_t tokens[LESSONS][LESSON_TOKENS];
    static const uint32_t rows[] = {1, 3, 50, 64, 1000}, threads[] = {1, 2, 3, 1, 2};
    egg_lesson lessons[LESSONS];
    float first[MEMBERS][LESSONS], other[MEMBERS][LESSONS];
    make_lessons(tokens, lessons);
    for (int perturbed = 0; perturbed < 2; perturbed++) {
        memset(first, 0, sizeof first);
        memset(other, 0, sizeof other);
        likelihood(f, 0, 1, perturbed, lessons, first[0]);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            likelihood(f, rows[i], threads[i], perturbed, lessons, other[0]);
            assert_memory_equal(first, other, sizeof first);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------- fitness */

static void test_fitness_as_the_paper_has_it(void **state)
{
    (void)state;
    enum { N = 6, M = 5 };
    float S[N * M], fitness[N];
    egg_range ranges[M];
    uint32_t random = 3;
    egg_answer_scores scores;
    for (int i = 0; i < N * M; i++) S[i] = (float)((random = random * 1664525u + 1013904223u) >> 24);
    for (int i = 0; i < N; i++) S[i * M + 2] = 9;   /* the same for everybody */
    long double mean = 0, variance = 0;
    for (int k = 0; k < N * M; k++) mean += S[k] / (long double)(N * M);
    for (int k = 0; k < N * M; k++) variance += (S[k] - mean) * (S[k] - mean) / (N * M);
    for (int centred = 0; centred < 2; centred++) {
        egg_answers_part all = {.S = S, .ranges = ranges, .here = N, .members = N, .questions = M};
        assert_int_equal(egg_answers_fitness(&scores, &all, centred, fitness, NULL, NULL), EGG_OK);
        for (int i = 0; i < N; i++) {
            long double expected = 0;
            for (int j = 0; j < M; j++) {
                long double base = 0;
                for (int k = 0; k < N; k++) base += S[k * M + j] / (long double)N;
                expected += (centred ? (S[i * M + j] - base) / sqrtl(variance + 1e-5L) : S[i * M + j]) / M;
            }
            assert_true(fabsl(fitness[i] - expected) < 1e-5L * (1 + fabsl(expected)));
        }
    }
    assert_int_equal(scores.equal, 1);
    assert_int_equal(scores.invalid, 0);
    assert_true(fabsl(scores.mean - mean) < 1e-9L && fabsl(scores.deviation - sqrtl(variance)) < 1e-9L);
}

static void test_rewards_that_are_no_numbers(void **state)
{
    (void)state;
    float S[] = {1, NAN, NAN, 3, INFINITY, NAN, 2, 5, NAN, 4, 2, NAN}, fitness[4];   /* (4 members, 3 questions) */
    egg_answer_scores scores;
    egg_range ranges[3];
    egg_answers_part all = {.S = S, .ranges = ranges, .here = 4, .members = 4, .questions = 3};
    assert_int_equal(egg_answers_fitness(&scores, &all, false, fitness, NULL, NULL), EGG_OK);
    assert_int_equal(scores.invalid, 6);
    assert_int_equal(scores.equal, 1);
    assert_true(S[1] == 2 && S[4] == 2 && S[2] == 0 && S[11] == 0);
    assert_true(scores.best == 7 / 3.0 && scores.worst == 1 && fitness[0] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_write_what_perturbed_models_write),
        cmocka_unit_test(test_no_schedule_changes_an_answer),
        cmocka_unit_test(test_members_share_their_luck),
        cmocka_unit_test(test_answers_end_before_a_stop),
        cmocka_unit_test(test_likelihoods_are_those_of_perturbed_models),
        cmocka_unit_test(test_no_batch_changes_a_likelihood),
        cmocka_unit_test(test_fitness_as_the_paper_has_it),
        cmocka_unit_test(test_rewards_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
