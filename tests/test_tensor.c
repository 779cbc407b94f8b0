/* SPDX-License-Identifier: MIT */
/* The perturbed product on tensor cores (kernels/cuda/tensor.h), on the device if there is one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "kernels/cuda/cuda_level.h"
#include "kernels/cuda/tensor.h"
#include "kernels/weights.h"

static const egg_device *device;
static egg_kernels kernels;

/* Tiles with and without a rest, an odd number of members, inputs that end within a depth. */
static const struct shape {
    uint32_t rows, out, in, rank;
} shapes[] = {{1, 16, 16, 1}, {2, 256, 64, 2}, {129, 272, 80, 1}, {37, 48, 400, 2}, {200, 512, 336, 1}};

typedef struct product {
    struct shape s;
    uint32_t pairs;
    egg_tensor_args args;
    uint16_t *A, *B;           /* the device's, rounded from what noise_f32 draws */
    uint16_t *x, *w, *a, *b, *y;   /* the host's copies */
} product;

static const egg_key key = {{1, 2, EGG_DOMAIN_PERTURBATION, 0}};
enum { EPOCH = 3, PARAM = 4 };

static void *take(size_t bytes)
{
    void *memory = device->take(bytes);
    assert_non_null(memory);
    return memory;
}

/* 'pairs' streams of n elements each, rounded; '*copy': on the host, too. */
static uint16_t *draw(egg_noise_at at, uint32_t pairs, size_t n, uint16_t **copy)
{
    float *noise = take(pairs * n * sizeof *noise);
    uint16_t *rounded = take(pairs * n * sizeof *rounded);
    kernels.noise_f32(&(egg_noise_args){.key = key, .at = at, .n = n, .pairs = pairs, .out = noise, .out_stride = n});
    egg_cuda_tensor_round(noise, pairs * n, rounded);
    *copy = malloc(pairs * n * sizeof **copy);
    assert_non_null(*copy);
    device->download(*copy, rounded, pairs * n * sizeof **copy);
    device->give(noise);
    return rounded;
}

static void open_product(product *p, struct shape s)
{
    *p = (product){.s = s, .pairs = (s.rows + 1) / 2};
    const egg_noise_at at = {.epoch = EPOCH, .param = PARAM};
    p->args = (egg_tensor_args){
        .X = draw((egg_noise_at){.param = 100}, 1, (size_t)s.rows * s.in, &p->x),
        .W = draw((egg_noise_at){.param = 101}, 1, (size_t)s.out * s.in, &p->w),
        .Y = take((size_t)s.rows * s.out * sizeof(uint16_t)),
        .key = key, .epoch = EPOCH, .param = PARAM, .t = take((size_t)s.rows * s.rank * sizeof(float)),
        .c = 0.125f, .rows = s.rows, .out = s.out, .in = s.in, .rank = s.rank,
    };
    p->A = draw((egg_noise_at){at.epoch, at.param, EGG_A, 0}, p->pairs, (size_t)s.rank * s.out, &p->a);
    p->B = draw((egg_noise_at){at.epoch, at.param, EGG_B, 0}, p->pairs, (size_t)s.rank * s.in, &p->b);
    p->y = malloc((size_t)s.rows * s.out * sizeof *p->y);
    assert_non_null(p->y);
}

static void close_product(product *p)
{
    void *const taken[] = {(void *)p->args.X, (void *)p->args.W, p->args.Y, p->args.t, p->A, p->B};
    for (size_t i = 0; i < EGG_COUNT(taken); i++) device->give(taken[i]);
    free(p->x), free(p->w), free(p->a), free(p->b), free(p->y);
}

/* Leaves Y at p->y. */
static void run(product *p, egg_tensor_noise noise)
{
    p->args.noise = noise;
    p->args.A = noise == EGG_TENSOR_STORED ? p->A : NULL;
    p->args.B = noise == EGG_TENSOR_STORED ? p->B : NULL;
    const size_t bytes = (size_t)p->s.rows * p->s.out * sizeof *p->y;
    device->fill(p->args.Y, 0xFF, bytes);   /* not a number */
    if (noise != EGG_TENSOR_NO_NOISE) egg_cuda_tensor_shrink(&p->args);
    egg_cuda_tensor_linear(&p->args);
    device->download(p->y, p->args.Y, bytes);
    const char *error = device->wait();
    if (error) fail_msg("%s", error);
}

/* A sum and that of its terms' magnitudes. */
typedef struct total {
    double sum, size;
} total;

static void add(total *t, double term)
{
    t->sum += term;
    t->size += fabs(term);
}

static total dot(const uint16_t *x, const uint16_t *y, uint32_t n)
{
    total t = {0};
    for (uint32_t i = 0; i < n; i++) add(&t, (double)egg_bf16_value(x[i]) * egg_bf16_value(y[i]));
    return t;
}

static total expected(const product *p, uint32_t b, uint32_t o, bool perturbed)
{
    const uint32_t in = p->s.in, rank = p->s.rank;
    total y = dot(p->x + (size_t)b * in, p->w + (size_t)o * in, in);
    for (uint32_t k = 0; perturbed && k < rank; k++) {
        const size_t component = (size_t)(b / 2) * rank + k;
        const total t = dot(p->x + (size_t)b * in, p->b + component * in, in);
        const double a = egg_bf16_value(p->a[component * p->s.out + o]) * p->args.c;
        y.sum += (b % 2 ? -1 : 1) * t.sum * a;
        y.size += t.size * fabs(a);
    }
    return y;
}

/*
 * Products of bf16 are exact. A tensor core may cut its sums to 24 bits instead of rounding them, so each of the n
 * terms costs at most 2^-23 of the sum of magnitudes, twice that for the term of the factors, whose sum is one of sums;
 * the result is rounded to the 8 bits of bf16.
 */
static void check(const product *p, bool perturbed)
{
    const double terms = p->s.in + p->s.rank;
    for (uint32_t b = 0; b < p->s.rows; b++)
        for (uint32_t o = 0; o < p->s.out; o++) {
            const total y = expected(p, b, o, perturbed);
            const double found = egg_bf16_value(p->y[(size_t)b * p->s.out + o]);
            const double tolerance = fabs(y.sum) / 256 + 2 * terms * 0x1p-23 * y.size * (1 + 1.0 / 256);
            if (!(fabs(found - y.sum) <= tolerance))
                fail_msg("row %u, output %u of %ux%ux%u: %g, expected %g", b, o, p->s.rows, p->s.out, p->s.in, found,
                         y.sum);
        }
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(shapes); i++) {
        product p;
        open_product(&p, shapes[i]);
        run(&p, EGG_TENSOR_NO_NOISE);
        check(&p, false);
        run(&p, EGG_TENSOR_STORED);
        check(&p, true);
        close_product(&p);
    }
}

/* Factors that are drawn where they are used give the bits of stored ones. */
static void test_drawn_is_stored(void **state)
{
    (void)state;
    for (size_t i = 0; i < EGG_COUNT(shapes); i++) {
        product p;
        open_product(&p, shapes[i]);
        const size_t bytes = (size_t)p.s.rows * p.s.out * sizeof(uint16_t);
        uint16_t *stored = malloc(bytes);
        assert_non_null(stored);
        run(&p, EGG_TENSOR_STORED);
        memcpy(stored, p.y, bytes);
        run(&p, EGG_TENSOR_DRAWN);
        assert_memory_equal(p.y, stored, bytes);
        free(stored);
        close_product(&p);
    }
}

/* The vendor's library is asked for the same product. Its operands are where a stand-in could read them, too. */
static void test_cublas(void **state)
{
    (void)state;
    const char *why, *name = egg_cuda_cublas(&why);
    if (!name) {
        assert_non_null(why);
        skip();
    }
    assert_non_null(strstr(name, "version"));
    product p;
    open_product(&p, (struct shape){37, 48, 400, 1});
    const size_t x = (size_t)37 * 400, w = (size_t)48 * 400, y = (size_t)37 * 48;
    uint16_t *shared = egg_cuda_take_shared((x + w + y) * sizeof *shared);
    assert_non_null(shared);
    memcpy(shared, p.x, x * sizeof *shared);
    memcpy(shared + x, p.w, w * sizeof *shared);
    egg_tensor_args args = p.args;
    args.X = shared, args.W = shared + x, args.Y = shared + x + w;
    egg_cuda_cublas_linear(&args);
    assert_null(device->wait());
    memcpy(p.y, args.Y, y * sizeof *p.y);
    check(&p, false);
    close_product(&p);
}

static void test_dense(void **state)
{
    (void)state;
    product p;
    open_product(&p, (struct shape){5, 48, 144, 1});
    const size_t n = (size_t)p.s.out * p.s.in, bytes = (size_t)p.s.rows * p.s.out * sizeof(uint16_t);
    float *E = malloc(n * sizeof *E);
    uint16_t *mean = malloc(bytes);
    assert_non_null(E);
    assert_non_null(mean);
    run(&p, EGG_TENSOR_NO_NOISE);
    memcpy(mean, p.y, bytes);
    egg_cuda_tensor_dense(&p.args);
    device->download(p.y, p.args.Y, bytes);
    assert_null(device->wait());
    for (uint32_t b = 0; b < p.s.rows; b++) {
        egg_noise_f32(key, (egg_noise_at){EPOCH, PARAM, EGG_A, b / 2}, 0, n, E);
        for (uint32_t o = 0; o < p.s.out; o++) {
            total y = {0};
            const size_t at = (size_t)b * p.s.out + o;
            for (uint32_t j = 0; j < p.s.in; j++)
                add(&y, p.args.c * (double)egg_bf16_value(p.x[b * p.s.in + j]) * E[(size_t)o * p.s.in + j]);
            const double sum = egg_bf16_value(mean[at]) + (b % 2 ? -y.sum : y.sum), found = egg_bf16_value(p.y[at]);
            assert_true(fabs(found - sum) <= fabs(sum) / 256 + 2 * (p.s.in + 4) * 0x1p-24 * y.size);
        }
    }
    free(E);
    free(mean);
    close_product(&p);
}

static void test_timer(void **state)
{
    (void)state;
    float *memory = take(1 << 16);
    device->start_timer();
    kernels.relu_f32(memory, 1 << 14);
    assert_true(device->stop_timer() > 0);
    device->give(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_drawn_is_stored),
        cmocka_unit_test(test_cublas),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_timer),
    };
    const char *why;
    device = egg_cuda_open(0, &why);
    if (!device) {
        print_message("no device: %s\n", why);
        return 77;   /* skipped */
    }
    if (!egg_cuda_tensor_fits(&(egg_tensor_args){.noise = EGG_TENSOR_STORED, .rank = EGG_TENSOR_MOST_RANK})) {
        print_message("%s gives a block too little shared memory\n", device->name);
        egg_cuda_close();
        return 77;
    }
    egg_kernels_cuda(&kernels, device);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    egg_cuda_close();
    return failed;
}
