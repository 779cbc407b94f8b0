/* SPDX-License-Identifier: MIT */
/*
 * The perturbed product with float32 activations and weights held as bf16 or int8, on tensor cores, as exactly as
 * fused multiply-adds in float32 are.
 *
 * A held weight is a bf16 as it is (|q| <= 127 has 7 bits). An activation x is the sum of three: h, its upper 16 bits;
 * m, those of x - h; l, what is left, 8 bits each of the 24. All differences are exact and so are all products, and
 * nothing can overflow that x itself does not. What of x lies below 2^-133, the least bf16, is cut off. Where x is NaN
 * or infinite its row is NaN: infinity minus its upper half is not a number, where the reference might say infinity.
 *
 * Of 16 inputs, a window, the sums of l w, m w and h w follow one another from zero in the tensor core, the smallest
 * first. Windows are then added by ordinary float32 additions, in ascending order: tensor cores cut off what does not
 * fit instead of rounding, so in a long chain of their own the errors would all have one sign. Let u = 2^-24, M the sum
 * of the magnitudes |x w| and of the other terms, and 2 u the most that a term can lose in a tensor core, which may add
 * the 16 products in two halves, with the sum so far as one more term of each, and cut the result: 20 losses. With
 * |m| < 2^-7 |x| and |l| < 2^-15 |x|, what m and l add to that is little, and a result is at most
 *
 *   (41 + in / 16 + 2 rank + 2) u M
 *
 * from the exact one, where the reference, a chain of additions, may be (in + 2 rank + 2) u M from it.
 *
 * With bf16_activations x is rounded to one bf16 instead, and a window is 32 inputs in two steps: 81 in place of 41.
 *
 * A window depends on nothing but its row's inputs and its output's weights, and the order of windows is fixed. So
 * a row has the same bits in tiles of any shape, and whether one warp goes through the windows or many share them.
 *
 * Packed weights are panels of 16 outputs, first their scales (int8), then blocks of 16 inputs in the order of the
 * lanes that multiply them: lane 4 g + c has inputs 4 c ... 4 c + 3 of outputs o(0, g) and o(1, g), where
 * o(j, g) = g / 2 * 4 + 2 j + g % 2. A lane's weights are one load, from shared or global memory; its activations, also
 * inputs 4 c ... 4 c + 3, are one; and its sums are four neighbouring outputs.
 */
#include "kernels/cuda/finish.cuh"

enum { PANEL = 16, STEP = 16 };   /* outputs of a panel; inputs of an instruction, and of a block */

/* --------------------------------------------------------------------------------------------- how weights are held */

/*
 * value: of one weight. scale_bytes: what a panel begins with. lane_words: what a lane has of a block. fragments: that
 * as bf16, two words for outputs o(0, g) and two for o(1, g).
 */
template <egg_storage storage> struct held;

template <> struct held<EGG_STORAGE_BF16> {
    typedef uint16_t value;
    typedef uint4 lane_words;
    enum { scale_bytes = 0 };

    static __device__ __forceinline__ void fragments(lane_words from, uint32_t w[4])
    {
        w[0] = from.x, w[1] = from.y, w[2] = from.z, w[3] = from.w;
    }

    static __device__ __forceinline__ lane_words none()
    {
        return make_uint4(0, 0, 0, 0);
    }
};

template <> struct held<EGG_STORAGE_Q8> {
    typedef int8_t value;
    typedef uint2 lane_words;
    enum { scale_bytes = PANEL * sizeof(float) };

    /*
     * Conversions of integers run at a quarter of the rate of additions. A byte plus 128 as the low bits of 2^23 is a
     * float to subtract 2^23 + 128 from instead; of the difference, the upper half is the bf16.
     */
    static __device__ __forceinline__ float number(uint32_t bytes, uint32_t i)
    {
        return __fsub_rn(__uint_as_float(egg_prmt(bytes, 0x4B000000u, 0x7440u + i)), 0x1.0001p23f);
    }

    static __device__ __forceinline__ uint32_t two(uint32_t bytes, uint32_t i)
    {
        return egg_prmt(__float_as_uint(number(bytes, i)), __float_as_uint(number(bytes, i + 1)), 0x7632u);
    }

    static __device__ __forceinline__ void fragments(lane_words from, uint32_t w[4])
    {
        const uint32_t first = from.x ^ 0x80808080u, second = from.y ^ 0x80808080u;
        w[0] = two(first, 0), w[1] = two(first, 2), w[2] = two(second, 0), w[3] = two(second, 2);
    }

    static __device__ __forceinline__ lane_words none()
    {
        uint2 words;
        words.x = words.y = 0;
        return words;
    }
};

template <egg_storage storage> static __host__ __device__ __forceinline__ constexpr size_t block_bytes()
{
    return STEP * PANEL * sizeof(typename held<storage>::value);
}

template <egg_storage storage> static __host__ __device__ __forceinline__ size_t panel_bytes(uint32_t in)
{
    return held<storage>::scale_bytes + in / STEP * block_bytes<storage>();
}

/* Panel 'number' of packed weights: its scales, if it has any, and then its blocks. */
template <egg_storage storage>
static __device__ __forceinline__ const char *panel_at(const void *W, uint32_t number, uint32_t in)
{
    return (const char *)W + number * panel_bytes<storage>(in);
}

template <egg_storage storage>
static __device__ __forceinline__ const char *blocks_at(const void *W, uint32_t number, uint32_t in)
{
    return panel_at<storage>(W, number, in) + held<storage>::scale_bytes;
}

template <egg_storage storage> static size_t packed_bytes(uint32_t out, uint32_t in)
{
    return out / PANEL * panel_bytes<storage>(in);
}

/* As kernels/weights.h makes them. */
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

/*
 * A block of a panel is turned around in shared memory, so that W is read along its rows. Element e of a packed block
 * is number e % 4 of lane e / 8, of its first output or, where e / 4 is odd, of its second.
 */
enum { PACK_STEPS = 4, PACK_DEPTH = PACK_STEPS * STEP, PACK_THREADS = 256 };

template <egg_storage storage> static __global__ void pack(const float *W, uint32_t in, char *packed)
{
    typedef typename held<storage>::value value;
    enum { STRIDE = PACK_DEPTH + 1 };
    EGG_STATIC_SHARED(float, turned, PANEL * STRIDE);
    char *panel = packed + blockIdx.y * panel_bytes<storage>(in);
    const float *scales = (const float *)panel, *w = W + (size_t)blockIdx.y * PANEL * in;
    const uint32_t first = blockIdx.x * PACK_DEPTH, depth = min(in - first, (uint32_t)PACK_DEPTH);
    value *values = (value *)(panel + held<storage>::scale_bytes) + (size_t)first * PANEL;
    for (uint32_t n = threadIdx.x; n < PANEL * PACK_DEPTH; n += PACK_THREADS)
        if (n % PACK_DEPTH < depth)
            turned[n / PACK_DEPTH * STRIDE + n % PACK_DEPTH] =
                w[(size_t)(n / PACK_DEPTH) * in + first + n % PACK_DEPTH];
    __syncthreads();
    for (uint32_t n = threadIdx.x; n < PANEL * depth; n += PACK_THREADS) {
        const uint32_t e = n % (PANEL * STEP), lane = e / 8;
        const uint32_t o = lane / 8 * 4 + e / 4 % 2 * 2 + lane / 4 % 2;
        const uint32_t i = n / (PANEL * STEP) * STEP + lane % 4 * 4 + e % 4;
        hold(turned[o * STRIDE + i], storage == EGG_STORAGE_Q8 ? scales[o] : 1, &values[n]);
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

/* ---------------------------------------------------------------------------------------------------------- windows */

/*
 * A window is 'terms' products, one after the other. What a lane has of 16 rows and one step are inputs 4 c ... 4 c + 3
 * of rows g and g + 8; x[t] are the fragments of term t. Which inputs the instruction calls its columns does not matter
 * as long as weights agree.
 */
template <bool rounded> struct window;

template <> struct window<false> {
    enum { steps = 1, terms = 3 };

    static __device__ __forceinline__ uint32_t step_of(uint32_t)
    {
        return 0;
    }

    /* The upper halves of two floats, and what they leave of them. */
    static __device__ __forceinline__ uint32_t cut(float &a, float &b)
    {
        const uint32_t x = __float_as_uint(a), y = __float_as_uint(b);
        a = __fsub_rn(a, __uint_as_float(x & 0xFFFF0000u));
        b = __fsub_rn(b, __uint_as_float(y & 0xFFFF0000u));
        return egg_prmt(x, y, 0x7632u);
    }

    static __device__ __forceinline__ void fragments(const float4 (&rows)[steps][2], uint32_t x[terms][4])
    {
        EGG_UNROLL
        for (uint32_t half = 0; half < 2; half++) {
            float4 v = rows[0][half];
            EGG_UNROLL
            for (uint32_t t = terms; t-- > 0;) {
                x[t][half] = cut(v.x, v.y);
                x[t][2 + half] = cut(v.z, v.w);
            }
        }
    }
};

template <> struct window<true> {
    enum { steps = 2, terms = 2 };

    static __device__ __forceinline__ uint32_t step_of(uint32_t term)
    {
        return term;
    }

    static __device__ __forceinline__ void fragments(const float4 (&rows)[steps][2], uint32_t x[terms][4])
    {
        EGG_UNROLL
        for (uint32_t t = 0; t < terms; t++)
            EGG_UNROLL
            for (uint32_t half = 0; half < 2; half++) {
                x[t][half] = egg_bf16x2(rows[t][half].x, rows[t][half].y);
                x[t][2 + half] = egg_bf16x2(rows[t][half].z, rows[t][half].w);
            }
    }
};

/*
 * The sums of a window for 16 rows, 'row_tiles' times, and a panel: sums[r][j] is what the instruction leaves in a
 * lane, outputs 4 c + 2 j and one more of rows g and g + 8. Sums take turns, since a product waits for the one before
 * it of its own sum.
 */
template <bool rounded, int row_tiles>
static __device__ __forceinline__ void window_sums(const uint32_t (&x)[row_tiles][window<rounded>::terms][4],
                                                   const uint32_t (&w)[window<rounded>::steps][4],
                                                   float (&sums)[row_tiles][2][4])
{
    EGG_UNROLL
    for (uint32_t t = 0; t < window<rounded>::terms; t++)
        EGG_UNROLL
        for (uint32_t r = 0; r < row_tiles; r++)
            EGG_UNROLL
            for (uint32_t j = 0; j < 2; j++) {
                const uint32_t *const weights = w[window<rounded>::step_of(t)] + 2 * j;
                if (t == 0) egg_mma_bf16_first(sums[r][j], x[r][t], weights);
                else egg_mma_bf16(sums[r][j], x[r][t], weights);
            }
}

/* Sums times the scales of outputs o ... o + 3, if they have any. */
template <egg_storage storage>
static __device__ __forceinline__ float4 scaled_four(const egg_linear_args &args, uint32_t o, float4 sum)
{
    if (storage != EGG_STORAGE_Q8) return sum;
    const float4 s = egg_load_four((const float *)panel_at<storage>(args.W, o / PANEL, args.in) + o % PANEL);
    return make_float4(__fmul_rn(s.x, sum.x), __fmul_rn(s.y, sum.y), __fmul_rn(s.z, sum.z), __fmul_rn(s.w, sum.w));
}

template <egg_storage storage>
static __device__ __forceinline__ float scaled_one(const egg_linear_args &args, uint32_t o, float sum)
{
    if (storage != EGG_STORAGE_Q8) return sum;
    return __fmul_rn(((const float *)panel_at<storage>(args.W, o / PANEL, args.in))[o % PANEL], sum);
}

/* ------------------------------------------------------------------------------------------------- many rows: tiles */

/*
 * A tile's inputs go by in depths of 32 through three buffers, so that copies have two depths of arithmetic to arrive.
 * A warp has 32 rows and 64 outputs, or 32: its activations are taken apart in registers, once for so many outputs, and
 * the two blocks that a processor holds of the large tile have four warps for each tensor core, so that one's additions
 * and differences go on beside another's products.
 */
enum { DEPTH_STEPS = 2, DEPTH = DEPTH_STEPS * STEP, STAGES = 3, ROW_PARTS = DEPTH / 4 };

template <int row_warps_, int out_warps_, int warp_panels_> struct tile_shape {
    enum {
        row_tiles = 2,
        warp_rows = 16 * row_tiles,
        warp_panels = warp_panels_,
        out_warps = out_warps_,
        rows = row_warps_ * warp_rows,
        panels = out_warps_ * warp_panels_,
        out = panels * PANEL,
        threads = row_warps_ * out_warps_ * EGG_WARP,
        result_stride = out + 16,
        result_bytes = rows * result_stride * 4
    };
};

typedef tile_shape<4, 2, 4> large_tile;   /* 128 x 128 */
typedef tile_shape<2, 4, 1> small_tile;   /* 64 x 64 by many warps: these are products with few blocks */

template <egg_storage storage, typename shape> struct tile_buffer {
    enum {
        panel_bytes = DEPTH_STEPS * block_bytes<storage>(),
        x_bytes = shape::rows * DEPTH * sizeof(float),
        bytes = x_bytes + shape::panels * panel_bytes,
        shared_bytes = STAGES * bytes > (int)shape::result_bytes ? STAGES * bytes : (int)shape::result_bytes
    };
};

/*
 * Part 'part', four inputs, of a row in a buffer. Rows are all banks wide, and the eight lanes whose loads meet want
 * one half of two rows: the halves of odd rows change places.
 */
static __device__ __forceinline__ uint32_t part_at(uint32_t row, uint32_t part)
{
    return (row * ROW_PARTS + (part ^ row % 2 * 4)) * 4;
}

/* Begins to copy inputs k ... k + 31 of the tile's rows and panels; zeros where there are none. */
template <egg_storage storage, typename shape>
static __device__ __forceinline__ void tile_copy(const egg_linear_args &args, uint32_t first_row, uint32_t first_panel,
                                                 uint32_t k, char *buffer)
{
    typedef tile_buffer<storage, shape> layout;
    enum { BLOCK_PARTS = block_bytes<storage>() / 16, PANEL_PARTS = DEPTH_STEPS * BLOCK_PARTS };
    const float *X = (const float *)args.X;
    EGG_NO_UNROLL
    for (uint32_t c = threadIdx.x; c < shape::rows * ROW_PARTS; c += shape::threads) {
        const uint32_t r = c / ROW_PARTS, part = c % ROW_PARTS;
        const bool valid = first_row + r < args.rows && k + 4 * part < args.in;
        const size_t at = valid ? (first_row + r) * args.x_stride + k + 4 * part : 0;
        egg_cp_async16_or_zero((float *)buffer + part_at(r, part), X + at, valid);
    }
    EGG_NO_UNROLL
    for (uint32_t c = threadIdx.x; c < shape::panels * PANEL_PARTS; c += shape::threads) {
        const uint32_t p = c / PANEL_PARTS, part = c % PANEL_PARTS;
        const bool valid = first_panel + p < args.out / PANEL && k + part / BLOCK_PARTS * STEP < args.in;
        const char *blocks = blocks_at<storage>(args.W, valid ? first_panel + p : 0, args.in);
        const size_t at = valid ? k / STEP * block_bytes<storage>() + 16 * part : 0;
        egg_cp_async16_or_zero(buffer + layout::x_bytes + p * layout::panel_bytes + 16 * part, blocks + at, valid);
    }
}

/* The warp's part of the tile, and the lane's of a fragment. */
template <typename shape> struct tile_place {
    uint32_t row, panel, g, c;

    __device__ __forceinline__ tile_place()
    {
        const uint32_t warp = threadIdx.x / EGG_WARP, lane = threadIdx.x % EGG_WARP;
        row = warp / shape::out_warps * shape::warp_rows;
        panel = warp % shape::out_warps * shape::warp_panels;
        g = lane / 4, c = lane % 4;
    }
};

/* Adds the windows of a buffer. */
template <egg_storage storage, typename shape, bool rounded>
static __device__ __forceinline__ void tile_multiply(const char *buffer, tile_place<shape> at,
                                                     float (&sum)[shape::row_tiles][shape::warp_panels][2][4])
{
    typedef tile_buffer<storage, shape> layout;
    typedef typename held<storage>::lane_words lane_words;
    enum { steps = window<rounded>::steps };
    const lane_words *const W = (const lane_words *)(buffer + layout::x_bytes + at.panel * layout::panel_bytes) +
                                4 * at.g + at.c;
    EGG_NO_UNROLL   /* one window's fragments at a time fit the registers */
    for (uint32_t step = 0; step < DEPTH_STEPS; step += steps) {
        uint32_t x[shape::row_tiles][window<rounded>::terms][4];
        EGG_UNROLL
        for (uint32_t r = 0; r < shape::row_tiles; r++) {
            float4 rows[steps][2];
            EGG_UNROLL
            for (uint32_t s = 0; s < steps; s++) {   /* rows 8 apart are turned alike */
                const float *X = (const float *)buffer + part_at(at.row + at.g, 4 * (step + s) + at.c);
                rows[s][0] = egg_load_four(X + 16 * r * DEPTH);
                rows[s][1] = egg_load_four(X + (16 * r + 8) * DEPTH);
            }
            window<rounded>::fragments(rows, x[r]);
        }
        EGG_UNROLL
        for (uint32_t p = 0; p < shape::warp_panels; p++) {
            uint32_t w[steps][4];
            EGG_UNROLL
            for (uint32_t s = 0; s < steps; s++)
                held<storage>::fragments(W[(p * DEPTH_STEPS + step + s) * EGG_WARP], w[s]);
            float sums[shape::row_tiles][2][4];
            window_sums<rounded>(x, w, sums);
            EGG_UNROLL
            for (uint32_t n = 0; n < shape::row_tiles * 8; n++) {
                float *const s = &sum[n / 8][p][n / 4 % 2][n % 4];
                *s = __fadd_rn(*s, sums[n / 8][n / 4 % 2][n % 4]);
            }
        }
    }
}

/*
 * The sums go through shared memory, where the buffers were: there are registers for them or for finishing them, and
 * neighbouring threads then read factors and write results that are neighbours. Rows of it are half of all banks apart.
 */
template <egg_storage storage, typename shape>
static __device__ __forceinline__ void tile_finish(const egg_linear_args &args, uint32_t first_row,
                                                   uint32_t first_panel, tile_place<shape> at,
                                                   const float (&sum)[shape::row_tiles][shape::warp_panels][2][4],
                                                   float *results)
{
    enum { FOURS = shape::out / 4, ROWS_APART = shape::threads / FOURS, TOGETHER = 4 };
    static_assert(shape::rows % (ROWS_APART * TOGETHER) == 0, "all threads have as many rows");
    __syncthreads();   /* nobody reads the last buffer any more */
    EGG_UNROLL
    for (uint32_t r = 0; r < 2 * shape::row_tiles; r++)
        EGG_UNROLL
        for (uint32_t p = 0; p < shape::warp_panels; p++) {
            const float *low = sum[r / 2][p][0] + r % 2 * 2, *high = sum[r / 2][p][1] + r % 2 * 2;
            egg_store_four(results + (at.row + 8 * r + at.g) * shape::result_stride + (at.panel + p) * PANEL + 4 * at.c,
                           make_float4(low[0], low[1], high[0], high[1]));
        }
    __syncthreads();
    const uint32_t column = threadIdx.x % FOURS * 4, o = first_panel * PANEL + column;
    if (o >= args.out) return;
    EGG_NO_UNROLL
    for (uint32_t r = threadIdx.x / FOURS; r < shape::rows; r += TOGETHER * ROWS_APART) {
        uint32_t b[TOGETHER];
        float4 four[TOGETHER];
        EGG_UNROLL
        for (uint32_t i = 0; i < TOGETHER; i++) {
            b[i] = min(first_row + r + i * ROWS_APART, args.rows - 1);   /* the last row again: it is not stored twice */
            four[i] = scaled_four<storage>(
                args, o, egg_load_four(results + (r + i * ROWS_APART) * shape::result_stride + column));
        }
        egg_finish_rows(args, b, o, four);
        EGG_UNROLL
        for (uint32_t i = 0; i < TOGETHER; i++)
            if (first_row + r + i * ROWS_APART < args.rows)
                egg_store_four((float *)args.Y + b[i] * args.y_stride + o, four[i]);
    }
}

/* Neighbouring blocks have the same weights and other rows: what a wave of blocks reads of W stays in the L2 cache. */
template <egg_storage storage, typename shape, bool rounded>
static __global__ void __launch_bounds__(shape::threads, 512 / shape::threads) linear_tile(const egg_linear_args args)
{
    typedef tile_buffer<storage, shape> layout;
    EGG_SHARED(char, buffers);
    const uint32_t first_row = blockIdx.x * shape::rows, first_panel = blockIdx.y * shape::panels;
    const uint32_t depths = egg_divide_up<uint32_t>(args.in, DEPTH);
    const tile_place<shape> at;
    float sum[shape::row_tiles][shape::warp_panels][2][4] = {};
    EGG_UNROLL
    for (uint32_t d = 0; d < STAGES - 1; d++) {
        if (d < depths)
            tile_copy<storage, shape>(args, first_row, first_panel, d * DEPTH, buffers + d * layout::bytes);
        egg_cp_async_commit();
    }
    EGG_NO_UNROLL
    for (uint32_t d = 0, stage = 0; d < depths; d++, stage = stage + 1 == STAGES ? 0 : stage + 1) {
        const uint32_t ahead = stage == 0 ? STAGES - 1 : stage - 1;
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* all see depth d, and nobody reads the buffer of depth d - 1 any more */
        if (d + STAGES - 1 < depths)
            tile_copy<storage, shape>(args, first_row, first_panel, (d + STAGES - 1) * DEPTH,
                                      buffers + ahead * layout::bytes);
        egg_cp_async_commit();
        tile_multiply<storage, shape, rounded>(buffers + stage * layout::bytes, at, sum);
    }
    tile_finish<storage, shape>(args, first_row, first_panel, at, sum, (float *)buffers);
}

/* ------------------------------------------------------------------------------------------------------- a few rows */

/*
 * Where rows are few, reading the weights takes all the time. A block has 16 rows and one panel, so that there are many
 * blocks; its warps take turns with chunks of 64 inputs, straight into registers and one round ahead, and leave the
 * sums of their windows in shared memory, where every result is added up by one thread in the order of the windows.
 */
enum { FEW_ROWS = 16, FEW_WARPS = 8, FEW_STEPS = 4, FEW_CHUNK = FEW_STEPS * STEP, FEW_SUMS = FEW_ROWS * PANEL };

template <egg_storage storage> struct few_chunk {
    typename held<storage>::lane_words w[FEW_STEPS];
    float4 x[FEW_STEPS][2];
};

/* Inputs k ... k + 63; zeros where there are none. */
template <egg_storage storage>
static __device__ __forceinline__ void few_load(const egg_linear_args &args, const char *blocks, uint32_t first_row,
                                                uint32_t k, few_chunk<storage> &chunk)
{
    typedef typename held<storage>::lane_words lane_words;
    const uint32_t lane = threadIdx.x % EGG_WARP, row = first_row + lane / 4;
    const float *X = (const float *)args.X + k + 4 * (lane % 4);
    EGG_UNROLL
    for (uint32_t s = 0; s < FEW_STEPS; s++) {
        const bool valid = k + s * STEP < args.in;
        const char *block = blocks + (k / STEP + s) * block_bytes<storage>();
        chunk.w[s] = valid ? ((const lane_words *)block)[lane] : held<storage>::none();
        EGG_UNROLL
        for (uint32_t half = 0; half < 2; half++)
            chunk.x[s][half] = valid && row + 8 * half < args.rows
                                   ? egg_load_four(X + (row + 8 * half) * args.x_stride + s * STEP)
                                   : make_float4(0, 0, 0, 0);
    }
}

/* Leaves the sums of the chunk's windows, (window, FEW_ROWS, PANEL), at 'sums'. */
template <egg_storage storage, bool rounded>
static __device__ __forceinline__ void few_multiply(const few_chunk<storage> &chunk, float *sums)
{
    enum { steps = window<rounded>::steps };
    const uint32_t lane = threadIdx.x % EGG_WARP;
    EGG_UNROLL
    for (uint32_t step = 0; step < FEW_STEPS; step += steps, sums += FEW_SUMS) {
        uint32_t x[1][window<rounded>::terms][4], w[steps][4];
        float4 rows[steps][2];
        EGG_UNROLL
        for (uint32_t s = 0; s < steps; s++) {
            rows[s][0] = chunk.x[step + s][0], rows[s][1] = chunk.x[step + s][1];
            held<storage>::fragments(chunk.w[step + s], w[s]);
        }
        window<rounded>::fragments(rows, x[0]);
        float sum[1][2][4];
        window_sums<rounded>(x, w, sum);
        EGG_UNROLL
        for (uint32_t half = 0; half < 2; half++) {
            const float *low = sum[0][0] + 2 * half, *high = sum[0][1] + 2 * half;
            egg_store_four(sums + (8 * half + lane / 4) * PANEL + 4 * (lane % 4),
                           make_float4(low[0], low[1], high[0], high[1]));
        }
    }
}

template <egg_storage storage, bool rounded>
static __global__ void __launch_bounds__(FEW_WARPS * EGG_WARP) linear_few(const egg_linear_args args)
{
    enum { CHUNK_WINDOWS = FEW_STEPS / window<rounded>::steps, ROUND = FEW_WARPS * FEW_CHUNK };
    EGG_STATIC_SHARED(float, sums, FEW_WARPS * CHUNK_WINDOWS * FEW_SUMS);
    const uint32_t warp = threadIdx.x / EGG_WARP, first_row = blockIdx.y * FEW_ROWS;
    const uint32_t b = first_row + threadIdx.x / PANEL, o = threadIdx.x % PANEL;
    const char *blocks = blocks_at<storage>(args.W, blockIdx.x, args.in);
    float sum = 0;
    few_chunk<storage> chunk;
    few_load<storage>(args, blocks, first_row, warp * FEW_CHUNK, chunk);
    for (uint32_t k = 0; k < args.in; k += ROUND) {
        few_chunk<storage> next;
        few_load<storage>(args, blocks, first_row, k + ROUND + warp * FEW_CHUNK, next);
        few_multiply<storage, rounded>(chunk, sums + warp * CHUNK_WINDOWS * FEW_SUMS);
        __syncthreads();
        const uint32_t inputs = min(args.in - k, (uint32_t)ROUND);
        const uint32_t windows = egg_divide_up<uint32_t>(inputs, window<rounded>::steps * STEP);
        if (b < args.rows)
            for (uint32_t n = 0; n < windows; n++) sum = __fadd_rn(sum, sums[n * FEW_SUMS + threadIdx.x]);
        __syncthreads();
        chunk = next;
    }
    if (b >= args.rows) return;
    const uint32_t m = egg_cuda_row_member(args.member, b, args.steps), output = blockIdx.x * PANEL + o;
    ((float *)args.Y)[b * args.y_stride + output] =
        egg_finish_one(args, b, m, output, scaled_one<storage>(args, output, sum));
}

/* ----------------------------------------------------------------------------------------------------------- linear */

template <typename shape> static uint32_t tiles(const egg_linear_args *args)
{
    return egg_divide_up<uint32_t>(args->rows, shape::rows) * egg_divide_up<uint32_t>(args->out, shape::out);
}

template <egg_storage storage, typename shape, bool rounded> static void launch_tiles(const egg_linear_args *args)
{
    const dim3 grid(egg_divide_up<uint32_t>(args->rows, shape::rows), egg_divide_up<uint32_t>(args->out, shape::out));
    EGG_LAUNCH((linear_tile<storage, shape, rounded>), grid, dim3(shape::threads),
               (tile_buffer<storage, shape>::shared_bytes), *args);
}

/* The largest tiles that give all processors something to do. */
template <egg_storage storage, bool rounded> static void launch_shape(const egg_linear_args *args)
{
    enum { WIDE_ROWS = 64 };   /* from here on sixteen rows at a time would read the weights too often */
    if (args->rows == 0) return;
    if (args->rows > FEW_ROWS && tiles<large_tile>(args) >= egg_cuda_processors())
        launch_tiles<storage, large_tile, rounded>(args);
    else if (args->rows > WIDE_ROWS || (args->rows > FEW_ROWS && tiles<small_tile>(args) >= egg_cuda_processors()))
        launch_tiles<storage, small_tile, rounded>(args);
    else
        EGG_LAUNCH((linear_few<storage, rounded>),
                   dim3(args->out / PANEL, egg_divide_up<uint32_t>(args->rows, FEW_ROWS)),
                   dim3(FEW_WARPS * EGG_WARP), 0, *args);
}

template <egg_storage storage> static void launch_linear(const egg_linear_args *args)
{
    if (args->bf16_activations) launch_shape<storage, true>(args);
    else launch_shape<storage, false>(args);
}

extern "C" void egg_cuda_product_tensor(egg_kernels *kernels)
{
    kernels->packed_bytes_bf16 = packed_bytes<EGG_STORAGE_BF16>;
    kernels->packed_bytes_q8 = packed_bytes<EGG_STORAGE_Q8>;
    kernels->pack_bf16 = launch_pack<EGG_STORAGE_BF16>;
    kernels->pack_q8 = launch_pack<EGG_STORAGE_Q8>;
    kernels->linear_bf16 = launch_linear<EGG_STORAGE_BF16>;
    kernels->linear_q8 = launch_linear<EGG_STORAGE_Q8>;
}
