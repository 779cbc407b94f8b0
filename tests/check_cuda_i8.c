/* SPDX-License-Identifier: MIT */
/*
 * The int8 products of the CUDA level where check_kernels does not go: several tiles of rows and outputs, weights that
 * do not fit into shared memory, sums that several blocks share, members that do not fill a tile. Bit for bit against
 * the reference. Ends with 77, "skipped", where there is no device.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/cuda/cuda_level.h"
#include "nn/layers.h"

static egg_kernels ref, cuda;
static uint32_t failures;

/* -------------------------------------------------------------------------------------------------------- operands */

static uint64_t random_state = 0x9E3779B97F4A7C15;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(((random_state * 0x2545F4914F6CDD1D >> 32) * bound) >> 32);
}

/* The same bytes on the host and on the device. */
typedef struct both {
    void *host, *device;
    size_t bytes;
} both;

static both everything[32];
static uint32_t both_count;

static both take(size_t bytes)
{
    both b = {.host = calloc(1, bytes + !bytes), .device = cuda.device->take(bytes), .bytes = bytes};
    if (!b.host || !b.device || both_count == EGG_COUNT(everything)) {
        fprintf(stderr, "check_cuda_i8: out of memory\n");
        exit(2);
    }
    everything[both_count++] = b;
    return b;
}

static both take_i8(size_t n, int limit)
{
    both b = take(n);
    for (size_t i = 0; i < n; i++) ((int8_t *)b.host)[i] = (int8_t)((int)random_below(2 * (uint32_t)limit + 1) - limit);
    cuda.device->upload(b.device, b.host, n);
    return b;
}

static void release_all(void)
{
    while (both_count) {
        both b = everything[--both_count];
        free(b.host);
        cuda.device->give(b.device);
    }
}

/* Whether the device has what the reference left on the host. */
static bool same(both b)
{
    void *copy = malloc(b.bytes);
    cuda.device->download(copy, b.device, b.bytes);
    const char *error = cuda.device->wait();
    if (error) {
        fprintf(stderr, "check_cuda_i8: %s\n", error);
        exit(1);
    }
    bool equal = memcmp(copy, b.host, b.bytes) == 0;
    free(copy);
    return equal;
}

/* Gives the device other results than those that the reference left, which all have to be written again. */
static void spoil(both Y, uint32_t rows, uint32_t out, size_t stride)
{
    int8_t *copy = malloc(Y.bytes);
    memcpy(copy, Y.host, Y.bytes);
    for (uint32_t b = 0; b < rows; b++)
        for (uint32_t o = 0; o < out; o++) copy[b * stride + o] = (int8_t)~copy[b * stride + o];
    cuda.device->upload(Y.device, copy, Y.bytes);
    free(copy);
}

static void verdict(bool good, const char *what, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    printf("%-44s %6u %6u %6u %6u  %s\n", what, a, b, c, d, good ? "ok" : "FAILED");
    fflush(stdout);
    failures += !good;
    release_all();
}

static uint32_t pairs_of(uint32_t rows, uint32_t steps)
{
    return (rows - 1) / steps / 2 + 1;
}

static int32_t scale_of(uint32_t rank)
{
    return (int32_t)lround(256 / sqrt(rank));
}

/* -------------------------------------------------------------------------------------------------------- products */

/* shrink and then linear, and both at once; rank 0: no noise */
static void check_product(uint32_t rows, uint32_t steps, uint32_t out, uint32_t in, uint32_t rank)
{
    const size_t x_stride = in + 16 * random_below(3), y_stride = out + 16 * random_below(3);
    const size_t pairs = pairs_of(rows, steps);
    both X = take_i8(rows * x_stride, 127), W = take_i8((size_t)out * in, 127);
    both A = take_i8(pairs * rank * out, EGG_NORMAL_I8_MAX), B = take_i8(pairs * rank * in, EGG_NORMAL_I8_MAX);
    both t = take((size_t)rows * rank * sizeof(int32_t)), Y = take_i8(rows * y_stride, 127);
    both packed = take(ref.packed_bytes_i8(out, in)), packed_cuda = take(cuda.packed_bytes_i8(out, in));
    egg_shrink_args shrink = {.X = X.host, .x_stride = x_stride, .B = B.host, .t = t.host, .rows = rows, .steps = steps,
                              .in = in, .rank = rank, .scale = scale_of(rank ? rank : 1)};
    egg_linear_args linear = {.X = X.host, .x_stride = x_stride, .W = packed.host, .A = rank ? A.host : NULL,
                              .t = t.host, .Y = Y.host, .y_stride = y_stride, .rows = rows, .steps = steps, .out = out,
                              .in = in, .rank = rank, .shift = 4 + (uint32_t)log2(in) / 2, .noise_shift = 8};
    ref.pack_i8(W.host, out, in, packed.host);
    if (rank) ref.shrink_i8(&shrink);
    ref.linear_i8(&linear);
    shrink.X = linear.X = X.device;
    shrink.B = B.device;
    shrink.t = t.device;
    linear.t = t.device;
    linear.W = packed_cuda.device;
    linear.A = rank ? A.device : NULL;
    linear.Y = Y.device;
    cuda.pack_i8(W.device, out, in, packed_cuda.device);
    if (rank) cuda.shrink_i8(&shrink);
    cuda.linear_i8(&linear);
    bool good = same(t) && same(Y);
    if (rank) {
        spoil(Y, rows, out, y_stride);
        cuda.perturbed_i8(&shrink, &linear);
        good = good && same(Y);
    }
    verdict(good, "product: rows, steps, out, in", rows, steps, out, in);
}

static void check_products(void)
{
    check_product(1, 1, 16, 16, 0);
    check_product(129, 1, 16, 16, 1);
    check_product(131, 1, 256, 256, 1);        /* a step of a recurrence, every row a member */
    check_product(500, 100, 256, 256, 1);      /* a block with several tiles of rows */
    check_product(300, 3, 144, 48, 4);         /* an output panel that is mostly not there */
    check_product(200, 3, 400, 272, 2);        /* two of the wider ones, inputs that end within a depth */
    check_product(200, 100, 256, 512, 0);
    check_product(150, 5, 272, 256, 1);        /* as many pairs in a tile as there can be */
    check_product(200, 9, 528, 144, 1);
    check_product(257, 64, 1024, 64, 2);
    check_product(260, 25, 144, 1024, 1);      /* the larger block */
    check_product(150, 100, 256, 1024, 1);     /* t from eight depths */
    check_product(140, 7, 64, 1088, 3);
    check_product(140, 25, 144, 2048, 1);      /* weights that do not fit */
    check_product(33, 2, 64, 4096, 1);
    check_product(5, 5, 4096, 16, 7);
}

/* ---------------------------------------------------------------------------------------------------------- update */

static void check_outer(uint32_t count, uint32_t m, uint32_t n)
{
    both A = take_i8((size_t)count * m, 95), B = take_i8((size_t)count * n, EGG_NORMAL_I8_MAX);
    both Z = take_i8((size_t)m * n * sizeof(int32_t), 127);
    egg_outer_args outer = {.A = A.host, .B = B.host, .Z = Z.host, .count = count, .m = m, .n = n};
    ref.outer_i8(&outer);
    outer.A = A.device;
    outer.B = B.device;
    outer.Z = Z.device;
    cuda.outer_i8(&outer);
    verdict(same(Z), "outer: count, rows, columns", count, m, n, 0);
}

static void check_outers(void)
{
    check_outer(1, 16, 16);
    check_outer(33, 272, 144);
    check_outer(1000, 128, 256);    /* split over blocks, the last of them shorter */
    check_outer(2049, 16, 48);
    check_outer(255, 144, 16);
}

/* ------------------------------------------------------------------------------------------------------- recurrence */

/* A layer of either table over memory that the host and the device reach by the same pointers. */
typedef struct gru_run {
    egg_arena arena;
    egg_param params[6];
    int8_t *state, *Y;
} gru_run;

typedef struct gru_shape {
    uint32_t members, steps, n, rank;   /* rank 0: no law */
    bool frozen;                        /* Uf and bh are not perturbed */
} gru_shape;

static const size_t pool_bytes = (size_t)64 << 20;
static egg_arena pool;   /* shared with the device */

static void *take_shared(size_t bytes)
{
    void *memory = egg_arena_take(&pool, bytes);
    if (!memory) {
        fprintf(stderr, "check_cuda_i8: out of shared memory\n");
        exit(2);
    }
    return memory;
}

static int8_t *take_shared_i8(size_t n, int limit)
{
    int8_t *values = take_shared(n);
    for (size_t i = 0; i < n; i++) values[i] = (int8_t)((int)random_below(2 * (uint32_t)limit + 1) - limit);
    return values;
}

static const char *run_gru(const egg_kernels *kernels, gru_run *run, gru_shape shape, size_t state_stride, egg_mat X,
                           const uint8_t *tokens)
{
    const egg_perturb law = egg_perturb_i8(9, 3, shape.rank ? shape.rank : 1, 4);
    const egg_gru gru = {&run->params[0], &run->params[1], &run->params[2],
                         &run->params[3], &run->params[4], &run->params[5]};
    egg_pass pass = egg_pass_begin(kernels, &run->arena, shape.rank ? &law : NULL, 7, shape.members);
    egg_gru_sequence(&pass, &gru, X, tokens, run->state, state_stride,
                     (egg_mat){.data = run->Y, .stride = shape.n, .steps = shape.steps, .cols = shape.n});
    return pass.failed ? "out of scratch" : kernels->device ? kernels->device->wait() : NULL;
}

/* Weights and biases that leave neither gate nor candidate stuck at its bounds. */
static egg_param gru_param(uint32_t id, const gru_shape *shape)
{
    const bool vector = id == 2 || id == 5;
    egg_param param = {.id = id, .kind = vector ? EGG_PARAM_VECTOR : EGG_PARAM_MATRIX, .dtype = EGG_I8,
                       .out = vector ? 1 : shape->n, .in = shape->n, .frozen = shape->frozen && (id == 1 || id == 5)};
    param.data = take_shared_i8(egg_param_elements(&param), vector ? 40 : 24);
    return param;
}

static void pack_all(const egg_kernels *kernels, gru_run *run)
{
    for (uint32_t i = 0; i < EGG_COUNT(run->params); i++) {
        egg_param *param = &run->params[i];
        if (param->kind != EGG_PARAM_MATRIX) continue;
        param->packed = take_shared(kernels->packed_bytes_i8(param->out, param->in));
        kernels->pack_i8(param->data, param->out, param->in, param->packed);
    }
}

static void check_gru(gru_shape shape)
{
    egg_arena_release(&pool, 0);
    const size_t rows = (size_t)shape.members * shape.steps, state_stride = shape.n + 16 * random_below(3);
    const size_t state_bytes = shape.members * state_stride, scratch = (size_t)8 << 20;
    egg_kernels loop = cuda;
    loop.gru_sequence_i8 = NULL;
    const egg_kernels *tables[] = {&ref, &cuda, &loop};
    const uint32_t runs = shape.n <= 64 ? 3 : 2;   /* the loop of launches as well, where it is cheap */
    gru_run run[3];
    egg_mat X = {.data = take_shared_i8(rows * shape.n, 127), .stride = shape.n, .steps = shape.steps, .cols = shape.n};
    uint8_t *tokens = take_shared(rows);
    for (size_t i = 0; i < rows; i++) tokens[i] = (uint8_t)random_below(5);
    int8_t *state = take_shared_i8(state_bytes, 127);
    for (uint32_t i = 0; i < EGG_COUNT(run[0].params); i++) run[0].params[i] = gru_param(i, &shape);
    const char *error = NULL;
    for (uint32_t i = 0; i < runs && !error; i++) {
        if (i) memcpy(run[i].params, run[0].params, sizeof run[i].params);
        pack_all(tables[i], &run[i]);
        run[i].state = take_shared(state_bytes);
        memcpy(run[i].state, state, state_bytes);
        run[i].Y = take_shared(rows * shape.n);
        run[i].arena = egg_arena_over(take_shared(scratch), scratch);
        error = run_gru(tables[i], &run[i], shape, state_stride, X, tokens);
        if (error) printf("check_cuda_i8: %s\n", error);
    }
    bool good = !error;
    for (uint32_t i = 1; i < runs && good; i++)
        good = memcmp(run[0].state, run[i].state, state_bytes) == 0 && memcmp(run[0].Y, run[i].Y, rows * shape.n) == 0;
    verdict(good, "gru_sequence: members, steps, n, rank", shape.members, shape.steps, shape.n, shape.rank);
}

static void check_grus(void)
{
    const gru_shape shapes[] = {
        {1, 1, 16, 1, false},    {2, 3, 32, 2, false},   {7, 5, 48, 3, true},     {65, 4, 64, 4, false},
        {33, 2, 128, 1, false},  {67, 3, 256, 1, false}, {3, 4, 256, 2, false},   {9, 2, 256, 0, false},
        {67, 2, 272, 2, false},  {35, 2, 320, 1, true},  {5, 2, 512, 1, false},   {3, 1, 1024, 3, false},
    };
    void *memory = egg_cuda_take_shared(pool_bytes);
    pool = egg_arena_over(memory, memory ? pool_bytes : 0);
    for (uint32_t i = 0; i < EGG_COUNT(shapes); i++) check_gru(shapes[i]);
}

int main(void)
{
    const char *why;
    const egg_device *device = egg_cuda_open(0, &why);
    if (!device) {
        printf("no device: %s\n", why);
        return 77;
    }
    printf("large products by %s\n", egg_cuda_products());
    egg_kernels_init(&ref, 0);
    egg_kernels_cuda(&cuda, device);
    check_products();
    check_outers();
    check_grus();
    egg_cuda_close();
    return failures != 0;
}
