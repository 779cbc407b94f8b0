/* SPDX-License-Identifier: MIT */
/*
 * The kernels of kernels/rwkv7.h. The host knows neither where sequences begin nor how many rows there are, since that
 * lies in the device's memory; blocks are cut by sequences, and rows are walked inside.
 */
#include "kernels/cuda/rows.cuh"

static __device__ __forceinline__ const float *vector_at(const egg_rows_vector &vector, const uint32_t *member,
                                                         uint32_t row)
{
    return member ? vector.data + member[row] * vector.stride : vector.data;
}

static __device__ __forceinline__ float *state_at(const egg_states &states, uint32_t s)
{
    return states.data + states.slot[s] * states.stride;
}

static __device__ __forceinline__ float sigmoid_of(float x)
{
    return __fdiv_rn(1, __fadd_rn(1, expf(-x)));
}

/* ------------------------------------------------------------------------------------------------------------ shift */

/* y = x + (previous - x) * mix of four columns of row b. */
static __device__ __forceinline__ void shift_row(const egg_rwkv7_shift_args &args, uint32_t b, uint32_t i, float4 x,
                                                 float4 previous)
{
    const size_t at = (size_t)b * args.n + i;
    const float4 step = make_float4(__fsub_rn(previous.x, x.x), __fsub_rn(previous.y, x.y),
                                    __fsub_rn(previous.z, x.z), __fsub_rn(previous.w, x.w));
    EGG_UNROLL
    for (uint32_t q = 0; q < EGG_RWKV7_MIXES; q++) {   /* constant indices, so that the argument stays one */
        if (q >= args.count) break;
        const float *mix = vector_at(args.mix[q], args.sequences.member, b);
        egg_store_four(args.Y[q] + at, egg_fma_four(step, egg_load_four(mix + i), x));
    }
}

enum { SHIFT_THREADS = 128, SHIFT_MOST_PARTS = 16 };

/*
 * A thread has four columns of every gridDim.z-th row of a sequence. The first of them also moves the state on, which
 * nobody but it reads.
 */
static __global__ void shift(const egg_rwkv7_shift_args args)
{
    const uint32_t i = 4 * (blockIdx.y * blockDim.x + threadIdx.x), s = blockIdx.x, n = args.n;
    const uint32_t first = args.sequences.first[s], end = args.sequences.first[s + 1];
    if (i >= n || first == end) return;
    float *state = state_at(args.state, s) + i;
    for (uint32_t b = first + blockIdx.z; b < end; b += gridDim.z) {
        const float *x = args.X + (size_t)b * n + i, *before = b == first ? state : x - n;
        shift_row(args, b, i, egg_load_four(x), egg_load_four(before));
    }
    if (blockIdx.z == 0) egg_store_four(state, egg_load_four(args.X + (size_t)(end - 1) * n + i));
}

static void launch_shift(const egg_rwkv7_shift_args *args)
{
    const uint32_t columns = egg_divide_up<uint32_t>(args->n, 4 * SHIFT_THREADS), sequences = args->sequences.count;
    if (!args->rows) return;
    const uint32_t each = egg_divide_up<uint32_t>(args->rows, sequences);
    const uint32_t parts = each < SHIFT_MOST_PARTS ? each : (uint32_t)SHIFT_MOST_PARTS;   /* most often each has one row */
    EGG_LAUNCH(shift, dim3(sequences, columns, parts), dim3(SHIFT_THREADS), 0, *args);
}

/* ------------------------------------------------------------------------------------------------------------- gate */

enum { HEAD_WARPS = 4 };

/* The head of the warp: its row, and where in the row it begins; false: there is none. */
static __device__ __forceinline__ bool head_here(uint32_t rows, uint32_t n, uint32_t size, uint32_t *row, uint32_t *at)
{
    const uint32_t heads = n / size;
    const uint64_t number = (uint64_t)blockIdx.x * HEAD_WARPS + threadIdx.y;
    *row = (uint32_t)(number / heads);
    *at = (uint32_t)(number % heads) * size;
    return *row < rows;
}

static dim3 head_grid(uint32_t rows, uint32_t n, uint32_t size)
{
    return dim3((uint32_t)egg_divide_up<uint64_t>((uint64_t)rows * (n / size), HEAD_WARPS));
}

/* A warp has one head of one row. */
static __global__ void gate(const egg_rwkv7_gate_args args)
{
    const float decay = -0x1.368b3p-1f;   /* -exp(-1/2) */
    uint32_t b, head;
    if (!head_here(args.rows, args.n, args.size, &b, &head)) return;
    const float *k_k = vector_at(args.k_k, args.member, b) + head, *k_a = vector_at(args.k_a, args.member, b) + head;
    const size_t at = (size_t)b * args.n + head;
    float *w = args.w + at, *k = args.k + at, *v = args.v + at, *a = args.a + at, *kappa = args.kappa + at, squares = 0;
    for (uint32_t i = threadIdx.x; i < args.size; i += EGG_WARP) {
        const float key = k[i], rate = sigmoid_of(a[i]), direction = __fmul_rn(key, k_k[i]);
        w[i] = expf(__fmul_rn(decay, sigmoid_of(w[i])));
        a[i] = rate;
        kappa[i] = direction;
        k[i] = __fmul_rn(key, __fmaf_rn(__fsub_rn(rate, 1), k_a[i], 1));
        squares = __fmaf_rn(direction, direction, squares);
        if (!args.v_first) continue;
        v[i] = __fmaf_rn(__fsub_rn(args.v_first[at + i], v[i]), sigmoid_of(args.mix[at + i]), v[i]);
    }
    const float norm = fmaxf(__fsqrt_rn(egg_warp_sum(squares)), 1e-12f);
    for (uint32_t i = threadIdx.x; i < args.size; i += EGG_WARP) {
        const float direction = __fdiv_rn(kappa[i], norm);
        kappa[i] = direction;
        a[i] = __fmul_rn(a[i], direction);
    }
}

static void launch_gate(const egg_rwkv7_gate_args *args)
{
    if (args->rows)
        EGG_LAUNCH(gate, head_grid(args->rows, args->n, args->size), dim3(EGG_WARP, HEAD_WARPS), 0, *args);
}

/* ------------------------------------------------------------------------------------------------------------ recur */

/*
 * What a row brings to a head, fetched by its threads once; two of them, so that the next row's can be on their way
 * while this one's are read.
 */
enum { RECUR_INPUTS = 6, R = 0, W, K, V, KAPPA, A };

static __device__ __forceinline__ void recur_fetch(const egg_rwkv7_recur_args &args, size_t at, uint32_t size,
                                                   float *inputs)
{
    const float *const from[RECUR_INPUTS] = {args.r, args.w, args.k, args.v, args.kappa, args.a};
    EGG_UNROLL
    for (uint32_t e = 0; e < RECUR_INPUTS; e++)
        if (threadIdx.x < size) inputs[e * size + threadIdx.x] = from[e][at + threadIdx.x];
}

/* The sum of four chains, in one order; elements go to them in turns, so that a step does not wait for the last. */
static __device__ __forceinline__ float sum_chains(const float chain[4])
{
    return __fadd_rn(__fadd_rn(chain[0], chain[1]), __fadd_rn(chain[2], chain[3]));
}

/* One row, for column i of the head's state S, whose element j is S[j * stride]. Returns y[i]. */
template <uint32_t size_, uint32_t stride_>
static __device__ __forceinline__ float recur_row(const float *inputs, uint32_t size, uint32_t stride, uint32_t i,
                                                  float *S)
{
    if (size_) size = size_;       /* constants, where they are known */
    if (stride_) stride = stride_;
    const float *r = inputs + R * size, *w = inputs + W * size, *k = inputs + K * size, *a = inputs + A * size;
    const float *kappa = inputs + KAPPA * size, v = inputs[V * size + i];
    float removed_chain[4] = {}, y[4] = {};
    EGG_UNROLL
    for (uint32_t j = 0; j < size; j += 4)
        EGG_UNROLL
        for (uint32_t c = 0; c < 4; c++)
            removed_chain[c] = __fmaf_rn(S[(j + c) * stride], kappa[j + c], removed_chain[c]);
    const float removed = sum_chains(removed_chain);
    EGG_UNROLL
    for (uint32_t j = 0; j < size; j += 4)
        EGG_UNROLL
        for (uint32_t c = 0; c < 4; c++) {
            float *cell = &S[(j + c) * stride];
            *cell = __fmaf_rn(v, k[j + c], __fmaf_rn(-removed, a[j + c], __fmul_rn(*cell, w[j + c])));
            y[c] = __fmaf_rn(*cell, r[j + c], y[c]);
        }
    return sum_chains(y);
}

/*
 * A block has a head of a sequence and a thread one column of its state, in registers for all rows of the sequence:
 * decoding, where there is one, is a matter of reading and writing the states.
 */
template <uint32_t size>
static __global__ void __launch_bounds__(size) recur(const egg_rwkv7_recur_args args)
{
    EGG_STATIC_SHARED(float, inputs, 2 * RECUR_INPUTS * size);
    const uint32_t s = blockIdx.x, head = blockIdx.y, i = threadIdx.x;
    const uint32_t first = args.sequences.first[s], end = args.sequences.first[s + 1];
    if (first == end) return;   /* all of the block */
    float *state = state_at(args.state, s) + (size_t)head * size * size + i, S[size];
    static_assert(size % EGG_WARP == 0, "every thread has a column");
    EGG_UNROLL
    for (uint32_t j = 0; j < size; j++) S[j] = state[j * size];
    recur_fetch(args, (size_t)first * args.n + head * size, size, inputs);
    for (uint32_t b = first; b < end; b++) {
        const size_t at = (size_t)b * args.n + head * size;
        __syncthreads();   /* this row's inputs are there, and nobody reads the last one's any more */
        if (b + 1 < end) recur_fetch(args, at + args.n, size, inputs + (b + 1 - first) % 2 * RECUR_INPUTS * size);
        args.Y[at + i] = recur_row<size, 1>(inputs + (b - first) % 2 * RECUR_INPUTS * size, size, 1, i, S);
    }
    EGG_UNROLL
    for (uint32_t j = 0; j < size; j++) state[j * size] = S[j];
}

/* Heads of any size: the state stays where it is. */
static __global__ void recur_any(const egg_rwkv7_recur_args args)
{
    EGG_SHARED(float, inputs);
    const uint32_t s = blockIdx.x, head = blockIdx.y, i = threadIdx.x, size = args.size;
    const uint32_t first = args.sequences.first[s], end = args.sequences.first[s + 1];
    if (first == end) return;
    float *state = state_at(args.state, s) + (size_t)head * size * size + i;
    for (uint32_t b = first; b < end; b++) {
        const size_t at = (size_t)b * args.n + head * size;
        __syncthreads();
        recur_fetch(args, at, size, inputs);
        __syncthreads();
        if (i < size) args.Y[at + i] = recur_row<0, 0>(inputs, size, size, i, state);
    }
}

static void launch_recur(const egg_rwkv7_recur_args *args)
{
    const uint32_t size = args->size, threads = egg_divide_up<uint32_t>(size, EGG_WARP) * EGG_WARP;
    const dim3 grid(args->sequences.count, args->n / size);
    if (args->sequences.count == 0) return;
    switch (size) {
    case 32: EGG_LAUNCH(recur<32>, grid, dim3(threads), 0, *args); break;
    case 64: EGG_LAUNCH(recur<64>, grid, dim3(threads), 0, *args); break;
    case 128: EGG_LAUNCH(recur<128>, grid, dim3(threads), 0, *args); break;
    default: EGG_LAUNCH(recur_any, grid, dim3(threads), RECUR_INPUTS * size * sizeof(float), *args);
    }
}

/* ----------------------------------------------------------------------------------------------------------- finish */

static __global__ void finish(const egg_rwkv7_finish_args args)
{
    uint32_t b, head;
    if (!head_here(args.rows, args.n, args.size, &b, &head)) return;
    const float *weight = vector_at(args.weight, args.member, b) + head;
    const float *bias = vector_at(args.bias, args.member, b) + head;
    const float *bonus = vector_at(args.bonus, args.member, b) + head;
    const size_t at = (size_t)b * args.n + head;
    const float *r = args.r + at, *k = args.k + at, *v = args.v + at, *g = args.g + at, size = (float)args.size;
    float *y = args.Y + at, sum = 0, squares = 0, extra = 0;
    for (uint32_t i = threadIdx.x; i < args.size; i += EGG_WARP) {
        sum = __fadd_rn(sum, y[i]);
        extra = __fmaf_rn(__fmul_rn(r[i], k[i]), bonus[i], extra);
    }
    const float mean = __fdiv_rn(egg_warp_sum(sum), size);
    extra = egg_warp_sum(extra);
    for (uint32_t i = threadIdx.x; i < args.size; i += EGG_WARP) {
        const float centred = __fsub_rn(y[i], mean);
        squares = __fmaf_rn(centred, centred, squares);
    }
    const float deviation = __fsqrt_rn(__fadd_rn(__fdiv_rn(egg_warp_sum(squares), size), args.epsilon));
    for (uint32_t i = threadIdx.x; i < args.size; i += EGG_WARP) {
        const float normal = __fmaf_rn(__fdiv_rn(__fsub_rn(y[i], mean), deviation), weight[i], bias[i]);
        y[i] = __fmul_rn(__fmaf_rn(extra, v[i], normal), g[i]);
    }
}

static void launch_finish(const egg_rwkv7_finish_args *args)
{
    if (args->rows)
        EGG_LAUNCH(finish, head_grid(args->rows, args->n, args->size), dim3(EGG_WARP, HEAD_WARPS), 0, *args);
}

/* ------------------------------------------------------------------------------------------------------ activations */

static __global__ void sigmoid(float *Y, size_t n)
{
    EGG_EACH_FOUR(i, n) {
        const float4 y = egg_load_four(Y + i);
        egg_store_four(Y + i, make_float4(sigmoid_of(y.x), sigmoid_of(y.y), sigmoid_of(y.z), sigmoid_of(y.w)));
    }
}

static __device__ __forceinline__ float relu_squared_of(float y)
{
    return y > 0 ? __fmul_rn(y, y) : 0;
}

static __global__ void relu_squared(float *Y, size_t n)
{
    EGG_EACH_FOUR(i, n) {
        const float4 y = egg_load_four(Y + i);
        egg_store_four(Y + i, make_float4(relu_squared_of(y.x), relu_squared_of(y.y), relu_squared_of(y.z),
                                          relu_squared_of(y.w)));
    }
}

static void launch_sigmoid(float *Y, size_t n)
{
    if (n) EGG_LAUNCH(sigmoid, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, Y, n);
}

static void launch_relu_squared(float *Y, size_t n)
{
    if (n) EGG_LAUNCH(relu_squared, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, Y, n);
}

/* ------------------------------------------------------------------------------------------------------------- loss */

enum { LOSS_WARPS = 8 };

/* A block has a row, of a vocabulary. */
static __global__ void log_loss(const float *X, const uint32_t *target, uint32_t n, float *loss)
{
    EGG_STATIC_SHARED(float, largest_of, LOSS_WARPS);
    EGG_STATIC_SHARED(double, sum_of, LOSS_WARPS);
    const uint32_t warp = threadIdx.x / EGG_WARP, b = blockIdx.x;
    const float *x = X + (size_t)b * n;
    float largest = x[0];
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) largest = fmaxf(largest, x[i]);
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) largest = fmaxf(largest, egg_shuffle_xor(largest, mask));
    if (threadIdx.x % EGG_WARP == 0) largest_of[warp] = largest;
    __syncthreads();
    for (uint32_t w = 0; w < LOSS_WARPS; w++) largest = fmaxf(largest, largest_of[w]);
    double sum = 0;
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) sum += expf(__fsub_rn(x[i], largest));
    sum = egg_warp_sum(sum);
    if (threadIdx.x % EGG_WARP == 0) sum_of[warp] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    for (uint32_t w = 1; w < LOSS_WARPS; w++) sum += sum_of[w];
    loss[b] = __fsub_rn(__fadd_rn((float)log(sum), largest), x[target[b]]);
}

static void launch_log_loss(const float *X, const uint32_t *target, uint32_t rows, uint32_t n, float *loss)
{
    if (rows) EGG_LAUNCH(log_loss, dim3(rows), dim3(LOSS_WARPS * EGG_WARP), 0, X, target, n, loss);
}

extern "C" void egg_cuda_rwkv7(egg_kernels *kernels)
{
    kernels->rwkv7.shift = launch_shift;
    kernels->rwkv7.gate = launch_gate;
    kernels->rwkv7.recur = launch_recur;
    kernels->rwkv7.finish = launch_finish;
    kernels->rwkv7.sigmoid = launch_sigmoid;
    kernels->rwkv7.relu_squared = launch_relu_squared;
    kernels->rwkv7.log_loss = launch_log_loss;
}
