/* SPDX-License-Identifier: MIT */
/*
 * The perturbed product with float32 activations and weights. Tensor cores have no float32, so these are fused
 * multiply-adds: every output is one chain of them in ascending order of the inputs, then of the factors. So neither
 * the shape of a tile nor what else is in a call changes a bit. Weights held in fewer bits: product_tensor.cu.
 *
 * Packed weights are panels of 16 outputs, (in, 16), as on the processor: what a tile needs of a panel for some inputs
 * lies together and is copied as it is, and neighbouring threads then read neighbouring outputs.
 */
#include "kernels/cuda/finish.cuh"

enum { PANEL = 16 };

/* ------------------------------------------------------------------------------------------------------------- pack */

static size_t packed_bytes(uint32_t out, uint32_t in)
{
    return (size_t)out * in * sizeof(float);
}

enum { PACK_DEPTH = 64, PACK_THREADS = 256 };

/* 64 inputs of a panel, turned around in shared memory so that both sides are read and written along their rows. */
static __global__ void pack(const float *W, uint32_t in, float *packed)
{
    enum { STRIDE = PACK_DEPTH + 1 };
    EGG_STATIC_SHARED(float, turned, PANEL * STRIDE);
    const float *w = W + (size_t)blockIdx.y * PANEL * in;
    float *panel = packed + (size_t)blockIdx.y * PANEL * in;
    const uint32_t first = blockIdx.x * PACK_DEPTH, depth = min(in - first, (uint32_t)PACK_DEPTH);
    for (uint32_t e = threadIdx.x; e < PANEL * PACK_DEPTH; e += PACK_THREADS)
        if (e % PACK_DEPTH < depth)
            turned[e / PACK_DEPTH * STRIDE + e % PACK_DEPTH] =
                w[(size_t)(e / PACK_DEPTH) * in + first + e % PACK_DEPTH];
    __syncthreads();
    for (uint32_t e = threadIdx.x; e < PANEL * depth; e += PACK_THREADS)
        panel[(size_t)first * PANEL + e] = turned[e % PANEL * STRIDE + e / PANEL];
}

static void launch_pack(const void *W, uint32_t out, uint32_t in, void *packed)
{
    enum { MOST_PANELS = 65535 };   /* of a grid's second dimension */
    if (out == 0 || in == 0) return;
    for (uint32_t panel = 0, panels = out / PANEL, n; panel < panels; panel += n) {
        n = panels - panel < MOST_PANELS ? panels - panel : (uint32_t)MOST_PANELS;
        EGG_LAUNCH(pack, dim3(egg_divide_up<uint32_t>(in, PACK_DEPTH), n), dim3(PACK_THREADS), 0,
                   (const float *)W + (size_t)panel * PANEL * in, in, (float *)packed + (size_t)panel * PANEL * in);
    }
}

static __device__ __forceinline__ const float *panel_at(const egg_linear_args &args, uint32_t number)
{
    return (const float *)args.W + (size_t)number * PANEL * args.in;
}

/* ------------------------------------------------------------------------------------------------- many rows: tiles */

/*
 * A tile's inputs go by in depths of 16 through three buffers, so that copies have two depths of arithmetic to arrive.
 * A thread owns rows TY apart and, in groups of four neighbours, outputs 4 TX apart; the lanes of a warp are 4 rows and
 * 8 groups, so that a warp's load of weights is 128 bytes without a conflict and one of activations four rows, whose
 * stride of 20 floats puts them into different banks. A thread's 64 multiply-adds of an input cost two loads of weights
 * and, four inputs at a time, two of activations.
 */
enum { DEPTH = 16, STAGES = 3, X_STRIDE = DEPTH + 4 };

template <int rows_, int out_, int thread_rows_, int thread_out_> struct tile_shape {
    enum {
        rows = rows_,
        out = out_,
        thread_rows = thread_rows_,
        thread_out = thread_out_,
        groups = thread_out / 4,
        ty = rows / thread_rows,
        tx = out / thread_out,
        threads = tx * ty,
        warps_x = tx / 8
    };
};

typedef tile_shape<128, 128, 8, 8> large_tile;
typedef tile_shape<64, 64, 4, 8> small_tile;
typedef tile_shape<32, 32, 4, 4> tiny_tile;   /* tens of rows, as in decoding: a chain cannot be cut, only tiles can */

template <typename shape> struct tile_buffer {
    enum {
        panels = shape::out / PANEL,
        panel_stride = (DEPTH + 1) * PANEL * sizeof(float),   /* bytes; two panels' rows in different banks */
        x_bytes = shape::rows * X_STRIDE * sizeof(float),
        bytes = x_bytes + panels * panel_stride
    };
};

/* Begins to copy inputs k ... k + 15 of the tile's rows and panels; zeros where there are none. */
template <typename shape>
static __device__ __forceinline__ void tile_copy(const egg_linear_args &args, uint32_t first_row, uint32_t first_panel,
                                                 uint32_t k, char *buffer)
{
    typedef tile_buffer<shape> layout;
    enum { ROW_PARTS = DEPTH / 4, PANEL_PARTS = DEPTH * PANEL * sizeof(float) / 16 };
    const float *X = (const float *)args.X;
    for (uint32_t c = threadIdx.x; c < shape::rows * ROW_PARTS; c += shape::threads) {
        const uint32_t r = c / ROW_PARTS, part = c % ROW_PARTS * 4;
        const bool valid = first_row + r < args.rows;
        const size_t at = valid ? (first_row + r) * args.x_stride + k + part : 0;
        egg_cp_async16_or_zero((float *)buffer + r * X_STRIDE + part, X + at, valid);
    }
    for (uint32_t c = threadIdx.x; c < layout::panels * PANEL_PARTS; c += shape::threads) {
        const uint32_t p = c / PANEL_PARTS, part = c % PANEL_PARTS * 16;
        const bool valid = first_panel + p < args.out / PANEL;
        const char *panel = (const char *)panel_at(args, valid ? first_panel + p : 0);
        egg_cp_async16_or_zero(buffer + layout::x_bytes + p * layout::panel_stride + part,
                               panel + (size_t)k * PANEL * sizeof(float) + part, valid);
    }
}

/* The thread's place in its tile: its rows are y + ty * r, its outputs 4 * (x + tx * g) and three more. */
template <typename shape> struct tile_place {
    uint32_t x, y;

    __device__ __forceinline__ tile_place()
    {
        const uint32_t warp = threadIdx.x / EGG_WARP, lane = threadIdx.x % EGG_WARP;
        x = warp % shape::warps_x * 8 + lane % 8;
        y = warp / shape::warps_x * 4 + lane / 8;
    }
};

template <typename shape>
static __device__ __forceinline__ void tile_multiply(const char *buffer, tile_place<shape> place,
                                                     float sum[shape::thread_rows][shape::thread_out])
{
    typedef tile_buffer<shape> layout;
    const float *X = (const float *)buffer + place.y * X_STRIDE;
    EGG_NO_UNROLL   /* four inputs at a time are enough to hide latencies; more would not fit the registers */
    for (uint32_t k = 0; k < DEPTH; k += 4) {
        float x[shape::thread_rows][4];
        EGG_UNROLL
        for (uint32_t r = 0; r < shape::thread_rows; r++) {
            const float4 v = egg_load_four(X + r * shape::ty * X_STRIDE + k);
            x[r][0] = v.x, x[r][1] = v.y, x[r][2] = v.z, x[r][3] = v.w;
        }
        EGG_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            float w[shape::thread_out];
            EGG_UNROLL
            for (uint32_t g = 0; g < shape::groups; g++) {
                const uint32_t o = 4 * (place.x + g * shape::tx);
                const char *panel = buffer + layout::x_bytes + o / PANEL * layout::panel_stride;
                const float4 v = egg_load_four((const float *)panel + (k + j) * PANEL + o % PANEL);
                w[4 * g] = v.x, w[4 * g + 1] = v.y, w[4 * g + 2] = v.z, w[4 * g + 3] = v.w;
            }
            EGG_UNROLL
            for (uint32_t r = 0; r < shape::thread_rows; r++)
                EGG_UNROLL
                for (uint32_t o = 0; o < shape::thread_out; o++) sum[r][o] = __fmaf_rn(x[r][j], w[o], sum[r][o]);
        }
    }
}

template <typename shape>
static __device__ __forceinline__ void tile_finish(const egg_linear_args &args, uint32_t first_row, uint32_t first_out,
                                                   tile_place<shape> place,
                                                   float sum[shape::thread_rows][shape::thread_out])
{
    EGG_UNROLL
    for (uint32_t r = 0; r < shape::thread_rows; r++) {
        const uint32_t b = first_row + place.y + r * shape::ty;
        if (b >= args.rows) continue;
        const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
        EGG_UNROLL
        for (uint32_t g = 0; g < shape::groups; g++) {
            const uint32_t o = first_out + 4 * (place.x + g * shape::tx);
            if (o >= args.out) continue;
            const float *s = sum[r] + 4 * g;
            egg_store_four((float *)args.Y + b * args.y_stride + o,
                           egg_finish_four(args, b, m, o, make_float4(s[0], s[1], s[2], s[3])));
        }
    }
}

/* Neighbouring blocks have the same weights and other rows: what a wave of blocks reads of W stays in the L2 cache. */
template <typename shape>
static __global__ void __launch_bounds__(shape::threads, 512 / shape::threads) linear_tile(const egg_linear_args args)
{
    typedef tile_buffer<shape> layout;
    EGG_SHARED(char, buffers);
    const uint32_t first_row = blockIdx.x * shape::rows, first_out = blockIdx.y * shape::out, depths = args.in / DEPTH;
    const tile_place<shape> place;
    float sum[shape::thread_rows][shape::thread_out] = {};
    EGG_UNROLL
    for (uint32_t d = 0; d < STAGES - 1; d++) {
        if (d < depths)
            tile_copy<shape>(args, first_row, first_out / PANEL, d * DEPTH, buffers + d * layout::bytes);
        egg_cp_async_commit();
    }
    for (uint32_t d = 0; d < depths; d++) {
        const uint32_t next = d + STAGES - 1;
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* all see depth d, and nobody reads the buffer of depth d - 1 any more */
        if (next < depths)
            tile_copy<shape>(args, first_row, first_out / PANEL, next * DEPTH,
                                      buffers + next % STAGES * layout::bytes);
        egg_cp_async_commit();
        tile_multiply<shape>(buffers + d % STAGES * layout::bytes, place, sum);
    }
    tile_finish<shape>(args, first_row, first_out, place, sum);
}

/* ------------------------------------------------------------------------------------------------------- a few rows */

/*
 * Up to 8 rows read the weights once, and nothing else takes time. A block has one panel, so that there are many
 * blocks, and copies four depths of 64 inputs ahead; a thread has one output of one row.
 */
enum { FEW_ROWS = 8, FEW_DEPTH = 64, FEW_STAGES = 5, FEW_X_STRIDE = FEW_DEPTH + 4 };

struct few_buffer {
    enum { x_bytes = FEW_ROWS * FEW_X_STRIDE * sizeof(float), bytes = x_bytes + FEW_DEPTH * PANEL * sizeof(float) };
};

static __device__ __forceinline__ void few_copy(const egg_linear_args &args, const char *panel, uint32_t k,
                                                char *buffer)
{
    typedef few_buffer layout;
    enum { ROW_BYTES = PANEL * sizeof(float) };
    const uint32_t thread = threadIdx.y * PANEL + threadIdx.x, threads = blockDim.y * PANEL;
    const uint32_t depth = min(args.in - k, (uint32_t)FEW_DEPTH);
    for (uint32_t c = thread; c < args.rows * (depth / 4); c += threads) {
        const uint32_t r = c / (depth / 4), part = c % (depth / 4) * 4;
        egg_cp_async16((float *)buffer + r * FEW_X_STRIDE + part,
                       (const float *)args.X + r * args.x_stride + k + part);
    }
    for (uint32_t c = thread; c < depth * ROW_BYTES / 16; c += threads)
        egg_cp_async16(buffer + layout::x_bytes + 16 * c, panel + (size_t)k * ROW_BYTES + 16 * c);
}

static __device__ __forceinline__ float few_multiply(const char *buffer, uint32_t depth, float sum)
{
    typedef few_buffer layout;
    const float *x = (const float *)buffer + threadIdx.y * FEW_X_STRIDE;
    const float *w = (const float *)(buffer + layout::x_bytes) + threadIdx.x;
    for (uint32_t k = 0; k < depth; k += PANEL, x += PANEL, w += PANEL * PANEL)
        EGG_UNROLL
        for (uint32_t j = 0; j < PANEL; j += 4) {
            const float4 four = egg_load_four(x + j);
            sum = __fmaf_rn(four.x, w[j * PANEL], sum);
            sum = __fmaf_rn(four.y, w[(j + 1) * PANEL], sum);
            sum = __fmaf_rn(four.z, w[(j + 2) * PANEL], sum);
            sum = __fmaf_rn(four.w, w[(j + 3) * PANEL], sum);
        }
    return sum;
}

static __global__ void __launch_bounds__(FEW_ROWS * PANEL) linear_few(const egg_linear_args args)
{
    typedef few_buffer layout;
    EGG_SHARED(char, buffers);
    const uint32_t o = blockIdx.x * PANEL + threadIdx.x, b = threadIdx.y;
    const uint32_t depths = (args.in + FEW_DEPTH - 1) / FEW_DEPTH;
    const char *panel = (const char *)panel_at(args, blockIdx.x);
    float sum = 0;
    for (uint32_t d = 0; d < FEW_STAGES - 1; d++) {
        if (d < depths) few_copy(args, panel, d * FEW_DEPTH, buffers + d * layout::bytes);
        egg_cp_async_commit();
    }
    for (uint32_t d = 0; d < depths; d++) {
        const uint32_t next = d + FEW_STAGES - 1;
        egg_cp_async_wait<FEW_STAGES - 2>();
        __syncthreads();
        if (next < depths)
            few_copy(args, panel, next * FEW_DEPTH, buffers + next % FEW_STAGES * layout::bytes);
        egg_cp_async_commit();
        if (b < args.rows)
            sum = few_multiply(buffers + d % FEW_STAGES * layout::bytes,
                                        min(args.in - d * FEW_DEPTH, (uint32_t)FEW_DEPTH), sum);
    }
    if (b >= args.rows) return;
    const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
    ((float *)args.Y)[b * args.y_stride + o] = egg_finish_one(args, b, m, o, sum);
}

/* ----------------------------------------------------------------------------------------------------------- linear */

template <typename shape> static uint32_t tiles(const egg_linear_args *args)
{
    return egg_divide_up<uint32_t>(args->rows, shape::rows) * egg_divide_up<uint32_t>(args->out, shape::out);
}

template <typename shape> static void launch_tiles(const egg_linear_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->rows, shape::rows), egg_divide_up<uint32_t>(args->out, shape::out));
    EGG_LAUNCH(linear_tile<shape>, grid, dim3(shape::threads),
               (STAGES * tile_buffer<shape>::bytes), *args);
}

static void launch_linear(const egg_linear_args *args)
{
    if (args->rows == 0) return;
    if (args->rows <= FEW_ROWS)
        EGG_LAUNCH(linear_few, dim3(args->out / PANEL), dim3(PANEL, (args->rows + 1) / 2 * 2),
                   (FEW_STAGES * few_buffer::bytes), *args);
    else if (tiles<large_tile>(args) >= egg_cuda_processors())   /* the largest that give all something to do */
        launch_tiles<large_tile>(args);
    else if (tiles<small_tile>(args) >= egg_cuda_processors())
        launch_tiles<small_tile>(args);
    else
        launch_tiles<tiny_tile>(args);
}

/* ----------------------------------------------------------------------------------------------------------- shrink */

/* A row's products with up to four of its pair's factors, so that the row is read once for them. */
template <int warps> static __global__ void shrink_f32(const egg_shrink_args args)
{
    enum { FACTORS = 4 };
    EGG_STATIC_SHARED(float, parts, warps);
    const uint32_t b = egg_row_here<warps>(), in = args.in;
    if (warps == 1 && b >= args.rows) return;
    const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
    const float *x = (const float *)args.X + b * args.x_stride;
    const float *B = (const float *)args.B + (size_t)(m / 2) * args.rank * in;
    const float factor = m % 2 ? -args.c : args.c;
    for (uint32_t k = 0; k < args.rank; k += FACTORS, B += FACTORS * (size_t)in) {
        float sum[FACTORS] = {};
        for (uint32_t i = 4 * threadIdx.x; i < in; i += 4 * EGG_WARP * warps) {
            const float4 four = egg_load_four(x + i);
            EGG_UNROLL
            for (uint32_t f = 0; f < FACTORS; f++)
                if (k + f < args.rank) sum[f] = egg_dot_four(four, egg_load_four(B + f * (size_t)in + i), sum[f]);
        }
        EGG_UNROLL
        for (uint32_t f = 0; f < FACTORS; f++) {
            if (k + f >= args.rank) break;
            const float t = __fmul_rn(factor, egg_row_sum<warps>(sum[f], parts));
            if (threadIdx.x == 0) ((float *)args.t)[(size_t)b * args.rank + k + f] = t;
        }
    }
}

static void launch_shrink_f32(const egg_shrink_args *args)
{
    if (args->rows) EGG_LAUNCH_ROWS(shrink_f32, args->rows, args->in, *args);
}

/* ------------------------------------------------------------------------------------------------------------ dense */

/*
 * Reading the noise takes all the time. A block has two rows, which mostly are those of a pair in one step: the second
 * finds its noise in the first-level cache. Eight lanes, a cache line, have an output.
 */
enum {
    DENSE_ROWS = 2,
    DENSE_OUT = 64,
    DENSE_LANES = 8,
    DENSE_THREADS = 256,
    DENSE_AT_ONCE = DENSE_THREADS / DENSE_LANES
};

/* sum_i x[i] * e[i] by eight lanes; all get it. */
static __device__ __forceinline__ float dense_dot(const float *x, const float *e, uint32_t in)
{
    float sum = 0;
    for (uint32_t i = 4 * (threadIdx.x % DENSE_LANES); i < in; i += 4 * DENSE_LANES)
        sum = egg_dot_four(egg_load_four(x + i), egg_load_four(e + i), sum);
    EGG_UNROLL
    for (uint32_t mask = DENSE_LANES / 2; mask; mask /= 2) sum = __fadd_rn(sum, egg_shuffle_xor(sum, mask));
    return sum;
}

static __global__ void __launch_bounds__(DENSE_THREADS) dense_f32(const egg_dense_args args)
{
    const uint32_t first = blockIdx.x * DENSE_ROWS;
    for (uint32_t j = threadIdx.x / DENSE_LANES; j < DENSE_OUT; j += DENSE_AT_ONCE) {
        const uint32_t o = blockIdx.y * DENSE_OUT + j;
        if (o >= args.out) return;   /* a whole warp: its four outputs are neighbours, out a multiple of 16 */
        for (uint32_t b = first; b < first + DENSE_ROWS && b < args.rows; b++) {
            const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
            const float *E = args.E + ((size_t)(m / 2) * args.out + o) * args.in;
            const float sum = dense_dot(args.X + b * args.x_stride, E, args.in);
            float *y = args.Y + b * args.y_stride + o;
            if (threadIdx.x % DENSE_LANES == 0) *y = __fmaf_rn(m % 2 ? -args.c : args.c, sum, *y);
        }
    }
}

static void launch_dense_f32(const egg_dense_args *args)
{
    if (args->rows)
        EGG_LAUNCH(dense_f32, dim3(egg_divide_up<uint32_t>(args->rows, DENSE_ROWS),
                                   egg_divide_up<uint32_t>(args->out, DENSE_OUT)),
                   dim3(DENSE_THREADS), 0, *args);
}

extern "C" void egg_cuda_product_f32(egg_kernels *kernels)
{
    kernels->packed_bytes_f32 = packed_bytes;
    kernels->pack_f32 = launch_pack;
    kernels->linear_f32 = launch_linear;
    kernels->shrink_f32 = launch_shrink_f32;
    kernels->dense_f32 = launch_dense_f32;
}
