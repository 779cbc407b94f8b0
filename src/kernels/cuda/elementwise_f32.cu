/* SPDX-License-Identifier: MIT */
/* Tables, vectors and activations in float32. */
#include "kernels/cuda/rows.cuh"

/* ------------------------------------------------------------------------------------- perturbed tables and vectors */

/* Four values of a row of a table, from column i on; 'scale' is the row's in q8. */
template <egg_storage storage>
static __device__ __forceinline__ float4 table_four(const char *row, float scale, uint32_t i)
{
    if (storage == EGG_STORAGE_F32) return egg_load_four((const float *)row + i);
    if (storage == EGG_STORAGE_BF16) {
        const uint2 v = *(const uint2 *)(row + i * sizeof(uint16_t));
        return make_float4(__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xFFFF0000u), __uint_as_float(v.y << 16),
                           __uint_as_float(v.y & 0xFFFF0000u));
    }
    const int32_t v = *(const int32_t *)(row + sizeof(float) + i);
    return make_float4(__fmul_rn(scale, (float)(int8_t)v), __fmul_rn(scale, (float)(int8_t)(v >> 8)),
                       __fmul_rn(scale, (float)(int8_t)(v >> 16)), __fmul_rn(scale, (float)(v >> 24)));
}

/* A thread has four columns of a row. */
template <egg_storage storage>
static __global__ void lookup(const egg_lookup_args args, size_t row_bytes, size_t elements)
{
    const uint32_t rank = args.B ? args.rank : 1;
    EGG_EACH_FOUR(at, elements) {
        const uint32_t b = (uint32_t)(at / args.n), i = (uint32_t)(at % args.n), v = args.tokens[b];
        const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
        const char *row = (const char *)args.table + v * row_bytes;
        float4 y = table_four<storage>(row, storage == EGG_STORAGE_Q8 ? *(const float *)row : 1, i);
        for (uint32_t k = 0; args.A && k < rank; k++) {
            const size_t component = (size_t)(m / 2) * rank + k, cell = component * args.vocabulary + v;
            const float *noise = args.B ? args.B + component * args.n : args.A + cell * args.n;
            const float c = m % 2 ? -args.c : args.c;
            y = egg_fma_four(args.B ? __fmul_rn(c, args.A[cell]) : c, egg_load_four(noise + i), y);
        }
        egg_store_four(args.Y + b * args.y_stride + i, y);
    }
}

static void launch_lookup_f32(const egg_lookup_args *args)
{
    const size_t n = (size_t)args->rows * args->n, row_bytes = egg_table_row_bytes(args->storage, args->n);
    const dim3 grid(egg_elementwise_blocks(n)), block(EGG_ELEMENTWISE_THREADS);
    if (!n) return;
    switch (args->storage) {
    case EGG_STORAGE_F32: EGG_LAUNCH(lookup<EGG_STORAGE_F32>, grid, block, 0, *args, row_bytes, n); break;
    case EGG_STORAGE_BF16: EGG_LAUNCH(lookup<EGG_STORAGE_BF16>, grid, block, 0, *args, row_bytes, n); break;
    case EGG_STORAGE_Q8: EGG_LAUNCH(lookup<EGG_STORAGE_Q8>, grid, block, 0, *args, row_bytes, n); break;
    }
}

/* A block has a row, of one word as well as of many. */
static __global__ void gather(const egg_gather_args args)
{
    const uint32_t *x = args.X + args.row[blockIdx.x] * args.x_stride;
    uint32_t *y = args.Y + (size_t)blockIdx.x * args.n;
    for (uint32_t i = threadIdx.x; i < args.n; i += blockDim.x) y[i] = x[i];
}

static void launch_gather(const egg_gather_args *args)
{
    enum { FEW = 32, MANY = 256 };
    if (args->rows) EGG_LAUNCH(gather, dim3(args->rows), dim3(args->n < MANY ? FEW : MANY), 0, *args);
}

/* A thread reads all that it writes over before it writes, since A may lie in 'out'. */
static __global__ void perturb_vector_f32(const egg_perturb_vector_args args, size_t elements)
{
    EGG_EACH_FOUR(at, elements) {
        const size_t p = at / args.n, i = at % args.n;
        const float4 w = egg_load_four((const float *)args.w + i);
        const float4 noise = egg_load_four((const float *)args.A + p * args.a_stride + i);
        float *out = (float *)args.out + 2 * p * args.n + i;
        egg_store_four(out, egg_fma_four(args.c, noise, w));
        egg_store_four(out + args.n, egg_fma_four(-args.c, noise, w));
    }
}

static void launch_perturb_vector_f32(const egg_perturb_vector_args *args)
{
    const size_t n = (size_t)args->pairs * args->n;
    if (n) EGG_LAUNCH(perturb_vector_f32, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, *args, n);
}

/* ------------------------------------------------------------------------------------------------------- layer norm */

static __device__ __forceinline__ float norm_one(const egg_layer_norm_args &args, float x, float mean, float deviation,
                                                 float w, float bias)
{
    float z = __fdiv_rn(__fsub_rn(x, mean), deviation);
    if (args.w) z = __fmul_rn(z, w);
    if (args.bias) z = __fadd_rn(z, bias);
    return args.relu && z < 0 ? 0 : z;
}

template <int warps> static __global__ void layer_norm_f32(const egg_layer_norm_args args)
{
    EGG_STATIC_SHARED(float, parts, warps);
    const uint32_t b = egg_row_here<warps>(), first = 4 * threadIdx.x, step = 4 * EGG_WARP * warps, n = args.n;
    if (warps == 1 && b >= args.rows) return;
    const size_t m = egg_cuda_row_member(args.member, b, args.steps);
    const float *x = (const float *)args.X + b * args.x_stride, *w = (const float *)args.w, *bias = args.bias;
    float *y = (float *)args.Y + b * args.y_stride, sum = 0, squares = 0;
    for (uint32_t i = first; i < n; i += step) {
        const float4 v = egg_load_four(x + i);
        sum = __fadd_rn(sum, __fadd_rn(__fadd_rn(v.x, v.y), __fadd_rn(v.z, v.w)));
    }
    const float mean = __fdiv_rn(egg_row_sum<warps>(sum, parts), (float)n);
    for (uint32_t i = first; i < n; i += step) {
        float4 v = egg_load_four(x + i);
        v = make_float4(__fsub_rn(v.x, mean), __fsub_rn(v.y, mean), __fsub_rn(v.z, mean), __fsub_rn(v.w, mean));
        squares = egg_dot_four(v, v, squares);
    }
    squares = egg_row_sum<warps>(squares, parts);
    const float deviation = __fsqrt_rn(__fadd_rn(__fdiv_rn(squares, (float)n), args.epsilon));
    const float4 zero = make_float4(0, 0, 0, 0);
    for (uint32_t i = first; i < n; i += step) {   /* Y may be X: a thread writes what only it reads */
        const float4 v = egg_load_four(x + i), s = w ? egg_load_four(w + m * args.w_stride + i) : zero;
        const float4 c = bias ? egg_load_four(bias + m * args.bias_stride + i) : zero;
        egg_store_four(y + i, make_float4(norm_one(args, v.x, mean, deviation, s.x, c.x),
                                          norm_one(args, v.y, mean, deviation, s.y, c.y),
                                          norm_one(args, v.z, mean, deviation, s.z, c.z),
                                          norm_one(args, v.w, mean, deviation, s.w, c.w)));
    }
}

static void launch_layer_norm_f32(const egg_layer_norm_args *args)
{
    if (args->rows) EGG_LAUNCH_ROWS(layer_norm_f32, args->rows, args->n, *args);
}

/* ------------------------------------------------------------------------------------------------------ elementwise */

static __global__ void add_f32(float *Y, const float *X, size_t n)
{
    EGG_EACH_FOUR(i, n) egg_store_four(Y + i, egg_add_four(egg_load_four(Y + i), egg_load_four(X + i)));
}

static __global__ void relu_f32(float *Y, size_t n)
{
    EGG_EACH_FOUR(i, n) {
        const float4 y = egg_load_four(Y + i);
        egg_store_four(Y + i, make_float4(y.x > 0 ? y.x : 0, y.y > 0 ? y.y : 0, y.z > 0 ? y.z : 0, y.w > 0 ? y.w : 0));
    }
}

/* tanhf of CUDA's library is within 2 units in the last place. */
static __global__ void tanh_f32(float *Y, size_t n)
{
    EGG_EACH_FOUR(i, n) {
        const float4 y = egg_load_four(Y + i);
        egg_store_four(Y + i, make_float4(tanhf(y.x), tanhf(y.y), tanhf(y.z), tanhf(y.w)));
    }
}

static void launch_add_f32(void *Y, const void *X, size_t n)
{
    if (n)
        EGG_LAUNCH(add_f32, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, (float *)Y,
                   (const float *)X, n);
}

static void launch_relu_f32(float *Y, size_t n)
{
    if (n) EGG_LAUNCH(relu_f32, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, Y, n);
}

static void launch_tanh_f32(float *Y, size_t n)
{
    if (n) EGG_LAUNCH(tanh_f32, dim3(egg_elementwise_blocks(n)), dim3(EGG_ELEMENTWISE_THREADS), 0, Y, n);
}

extern "C" void egg_cuda_elementwise_f32(egg_kernels *kernels)
{
    kernels->lookup_f32 = launch_lookup_f32;
    kernels->gather = launch_gather;
    kernels->perturb_vector_f32 = launch_perturb_vector_f32;
    kernels->layer_norm_f32 = launch_layer_norm_f32;
    kernels->add_f32 = launch_add_f32;
    kernels->relu_f32 = launch_relu_f32;
    kernels->tanh_f32 = launch_tanh_f32;
}
