/* SPDX-License-Identifier: MIT */
/*
 * Compares every kernel level that this machine offers with the reference: int8 slots and all noise bit for bit, float
 * slots within a derived tolerance. Needs nothing but libc, so that it also runs on a bare emulator.
 *
 *   check_kernels [SLOT]             checks; SLOT is a part of a slot's name
 *   check_kernels --apart [SLOT]     checks a device alone, whose operands share no allocation: for compute-sanitizer
 *   check_kernels --bench [SLOT]     times
 */
#include "check_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"
#include "kernels/cuda/cuda_level.h"

/* --------------------------------------------------------------------------------------------------------- operands */

static uint64_t random_state = 0x9E3779B97F4A7C15;

uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1D;
}

uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(((random_u64() >> 32) * bound) >> 32);
}

uint32_t one_of(const uint32_t *choices, size_t count)
{
    return choices[random_below((uint32_t)count)];
}

static void out_of_memory(void)
{
    fprintf(stderr, "check_kernels: out of memory\n");
    exit(2);
}

/*
 * The device whose level is being checked, or NULL. A device demands aligned operands, and memory that it can reach:
 * the emulator reaches all of it, so that operands stay separate and a sanitizer sees their ends.
 */
static const egg_device *device;

static struct shared_arena {
    char *memory;
    size_t used;
} arena;

enum { ARENA_BYTES = 256 << 20, DEVICE_ALIGNMENT = 16 };

/*
 * A tool that knows only where allocations end sees nothing of an overrun within the arena. With --apart each operand of
 * a device is one of its own; they are gone with the device, which is opened anew when they have become many.
 */
static bool apart;
static uint32_t apart_count;
static size_t apart_bytes;

enum { MOST_APART = 4096 };

static void *take_apart(size_t bytes)
{
    void *memory = egg_cuda_take_shared(bytes);
    if (!memory) out_of_memory();
    apart_count++;
    apart_bytes += bytes;
    return memory;
}

static void release_apart(void)
{
    if (apart_count < MOST_APART && apart_bytes < ARENA_BYTES) return;
    const char *why;
    egg_cuda_close();
    if (egg_cuda_open(device->index, &why) != device) {
        fprintf(stderr, "check_kernels: opening the device again: %s\n", why);
        exit(2);
    }
    apart_count = 0;
    apart_bytes = 0;
}

static void begin_with(const egg_kernels *level)
{
    device = level->device;
#ifndef EGG_CUDA_EMULATOR
    if (device && !apart && !arena.memory && !(arena.memory = egg_cuda_take_shared(ARENA_BYTES))) out_of_memory();
#endif
}

void finish(void)
{
    const char *error = device ? device->wait() : NULL;
    if (!error) return;
    fprintf(stderr, "check_kernels: %s: %s\n", device->name, error);
    exit(2);
}

uint32_t rounds(uint32_t n)
{
#ifdef EGG_SANITIZED
    return device ? n / 16 + 2 : n / 2;
#else
    return n;
#endif
}

size_t any_gap(uint32_t below, size_t element)
{
    const size_t gap = random_below(2) ? 0 : random_below(below);
    return device ? gap * element / DEVICE_ALIGNMENT * DEVICE_ALIGNMENT / element : gap;
}

static void *taken[1024];
static size_t taken_count;

void *take(size_t bytes, size_t misalign)
{
    void *memory = NULL;
    if (device) misalign = misalign / DEVICE_ALIGNMENT * DEVICE_ALIGNMENT;
    const size_t size = misalign + bytes + !bytes;
    if (device && apart) {
        memory = take_apart(size);
    } else if (device && arena.memory) {
        if (ARENA_BYTES - arena.used < size + EGG_CACHE_LINE) out_of_memory();
        memory = arena.memory + arena.used;
        arena.used += (size + EGG_CACHE_LINE - 1) / EGG_CACHE_LINE * EGG_CACHE_LINE;
    } else {
        if (taken_count == EGG_COUNT(taken) || posix_memalign(&memory, EGG_CACHE_LINE, size)) out_of_memory();
        taken[taken_count++] = memory;
    }
    return (char *)memory + misalign;
}

void release_all(void)
{
    finish();
    arena.used = 0;
    release_apart();
    while (taken_count) free(taken[--taken_count]);
}

void fill_i8(int8_t *values, size_t n, int limit, pattern kind)
{
    for (size_t i = 0; i < n; i++) switch (kind) {
        case ALL_HIGH: values[i] = (int8_t)limit; break;
        case ALL_LOW: values[i] = (int8_t)-limit; break;
        case ALTERNATING: values[i] = (int8_t)(random_below(2) ? limit : -limit); break;
        case ZERO: values[i] = 0; break;
        case SPARSE: values[i] = (int8_t)(random_below(4) ? 0 : (int)random_below(3) - 1); break;
        default: values[i] = (int8_t)((int)random_below(2 * (uint32_t)limit + 1) - limit);
        }
}

void fill_f32(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) values[i] = (float)((int32_t)random_below(1u << 24) - (1 << 23)) * 0x1p-23f;
}

static int8_t *take_i8(size_t n, int limit, pattern kind, size_t misalign)
{
    int8_t *values = take(n, misalign);
    fill_i8(values, n, limit, kind);
    return values;
}

twin take_twin(size_t bytes, size_t misalign)
{
    unsigned char *a = take(bytes + 2 * CANARY, misalign), *b = take(bytes + 2 * CANARY, misalign);
    for (size_t i = 0; i < bytes + 2 * CANARY; i++) a[i] = b[i] = (unsigned char)random_u64();
    return (twin){a + CANARY, b + CANARY, bytes};
}

static twin take_twin_i8(size_t n, int limit, pattern kind, size_t misalign)
{
    twin t = take_twin(n, misalign);
    fill_i8(t.expected, n, limit, kind);
    memcpy(t.actual, t.expected, n);
    return t;
}

/* A counter that has come to 'count'. */
static twin take_count(uint64_t count)
{
    twin t = take_twin(sizeof count, 0);
    *(uint64_t *)t.expected = *(uint64_t *)t.actual = count;
    return t;
}

/* --------------------------------------------------------------------------------------------------------- verdicts */

static uint32_t cases, failures;

void count_case(bool good, const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    cases++;
    if (good) return;
    if (failures++ < 3)
        printf("    mismatch: %s %llu, %llu, %llu, %llu\n", what, (unsigned long long)a, (unsigned long long)b,
               (unsigned long long)c, (unsigned long long)d);
}

bool same(twin t)
{
    finish();
    return memcmp((char *)t.expected - CANARY, (char *)t.actual - CANARY, t.bytes + 2 * CANARY) == 0;
}

uint32_t any_length(void)
{
    return random_below(4) ? ONE_OF(16, 32, 64, 128, 256, 512) : 16 * (1 + random_below(24));
}

/* ------------------------------------------------------------------------------------------------------------ noise */

static void check_noise(const egg_kernels *ref, const egg_kernels *level, bool is_float)
{
    size_t block = is_float ? EGG_NOISE_BLOCK_F32 : EGG_NOISE_BLOCK_I8, element = is_float ? sizeof(float) : 1;
    for (uint32_t i = 0; i < rounds(400); i++) {
        size_t n = block * (i < 64 ? 1 + i % 32 : ONE_OF(1, 2, 3, 7, 16, 17, 31, 64, 100, 256));
        uint32_t pairs = ONE_OF(1, 2, 3, 5, 16, 33);
        size_t stride = n + any_gap(40, element);
        egg_noise_args args = {
            .key = egg_key_make(random_u64(), EGG_DOMAIN_PERTURBATION),
            .at = {(uint32_t)random_u64(), random_below(1000), random_below(2), (uint32_t)random_u64()},
            .first = block * (random_below(2) ? 0 : random_u64() >> 33),
            .n = n, .pairs = pairs, .out_stride = stride,
        };
        twin out = take_twin(pairs * stride * element, is_float ? 4 * random_below(16) : random_below(64));
        args.out = out.expected;
        (is_float ? ref->noise_f32 : ref->noise_i8)(&args);
        args.out = out.actual;
        (is_float ? level->noise_f32 : level->noise_i8)(&args);
        count_case(same(out), "n, pairs, stride, first", n, pairs, stride, args.first);
        release_all();
    }
}

static void check_noise_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_noise(ref, level, false);
}

static void check_noise_f32(const egg_kernels *ref, const egg_kernels *level)
{
    check_noise(ref, level, true);
}

/* ------------------------------------------------------------------------------------- the perturbed matrix product */

static uint32_t pairs_of(uint32_t rows, uint32_t steps)
{
    return (rows - 1) / steps / 2 + 1;
}

static int32_t scale_of(uint32_t rank)
{
    return (int32_t)lround(256 / sqrt(rank));
}

static void check_shrink_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(600); i++) {
        uint32_t rows = i < 40 ? 1 + i / 2 : 1 + random_below(70), steps = ONE_OF(1, 2, 3, 10, 100);
        uint32_t in = i % 20 == 0 ? 4096 : any_length(), rank = ONE_OF(1, 1, 2, 3, 4, 7);
        size_t x_stride = in + any_gap(70, 1);
        egg_shrink_args args = {
            .X = take_i8((rows - 1) * x_stride + in, 127, i % PATTERNS, random_below(64)), .x_stride = x_stride,
            .B = take_i8((size_t)pairs_of(rows, steps) * rank * in, EGG_NORMAL_I8_MAX, random_below(PATTERNS), 0),
            .rows = rows, .steps = steps, .in = in, .rank = rank, .scale = scale_of(rank),
        };
        twin t = take_twin((size_t)rows * rank * sizeof(int32_t), 4 * random_below(16));
        args.t = t.expected;
        ref->shrink_i8(&args);
        args.t = t.actual;
        level->shrink_i8(&args);
        count_case(same(t), "rows, steps, in, rank", rows, steps, in, rank);
        release_all();
    }
}

/* Magnitudes up to a power of two or to the contract's limit, and often just that: methods change at such bounds. */
static int32_t *take_shrunk(uint32_t rows, uint32_t rank)
{
    int32_t *t = take((size_t)rows * rank * sizeof *t, 4 * random_below(16));
    uint32_t largest = 1u << (10 + random_below(16)), limit = INT32_MAX / (rank * EGG_NORMAL_I8_MAX);
    if (largest > limit) largest = limit;
    for (uint32_t i = 0; i < rows * rank; i++) switch (random_below(4)) {
        case 0: t[i] = (int32_t)(largest - random_below(2)); break;
        case 1: t[i] = -(int32_t)(largest - random_below(2)); break;
        default: t[i] = (int32_t)random_below(2 * largest + 1) - (int32_t)largest;
        }
    return t;
}

static void linear_i8_case(const egg_kernels *ref, const egg_kernels *level, uint32_t rows, uint32_t out, uint32_t in,
                           pattern kind)
{
    uint32_t steps = ONE_OF(1, 2, 3, 10, 100), rank = ONE_OF(1, 1, 1, 2, 3, 4, 7);
    size_t x_stride = in + any_gap(70, 1);
    size_t y_stride = out + any_gap(70, 1);
    int8_t *W = take_i8((size_t)out * in, (int)ONE_OF(127, 127, 65, 40), random_below(2) ? kind : RANDOM, 0);
    void *packed_ref = take(ref->packed_bytes_i8(out, in), 0), *packed = take(level->packed_bytes_i8(out, in), 0);
    ref->pack_i8(W, out, in, packed_ref);
    level->pack_i8(W, out, in, packed);
    egg_linear_args args = {
        .X = take_i8((rows - 1) * x_stride + in, 127, kind, random_below(64)), .x_stride = x_stride,
        .t = take_shrunk(rows, rank), .y_stride = y_stride,
        .rows = rows, .steps = steps, .out = out, .in = in, .rank = rank,
        .shift = 4 + random_below(12), .noise_shift = random_below(2) ? 8 : 4 + random_below(12),
    };
    if (random_below(5))
        args.A = take_i8((size_t)pairs_of(rows, steps) * rank * out, EGG_NORMAL_I8_MAX, random_below(PATTERNS), 0);
    twin y = take_twin((rows - 1) * y_stride + out, random_below(64));
    args.W = packed_ref;
    args.Y = y.expected;
    ref->linear_i8(&args);
    args.W = packed;
    args.Y = y.actual;
    level->linear_i8(&args);
    count_case(same(y), "rows, out, in, rank", rows, out, in, rank);
    release_all();
}

static void check_linear_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t rows = 1; rows <= 20; rows++)
        for (uint32_t out = 16; out <= 144; out += 16) linear_i8_case(ref, level, rows, out, 16 * rows, RANDOM);
    for (uint32_t i = 0; i < rounds(400); i++)
        linear_i8_case(ref, level, 1 + random_below(50), any_length(), any_length(), i % PATTERNS);
    for (uint32_t i = 0; i < 6; i++) linear_i8_case(ref, level, ONE_OF(1, 5, 13), 64, 4096, i % PATTERNS);
    linear_i8_case(ref, level, 1000, 80, 32, RANDOM);     /* several blocks of rows */
    linear_i8_case(ref, level, 700, 64, 1024, RANDOM);
    linear_i8_case(ref, level, 2, 4096, 64, RANDOM);
}

/* ------------------------------------------------------------------------------------- perturbed tables and vectors */

static void check_embed_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(400); i++) {
        uint32_t rows = 1 + random_below(40), steps = ONE_OF(1, 3, 10), n = any_length(), pairs = pairs_of(rows, steps);
        uint32_t vocabulary = ONE_OF(16, 64, 256), rank = ONE_OF(1, 1, 2, 3, 4, 16, 40);
        uint8_t *tokens = take(rows, random_below(64));
        for (uint32_t b = 0; b < rows; b++) tokens[b] = (uint8_t)random_below(vocabulary);
        pattern kind = i % PATTERNS;
        egg_embed_args args = {
            .W = take_i8((size_t)vocabulary * n, 127, random_below(PATTERNS), 0), .tokens = tokens,
            .A = i % 7 ? take_i8((size_t)pairs * rank * vocabulary, EGG_NORMAL_I8_MAX, kind, 0) : NULL,
            .B = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0), .rows = rows, .steps = steps,
            .vocabulary = vocabulary, .n = n, .rank = rank, .scale = scale_of(rank),
            .noise_shift = 4 + random_below(12),
        };
        twin y = take_twin((size_t)rows * n, random_below(64));
        args.Y = y.expected;
        ref->embed_i8(&args);
        args.Y = y.actual;
        level->embed_i8(&args);
        count_case(same(y), "rows, n, rank, noise_shift", rows, n, rank, args.noise_shift);
        release_all();
    }
}

static void check_perturb_vector_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(400); i++) {
        uint32_t pairs = 1 + random_below(20), n = any_length(), rank = ONE_OF(1, 1, 2, 3, 4, 16, 40);
        pattern kind = i % PATTERNS;
        egg_perturb_vector_args args = {
            .w = take_i8(n, 127, random_below(PATTERNS), 0),
            .A = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0),
            .B = take_i8((size_t)pairs * rank * n, EGG_NORMAL_I8_MAX, kind, 0),
            .pairs = pairs, .n = n, .rank = rank, .scale = scale_of(rank), .noise_shift = 4 + random_below(12),
        };
        twin out = take_twin((size_t)2 * pairs * n, random_below(64));
        args.out = out.expected;
        ref->perturb_vector_i8(&args);
        args.out = out.actual;
        level->perturb_vector_i8(&args);
        count_case(same(out), "pairs, n, rank, noise_shift", pairs, n, rank, args.noise_shift);
        release_all();
    }
}

/* ------------------------------------------------------------------------------------------------------ elementwise */

static void layer_norm_i8_case(const egg_kernels *ref, const egg_kernels *level, egg_layer_norm_args args,
                               bool in_place)
{
    size_t bytes = (args.rows - 1) * args.y_stride + args.n;
    twin y = take_twin(bytes, random_below(64));
    const int8_t *X = args.X;
    if (in_place) {
        args.x_stride = args.y_stride;
        for (uint32_t b = 0; b < args.rows; b++)
            memcpy((int8_t *)y.expected + b * args.y_stride, X + (size_t)b * args.n, args.n);
        memcpy(y.actual, y.expected, bytes);
    }
    args.Y = y.expected;
    if (in_place) args.X = y.expected;
    ref->layer_norm_i8(&args);
    args.Y = y.actual;
    if (in_place) args.X = y.actual;
    level->layer_norm_i8(&args);
    count_case(same(y), "rows, steps, n, w_stride", args.rows, args.steps, args.n, args.w_stride);
}

/* One long row that holds every (x, w) and, filled up with one value, has the mean magnitude 'mav'. */
static void layer_norm_i8_all_quotients(const egg_kernels *ref, const egg_kernels *level, uint32_t mav)
{
    enum { GRID = 255 * 255 };
    const uint64_t sum = (uint64_t)255 * 2 * (127 * 128 / 2);
    uint64_t n = mav < 64 ? sum / mav : (GRID * (uint64_t)127 - sum) / (127 - mav) + 1;
    n = mav < 64 ? n / 16 * 16 : (n + 15) / 16 * 16;
    if (n < GRID) n = (GRID + 15) / 16 * 16;
    int8_t *x = take(n, 0), *w = take(n, 0);
    for (uint32_t i = 0; i < n; i++) {
        x[i] = (int8_t)(i < GRID ? (int32_t)(i / 255) - 127 : mav < 64 ? 0 : i % 2 ? 127 : -127);
        w[i] = (int8_t)((int32_t)(i % 255) - 127);
    }
    layer_norm_i8_case(ref, level, (egg_layer_norm_args){.X = x, .x_stride = n, .w = w, .y_stride = n, .rows = 1,
                                                         .steps = 1, .n = (uint32_t)n}, false);
    release_all();
}

static void check_layer_norm_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t mav = 1; mav <= 126; mav++) layer_norm_i8_all_quotients(ref, level, mav);
    for (uint32_t i = 0; i < rounds(600); i++) {
        uint32_t rows = 1 + random_below(20), steps = ONE_OF(1, 2, 3, 10), n = any_length();
        bool in_place = random_below(3) == 0;
        size_t members = (rows - 1) / steps + 1, w_stride = random_below(2) ? 0 : n + any_gap(20, 1);
        egg_layer_norm_args args = {
            .X = take_i8((size_t)rows * n, i % 3 ? 127 : 1 + (int)random_below(127), i % PATTERNS, random_below(64)),
            .x_stride = n,
            .w = take_i8((members - 1) * w_stride + n, 127, random_below(PATTERNS), 0), .w_stride = w_stride,
            .y_stride = n + any_gap(40, 1), .rows = rows, .steps = steps, .n = n,
        };
        layer_norm_i8_case(ref, level, args, in_place);
        release_all();
    }
}

static void check_add_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        size_t n = any_length() * (1 + random_below(3));
        const int8_t *x = take_i8(n, 127, i % PATTERNS, random_below(64));
        twin y = take_twin_i8(n, 127, random_below(PATTERNS), random_below(64));
        ref->add_i8(y.expected, x, n);
        level->add_i8(y.actual, x, n);
        count_case(same(y), "n", n, 0, 0, 0);
        release_all();
    }
}

static void check_gru(const egg_kernels *ref, const egg_kernels *level, bool blend)
{
    for (uint32_t i = 0; i < rounds(400); i++) {
        uint32_t rows = 1 + random_below(12), n = any_length();
        size_t a_stride = n + any_gap(40, 1), bias_stride = random_below(2) ? 0 : n;
        size_t state_stride = n + any_gap(40, 1), y_stride = n + any_gap(40, 1);
        pattern kind = i % PATTERNS;
        egg_gru_args args = {
            .a = take_i8((rows - 1) * a_stride + n, 127, kind, random_below(64)), .a_stride = a_stride,
            .b = take_i8((size_t)rows * n, 127, random_below(PATTERNS), random_below(64)),
            .bias = take_i8((rows - 1) * bias_stride + n, 127, random_below(PATTERNS), random_below(64)),
            .bias_stride = bias_stride, .state_stride = state_stride, .y_stride = y_stride, .rows = rows, .n = n,
        }, actual;
        twin state = take_twin_i8((rows - 1) * state_stride + n, 127, random_below(PATTERNS), random_below(64));
        twin f = take_twin_i8((size_t)rows * n, 127, random_below(PATTERNS), random_below(64));
        twin g = take_twin_i8((size_t)rows * n, 127, RANDOM, random_below(64));
        twin y = take_twin_i8((rows - 1) * y_stride + n, 127, RANDOM, random_below(64));
        actual = args;
        args.state = state.expected, args.f = f.expected, args.g = g.expected, args.Y = y.expected;
        actual.state = state.actual, actual.f = f.actual, actual.g = g.actual, actual.Y = y.actual;
        (blend ? ref->gru_blend_i8 : ref->gru_gate_i8)(&args);
        (blend ? level->gru_blend_i8 : level->gru_gate_i8)(&actual);
        count_case(same(state) && same(f) && same(g) && same(y), "rows, n, a_stride, state_stride", rows, n, a_stride,
                   state_stride);
        release_all();
    }
}

static void check_gru_gate_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_gru(ref, level, false);
}

static void check_gru_blend_i8(const egg_kernels *ref, const egg_kernels *level)
{
    check_gru(ref, level, true);
}

static void check_loss_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(600); i++) {
        uint32_t rows = 1 + random_below(20);
        size_t stride = 256 + any_gap(70, 1);
        int8_t *logits = take_i8((rows - 1) * stride + 256, 127, i % PATTERNS, random_below(64));
        if (i % 3 == 0)   /* every size of sum: one logit after another at its highest, the rest at one low value */
            for (uint32_t b = 0; b < rows; b++) {
                memset(logits + b * stride, (int)random_below(255) - 127, 256);
                logits[b * stride + random_below(256)] = (int8_t)((int)random_below(255) - 127);
            }
        uint8_t *targets = take(rows, random_below(64));
        for (uint32_t b = 0; b < rows; b++) targets[b] = (uint8_t)random_below(256);
        egg_loss_args args = {.logits = logits, .stride = stride, .targets = targets, .rows = rows};
        twin loss = take_twin(rows * sizeof(int32_t), 4 * random_below(16));
        args.loss = loss.expected;
        ref->loss_i8(&args);
        args.loss = loss.actual;
        level->loss_i8(&args);
        count_case(same(loss), "rows, stride", rows, stride, 0, 0);
        release_all();
    }
}

static void check_forget_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        uint32_t rows = 1 + random_below(40), n = any_length();
        size_t stride = n + any_gap(40, 1), token_stride = ONE_OF(1, 2, 17), tokens = (rows - 1) * token_stride + 1;
        egg_forget_args args = {.tokens = take(tokens, random_below(64)), .token_stride = token_stride,
                                .state_stride = stride, .rows = rows, .n = n};
        for (size_t b = 0; b < tokens; b++) ((uint8_t *)args.tokens)[b] = (uint8_t)random_below(i % 3 ? 3 : 256);
        twin state = take_twin_i8((rows - 1) * stride + n, 127, i % PATTERNS, random_below(64));
        args.state = state.expected;
        ref->forget_i8(&args);
        args.state = state.actual;
        level->forget_i8(&args);
        count_case(same(state), "rows, n, stride, token_stride", rows, n, stride, token_stride);
        release_all();
    }
}

static void check_count_saturated_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        size_t n = i % 50 ? any_length() : 16 * (5000 + random_below(5000));
        const int8_t *x = take_i8(n, i % 2 ? 127 : 126, i % PATTERNS, random_below(64));
        twin saturated = take_count((uint64_t)i << 31);   /* sums pass 32 bits */
        ref->count_saturated_i8(x, n, saturated.expected);
        level->count_saturated_i8(x, n, saturated.actual);
        count_case(same(saturated), "n, count", n, *(uint64_t *)saturated.actual, 0, 0);
        release_all();
    }
}

static void check_sum_steps_i32(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        uint32_t members = 1 + random_below(i % 10 ? 40 : 1000), steps = i < 40 ? 1 + i : 1 + random_below(300);
        int32_t *x = take((size_t)members * steps * sizeof *x, 4 * random_below(16));
        for (size_t j = 0; j < (size_t)members * steps; j++) x[j] = (int32_t)random_u64() / 512;
        twin out = take_twin(members * sizeof(int32_t), 4 * random_below(16));
        ref->sum_steps_i32(x, members, steps, out.expected);
        level->sum_steps_i32(x, members, steps, out.actual);
        count_case(same(out), "members, steps", members, steps, 0, 0);
        release_all();
    }
}

/* ----------------------------------------------------------------------------------------------------------- update */

enum { WEIGHED_MAX = 95 };   /* the contract's bound of a weighed factor */

static void check_weigh_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        uint32_t pairs = 1 + random_below(20);
        size_t n = any_length();
        const int8_t *F = take_i8(pairs, 127, random_below(PATTERNS), random_below(64));
        twin out = take_twin_i8(pairs * n, EGG_NORMAL_I8_MAX, i % PATTERNS, random_below(64));
        if (random_below(2)) {
            ref->weigh_i8(out.expected, F, pairs, n, out.expected);
            level->weigh_i8(out.actual, F, pairs, n, out.actual);
        } else {
            const int8_t *A = take_i8(pairs * n, EGG_NORMAL_I8_MAX, i % PATTERNS, random_below(64));
            ref->weigh_i8(A, F, pairs, n, out.expected);
            level->weigh_i8(A, F, pairs, n, out.actual);
        }
        count_case(same(out), "pairs, n", pairs, n, 0, 0);
        release_all();
    }
}

static twin take_sums(size_t n, size_t misalign)
{
    twin z = take_twin(n * sizeof(int32_t), misalign);
    int32_t *sums = z.expected;
    for (size_t i = 0; i < n; i++) sums[i] /= 2;
    memcpy(z.actual, z.expected, z.bytes);
    return z;
}

static void outer_i8_case(const egg_kernels *ref, const egg_kernels *level, uint32_t count, uint32_t m, uint32_t n,
                          pattern kind)
{
    egg_outer_args args = {
        .A = take_i8((size_t)count * m, WEIGHED_MAX, kind, 0),
        .B = take_i8((size_t)count * n, EGG_NORMAL_I8_MAX, kind, 0),
        .count = count, .m = m, .n = n, .scratch = take(EGG_OUTER_SCRATCH(m, n, count), 0),
    };
    twin z = take_sums((size_t)m * n, 4 * random_below(16));
    args.Z = z.expected;
    ref->outer_i8(&args);
    args.Z = z.actual;
    level->outer_i8(&args);
    count_case(same(z), "count, m, n", count, m, n, 0);
    release_all();
}

static void check_outer_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++)
        outer_i8_case(ref, level, i < 80 ? 1 + i : 1 + random_below(300), 16 * (1 + random_below(6)),
                      16 * (1 + random_below(10)), i % PATTERNS);
    for (uint32_t kind = 0; kind < PATTERNS; kind++) {
        outer_i8_case(ref, level, ONE_OF(512, 1000, 2049), 64, 80, kind);
        outer_i8_case(ref, level, 4096, 16, 64, kind);
        outer_i8_case(ref, level, 8, 256, 512, kind);
    }
}

static void check_diagonal_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(300); i++) {
        uint32_t count = i % 10 ? 1 + random_below(50) : 3000;
        size_t n = any_length();
        const int8_t *A = take_i8(count * n, WEIGHED_MAX, i % PATTERNS, 0);
        const int8_t *B = take_i8(count * n, EGG_NORMAL_I8_MAX, i % 2 ? i % PATTERNS : RANDOM, 0);
        twin z = take_sums(n, 4 * random_below(16));
        ref->diagonal_i8(A, B, count, n, z.expected);
        level->diagonal_i8(A, B, count, n, z.actual);
        count_case(same(z), "count, n", count, n, 0, 0);
        release_all();
    }
}

/* Votes around the threshold and its neighbours, zeros and the ends of the type. */
static int32_t *take_votes(size_t n, int32_t around)
{
    int32_t *Z = take(n * sizeof *Z, 4 * random_below(16));
    for (size_t i = 0; i < n; i++) switch (random_below(5)) {
        case 0: Z[i] = (int32_t)random_u64(); break;
        case 1: Z[i] = random_below(2) ? INT32_MAX : INT32_MIN; break;
        case 2: Z[i] = 0; break;
        default: Z[i] = (random_below(2) ? 1 : -1) * (around - 1 + (int32_t)random_below(2));
        }
    return Z;
}

static void check_step_vote_i8(const egg_kernels *ref, const egg_kernels *level)
{
    for (uint32_t i = 0; i < rounds(400); i++) {
        size_t n = any_length();
        int32_t threshold = (int32_t)ONE_OF(0, 1, 2, 100, 1 << 20, INT32_MAX);
        const int32_t *Z = take_votes(n, threshold);
        twin w = take_twin_i8(n, 127, i % PATTERNS, random_below(64));
        twin changed = take_count(i);
        ref->step_vote_i8(w.expected, Z, n, threshold, changed.expected);
        level->step_vote_i8(w.actual, Z, n, threshold, changed.actual);
        count_case(same(w) && same(changed), "n, threshold, changed, expected", n, (uint32_t)threshold,
                   *(uint64_t *)changed.actual, *(uint64_t *)changed.expected);
        release_all();
    }
}

static void check_step_fractional_i8(const egg_kernels *ref, const egg_kernels *level)
{
    static const int32_t laws[][2] = {   /* rate, limit: the contract's largest products, and usual ones */
        {1, 2147450879}, {2147450879, 1}, {46340, 46340}, {65536, 32767}, {256, 8388479}, {1000, 2000}, {1, 1}, {7, 0},
    };
    for (uint32_t i = 0; i < rounds(400); i++) {
        size_t n = any_length();
        int32_t rate = laws[i % 8][0], limit = laws[i % 8][1];
        const int32_t *Z = take_votes(n, random_below(2) ? limit : 65536 / rate * (int32_t)random_below(300));
        twin w = take_twin_i8(n, 127, RANDOM, random_below(64));
        twin v = take_twin(n * sizeof(int16_t), 2 * random_below(32));
        for (size_t j = 0; j < n; j++) {
            int32_t value = random_below(4) ? (int32_t)random_below(65025) - 32512 : random_below(2) ? 32512 : -32512;
            ((int16_t *)v.expected)[j] = ((int16_t *)v.actual)[j] = (int16_t)value;
            if (random_below(8)) ((int8_t *)w.expected)[j] = ((int8_t *)w.actual)[j] = (int8_t)((value + 128) >> 8);
        }
        twin changed = take_count(i);
        ref->step_fractional_i8(w.expected, v.expected, Z, n, rate, limit, changed.expected);
        level->step_fractional_i8(w.actual, v.actual, Z, n, rate, limit, changed.actual);
        count_case(same(w) && same(v) && same(changed), "n, rate, limit, changed", n, (uint32_t)rate, (uint32_t)limit,
                   *(uint64_t *)changed.actual);
        release_all();
    }
}

/* -------------------------------------------------------------------------------------------------------- all slots */

typedef void any_fn(void);

#define SLOT(name) {#name, offsetof(egg_kernels, name), check_##name}
#define RWKV7(name) {"rwkv7_" #name, offsetof(egg_kernels, rwkv7.name), check_rwkv7_##name}

static const struct slot {
    const char *name;
    size_t offset;
    slot_check *check;
} slots[] = {
    SLOT(noise_i8), SLOT(noise_f32), SLOT(shrink_i8), SLOT(shrink_f32), SLOT(linear_i8), SLOT(linear_f32),
    SLOT(linear_bf16), SLOT(linear_q8), SLOT(dense_f32), SLOT(embed_i8), SLOT(lookup_f32), SLOT(gather), SLOT(sample_f32), SLOT(perturb_vector_i8),
    SLOT(perturb_vector_f32),
    SLOT(layer_norm_i8), SLOT(layer_norm_f32), SLOT(add_i8), SLOT(add_f32), SLOT(relu_f32), SLOT(tanh_f32),
    SLOT(gru_gate_i8), SLOT(gru_blend_i8), SLOT(forget_i8), SLOT(count_saturated_i8), SLOT(loss_i8),
    SLOT(sum_steps_i32), SLOT(weigh_i8), SLOT(weigh_f32), SLOT(outer_i8), SLOT(outer_f32), SLOT(diagonal_i8),
    SLOT(step_vote_i8), SLOT(step_fractional_i8), SLOT(gradient_f32), SLOT(optimize_f32), RWKV7(shift), RWKV7(gate),
    RWKV7(recur), RWKV7(finish),
    RWKV7(sigmoid), RWKV7(relu_squared), RWKV7(log_loss),
};

static any_fn *slot_function(const egg_kernels *kernels, size_t offset)
{
    any_fn *function;
    memcpy(&function, (const char *)kernels + offset, sizeof function);
    return function;
}

static bool check_slot(const egg_kernels *ref, const egg_kernels *level, const struct slot *slot)
{
    cases = failures = 0;
    begin_with(level);
    slot->check(ref, level);
    printf("%-12s %-20s %5u cases  %s\n", level->level, slot->name, cases, failures ? "FAILED" : "ok");
    fflush(stdout);
    return !failures;
}

static void levels_detect(level_set *levels)
{
    uint32_t detected = egg_cpu_detect();
    *levels = (level_set){0};
    egg_kernels_init(&levels->ref, 0);
    for (uint32_t bit = 1; bit <= EGG_CPU_NEON; bit <<= 1) {
        egg_kernels *level = &levels->level[levels->count];
        egg_kernels_init(level, detected & bit);
        if (strcmp(level->level, levels->ref.level) != 0) levels->count++;
    }
}

/*
 * A device's level stands alone: of all that the reference has, from the first slot to the end of the table, nothing may
 * be missing, and nothing may be the host's.
 */
static bool check_complete(const egg_kernels *ref, const egg_kernels *level)
{
    uint32_t missing = 0;
    for (size_t at = offsetof(egg_kernels, noise_i8); at < sizeof *ref; at += sizeof(any_fn *)) {
        any_fn *here = slot_function(level, at), *there = slot_function(ref, at);
        missing += there && (!here || here == there);
    }
    printf("%-12s %-20s %5u missing  %s\n", level->level, "all slots", missing, missing ? "FAILED" : "ok");
    return !missing;
}

static void device_detect(level_set *levels)
{
    const char *why;
    const egg_device *found = egg_cuda_open(0, &why);
    if (found) egg_kernels_cuda(&levels->level[levels->count++], found);
    else printf("no device: %s\n", why);
}

int main(int argc, char **argv)
{
    static level_set levels;
    levels_detect(&levels);
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    apart = argc > 1 && strcmp(argv[1], "--apart") == 0;
    const char *filter = argv[1 + (bench || apart)];   /* NULL where there is none */
    if (bench) {
        bench_kernels(&levels, filter);
        return 0;
    }
    device_detect(&levels);
    uint32_t passed = 0, failed = 0;
    for (uint32_t l = 0; l < levels.count; l++) {
        const egg_kernels *level = &levels.level[l];
        if (apart && !level->device) continue;
        if (level->device && !check_complete(&levels.ref, level)) failed++;
        for (size_t s = 0; s < EGG_COUNT(slots); s++) {
            if (filter && !strstr(slots[s].name, filter)) continue;
            any_fn *function = slot_function(level, slots[s].offset);
            if (function == slot_function(&levels.ref, slots[s].offset)) continue;
            bool good = check_slot(&levels.ref, level, &slots[s]);
            passed += good;
            failed += !good;
        }
    }
    egg_cuda_close();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
