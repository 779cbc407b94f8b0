/* SPDX-License-Identifier: MIT */
/*
 * Exact sums: against integers and cases whose rounding is known; no order and no division changes a bit. And what is
 * built on them: shaping by several ranks, here threads, against one that has all members.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/exact_sum.h"
#include "es/answers.h"
#include "es/score.h"

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static double sum_of(const double *x, size_t n)
{
    egg_exact_sum sum = {0};
    for (size_t i = 0; i < n; i++) egg_exact_add(&sum, x[i]);
    return egg_exact_value(&sum);
}

#define SUM(...) sum_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static void test_known_sums(void **state)
{
    (void)state;
    assert_true(SUM(0.0) == 0 && SUM(-0.0, 0.0) == 0);
    assert_true(SUM(1.0) == 1 && SUM(-3.5) == -3.5 && SUM(0.1, -0.1) == 0);
    assert_true(SUM(1e300, 1.0, -1e300) == 1);
    assert_true(SUM(1e300, 5e-324, -1e300) == 5e-324 && SUM(-5e-324, 1e308, -1e308) == -5e-324);
    assert_true(SUM(DBL_MAX, DBL_MAX, -DBL_MAX) == DBL_MAX && SUM(DBL_MAX, DBL_MAX) == INFINITY);
    assert_true(SUM(DBL_MIN, -5e-324) == DBL_MIN - 5e-324);
    /* Rounded once: halves to even, unless anything at all lies below. */
    assert_true(SUM(0x1p53, 1.0) == 0x1p53 && SUM(0x1p53, 3.0) == 0x1p53 + 4);
    assert_true(SUM(0x1p53, 1.0, 5e-324) == 0x1p53 + 2 && SUM(0x1p53, 1.0, -5e-324) == 0x1p53);
    assert_true(SUM(-0x1p53, -1.0, -5e-324) == -0x1p53 - 2);
}

static void test_integers(void **state)
{
    (void)state;
    uint64_t random = 1;
    int64_t expected = 0;
    egg_exact_sum sum = {0};
    for (int i = 0; i < 10000; i++) {
        int64_t x = (int64_t)(next_random(&random) % 2000001) - 1000000;
        expected += x;
        egg_exact_add(&sum, (double)x);
        if (i % 100 == 0) assert_true(egg_exact_value(&sum) == (double)expected);
    }
    assert_true(egg_exact_value(&sum) == (double)expected);
}

enum { TERMS = 3000 };

static void make_terms(double x[TERMS])
{
    uint64_t random = 7;
    for (int i = 0; i < TERMS; i++)
        x[i] = ldexp((double)next_random(&random) - 0x1p30, (int)(next_random(&random) % 2000) - 1040);
}

/* Forwards, backwards, and as sums of parts, added limb by limb as ranks do. */
static void test_any_order(void **state)
{
    (void)state;
    static double x[TERMS];
    make_terms(x);
    const double expected = sum_of(x, TERMS);
    egg_exact_sum back = {0}, all = {0};
    for (int i = TERMS; i-- > 0;) egg_exact_add(&back, x[i]);
    assert_true(egg_exact_value(&back) == expected);
    for (int part = 0; part < 7; part++) {
        egg_exact_sum sum = {0};
        for (int i = part; i < TERMS; i += 7) egg_exact_add(&sum, x[i]);
        egg_exact_settle(&sum);
        for (int i = 0; i + 1 < EGG_EXACT_LIMBS; i++) assert_true(sum.limb[i] >= 0 && sum.limb[i] >> 32 == 0);
        for (int i = 0; i < EGG_EXACT_LIMBS; i++) all.limb[i] += sum.limb[i];
    }
    assert_true(egg_exact_value(&all) == expected);
    egg_exact_sum whole = {0};
    for (int i = 0; i < TERMS; i++) egg_exact_add(&whole, x[i]);
    for (int i = 0; i < TERMS; i++) egg_exact_add(&whole, -x[i]);
    assert_true(egg_exact_value(&whole) == 0);
}

/* ----------------------------------------------------------------------------------------------- ranks that are threads */

enum { RANKS = 3, MEMBERS = 90, QUESTIONS = 2, VALUES = 128 };

typedef struct meeting_point {
    pthread_barrier_t barrier;
    int64_t sums[RANKS][VALUES];
    double maxima[RANKS][VALUES];
} meeting_point;

typedef struct thread_rank {
    egg_comm base;
    meeting_point *meeting;
    pthread_t thread;
    const egg_shaping *shaping;
    bool centred;
    uint32_t first, here;          /* members */
    float fitness[MEMBERS], weight[MEMBERS], scratch[MEMBERS], S[MEMBERS * QUESTIONS];
    egg_scores scores;
    egg_answer_scores answers;
} thread_rank;

static egg_status meet_sum(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error)
{
    meeting_point *meeting = ((thread_rank *)comm)->meeting;
    (void)error;
    memcpy(meeting->sums[comm->rank], values, count * sizeof *values);
    pthread_barrier_wait(&meeting->barrier);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = 0;
        for (int r = 0; r < RANKS; r++) values[i] += meeting->sums[r][i];
    }
    pthread_barrier_wait(&meeting->barrier);
    return EGG_OK;
}

static egg_status meet_max(egg_comm *comm, double *values, uint32_t count, egg_error *error)
{
    meeting_point *meeting = ((thread_rank *)comm)->meeting;
    (void)error;
    memcpy(meeting->maxima[comm->rank], values, count * sizeof *values);
    pthread_barrier_wait(&meeting->barrier);
    for (uint32_t i = 0; i < count; i++)
        for (int r = 0; r < RANKS; r++) values[i] = fmax(values[i], meeting->maxima[r][i]);
    pthread_barrier_wait(&meeting->barrier);
    return EGG_OK;
}

static const egg_comm_ops meeting_ops = {.sum = meet_sum, .max = meet_max};

static void *shape_part(void *context)
{
    thread_rank *rank = context;
    rank->scores.weight = rank->weight;
    egg_scores_shape_part(&rank->scores, rank->shaping, rank->fitness, rank->here, MEMBERS, &rank->base, rank->scratch,
                          NULL);
    return NULL;
}

static void *weigh_answers(void *context)
{
    thread_rank *rank = context;
    egg_range ranges[QUESTIONS];
    egg_answers_part part = {.S = rank->S, .ranges = ranges, .here = rank->here, .members = MEMBERS,
                             .questions = QUESTIONS};
    egg_answers_fitness(&rank->answers, &part, rank->centred, rank->fitness, &rank->base, NULL);
    return NULL;
}

/* The middle one has a single pair. */
static void open_ranks(thread_rank ranks[RANKS], meeting_point *meeting)
{
    static const uint32_t bounds[RANKS + 1] = {0, 36, 38, MEMBERS};
    pthread_barrier_init(&meeting->barrier, NULL, RANKS);
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r] = (thread_rank){.base = {.ops = &meeting_ops, .rank = r, .size = RANKS}, .meeting = meeting,
                                 .first = bounds[r], .here = bounds[r + 1] - bounds[r]};
}

static void run_ranks(thread_rank ranks[RANKS], void *(*work)(void *))
{
    for (int r = 0; r < RANKS; r++) pthread_create(&ranks[r].thread, NULL, work, &ranks[r]);
    for (int r = 0; r < RANKS; r++) pthread_join(ranks[r].thread, NULL);
}

static void make_fitness(float *fitness, size_t n, int kind)
{
    uint64_t random = (uint64_t)kind + 3;
    for (size_t i = 0; i < n; i++) fitness[i] = (float)ldexp((double)next_random(&random), -20 - (int)(i % 5)) - 300;
    if (kind % 2) fitness[1] = NAN, fitness[36] = INFINITY, fitness[n - 1] = -INFINITY;
}

/* The same bits as from one rank that has all members. */
static void test_shaping_in_parts(void **state)
{
    (void)state;
    static thread_rank ranks[RANKS];
    static meeting_point meeting;
    for (int kind = EGG_SHAPING_ZSCORE; kind <= EGG_SHAPING_GIVEN; kind++)
        for (int variant = 0; variant < 4; variant++) {
            const egg_shaping shaping = {.kind = (egg_shaping_kind)kind, .antithetic = variant < 2};
            float all[MEMBERS], weight[MEMBERS], scratch[MEMBERS];
            uint32_t each = shaping.antithetic ? 2 : 1;
            egg_scores expected = {.weight = weight};
            bool separable = kind == EGG_SHAPING_ZSCORE || kind == EGG_SHAPING_SIGN || kind == EGG_SHAPING_GIVEN;
            assert_int_equal(egg_shaping_is_separable(&shaping, MEMBERS), separable);
            if (!separable) continue;
            open_ranks(ranks, &meeting);
            make_fitness(all, MEMBERS, variant);
            for (int r = 0; r < RANKS; r++) {
                ranks[r].shaping = &shaping;
                memcpy(ranks[r].fitness, all + ranks[r].first, ranks[r].here * sizeof *all);
            }
            run_ranks(ranks, shape_part);
            egg_scores_shape(&expected, &shaping, all, MEMBERS, scratch, NULL);
            for (int r = 0; r < RANKS; r++) {
                const egg_scores *found = &ranks[r].scores;
                assert_memory_equal(ranks[r].weight, weight + ranks[r].first / each,
                                    ranks[r].here / each * sizeof *weight);
                assert_true(found->mean == expected.mean && found->deviation == expected.deviation);
                assert_true(found->best == expected.best && found->worst == expected.worst);
                assert_int_equal(found->invalid, variant % 2 ? 3 : 0);
            }
            pthread_barrier_destroy(&meeting.barrier);
        }
    assert_false(egg_shaping_is_separable(&(egg_shaping){.kind = EGG_SHAPING_ZSCORE, .group = 10}, MEMBERS));
    assert_true(egg_shaping_is_separable(&(egg_shaping){.kind = EGG_SHAPING_ZSCORE, .group = MEMBERS}, MEMBERS));
    assert_true(egg_shaping_is_separable(&(egg_shaping){EGG_SHAPING_SIGN, .group = 10, .antithetic = true}, MEMBERS));
    assert_false(egg_shaping_is_separable(&(egg_shaping){EGG_SHAPING_SIGN, .group = 10}, MEMBERS));
}

static void test_answers_in_parts(void **state)
{
    (void)state;
    static thread_rank ranks[RANKS];
    static meeting_point meeting;
    for (int variant = 0; variant < 4; variant++) {
        float S[MEMBERS * QUESTIONS], fitness[MEMBERS];
        egg_range ranges[QUESTIONS];
        egg_answer_scores expected;
        egg_answers_part whole = {.S = S, .ranges = ranges, .here = MEMBERS, .members = MEMBERS,
                                  .questions = QUESTIONS};
        open_ranks(ranks, &meeting);
        make_fitness(S, MEMBERS * QUESTIONS, variant);
        for (int r = 0; r < RANKS; r++) {
            ranks[r].centred = variant < 2;
            memcpy(ranks[r].S, S + QUESTIONS * ranks[r].first, QUESTIONS * ranks[r].here * sizeof *S);
        }
        run_ranks(ranks, weigh_answers);
        egg_answers_fitness(&expected, &whole, variant < 2, fitness, NULL, NULL);
        assert_int_equal(expected.invalid, variant % 2 ? 3 : 0);
        for (int r = 0; r < RANKS; r++) {
            const egg_answer_scores *found = &ranks[r].answers;
            assert_memory_equal(ranks[r].fitness, fitness + ranks[r].first, ranks[r].here * sizeof *fitness);
            assert_true(found->mean == expected.mean && found->deviation == expected.deviation);
            assert_true(found->best == expected.best && found->worst == expected.worst);
            assert_true(found->equal == expected.equal && found->invalid == expected.invalid);
        }
        pthread_barrier_destroy(&meeting.barrier);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sums),       cmocka_unit_test(test_integers),
        cmocka_unit_test(test_any_order),        cmocka_unit_test(test_shaping_in_parts),
        cmocka_unit_test(test_answers_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
