/* SPDX-License-Identifier: MIT */
/*
 * The float update: sums of outer products, weighted by fitness. Every element is one chain of fused multiply-adds in
 * ascending order of the samples, from what it was before.
 */
#include "kernels/cuda/rows.cuh"

/* ------------------------------------------------------------------------------------------------------------ weigh */

static __global__ void weigh_f32(const float *A, const float *F, size_t n, size_t elements, float *out)
{
    EGG_EACH_FOUR(at, elements) {
        const float4 a = egg_load_four(A + at);
        const float f = F[at / n];
        egg_store_four(out + at, egg_scale_four(f, a));
    }
}

static void launch_weigh_f32(const float *A, const float *F, uint32_t pairs, size_t n, float *out)
{
    const size_t elements = pairs * n;
    if (elements)
        EGG_LAUNCH(weigh_f32, dim3(egg_elementwise_blocks(elements)), dim3(EGG_ELEMENTWISE_THREADS), 0, A, F, n,
                   elements, out);
}

/* ------------------------------------------------------------------------------------------------------------ outer */

/*
 * Samples go by in depths of 16 through three buffers. A thread has rows and columns in groups of four neighbours, 4 TY
 * and 4 TX apart; the lanes of a warp are 4 groups of rows and 8 of columns.
 *
 * Rows of A need no alignment (m is any number), so A is copied element by element, through registers: it is loaded
 * before the arithmetic of a depth and stored after it. A chain cannot be cut, so a small matrix has few threads: its
 * tiles are small ones.
 */
enum { DEPTH = 16, STAGES = 3 };

template <int edge_, int thread_edge_> struct outer_shape {
    enum {
        edge = edge_,
        thread_edge = thread_edge_,
        groups = thread_edge / 4,
        across = edge / thread_edge,      /* threads along each edge */
        threads = across * across,
        a_each = edge * DEPTH / threads   /* elements of A that a thread copies */
    };
};

typedef outer_shape<128, 8> large_outer;
typedef outer_shape<32, 4> small_outer;

template <typename shape> struct outer_buffers {
    float A[STAGES][DEPTH][shape::edge], B[STAGES][DEPTH][shape::edge];
};

template <typename shape>
static __device__ __forceinline__ void outer_load_a(const egg_outer_f32_args &args, uint32_t i, uint32_t q,
                                                    float a[shape::a_each])
{
    EGG_UNROLL
    for (uint32_t e = 0; e < shape::a_each; e++) {
        const uint32_t at = threadIdx.x + e * shape::threads, d = q + at / shape::edge, row = i + at % shape::edge;
        a[e] = d < args.count && row < args.m ? args.A[(size_t)d * args.m + row] : 0;
    }
}

template <typename shape>
static __device__ __forceinline__ void outer_store_a(const float a[shape::a_each], float A[DEPTH][shape::edge])
{
    EGG_UNROLL
    for (uint32_t e = 0; e < shape::a_each; e++) {
        const uint32_t at = threadIdx.x + e * shape::threads;
        A[at / shape::edge][at % shape::edge] = a[e];
    }
}

template <typename shape>
static __device__ __forceinline__ void outer_copy_b(const egg_outer_f32_args &args, uint32_t j, uint32_t q,
                                                    float B[DEPTH][shape::edge])
{
    enum { PARTS = shape::edge / 4 };
    for (uint32_t c = threadIdx.x; c < DEPTH * PARTS; c += shape::threads) {
        const uint32_t d = c / PARTS, column = c % PARTS * 4;
        const bool valid = q + d < args.count && j + column < args.n;
        egg_cp_async16_or_zero(&B[d][column], args.B + (valid ? (size_t)(q + d) * args.n + j + column : 0), valid);
    }
}

/* One sample of a buffer. */
template <typename shape>
static __device__ __forceinline__ void outer_sample(const float A[shape::edge], const float B[shape::edge], uint32_t y,
                                                    uint32_t x, float sum[shape::thread_edge][shape::thread_edge])
{
    float a[shape::thread_edge], b[shape::thread_edge];
    EGG_UNROLL
    for (uint32_t g = 0; g < shape::groups; g++) {
        const float4 fa = egg_load_four(&A[4 * (y + g * shape::across)]);
        const float4 fb = egg_load_four(&B[4 * (x + g * shape::across)]);
        a[4 * g] = fa.x, a[4 * g + 1] = fa.y, a[4 * g + 2] = fa.z, a[4 * g + 3] = fa.w;
        b[4 * g] = fb.x, b[4 * g + 1] = fb.y, b[4 * g + 2] = fb.z, b[4 * g + 3] = fb.w;
    }
    EGG_UNROLL
    for (uint32_t r = 0; r < shape::thread_edge; r++)
        EGG_UNROLL
        for (uint32_t c = 0; c < shape::thread_edge; c++) sum[r][c] = __fmaf_rn(a[r], b[c], sum[r][c]);
}

/* The first 'depth' samples of a buffer: not its zeros, which would turn a sum of -0 into 0. */
template <typename shape>
static __device__ __forceinline__ void outer_multiply(const float A[DEPTH][shape::edge],
                                                      const float B[DEPTH][shape::edge], uint32_t depth,
                                                      uint32_t y, uint32_t x,
                                                      float sum[shape::thread_edge][shape::thread_edge])
{
    if (depth < DEPTH) {
        for (uint32_t d = 0; d < depth; d++) outer_sample<shape>(A[d], B[d], y, x, sum);
        return;
    }
    EGG_UNROLL
    for (uint32_t d = 0; d < DEPTH; d++) outer_sample<shape>(A[d], B[d], y, x, sum);
}

/* Between the thread's sums and its part of Z. */
template <typename shape, bool store>
static __device__ __forceinline__ void outer_exchange(const egg_outer_f32_args &args, uint32_t i, uint32_t j,
                                                      float sum[shape::thread_edge][shape::thread_edge])
{
    EGG_UNROLL
    for (uint32_t r = 0; r < shape::thread_edge; r++)
        EGG_UNROLL
        for (uint32_t g = 0; g < shape::groups; g++) {
            const uint32_t row = i + r / 4 * 4 * shape::across + r % 4, column = j + 4 * g * shape::across;
            float *z = args.Z + (size_t)row * args.n + column, *s = sum[r] + 4 * g;
            if (row >= args.m || column >= args.n) continue;
            if (store) {
                egg_store_four(z, make_float4(s[0], s[1], s[2], s[3]));
            } else {
                const float4 four = egg_load_four(z);
                s[0] = four.x, s[1] = four.y, s[2] = four.z, s[3] = four.w;
            }
        }
}

template <typename shape>
static __global__ void __launch_bounds__(shape::threads, 512 / shape::threads) outer_f32(const egg_outer_f32_args args)
{
    EGG_SHARED(outer_buffers<shape>, buffers);
    enum { WARPS_X = shape::across / 8 };
    const uint32_t warp = threadIdx.x / EGG_WARP, lane = threadIdx.x % EGG_WARP;
    const uint32_t x = warp % WARPS_X * 8 + lane % 8, y = warp / WARPS_X * 4 + lane / 8;
    const uint32_t i = blockIdx.y * shape::edge, j = blockIdx.x * shape::edge;
    float sum[shape::thread_edge][shape::thread_edge] = {}, a[shape::a_each];
    outer_exchange<shape, false>(args, i + 4 * y, j + 4 * x, sum);
    for (uint32_t s = 0; s < STAGES - 1; s++) {
        outer_load_a<shape>(args, i, s * DEPTH, a);
        outer_store_a<shape>(a, buffers->A[s]);
        outer_copy_b<shape>(args, j, s * DEPTH, buffers->B[s]);
        egg_cp_async_commit();
    }
    for (uint32_t q = 0, stage = 0; q < args.count; q += DEPTH, stage = (stage + 1) % STAGES) {
        const uint32_t next = (stage + STAGES - 1) % STAGES;
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* all see this depth, and nobody reads the one before any more */
        outer_load_a<shape>(args, i, q + (STAGES - 1) * DEPTH, a);
        outer_copy_b<shape>(args, j, q + (STAGES - 1) * DEPTH, buffers->B[next]);
        egg_cp_async_commit();
        outer_multiply<shape>(buffers->A[stage], buffers->B[stage], min(args.count - q, (uint32_t)DEPTH), y, x, sum);
        outer_store_a<shape>(a, buffers->A[next]);
    }
    outer_exchange<shape, true>(args, i + 4 * y, j + 4 * x, sum);
}

/* Few rows (one, where noise is dense) only read B; a thread has four columns. */
enum { FEW_OUTER_ROWS = 4, FEW_OUTER_AHEAD = 8 };

static __global__ void outer_few_f32(const egg_outer_f32_args args)
{
    const uint32_t j = 4 * (blockIdx.x * blockDim.x + threadIdx.x), i = blockIdx.y;
    if (j >= args.n) return;
    float *z = args.Z + (size_t)i * args.n + j;
    float4 sum = egg_load_four(z);
    uint32_t q = 0;
    for (; q + FEW_OUTER_AHEAD <= args.count; q += FEW_OUTER_AHEAD) {   /* several loads on their way at a time */
        float4 b[FEW_OUTER_AHEAD];
        EGG_UNROLL
        for (uint32_t d = 0; d < FEW_OUTER_AHEAD; d++) b[d] = egg_load_four(args.B + (size_t)(q + d) * args.n + j);
        EGG_UNROLL
        for (uint32_t d = 0; d < FEW_OUTER_AHEAD; d++)
            sum = egg_fma_four(args.A[(size_t)(q + d) * args.m + i], b[d], sum);
    }
    for (; q < args.count; q++)
        sum = egg_fma_four(args.A[(size_t)q * args.m + i], egg_load_four(args.B + (size_t)q * args.n + j), sum);
    egg_store_four(z, sum);
}

template <typename shape> static void launch_outer(const egg_outer_f32_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->n, shape::edge), egg_divide_up<uint32_t>(args->m, shape::edge));
    EGG_LAUNCH(outer_f32<shape>, grid, dim3(shape::threads), sizeof(outer_buffers<shape>), *args);
}

static void launch_outer_f32(const egg_outer_f32_args *args)
{
    const uint32_t edge = large_outer::edge;
    if (args->count == 0 || args->n == 0) return;
    if (args->m <= FEW_OUTER_ROWS)
        EGG_LAUNCH(outer_few_f32, dim3(egg_divide_up<uint32_t>(args->n, 4 * EGG_ELEMENTWISE_THREADS), args->m),
                   dim3(EGG_ELEMENTWISE_THREADS), 0, *args);
    else if (egg_divide_up(args->m, edge) * egg_divide_up(args->n, edge) >= egg_cuda_processors())
        launch_outer<large_outer>(args);
    else
        launch_outer<small_outer>(args);
}

/* --------------------------------------------------------------------------------------------------------- gradient */

enum { GRADIENT_THREADS = 256, GRADIENT_WARPS = GRADIENT_THREADS / EGG_WARP };

static_assert((int)EGG_WARP == (int)EGG_SQUARE_LANES, "the lanes of a warp add up the squares of a row");

/* A warp has a row, and leaves the sum of its squares. */
static __global__ void gradient_rows(const egg_gradient_args args)
{
    const uint32_t row = blockIdx.x * GRADIENT_WARPS + threadIdx.x / EGG_WARP, lane = threadIdx.x % EGG_WARP;
    if (row >= args.rows) return;
    float *G = args.G + (size_t)row * args.n;
    const uint32_t used = row < args.used_rows ? args.used : 0;
    double squares = 0;
    for (uint32_t i = lane; i < args.n; i += EGG_WARP) {
        const float g = i < used ? __fmul_rn(G[i], args.c) : 0;
        G[i] = g;
        squares = __dadd_rn(squares, __dmul_rn(g, g));
    }
    squares = egg_warp_sum(squares);
    if (lane == 0) args.scratch[row] = squares;
}

/* A thread has a group. */
static __global__ void gradient_groups(const egg_gradient_args args)
{
    const uint32_t group = blockIdx.x * GRADIENT_THREADS + threadIdx.x;
    const size_t first = (size_t)group * args.group_rows;
    if (first >= args.rows) return;
    const uint32_t rows = min(args.rows - (uint32_t)first, args.group_rows);
    double squares = 0;
    for (uint32_t o = 0; o < rows; o++) squares = __dadd_rn(squares, args.scratch[first + o]);
    args.squares[group] = squares;
}

static void launch_gradient_f32(const egg_gradient_args *args)
{
    const uint32_t groups = egg_divide_up(args->rows, args->group_rows);
    if (args->rows == 0) return;
    EGG_LAUNCH(gradient_rows, dim3(egg_divide_up<uint32_t>(args->rows, GRADIENT_WARPS)), dim3(GRADIENT_THREADS), 0,
               *args);
    EGG_LAUNCH(gradient_groups, dim3(egg_divide_up<uint32_t>(groups, GRADIENT_THREADS)), dim3(GRADIENT_THREADS), 0,
               *args);
}

/* --------------------------------------------------------------------------------------------------------- optimize */

/* As the reference has it, operation by operation. */
template <egg_optimizer_kind kind>
static __device__ __forceinline__ float optimize_one(const egg_optimize_args &args, size_t i, float w, float g)
{
    if (kind == EGG_OPTIMIZER_SGD) return __fadd_rn(w, __fmul_rn(args.lr, g));
    if (kind == EGG_OPTIMIZER_MOMENTUM) {
        const float m = __fadd_rn(__fmul_rn(args.beta1, args.m[i]), g);
        args.m[i] = m;
        return __fadd_rn(w, __fmul_rn(args.lr, m));
    }
    const float rest1 = __fsub_rn(1, args.beta1), rest2 = __fsub_rn(1, args.beta2);
    const float m = __fadd_rn(__fmul_rn(args.beta1, args.m[i]), __fmul_rn(rest1, g));
    const float v = __fadd_rn(__fmul_rn(args.beta2, args.v[i]), __fmul_rn(rest2, __fmul_rn(g, g)));
    args.m[i] = m;
    args.v[i] = v;
    const float deviation = __fadd_rn(__fmul_rn(args.correction, __fsqrt_rn(v)), args.epsilon);
    return __fadd_rn(w, __fdiv_rn(__fmul_rn(args.lr, m), deviation));
}

template <egg_optimizer_kind kind> static __global__ void optimize(const egg_optimize_args args)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < args.n; i += step)
        args.W[i] = optimize_one<kind>(args, i, __fmul_rn(args.W[i], args.decay), __fmul_rn(args.scale, args.G[i]));
}

template <egg_optimizer_kind kind> static void launch_optimize(const egg_optimize_args *args)
{
    if (args->n)
        EGG_LAUNCH(optimize<kind>, dim3(egg_elementwise_blocks(args->n)), dim3(EGG_ELEMENTWISE_THREADS), 0, *args);
}

static void launch_optimize_f32(const egg_optimize_args *args)
{
    switch (args->kind) {
    case EGG_OPTIMIZER_SGD: launch_optimize<EGG_OPTIMIZER_SGD>(args); break;
    case EGG_OPTIMIZER_MOMENTUM: launch_optimize<EGG_OPTIMIZER_MOMENTUM>(args); break;
    case EGG_OPTIMIZER_ADAM:
    case EGG_OPTIMIZER_ADAMW: launch_optimize<EGG_OPTIMIZER_ADAM>(args); break;
    }
}

/* ------------------------------------------------------------------------------------------------------------- peak */

enum { PEAK_CHAINS = 8, PEAK_THREADS = 256, PEAK_BLOCKS = 1024 };

static __global__ void peak_f32(uint64_t rounds, float operand, float *out)
{
    float sum[PEAK_CHAINS] = {};
    for (uint64_t i = 0; i < rounds; i++)
        EGG_UNROLL
        for (uint32_t k = 0; k < PEAK_CHAINS; k++) sum[k] = __fmaf_rn(sum[k], operand, operand);
    float total = 0;
    for (uint32_t k = 0; k < PEAK_CHAINS; k++) total += sum[k];
    if (total < 0) *out = total;   /* never, but the compiler does not know */
}

static uint64_t launch_peak_f32(uint64_t rounds)
{
    EGG_LAUNCH(peak_f32, dim3(PEAK_BLOCKS), dim3(PEAK_THREADS), 0, rounds, 0.5f, (float *)nullptr);
    return rounds * PEAK_CHAINS * PEAK_THREADS * PEAK_BLOCKS;
}

extern "C" void egg_cuda_update_f32(egg_kernels *kernels)
{
    kernels->weigh_f32 = launch_weigh_f32;
    kernels->outer_f32 = launch_outer_f32;
    kernels->gradient_f32 = launch_gradient_f32;
    kernels->optimize_f32 = launch_optimize_f32;
    kernels->peak_f32 = launch_peak_f32;
}
