/* SPDX-License-Identifier: MIT */
/*
 * What ranks do, without MPI: shares of an update, slices by speed, failing together. tests/test_ranks.sh runs real
 * ranks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "es/update.h"
#include "es/update_f32.h"
#include "pretended_device.h"
#include "train/ranks.h"

enum { PARAMS = 4, PAIRS = 24, PARTS = 3 };

static const struct {
    egg_param_kind kind;
    uint32_t out, in;
} shapes[PARAMS] = {{EGG_PARAM_EMBEDDING, 256, 32}, {EGG_PARAM_MATRIX, 400, 32}, {EGG_PARAM_VECTOR, 1, 64},
                    {EGG_PARAM_MATRIX, 32, 160}};

static void open_params(egg_param params[PARAMS], egg_dtype dtype, const egg_kernels *kernels)
{
    static const char *const names[PARAMS] = {"embedding", "tall", "vector", "wide"};
    for (uint32_t i = 0; i < PARAMS; i++) {
        assert_int_equal(egg_param_open(&params[i], kernels, i, shapes[i].kind, dtype, shapes[i].out, shapes[i].in,
                                        names[i], NULL), EGG_OK);
        if (dtype == EGG_I8) egg_param_init_normal_i8(&params[i], 5, 12);
        else egg_param_init_normal_f32(&params[i], 5, 0.3f);
    }
}

static void close_params(egg_param params[PARAMS])
{
    for (uint32_t i = 0; i < PARAMS; i++) egg_param_close(&params[i]);
}

static void assert_params_equal(const egg_param *a, const egg_param *b)
{
    for (uint32_t i = 0; i < PARAMS; i++) {
        size_t n = egg_param_elements(&a[i]);
        assert_memory_equal(a[i].data, b[i].data, n * egg_dtype_bytes(a[i].dtype));
        if (a[i].fraction) assert_memory_equal(a[i].fraction, b[i].fraction, n * sizeof(int16_t));
        for (int k = 0; k < 2; k++)
            if (a[i].moment[k]) assert_memory_equal(a[i].moment[k], b[i].moment[k], n * sizeof(float));
    }
}

/* ----------------------------------------------------------------------------------------------------------- shards */

/*
 * For any number of parts every row is in exactly one, rows of a part lie together, and frozen parameters are in none.
 */
static void test_shards_cover(void **state)
{
    (void)state;
    egg_kernels kernels;
    egg_param params[PARAMS];
    egg_kernels_init(&kernels, 0);
    open_params(params, EGG_I8, &kernels);
    params[3].frozen = true;
    for (uint32_t parts = 1; parts <= 40; parts++) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < PARAMS; i++) {
            uint32_t next = 0;
            for (uint32_t p = 0; p < parts; p++) {
                egg_rows rows = egg_shard_rows(params, PARAMS, i, (egg_shard){p, parts});
                if (rows.count) assert_int_equal(rows.first, next);
                assert_true(rows.first % EGG_SHARD_ROWS == 0 || rows.count == 0);
                next += rows.count;
            }
            assert_int_equal(next, params[i].frozen ? 0 : params[i].out);
        }
        for (uint32_t p = 0; p < parts; p++)
            bytes += egg_shard_bytes(params, PARAMS, (egg_shard){p, parts}, EGG_SHARD_DATA);
        assert_int_equal(bytes, 256 * 32 + 400 * 32 + 64);
        assert_int_equal(egg_shard_bytes(params, PARAMS, (egg_shard){0, parts}, EGG_SHARD_FRACTION), 0);
    }
    close_params(params);
}

/* What is taken from one set of parameters shard by shard and put into another makes them equal. */
static void test_shards_travel(void **state)
{
    (void)state;
    egg_kernels kernels;
    egg_param from[PARAMS], to[PARAMS];
    char packed[40000];
    egg_kernels_init(&kernels, 0);
    open_params(from, EGG_I8, &kernels);
    open_params(to, EGG_I8, &kernels);
    for (uint32_t i = 0; i < PARAMS; i++) memset(to[i].data, 99, egg_param_elements(&to[i]));
    for (uint32_t p = 0; p < PARTS; p++) {
        egg_shard shard = {p, PARTS};
        assert_true(egg_shard_bytes(from, PARAMS, shard, EGG_SHARD_DATA) <= sizeof packed);
        egg_shard_take(from, PARAMS, shard, EGG_SHARD_DATA, packed);
        egg_shard_put(to, PARAMS, shard, EGG_SHARD_DATA, packed);
    }
    assert_params_equal(from, to);
    close_params(from);
    close_params(to);
}

/* The shards of an update, one after the other, are the update. */
static void test_update_in_shards(void **state)
{
    (void)state;
    const char *unknown;
    egg_kernels kernels;
    egg_param whole[PARAMS], shared[PARAMS];
    egg_update *one, *many;
    int8_t F[PAIRS];
    egg_perturb law = egg_perturb_i8(3, 1, 1, 4);
    egg_step step = egg_step_fractional(1 << 24, 40 * 40 * PAIRS, 1);
    uint64_t changed = 0;
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    open_params(whole, EGG_I8, &kernels);
    open_params(shared, EGG_I8, &kernels);
    for (uint32_t i = 0; i < PARAMS; i++) {
        whole[i].fraction = calloc(egg_param_elements(&whole[i]), sizeof(int16_t));
        shared[i].fraction = calloc(egg_param_elements(&shared[i]), sizeof(int16_t));
        for (size_t k = 0; k < egg_param_elements(&whole[i]); k++)
            whole[i].fraction[k] = shared[i].fraction[k] = (int16_t)(256 * ((int8_t *)whole[i].data)[k]);
    }
    for (int p = 0; p < PAIRS; p++) F[p] = (int8_t)(p % 2 ? 40 : -40);
    assert_int_equal(egg_update_open(&one, whole, PARAMS, 1, 1, NULL), EGG_OK);
    assert_int_equal(egg_update_open(&many, shared, PARAMS, 1, 2, NULL), EGG_OK);
    uint64_t expected = egg_update_run(one, &kernels, NULL, &law, &step, F, PAIRS);
    for (uint32_t p = 0; p < PARTS; p++) {
        egg_update_share(many, (egg_shard){p, PARTS});
        changed += egg_update_rows(many, &kernels, NULL, &law, &step, F, PAIRS);
    }
    assert_params_equal(whole, shared);
    assert_int_equal(changed, expected);
    assert_true(changed > 0);
    egg_update_close(one);
    egg_update_close(many);
    for (uint32_t i = 0; i < PARAMS; i++) {
        free(whole[i].fraction), free(shared[i].fraction);
        whole[i].fraction = shared[i].fraction = NULL;
    }
    close_params(whole);
    close_params(shared);
}

static egg_update_shape float_shape(float clip, egg_optimizer_kind kind)
{
    return (egg_update_shape){.optimizer = {.kind = kind, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f,
                                            .clip = clip},
                              .rank = 2, .threads = 1};
}

static void check_float_update(float clip, egg_optimizer_kind kind)
{
    const char *unknown;
    egg_kernels kernels;
    egg_param whole[PARAMS], shared[PARAMS];
    egg_update_f32 *one, *many;
    float weight[PAIRS];
    egg_perturb law = egg_perturb_f32(3, 1, 2, 0.1f);
    egg_update_shape shape = float_shape(clip, kind);
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    open_params(whole, EGG_F32, &kernels);
    open_params(shared, EGG_F32, &kernels);
    for (int p = 0; p < PAIRS; p++) weight[p] = 0.01f * (float)(p - 9);
    assert_int_equal(egg_update_f32_open(&one, whole, PARAMS, &shape, NULL), EGG_OK);
    assert_int_equal(egg_update_f32_open(&many, shared, PARAMS, &shape, NULL), EGG_OK);
    double norm = egg_update_f32_run(one, &kernels, NULL, &law, weight, PAIRS, 1, 0.1).gradient_norm;
    uint32_t tasks = 0;
    for (uint32_t p = 0; p < PARTS; p++) {
        egg_rows part = egg_update_f32_groups(many, (egg_shard){p, PARTS});
        if (part.count) assert_int_equal(part.first, tasks);
        tasks += part.count;
        egg_update_f32_share(many, (egg_shard){p, PARTS});
        egg_update_f32_estimate(many, &kernels, NULL, &law, weight, PAIRS, 1, 0.1);
    }
    for (uint32_t p = 0; p < PARTS; p++) {   /* the scale that the first one's step sets is that of all */
        egg_update_f32_share(many, (egg_shard){p, PARTS});
        assert_true(egg_update_f32_step(many, NULL).gradient_norm == norm);
    }
    assert_int_equal(tasks, 2 + 4 + 1 + 1);
    assert_params_equal(whole, shared);
    assert_true(norm > 0);
    egg_update_f32_close(one);
    egg_update_f32_close(many);
    close_params(whole);
    close_params(shared);
}

static void test_float_update_in_shards(void **state)
{
    (void)state;
    check_float_update(0, EGG_OPTIMIZER_ADAM);
    check_float_update(0.001f, EGG_OPTIMIZER_ADAM);
    check_float_update(0.001f, EGG_OPTIMIZER_SGD);
}

/* Moments, and gradients if wanted, of the rows of 'kept' equal those rows of 'whole', whose copies are of all. */
static void assert_copies_equal(const egg_param *whole, const egg_param *kept, uint32_t index, egg_shard shard,
                                bool gradients)
{
    egg_rows rows = egg_shard_rows(kept, PARAMS, index, shard);
    const egg_param *a = &whole[index], *b = &kept[index];
    size_t first = (size_t)rows.first * a->in, bytes = (size_t)rows.count * a->in * sizeof(float);
    assert_int_equal(b->kept_rows, rows.count);
    assert_true(rows.count == 0 || b->kept_first == rows.first);
    for (int k = 0; k < 2; k++) assert_memory_equal(a->moment[k] + first, b->moment[k], bytes);
    if (gradients) assert_memory_equal(a->gradient + first, b->gradient, bytes);
}

/*
 * A rank that has moments of its rows only, from the start or after it gave the others up, steps them as one that has
 * all; together they take the bytes of one.
 */
static void test_moments_of_a_share(void **state)
{
    (void)state;
    const char *unknown;
    egg_kernels kernels;
    float weight[PAIRS];
    egg_perturb law = egg_perturb_f32(3, 1, 2, 0.1f);
    egg_update_shape shape = float_shape(0.001f, EGG_OPTIMIZER_ADAM);
    egg_kernels_init(&kernels, egg_cpu_levels(&unknown));
    for (int p = 0; p < PAIRS; p++) weight[p] = 0.01f * (float)(p - 9);
    uint64_t all = 0, scratch;
    for (uint32_t p = 0; p < PARTS; p++) {
        egg_param whole[PARAMS], first[PARAMS], later[PARAMS];
        egg_update_f32 *one, *from_start, *shrunk;
        egg_update_shape part = shape;
        part.shard = (egg_shard){p, PARTS};
        open_params(whole, EGG_F32, &kernels);
        open_params(first, EGG_F32, &kernels);
        open_params(later, EGG_F32, &kernels);
        assert_int_equal(egg_update_f32_open(&one, whole, PARAMS, &shape, NULL), EGG_OK);
        assert_int_equal(egg_update_f32_open(&from_start, first, PARAMS, &part, NULL), EGG_OK);
        assert_int_equal(egg_update_f32_open(&shrunk, later, PARAMS, &shape, NULL), EGG_OK);
        egg_update_f32_run(one, &kernels, NULL, &law, weight, PAIRS, 1, 0.1);
        egg_update_f32_run(shrunk, &kernels, NULL, &law, weight, PAIRS, 1, 0.1);
        egg_update_f32_shrink(shrunk, part.shard);
        egg_update_f32_share(from_start, part.shard);
        memcpy(egg_update_f32_squares(from_start), egg_update_f32_squares(one), 8 * sizeof(double));
        egg_update_f32_estimate(from_start, &kernels, NULL, &law, weight, PAIRS, 1, 0.1);
        egg_update_f32_step(from_start, NULL);
        for (uint32_t i = 0; i < PARAMS; i++) {
            assert_copies_equal(whole, first, i, part.shard, true);
            assert_copies_equal(whole, later, i, part.shard, false);
        }
        egg_update_f32_run(one, &kernels, NULL, &law, weight, PAIRS, 2, 0.1);
        egg_update_f32_share(shrunk, part.shard);
        memcpy(egg_update_f32_squares(shrunk), egg_update_f32_squares(one), 8 * sizeof(double));
        egg_update_f32_estimate(shrunk, &kernels, NULL, &law, weight, PAIRS, 2, 0.1);
        egg_update_f32_step(shrunk, NULL);
        for (uint32_t i = 0; i < PARAMS; i++) assert_copies_equal(whole, later, i, part.shard, true);
        all += egg_update_f32_bytes(first, PARAMS, &part);
        egg_update_f32_close(one);
        egg_update_f32_close(from_start);
        egg_update_f32_close(shrunk);
        close_params(whole);
        close_params(first);
        close_params(later);
    }
    egg_param params[PARAMS];
    open_params(params, EGG_F32, &kernels);
    shape.optimizer = (egg_optimizer){.kind = EGG_OPTIMIZER_SGD};
    scratch = egg_update_f32_bytes(params, PARAMS, &shape);
    shape = float_shape(0.001f, EGG_OPTIMIZER_ADAM);
    assert_int_equal(all - PARTS * scratch, egg_update_f32_bytes(params, PARAMS, &shape) - scratch);
    assert_int_equal(all - PARTS * scratch, 3 * sizeof(float) * (256 * 32 + 400 * 32 + 64 + 32 * 160));
    close_params(params);
}

/* Room for all rows on a rank that has some, and back. */
static void test_wide_and_narrow(void **state)
{
    (void)state;
    egg_kernels kernels;
    egg_param params[PARAMS];
    egg_update_f32 *update;
    egg_update_shape shape = float_shape(0.001f, EGG_OPTIMIZER_ADAM);
    egg_ranks ranks = {.rank = 0, .size = PARTS, .shard = {1, PARTS}};
    shape.shard = ranks.shard;
    egg_kernels_init(&kernels, 0);
    open_params(params, EGG_F32, &kernels);
    assert_int_equal(egg_update_f32_open(&update, params, PARAMS, &shape, NULL), EGG_OK);
    egg_rows rows = egg_shard_rows(params, PARAMS, 1, shape.shard);
    assert_true(rows.first > 0 && rows.count > 0 && rows.count < params[1].out);
    float *own = params[1].moment[1];
    own[0] = 5;
    egg_error error;
    assert_false(egg_ranks_has_all_moments(&ranks, params, PARAMS));
    assert_int_not_equal(egg_ranks_widen(&ranks, "/nonexistent", params, PARAMS, &error), EGG_OK);
    assert_non_null(strstr(error.text, "/nonexistent"));
    assert_true(params[1].moment[1] == own);
    assert_int_equal(egg_ranks_widen(&ranks, ".", params, PARAMS, &error), EGG_OK);
    assert_true(egg_ranks_has_all_moments(&ranks, params, PARAMS));
    float *wide = params[1].moment[1];
    assert_true(wide != own && params[1].kept_first == 0 && params[1].kept_rows == params[1].out);
    assert_true(wide[rows.first * params[1].in] == 5 && wide[0] == 0 && wide[egg_param_elements(&params[1]) - 1] == 0);
    wide[0] = 7;
    wide[rows.first * params[1].in + 1] = 6;
    egg_ranks_narrow(&ranks, params, PARAMS);
    assert_true(params[1].moment[1] == own && own[0] == 5 && own[1] == 6);
    assert_true(params[1].kept_first == rows.first && params[1].kept_rows == rows.count);
    egg_ranks_narrow(&ranks, params, PARAMS);   /* again: nothing */
    egg_update_f32_close(update);
    close_params(params);
}

/* The same on a device: kernels work on all rows while it is wide, and what they leave of our own stays. */
static void test_wide_on_a_device(void **state)
{
    (void)state;
    const egg_kernels kernels = pretended_kernels(true);
    egg_param params[PARAMS];
    egg_update_f32 *update;
    egg_update_shape shape = float_shape(0.001f, EGG_OPTIMIZER_ADAM);
    egg_ranks ranks = {.rank = 0, .size = PARTS, .shard = {1, PARTS}};
    shape.shard = ranks.shard;
    shape.pairs = PAIRS;
    open_params(params, EGG_F32, &kernels);
    assert_int_equal(egg_update_f32_open(&update, params, PARAMS, &shape, NULL), EGG_OK);
    const egg_param *param = &params[1];
    const egg_rows rows = egg_shard_rows(params, PARAMS, 1, shape.shard);
    const size_t first = (size_t)rows.first * param->in, blocks = pretended_blocks();
    float *own = egg_param_kernel_moment(param, 1), *gradient = param->gradient;
    own[0] = 5;                                     /* as a kernel would */
    param->mirror->ahead = param->mirror->moments_ahead = true;
    egg_error error;
    assert_int_equal(egg_ranks_widen(&ranks, ".", params, PARAMS, &error), EGG_OK);
    assert_true(param->moment[1][first] == 5);
    egg_params_send(params, PARAMS);
    float *wide = egg_param_kernel_moment(param, 1);
    assert_true(wide != own && param->gradient != gradient && wide[first] == 5);
    wide[first] = 6;
    wide[egg_param_elements(param) - 1] = 7;
    param->gradient[egg_param_elements(param) - 1] = 8;
    param->mirror->moments_ahead = true;
    egg_ranks_narrow(&ranks, params, PARAMS);
    assert_true(egg_param_kernel_moment(param, 1) == own && own[0] == 6 && param->moment[1][0] == 6);
    assert_true(param->gradient == gradient && param->kept_rows == rows.count);
    assert_int_equal(pretended_blocks(), blocks);
    pretended.left = 3;                             /* less than it takes: as it was, and an error that says so */
    assert_int_equal(egg_ranks_widen(&ranks, ".", params, PARAMS, &error), EGG_ERR_NOMEM);
    pretended.left = SIZE_MAX;
    assert_non_null(strstr(error.text, "a pretended device"));
    assert_true(egg_param_kernel_moment(param, 1) == own && own[0] == 6 && !ranks.all_rows);
    assert_int_equal(pretended_blocks(), blocks);
    egg_update_f32_close(update);
    close_params(params);
    assert_int_equal(pretended_blocks(), 0);
}

/* ----------------------------------------------------------------------------------------------------------- slices */

static void test_weigh(void **state)
{
    (void)state;
    uint64_t bounds[5];
    egg_ranks_weigh((const float[]){0, 0, 0}, 3, 46, bounds);
    assert_memory_equal(bounds, ((const uint64_t[]){0, 15, 31, 46}), 4 * sizeof *bounds);
    egg_ranks_weigh((const float[]){300, 100, 0, 400}, 4, 3200, bounds);   /* an unknown speed: the mean, 266.7 */
    assert_memory_equal(bounds, ((const uint64_t[]){0, 900, 1200, 2000, 3200}), 5 * sizeof *bounds);
    egg_ranks_weigh((const float[]){1, 1, 1, 1}, 4, 2, bounds);
    for (int i = 0; i < 4; i++) assert_true(bounds[i] <= bounds[i + 1]);
    assert_int_equal(bounds[4], 2);
}

/* -------------------------------------------------------------------------------------------------------- agreement */

/* Two other ranks that are made up: they hold what the test says. */
typedef struct pretended_comm {
    egg_comm base;
    char *others;              /* (size) what an all-gather finds of each */
    int64_t add;               /* to the first sum, to the others nothing */
    uint32_t gathers;
} pretended_comm;

static egg_status pretend_allgather(egg_comm *comm, void *all, const size_t *bytes, egg_error *error)
{
    (void)error;
    pretended_comm *p = (pretended_comm *)comm;
    char *to = all;
    const char *from = p->others;
    p->gathers++;
    for (uint32_t r = 0; r < comm->size; to += bytes[r], from += bytes[r], r++)
        if (r != comm->rank) memcpy(to, from, bytes[r]);
    return EGG_OK;
}

static egg_status pretend_sum(egg_comm *comm, int64_t *values, uint32_t count, egg_error *error)
{
    (void)error, (void)count;
    values[0] += ((pretended_comm *)comm)->add;
    return EGG_OK;
}

static egg_status lose(egg_comm *comm, void *all, const size_t *bytes, egg_error *error)
{
    (void)comm, (void)all, (void)bytes;
    return egg_fail(error, EGG_ERR_COMM, "gone");
}

static const egg_comm_ops pretend_ops = {.allgather = pretend_allgather, .sum = pretend_sum};
static const egg_comm_ops lost_ops = {.allgather = lose, .sum = pretend_sum};

static egg_ranks pretend_ranks(pretended_comm *p, uint32_t rank)
{
    p->base = (egg_comm){.ops = &pretend_ops, .rank = rank, .size = 3};
    return (egg_ranks){.comm = &p->base, .rank = rank, .size = 3, .shard = {0, 1}};
}

/* As ranks.c lays them out. */
typedef struct other_hash {
    egg_hash hash;
    char host[64];
} other_hash;

typedef struct other_report {
    int32_t status;
    char host[64];
    char text[256];
} other_report;

static void test_compare(void **state)
{
    (void)state;
    const egg_hash good = {1, 2}, bad = {1, 3};
    egg_error error;
    other_hash others[3] = {{good, "alpha"}, {good, "beta"}, {good, "gamma"}};
    pretended_comm p = {.others = (char *)others};
    egg_ranks ranks = pretend_ranks(&p, 0);
    assert_int_equal(egg_ranks_compare(&ranks, good, "the weights", &error), EGG_OK);
    others[2].hash = bad;
    assert_int_equal(egg_ranks_compare(&ranks, good, "the weights", &error), EGG_ERR_COMM);
    assert_non_null(strstr(error.text, "rank 2 on gamma: the weights differ"));
    others[2].hash = good;
    ranks = pretend_ranks(&p, 1);
    assert_int_equal(egg_ranks_compare(&ranks, bad, "the weights", &error), EGG_ERR_COMM);   /* it is we who differ */
    assert_non_null(strstr(error.text, "rank 1 on "));
    assert_non_null(strstr(error.text, "rank 0 on alpha among them"));
    assert_int_equal(egg_ranks_may_save(&ranks, &error), EGG_OK);
    assert_int_equal(egg_ranks_compare_weights(&ranks, NULL, 0, 7, &error), EGG_ERR_COMM);
    assert_non_null(strstr(error.text, "the weights after epoch 7 differ"));
    assert_int_equal(egg_ranks_may_save(&ranks, &error), EGG_ERR_COMM);
}

static void test_fail_together(void **state)
{
    (void)state;
    egg_error error;
    other_report others[3] = {{EGG_OK, "alpha", ""}, {EGG_OK, "beta", ""}, {EGG_ERR_IO, "gamma", "a disk is full"}};
    pretended_comm p = {.others = (char *)others};
    egg_ranks ranks = pretend_ranks(&p, 0);
    int64_t values[2] = {5, 6};
    double real = 0.1;
    assert_int_equal(egg_ranks_agree_real(&ranks, EGG_OK, &real, values, 2, &error), EGG_OK);
    assert_true(real == 0.1 && values[0] == 5 && values[1] == 6);
    assert_int_equal(p.gathers, 0);
    p.add = 1;   /* one other rank has failed */
    assert_int_equal(egg_ranks_agree(&ranks, EGG_OK, NULL, 0, &error), EGG_ERR_IO);
    assert_string_equal(error.text, "rank 2 on gamma: a disk is full");
    egg_fail(&error, EGG_ERR_NOMEM, "our own");   /* we are before it */
    assert_int_equal(egg_ranks_agree(&ranks, EGG_ERR_NOMEM, NULL, 0, &error), EGG_ERR_NOMEM);
    assert_string_equal(error.text, "our own");
    p.base.ops = &lost_ops;
    assert_int_equal(egg_ranks_agree(&ranks, EGG_OK, NULL, 0, &error), EGG_ERR_COMM);
    assert_int_equal(egg_ranks_may_save(&ranks, &error), EGG_ERR_COMM);
    assert_int_equal(egg_comm_broadcast(ranks.comm, &real, sizeof real, &error), EGG_ERR_COMM);   /* it is not tried */
    assert_non_null(strstr(error.text, "lost"));
}

/* Signs of three slices of 11, 0 and 5 pairs: 3, 0 and 1 bytes; those of the others are unpacked into their places. */
static void test_signs(void **state)
{
    (void)state;
    egg_error error;
    int32_t difference[16];
    const uint8_t packed[4] = {121, 121, 121, 242};   /* of another rank the last: five times + */
    pretended_comm p = {.others = (char *)packed};
    egg_ranks ranks = pretend_ranks(&p, 0);
    assert_int_equal(egg_ranks_divide(&ranks, 16, NULL), EGG_OK);
    memcpy(ranks.bounds, ((const uint64_t[]){0, 11, 11, 16}), 4 * sizeof *ranks.bounds);
    for (int i = 0; i < 16; i++) difference[i] = i % 3 == 0 ? 1000 : i % 3 == 1 ? -7 : 0;
    assert_int_equal(egg_ranks_gather_differences(&ranks, EGG_RULE_VOTE, difference, &error), EGG_OK);
    for (int i = 0; i < 11; i++) assert_int_equal(difference[i], i % 3 == 0 ? 1 : i % 3 == 1 ? -1 : 0);
    for (int i = 11; i < 16; i++) assert_int_equal(difference[i], 1);
    assert_int_equal(ranks.fitness_bytes, 1);
    const uint8_t wrong[4] = {0, 0, 0, 250};
    p.others = (char *)wrong;
    assert_int_equal(egg_ranks_gather_differences(&ranks, EGG_RULE_VOTE, difference, &error), EGG_ERR_COMM);
    assert_non_null(strstr(error.text, "rank 2"));
    ranks.comm = NULL;
    egg_ranks_close(&ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_cover),           cmocka_unit_test(test_shards_travel),
        cmocka_unit_test(test_update_in_shards),       cmocka_unit_test(test_float_update_in_shards),
        cmocka_unit_test(test_moments_of_a_share),     cmocka_unit_test(test_wide_and_narrow), cmocka_unit_test(test_wide_on_a_device),
        cmocka_unit_test(test_weigh),                  cmocka_unit_test(test_compare),
        cmocka_unit_test(test_fail_together),          cmocka_unit_test(test_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
