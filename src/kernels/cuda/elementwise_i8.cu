/* SPDX-License-Identifier: MIT */
/* int8: what is done to each element, or to each row by itself. All of it waits for memory, none for arithmetic. */
#include "kernels/cuda/count.cuh"
#include "kernels/cuda/vectors.cuh"
#include "kernels/loss_tables.h"

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

/* sums[i] += a * b[i] */
static __device__ __forceinline__ void add_multiple(int32_t sums[EGG_VECTOR], int32_t a, egg_vector b)
{
    EGG_UNROLL
    for (uint32_t i = 0; i < EGG_VECTOR; i++) sums[i] += a * egg_vector_get(b, i);
}

static __device__ __forceinline__ egg_vector perturbed(egg_vector w, const int32_t sums[EGG_VECTOR], int32_t factor,
                                                       uint32_t shift)
{
    int32_t y[EGG_VECTOR];
    EGG_UNROLL
    for (uint32_t i = 0; i < EGG_VECTOR; i++)
        y[i] = egg_clip_i8(egg_vector_get(w, i) + ((factor * sums[i]) >> shift));
    return egg_vector_of(y);
}

static __global__ void embed_kernel(const egg_embed_args args)
{
    EGG_EACH_VECTOR(v, b, args.n / EGG_VECTOR, args.rows) {
        const uint32_t token = args.tokens[b], member = b / args.steps, i = EGG_VECTOR * (uint32_t)v;
        const size_t component = (size_t)(member / 2) * args.rank;
        const int8_t *A = (const int8_t *)args.A + component * args.vocabulary + token;
        const int8_t *B = (const int8_t *)args.B + component * args.n + i;
        egg_vector y = egg_vector_load((const int8_t *)args.W + (size_t)token * args.n + i);
        if (args.A) {
            int32_t sums[EGG_VECTOR] = {0};
            for (uint32_t k = 0; k < args.rank; k++, A += args.vocabulary, B += args.n)
                add_multiple(sums, *A, egg_vector_load(B));
            y = perturbed(y, sums, member % 2 ? -args.scale : args.scale, 8 + args.noise_shift);
        }
        egg_vector_store((int8_t *)args.Y + (size_t)b * args.n + i, y);
    }
}

static void embed_i8(const egg_embed_args *args)
{
    EGG_LAUNCH_VECTORS(embed_kernel, args->n / EGG_VECTOR, args->rows, *args);
}

static __global__ void perturb_vector_kernel(const egg_perturb_vector_args args)
{
    EGG_EACH_VECTOR(v, p, args.n / EGG_VECTOR, args.pairs) {
        const size_t n = args.n, i = EGG_VECTOR * v;
        const egg_vector w = egg_vector_load((const int8_t *)args.w + i);
        int32_t sums[EGG_VECTOR] = {0};
        for (uint32_t k = 0; k < args.rank; k++) {
            const size_t at = ((size_t)p * args.rank + k) * n + i;
            const egg_vector a = egg_vector_load((const int8_t *)args.A + at);
            const egg_vector b = egg_vector_load((const int8_t *)args.B + at);
            EGG_UNROLL
            for (uint32_t j = 0; j < EGG_VECTOR; j++) sums[j] += egg_vector_get(a, j) * egg_vector_get(b, j);
        }
        int8_t *plus = (int8_t *)args.out + 2 * (size_t)p * n + i;
        egg_vector_store(plus, perturbed(w, sums, args.scale, 8 + args.noise_shift));
        egg_vector_store(plus + n, perturbed(w, sums, -args.scale, 8 + args.noise_shift));
    }
}

static void perturb_vector_i8(const egg_perturb_vector_args *args)
{
    EGG_LAUNCH_VECTORS(perturb_vector_kernel, args->n / EGG_VECTOR, args->pairs, *args);
}

/* ------------------------------------------------------------------------------------------------------- layer norm */

/* Onto 'sum' the magnitudes of four values: their products with their signs. */
static __device__ __forceinline__ int32_t add_magnitudes(int32_t sum, uint32_t x)
{
    const uint32_t signs = (x >> 7 & 0x01010101) * 254 | 0x01010101;   /* of each byte 1 or -1 */
    return __dp4a((int32_t)x, (int32_t)signs, sum);
}

/*
 * floor(a / mav) is floor((4a + 2) / 4mav), whose argument is at least 1/2mav away from every integer; the reciprocal's
 * rounding, at most 1/2 of 2^30 / mav, moves it by less than 2^-16 for |a| <= 127 * 127.
 */
static __device__ __forceinline__ int32_t floor_quotient(int32_t a, int32_t reciprocal)
{
    return __mulhi(4 * a + 2, reciprocal);
}

/* 'lanes' lanes of a warp for each row, several rows a warp where rows are short. */
template <uint32_t lanes> static __global__ void layer_norm_kernel(const egg_layer_norm_args args)
{
    const uint32_t lane = threadIdx.x, row = blockIdx.x * blockDim.y + threadIdx.y;
    const uint32_t b = row < args.rows ? row : 0, vectors = row < args.rows ? args.n / EGG_VECTOR : 0;
    const int8_t *x = (const int8_t *)args.X + b * args.x_stride;
    const int8_t *w = (const int8_t *)args.w + b / args.steps * args.w_stride;
    int32_t sum = 0;
    for (uint32_t v = lane; v < vectors; v += lanes) {
        const egg_vector values = egg_vector_load(x + EGG_VECTOR * (size_t)v);
        EGG_UNROLL
        for (uint32_t i = 0; i < 4; i++) sum = add_magnitudes(sum, values.word[i]);
    }
    EGG_UNROLL
    for (uint32_t mask = lanes / 2; mask; mask /= 2) sum += egg_shuffle_xor(sum, mask);
    const int32_t mean = sum / (int32_t)args.n, mav = mean < 1 ? 1 : mean;
    const int32_t reciprocal = ((1 << 30) + mav / 2) / mav;
    int8_t *y = (int8_t *)args.Y + b * args.y_stride;
    for (uint32_t v = lane; v < vectors; v += lanes) {
        const egg_vector values = egg_vector_load(x + EGG_VECTOR * (size_t)v);
        const egg_vector weights = egg_vector_load(w + EGG_VECTOR * (size_t)v);
        int32_t out[EGG_VECTOR];
        EGG_UNROLL
        for (uint32_t i = 0; i < EGG_VECTOR; i++)
            out[i] = egg_clip_i8(floor_quotient(egg_vector_get(values, i) * egg_vector_get(weights, i), reciprocal));
        egg_vector_store(y + EGG_VECTOR * (size_t)v, egg_vector_of(out));
    }
}

#define LAUNCH_LAYER_NORM(lanes)                                                                                       \
    EGG_LAUNCH(layer_norm_kernel<lanes>, egg_divide_up<uint32_t>(args->rows, EGG_VECTOR_THREADS / lanes),              \
               dim3(lanes, EGG_VECTOR_THREADS / lanes), 0, *args)

static void layer_norm_i8(const egg_layer_norm_args *args)
{
    const uint32_t vectors = args->n / EGG_VECTOR;
    if (!args->rows) return;
    if (vectors <= 4) LAUNCH_LAYER_NORM(4);
    else if (vectors <= 16) LAUNCH_LAYER_NORM(8);
    else LAUNCH_LAYER_NORM(32);
}

/* ---------------------------------------------------------------------------------------------------- elementwise */

static __global__ void add_kernel(int8_t *Y, const int8_t *X, size_t vectors)
{
    EGG_EACH_VECTOR(v, row, vectors, 1) {
        const egg_vector x = egg_vector_load(X + EGG_VECTOR * v), y = egg_vector_load(Y + EGG_VECTOR * v);
        int32_t sum[EGG_VECTOR];
        EGG_UNROLL
        for (uint32_t i = 0; i < EGG_VECTOR; i++) sum[i] = egg_clip_i8(egg_vector_get(y, i) + egg_vector_get(x, i));
        egg_vector_store(Y + EGG_VECTOR * v, egg_vector_of(sum));
    }
}

static void add_i8(void *Y, const void *X, size_t n)
{
    EGG_LAUNCH_VECTORS(add_kernel, n / EGG_VECTOR, 1, (int8_t *)Y, (const int8_t *)X, n / EGG_VECTOR);
}

/* ---------------------------------------------------------------------------------------- the gated recurrent unit */

static __device__ __forceinline__ int32_t add_three(egg_vector a, egg_vector b, egg_vector c, uint32_t i)
{
    return egg_clip_i8(egg_vector_get(a, i) + egg_vector_get(b, i) + egg_vector_get(c, i));
}

static __global__ void gru_gate_kernel(const egg_gru_args args)
{
    EGG_EACH_VECTOR(v, row, args.n / EGG_VECTOR, args.rows) {
        const size_t i = EGG_VECTOR * v, at = (size_t)row * args.n + i;
        const egg_vector a = egg_vector_load(args.a + row * args.a_stride + i), b = egg_vector_load(args.b + at);
        const egg_vector bias = egg_vector_load(args.bias + row * args.bias_stride + i);
        const egg_vector state = egg_vector_load(args.state + row * args.state_stride + i);
        int32_t f[EGG_VECTOR], g[EGG_VECTOR];
        EGG_UNROLL
        for (uint32_t j = 0; j < EGG_VECTOR; j++) {
            f[j] = add_three(a, b, bias, j);
            g[j] = ((f[j] + 127) * egg_vector_get(state, j)) >> 8;
        }
        egg_vector_store(args.f + at, egg_vector_of(f));
        egg_vector_store(args.g + at, egg_vector_of(g));
    }
}

static void gru_gate_i8(const egg_gru_args *args)
{
    EGG_LAUNCH_VECTORS(gru_gate_kernel, args->n / EGG_VECTOR, args->rows, *args);
}

static __global__ void gru_blend_kernel(const egg_gru_args args)
{
    EGG_EACH_VECTOR(v, row, args.n / EGG_VECTOR, args.rows) {
        const size_t i = EGG_VECTOR * v, at = (size_t)row * args.n + i;
        const egg_vector a = egg_vector_load(args.a + row * args.a_stride + i), b = egg_vector_load(args.b + at);
        const egg_vector bias = egg_vector_load(args.bias + row * args.bias_stride + i);
        const egg_vector f = egg_vector_load(args.f + at);
        int8_t *place = args.state + row * args.state_stride + i;
        const egg_vector state = egg_vector_load(place);
        int32_t h[EGG_VECTOR];
        EGG_UNROLL
        for (uint32_t j = 0; j < EGG_VECTOR; j++) {
            const int32_t old = egg_vector_get(state, j), candidate = add_three(a, b, bias, j);
            h[j] = old + (((egg_vector_get(f, j) + 127) * (candidate - old)) >> 8);
        }
        const egg_vector next = egg_vector_of(h);
        egg_vector_store(place, next);
        egg_vector_store(args.Y + row * args.y_stride + i, next);
    }
}

static void gru_blend_i8(const egg_gru_args *args)
{
    EGG_LAUNCH_VECTORS(gru_blend_kernel, args->n / EGG_VECTOR, args->rows, *args);
}

static __global__ void forget_kernel(const egg_forget_args args)
{
    EGG_EACH_VECTOR(v, row, args.n / EGG_VECTOR, args.rows)
        if (args.tokens[row * args.token_stride] == 0)
            egg_vector_store(args.state + row * args.state_stride + EGG_VECTOR * v, egg_vector{{0, 0, 0, 0}});
}

static void forget_i8(const egg_forget_args *args)
{
    EGG_LAUNCH_VECTORS(forget_kernel, args->n / EGG_VECTOR, args->rows, *args);
}

/* -------------------------------------------------------------------------------------------------------- counting */

static __global__ void count_saturated_kernel(const int8_t *X, size_t vectors, uint64_t *count)
{
    uint32_t saturated = 0;
    EGG_EACH_COUNTED(v, vectors) {
        const egg_vector x = egg_vector_load(X + EGG_VECTOR * v);
        EGG_UNROLL
        for (uint32_t i = 0; i < EGG_VECTOR; i++) {
            const int32_t value = egg_vector_get(x, i);
            saturated += value == 127 || value == -127;
        }
    }
    egg_count_onto(count, saturated);
}

static void count_saturated_i8(const int8_t *X, size_t n, uint64_t *count)
{
    const size_t vectors = n / EGG_VECTOR;
    if (vectors) EGG_LAUNCH(count_saturated_kernel, egg_count_blocks(vectors), EGG_COUNT_THREADS, 0, X, vectors, count);
}

/* ------------------------------------------------------------------------------------------------------------ loss */

typedef struct loss_tables {
    uint32_t mantissa[16], threshold[16];
} loss_tables;

/* egg_log2_i32 with the tables of the device. */
static __device__ __forceinline__ int32_t log2_i32(uint32_t v, const loss_tables &tables)
{
    const uint32_t zeros = (uint32_t)__clz((int)v), mantissa = v << zeros;
    int32_t sixteenths = 0;
    EGG_UNROLL
    for (uint32_t step = 8; step; step /= 2)
        if (mantissa >= tables.threshold[(uint32_t)sixteenths + step]) sixteenths += (int32_t)step;
    return 16 * (int32_t)(31 - zeros) - 64 + sixteenths;
}

/*
 * A warp for each row, eight logits a lane, as two words. Lanes 0..15 hold the table of EXP2 in a register each, where
 * all lanes can ask for any entry at once.
 */
static __global__ void loss_kernel(const egg_loss_args args, const __grid_constant__ loss_tables tables)
{
    const uint32_t lane = threadIdx.x, row = blockIdx.x * blockDim.y + threadIdx.y;
    const uint32_t b = row < args.rows ? row : args.rows - 1, mantissa = tables.mantissa[lane % 16];
    const int8_t *logits = args.logits + b * args.stride;
    const uint2 mine = ((const uint2 *)logits)[lane];
    uint32_t sum = 0;
    EGG_UNROLL
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t y = ((i < 4 ? mine.x : mine.y) >> 8 * (i % 4) & 255) ^ 128;   /* logit + 128 */
        sum += egg_shuffle(mantissa, y % 16) >> (27 - y / 16);
    }
    sum = egg_warp_sum(sum);
    if (lane == 0 && row < args.rows) args.loss[b] = log2_i32(sum, tables) - (logits[args.targets[b]] + 128);
}

static void loss_i8(const egg_loss_args *args)
{
    const uint32_t rows_per_block = EGG_VECTOR_THREADS / EGG_WARP;
    loss_tables tables;
    memcpy(tables.mantissa, egg_exp2_mantissa, sizeof tables.mantissa);
    memcpy(tables.threshold, egg_log2_threshold, sizeof tables.threshold);
    if (args->rows)
        EGG_LAUNCH(loss_kernel, egg_divide_up(args->rows, rows_per_block), dim3(EGG_WARP, rows_per_block), 0, *args,
                   tables);
}

/* A warp for each member. */
static __global__ void sum_steps_kernel(const int32_t *x, uint32_t members, uint32_t steps, int32_t *out)
{
    const uint32_t lane = threadIdx.x, m = blockIdx.x * blockDim.y + threadIdx.y;
    int32_t sum = 0;
    for (uint32_t t = lane; m < members && t < steps; t += EGG_WARP) sum += x[(size_t)m * steps + t];
    sum = egg_warp_sum(sum);
    if (lane == 0 && m < members) out[m] = sum;
}

static void sum_steps_i32(const int32_t *x, uint32_t members, uint32_t steps, int32_t *out)
{
    const uint32_t members_per_block = EGG_VECTOR_THREADS / EGG_WARP;
    if (members)
        EGG_LAUNCH(sum_steps_kernel, egg_divide_up(members, members_per_block), dim3(EGG_WARP, members_per_block), 0, x,
                   members, steps, out);
}

extern "C" void egg_cuda_elementwise_i8(egg_kernels *kernels)
{
    kernels->embed_i8 = embed_i8;
    kernels->perturb_vector_i8 = perturb_vector_i8;
    kernels->layer_norm_i8 = layer_norm_i8;
    kernels->add_i8 = add_i8;
    kernels->gru_gate_i8 = gru_gate_i8;
    kernels->gru_blend_i8 = gru_blend_i8;
    kernels->forget_i8 = forget_i8;
    kernels->count_saturated_i8 = count_saturated_i8;
    kernels->loss_i8 = loss_i8;
    kernels->sum_steps_i32 = sum_steps_i32;
}
