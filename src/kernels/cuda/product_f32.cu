/* SPDX-License-Identifier: MIT */
/*
 * The perturbed product with float32 activations, and weights held in each way. Tensor cores have no float32, so these
 * are fused multiply-adds: every output is one chain of them in ascending order of the inputs, then of the factors.
 * So neither the shape of a tile nor what else is in a call changes a bit, and weights held as bf16 give the bits that
 * float32 gives with the same values.
 *
 * Packed weights are panels of 16 outputs, (in, 16), as on the processor: what a tile needs of a panel for some inputs
 * lies together and is copied as it is, and neighbouring threads then read neighbouring outputs.
 */
#include "kernels/cuda/rows.cuh"

enum { PANEL = 16 };

/* --------------------------------------------------------------------------------------------- how weights are held */

/* value; what a panel begins with, in bytes; the thread's one or four neighbouring values as floats. */
template <egg_storage storage> struct held;

template <> struct held<EGG_STORAGE_F32> {
    typedef float value;
    enum { scale_bytes = 0 };

    static __device__ __forceinline__ float one(const value *at)
    {
        return *at;
    }

    static __device__ __forceinline__ void four(const value *at, float w[4])
    {
        const float4 v = egg_load_four(at);
        w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
    }
};

template <> struct held<EGG_STORAGE_BF16> {
    typedef uint16_t value;
    enum { scale_bytes = 0 };

    static __device__ __forceinline__ float one(const value *at)
    {
        return __uint_as_float((uint32_t)*at << 16);
    }

    static __device__ __forceinline__ void four(const value *at, float w[4])
    {
        const uint2 v = *(const uint2 *)at;
        w[0] = __uint_as_float(v.x << 16), w[1] = __uint_as_float(v.x & 0xFFFF0000u);
        w[2] = __uint_as_float(v.y << 16), w[3] = __uint_as_float(v.y & 0xFFFF0000u);
    }
};

template <> struct held<EGG_STORAGE_Q8> {
    typedef int8_t value;
    enum { scale_bytes = PANEL * sizeof(float) };

    static __device__ __forceinline__ float one(const value *at)
    {
        return (float)*at;
    }

    /*
     * Conversions of integers run at a quarter of the rate of additions. A byte plus 128 as the low bits of 2^23 is a
     * float to subtract 2^23 + 128 from instead.
     */
    static __device__ __forceinline__ void four(const value *at, float w[4])
    {
        const uint32_t bytes = *(const uint32_t *)at ^ 0x80808080u;
        EGG_UNROLL
        for (uint32_t i = 0; i < 4; i++)
            w[i] = __fsub_rn(__uint_as_float(egg_prmt(bytes, 0x4B000000u, 0x7440u + i)), 0x1.0001p23f);
    }
};

template <egg_storage storage> static __host__ __device__ __forceinline__ size_t panel_bytes(uint32_t in)
{
    return held<storage>::scale_bytes + (size_t)in * PANEL * sizeof(typename held<storage>::value);
}

/* Panel 'number' of packed weights: its scales, if it has any, and then its values. */
template <egg_storage storage>
static __device__ __forceinline__ const char *panel_at(const void *W, uint32_t number, uint32_t in)
{
    return (const char *)W + number * panel_bytes<storage>(in);
}

template <egg_storage storage> static size_t packed_bytes(uint32_t out, uint32_t in)
{
    return out / PANEL * panel_bytes<storage>(in);
}

/* As kernels/weights.h makes them. */
static __device__ __forceinline__ void hold(float w, float, float *held_as)
{
    *held_as = w;
}

static __device__ __forceinline__ void hold(float w, float, uint16_t *held_as)
{
    const uint32_t bits = __float_as_uint(w);
    const bool number = (bits & 0x7FFFFFFF) <= 0x7F800000;
    *held_as = (uint16_t)(number ? (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 : bits >> 16 | 64);
}

static __device__ __forceinline__ void hold(float w, float scale, int8_t *held_as)
{
    const float nearest = 0x1.8p23f;
    float q = scale > 0 ? __fdiv_rn(w, scale) : 0;
    q = q < -127 ? -127 : q > 127 ? 127 : q;
    *held_as = (int8_t)__fsub_rn(__fadd_rn(q, nearest), nearest);
}

/* The scale of each output, a warp each, at the head of its panel. */
static __global__ void scale_q8(const float *W, uint32_t out, uint32_t in, char *packed)
{
    const uint32_t o = blockIdx.x * blockDim.y + threadIdx.y;
    if (o >= out) return;
    uint32_t most = 0;   /* magnitudes are in the order of their bits */
    for (uint32_t i = threadIdx.x; i < in; i += EGG_WARP)
        most = max(most, __float_as_uint(W[(size_t)o * in + i]) & 0x7FFFFFFFu);
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) most = max(most, egg_shuffle_xor(most, mask));
    const float scale = __fdiv_rn(__uint_as_float(most < 0x7F800000u ? most : 0x7FC00000u), 127);
    float *scales = (float *)(packed + o / PANEL * panel_bytes<EGG_STORAGE_Q8>(in));
    if (threadIdx.x == 0) scales[o % PANEL] = scale;
}

enum { PACK_DEPTH = 64, PACK_THREADS = 256 };

/* 64 inputs of a panel, turned around in shared memory so that both sides are read and written along their rows. */
template <egg_storage storage>
static __global__ void pack(const float *W, uint32_t in, char *packed)
{
    typedef typename held<storage>::value value;
    enum { STRIDE = PACK_DEPTH + 1 };
    EGG_STATIC_SHARED(float, turned, PANEL * STRIDE);
    char *panel = packed + blockIdx.y * panel_bytes<storage>(in);
    const float *scales = (const float *)panel, *w = W + (size_t)blockIdx.y * PANEL * in;
    value *values = (value *)(panel + held<storage>::scale_bytes);
    const uint32_t first = blockIdx.x * PACK_DEPTH, depth = min(in - first, (uint32_t)PACK_DEPTH);
    for (uint32_t e = threadIdx.x; e < PANEL * PACK_DEPTH; e += PACK_THREADS)
        if (e % PACK_DEPTH < depth)
            turned[e / PACK_DEPTH * STRIDE + e % PACK_DEPTH] =
                w[(size_t)(e / PACK_DEPTH) * in + first + e % PACK_DEPTH];
    __syncthreads();
    for (uint32_t e = threadIdx.x; e < PANEL * depth; e += PACK_THREADS) {
        const uint32_t o = e % PANEL;
        hold(turned[o * STRIDE + e / PANEL], storage == EGG_STORAGE_Q8 ? scales[o] : 1,
             &values[(size_t)(first + e / PANEL) * PANEL + o]);
    }
}

template <egg_storage storage> static void launch_pack(const void *W, uint32_t out, uint32_t in, void *packed)
{
    enum { MOST_PANELS = 65535, SCALE_ROWS = 8 };   /* of a grid's second dimension */
    if (out == 0 || in == 0) return;
    if (storage == EGG_STORAGE_Q8)
        EGG_LAUNCH(scale_q8, dim3(egg_divide_up<uint32_t>(out, SCALE_ROWS)), dim3(EGG_WARP, SCALE_ROWS), 0,
                   (const float *)W, out, in, (char *)packed);
    for (uint32_t panel = 0, panels = out / PANEL, n; panel < panels; panel += n) {
        n = panels - panel < MOST_PANELS ? panels - panel : (uint32_t)MOST_PANELS;
        EGG_LAUNCH(pack<storage>, dim3(egg_divide_up<uint32_t>(in, PACK_DEPTH), n), dim3(PACK_THREADS), 0,
                   (const float *)W + (size_t)panel * PANEL * in, in,
                   (char *)packed + panel * panel_bytes<storage>(in));
    }
}

/* ----------------------------------------------------------------------------------------------------------- finish */

/* What a row's member adds to four outputs from o on, after the sums over the inputs. */
template <egg_storage storage>
static __device__ __forceinline__ float4 finish_four(const egg_linear_args &args, uint32_t b, uint32_t m, uint32_t o,
                                                     float4 sum)
{
    if (storage == EGG_STORAGE_Q8) {
        const float *scales = (const float *)panel_at<storage>(args.W, o / PANEL, args.in);
        const float4 s = egg_load_four(scales + o % PANEL);
        sum = make_float4(__fmul_rn(s.x, sum.x), __fmul_rn(s.y, sum.y), __fmul_rn(s.z, sum.z), __fmul_rn(s.w, sum.w));
    }
    if (args.A) {
        const float *A = (const float *)args.A + (size_t)(m / 2) * args.rank * args.out + o;
        const float *t = (const float *)args.t + (size_t)b * args.rank;
        for (uint32_t k = 0; k < args.rank; k++, A += args.out) sum = egg_fma_four(t[k], egg_load_four(A), sum);
    }
    return args.bias ? egg_add_four(sum, egg_load_four(args.bias + m * args.bias_stride + o)) : sum;
}

/* The same for one. */
template <egg_storage storage>
static __device__ __forceinline__ float finish_one(const egg_linear_args &args, uint32_t b, uint32_t m, uint32_t o,
                                                   float sum)
{
    if (storage == EGG_STORAGE_Q8)
        sum = __fmul_rn(((const float *)panel_at<storage>(args.W, o / PANEL, args.in))[o % PANEL], sum);
    if (args.A) {
        const float *A = (const float *)args.A + (size_t)(m / 2) * args.rank * args.out + o;
        const float *t = (const float *)args.t + (size_t)b * args.rank;
        for (uint32_t k = 0; k < args.rank; k++, A += args.out) sum = __fmaf_rn(t[k], *A, sum);
    }
    return args.bias ? __fadd_rn(sum, args.bias[m * args.bias_stride + o]) : sum;
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

template <egg_storage storage, typename shape> struct tile_buffer {
    typedef typename held<storage>::value value;
    enum {
        panels = shape::out / PANEL,
        panel_stride = (DEPTH + 1) * PANEL * sizeof(value),   /* bytes; two panels' rows in different banks */
        scale_bytes = held<storage>::scale_bytes,
        x_bytes = shape::rows * X_STRIDE * sizeof(float),
        bytes = x_bytes + panels * panel_stride
    };
};

/* Begins to copy inputs k ... k + 15 of the tile's rows and panels; zeros where there are none. */
template <egg_storage storage, typename shape>
static __device__ __forceinline__ void tile_copy(const egg_linear_args &args, uint32_t first_row, uint32_t first_panel,
                                                 uint32_t k, char *buffer)
{
    typedef tile_buffer<storage, shape> layout;
    enum { ROW_PARTS = DEPTH / 4, PANEL_PARTS = DEPTH * PANEL * sizeof(typename layout::value) / 16 };
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
        const char *values = panel_at<storage>(args.W, valid ? first_panel + p : 0, args.in) + layout::scale_bytes;
        egg_cp_async16_or_zero(buffer + layout::x_bytes + p * layout::panel_stride + part,
                               values + (size_t)k * PANEL * sizeof(typename layout::value) + part, valid);
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

template <egg_storage storage, typename shape>
static __device__ __forceinline__ void tile_multiply(const char *buffer, tile_place<shape> place,
                                                     float sum[shape::thread_rows][shape::thread_out])
{
    typedef tile_buffer<storage, shape> layout;
    typedef typename layout::value value;
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
                held<storage>::four((const value *)panel + (k + j) * PANEL + o % PANEL, w + 4 * g);
            }
            EGG_UNROLL
            for (uint32_t r = 0; r < shape::thread_rows; r++)
                EGG_UNROLL
                for (uint32_t o = 0; o < shape::thread_out; o++) sum[r][o] = __fmaf_rn(x[r][j], w[o], sum[r][o]);
        }
    }
}

template <egg_storage storage, typename shape>
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
                           finish_four<storage>(args, b, m, o, make_float4(s[0], s[1], s[2], s[3])));
        }
    }
}

/* Neighbouring blocks have the same weights and other rows: what a wave of blocks reads of W stays in the L2 cache. */
template <egg_storage storage, typename shape>
static __global__ void __launch_bounds__(shape::threads, 512 / shape::threads) linear_tile(const egg_linear_args args)
{
    typedef tile_buffer<storage, shape> layout;
    EGG_SHARED(char, buffers);
    const uint32_t first_row = blockIdx.x * shape::rows, first_out = blockIdx.y * shape::out, depths = args.in / DEPTH;
    const tile_place<shape> place;
    float sum[shape::thread_rows][shape::thread_out] = {};
    EGG_UNROLL
    for (uint32_t d = 0; d < STAGES - 1; d++) {
        if (d < depths)
            tile_copy<storage, shape>(args, first_row, first_out / PANEL, d * DEPTH, buffers + d * layout::bytes);
        egg_cp_async_commit();
    }
    for (uint32_t d = 0; d < depths; d++) {
        const uint32_t next = d + STAGES - 1;
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* all see depth d, and nobody reads the buffer of depth d - 1 any more */
        if (next < depths)
            tile_copy<storage, shape>(args, first_row, first_out / PANEL, next * DEPTH,
                                      buffers + next % STAGES * layout::bytes);
        egg_cp_async_commit();
        tile_multiply<storage, shape>(buffers + d % STAGES * layout::bytes, place, sum);
    }
    tile_finish<storage, shape>(args, first_row, first_out, place, sum);
}

/* ------------------------------------------------------------------------------------------------------- a few rows */

/*
 * Up to 8 rows read the weights once, and nothing else takes time. A block has one panel, so that there are many
 * blocks, and copies four depths of 64 inputs ahead; a thread has one output of one row.
 */
enum { FEW_ROWS = 8, FEW_DEPTH = 64, FEW_STAGES = 5, FEW_X_STRIDE = FEW_DEPTH + 4 };

template <egg_storage storage> struct few_buffer {
    typedef typename held<storage>::value value;
    enum { x_bytes = FEW_ROWS * FEW_X_STRIDE * sizeof(float), bytes = x_bytes + FEW_DEPTH * PANEL * sizeof(value) };
};

template <egg_storage storage>
static __device__ __forceinline__ void few_copy(const egg_linear_args &args, const char *panel, uint32_t k,
                                                char *buffer)
{
    typedef few_buffer<storage> layout;
    enum { ROW_BYTES = PANEL * sizeof(typename layout::value) };
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

template <egg_storage storage>
static __device__ __forceinline__ float few_multiply(const char *buffer, uint32_t depth, float sum)
{
    typedef few_buffer<storage> layout;
    const float *x = (const float *)buffer + threadIdx.y * FEW_X_STRIDE;
    const typename layout::value *w = (const typename layout::value *)(buffer + layout::x_bytes) + threadIdx.x;
    for (uint32_t k = 0; k < depth; k += PANEL, x += PANEL, w += PANEL * PANEL)
        EGG_UNROLL
        for (uint32_t j = 0; j < PANEL; j += 4) {
            const float4 four = egg_load_four(x + j);
            sum = __fmaf_rn(four.x, held<storage>::one(w + j * PANEL), sum);
            sum = __fmaf_rn(four.y, held<storage>::one(w + (j + 1) * PANEL), sum);
            sum = __fmaf_rn(four.z, held<storage>::one(w + (j + 2) * PANEL), sum);
            sum = __fmaf_rn(four.w, held<storage>::one(w + (j + 3) * PANEL), sum);
        }
    return sum;
}

template <egg_storage storage>
static __global__ void __launch_bounds__(FEW_ROWS * PANEL) linear_few(const egg_linear_args args)
{
    typedef few_buffer<storage> layout;
    EGG_SHARED(char, buffers);
    const uint32_t o = blockIdx.x * PANEL + threadIdx.x, b = threadIdx.y;
    const uint32_t depths = (args.in + FEW_DEPTH - 1) / FEW_DEPTH;
    const char *panel = panel_at<storage>(args.W, blockIdx.x, args.in) + held<storage>::scale_bytes;
    float sum = 0;
    for (uint32_t d = 0; d < FEW_STAGES - 1; d++) {
        if (d < depths) few_copy<storage>(args, panel, d * FEW_DEPTH, buffers + d * layout::bytes);
        egg_cp_async_commit();
    }
    for (uint32_t d = 0; d < depths; d++) {
        const uint32_t next = d + FEW_STAGES - 1;
        egg_cp_async_wait<FEW_STAGES - 2>();
        __syncthreads();
        if (next < depths)
            few_copy<storage>(args, panel, next * FEW_DEPTH, buffers + next % FEW_STAGES * layout::bytes);
        egg_cp_async_commit();
        if (b < args.rows)
            sum = few_multiply<storage>(buffers + d % FEW_STAGES * layout::bytes,
                                        min(args.in - d * FEW_DEPTH, (uint32_t)FEW_DEPTH), sum);
    }
    if (b >= args.rows) return;
    const uint32_t m = egg_cuda_row_member(args.member, b, args.steps);
    ((float *)args.Y)[b * args.y_stride + o] = finish_one<storage>(args, b, m, o, sum);
}

/* ----------------------------------------------------------------------------------------------------------- linear */

template <typename shape> static uint32_t tiles(const egg_linear_args *args)
{
    return egg_divide_up<uint32_t>(args->rows, shape::rows) * egg_divide_up<uint32_t>(args->out, shape::out);
}

template <egg_storage storage, typename shape> static void launch_tiles(const egg_linear_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->rows, shape::rows), egg_divide_up<uint32_t>(args->out, shape::out));
    EGG_LAUNCH((linear_tile<storage, shape>), grid, dim3(shape::threads),
               (STAGES * tile_buffer<storage, shape>::bytes), *args);
}

template <egg_storage storage> static void launch_linear(const egg_linear_args *args)
{
    if (args->rows == 0) return;
    if (args->rows <= FEW_ROWS)
        EGG_LAUNCH(linear_few<storage>, dim3(args->out / PANEL), dim3(PANEL, (args->rows + 1) / 2 * 2),
                   (FEW_STAGES * few_buffer<storage>::bytes), *args);
    else if (tiles<large_tile>(args) >= egg_cuda_processors())   /* the largest that give all something to do */
        launch_tiles<storage, large_tile>(args);
    else if (tiles<small_tile>(args) >= egg_cuda_processors())
        launch_tiles<storage, small_tile>(args);
    else
        launch_tiles<storage, tiny_tile>(args);
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
    kernels->packed_bytes_f32 = packed_bytes<EGG_STORAGE_F32>;
    kernels->packed_bytes_bf16 = packed_bytes<EGG_STORAGE_BF16>;
    kernels->packed_bytes_q8 = packed_bytes<EGG_STORAGE_Q8>;
    kernels->pack_f32 = launch_pack<EGG_STORAGE_F32>;
    kernels->pack_bf16 = launch_pack<EGG_STORAGE_BF16>;
    kernels->pack_q8 = launch_pack<EGG_STORAGE_Q8>;
    kernels->linear_f32 = launch_linear<EGG_STORAGE_F32>;
    kernels->linear_bf16 = launch_linear<EGG_STORAGE_BF16>;
    kernels->linear_q8 = launch_linear<EGG_STORAGE_Q8>;
    kernels->shrink_f32 = launch_shrink_f32;
    kernels->dense_f32 = launch_dense_f32;
}
