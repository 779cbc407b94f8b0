/* SPDX-License-Identifier: MIT */
/*
 * The perturbed matrix product in int8 by Hopper's wgmma, where EGGROLL_CUDA asks for it; product_i8.cu says what there
 * is besides, and what the products of width 256 are bounded by.
 *
 * By reckoning, a processor of an H200 multiplies 4096 pairs of int8 a cycle this way, about 2500 by mma.sync. A row of
 * 256 in and 256 out then takes 16 cycles of the tensor cores and 20 of the integer units, and remains bound by the 25
 * that its 512 bytes take from memory: 0.64 of the int8 peak. From widths of 1024 on the tensor cores are the bound.
 * None of this has been measured.
 *
 * - A warpgroup has tiles of 64 rows and OUTS outputs. With 256 of them an instruction reads 10 KiB of shared memory in
 *   128 cycles, with 128 of them 6 KiB in 64 cycles, of the 8 KiB that shared memory delivers in 64: the wider, the
 *   more is left for the copies.
 * - Where the weights of a panel of outputs fit, they stay, and the two warpgroups of the block are teams of their own,
 *   each with its own ring of tiles of X, its own rows and its own barrier: while one finishes results, the other has
 *   the tensor cores. Neither ever waits for the other.
 * - Where they don't, both are one team of 128 rows, whose ring holds tiles of X and of W. A depth of these is 48 KiB
 *   for 1024 cycles of the tensor cores, about as much as the second-level cache delivers.
 * - Of perturbed products the same pass over X computes t, as eight more outputs: the factors B of the pairs that a
 *   tile has rows of, one an output. The tensor cores take 16 cycles for 32 bytes of depth of them, 2 a row of 256 and
 *   panel. To read X once more, in a pass of its own, takes 12 of such a row's memory. So at 6x256, where memory is the bound,
 *   it pays in every product, and most in that of 1024 inputs: a fifth of all that an epoch's forward pass moves. It
 *   would not from seven panels on: at a width of 4096 reading X again is a twentieth of the product, and computing t
 *   with each of the 16 panels an eighth.
 * - A stage of the ring is refilled two depths after it was multiplied: by then every warp of the team has waited for
 *   that product, and has said so at a barrier.
 */
#include "kernels/cuda/linear_i8.cuh"
#include "kernels/cuda/wgmma.cuh"

enum { WARPGROUPS = 2, THREADS = WARPGROUPS * EGG_WARPGROUP };

/* Pairs that a tile may have rows of, for t to be computed along: so many lines in a stage. */
enum { PAIRS = 8, MOST_PANELS = 6 };

/* RESIDENT: the weights stay. SHRINK: t is computed along; only if they do. */
template <int OUTS, bool RESIDENT, bool SHRINK> struct linear_shape {
    static constexpr uint32_t teams = RESIDENT ? WARPGROUPS : 1;
    static constexpr int team_threads = THREADS / teams;
    static constexpr uint32_t rows = EGG_GROUP_ROWS * WARPGROUPS / teams;   /* of a team's tile */
    static constexpr uint32_t x_bytes = rows * EGG_LINE, w_bytes = OUTS * EGG_LINE;
    static constexpr uint32_t stages = SHRINK ? 5 : RESIDENT ? 6 : 4;   /* inputs of 1024 fit with each of them */
    static constexpr uint32_t stage_bytes =
        x_bytes + (RESIDENT ? 0 : w_bytes) + (SHRINK ? PAIRS * EGG_LINE : 0);
    static constexpr uint32_t ring_bytes = stages * stage_bytes;
    static size_t shared_bytes(uint32_t depth)
    {
        return EGG_SWIZZLE_BYTES - 1 + teams * ring_bytes + (RESIDENT ? (size_t)depth * w_bytes : 0);
    }
};

/* Copies are made by 'THREADS' threads, of which this is 'thread': a line each eight of them, at a time. */
template <int THREADS> struct copying {
    static constexpr uint32_t step = THREADS / EGG_LINE_CHUNKS;   /* lines */
    uint32_t line, chunk;
    __device__ explicit copying(uint32_t thread) : line(thread / EGG_LINE_CHUNKS), chunk(thread % EGG_LINE_CHUNKS) {}
};

/* Begins to copy depth k of rows [row, row + ROWS) of X; zeros for what there is not. */
template <int ROWS, int THREADS>
static __device__ __forceinline__ void load_inputs(const egg_linear_args &args, uint32_t row, uint32_t k,
                                                   copying<THREADS> mine, int8_t *panel)
{
    const uint32_t first = row + mine.line, at = k * EGG_LINE + mine.chunk * EGG_CHUNK;
    const int8_t *const X = (const int8_t *)args.X, *from = X + first * args.x_stride + at;
    panel += egg_line_offset(mine.line, mine.chunk);
    EGG_UNROLL
    for (uint32_t r = 0; r < ROWS; r += mine.step, from += mine.step * args.x_stride) {
        const bool valid = first + r < args.rows && at < args.in;
        egg_cp_async16_or_zero(panel + r * EGG_LINE, valid ? from : X, valid);
    }
}

/* Outputs [out, out + OUTS) of the weights likewise, each in its slot: see egg_weight_slot. */
template <int OUTS, int THREADS>
static __device__ __forceinline__ void load_weights(const egg_linear_args &args, uint32_t out, uint32_t k,
                                                    copying<THREADS> mine, int8_t *panel)
{
    const uint32_t first = out + mine.line, at = k * EGG_LINE + mine.chunk * EGG_CHUNK;
    const int8_t *const W = (const int8_t *)args.W, *from = W + (size_t)first * args.in + at;
    EGG_UNROLL
    for (uint32_t o = 0; o < OUTS; o += mine.step, from += mine.step * (size_t)args.in) {
        const bool valid = first + o < args.out && at < args.in;
        egg_cp_async16_or_zero(panel + egg_line_offset(egg_weight_slot<EGG_RUN>(mine.line + o), mine.chunk),
                               valid ? from : W, valid);
    }
}

/* What t is made from: rank 1. */
struct shrinking {
    const int8_t *B;
    int32_t scale;
};

/* The pair of a row; behind the last row there is none. */
static __device__ __forceinline__ uint32_t pair_of(const egg_linear_args &args, egg_divisor steps, uint32_t row)
{
    return egg_divide(egg_present_row(args, row), steps) / 2;
}

/* Factors B of the pairs from that of 'row' on, by the first threads of a team. */
template <int THREADS>
static __device__ __forceinline__ void load_factors(const egg_linear_args &args, egg_divisor steps, const int8_t *B,
                                                    uint32_t row, uint32_t k, copying<THREADS> mine, int8_t *panel)
{
    const uint32_t pair = pair_of(args, steps, row) + mine.line, at = k * EGG_LINE + mine.chunk * EGG_CHUNK;
    const bool valid = pair <= pair_of(args, steps, args.rows - 1) && at < args.in;
    if (mine.line < PAIRS)
        egg_cp_async16_or_zero(panel + egg_line_offset(mine.line, mine.chunk),
                               valid ? B + (size_t)pair * args.in + at : B, valid);
}

/*
 * t of rows lane / 4 and 8 further of a warp's 16 from 'row' on. Lane 4 g + c of sums has pairs 2 c and 2 c + 1 of the
 * tile's, which begins at 'first_row'.
 */
static __device__ __forceinline__ void finish_t(const egg_linear_args &args, egg_divisor steps, int32_t scale,
                                                const int32_t (&sum)[1][4], uint32_t first_row, uint32_t row,
                                                int32_t (&t)[2])
{
    const uint32_t lane = threadIdx.x % EGG_WARP, first = pair_of(args, steps, first_row);
    EGG_UNROLL
    for (int i = 0; i < 2; i++) {
        const uint32_t b = egg_present_row(args, row + lane / 4 + 8 * i), member = egg_divide(b, steps);
        const uint32_t place = member / 2 - first, from = lane / 4 * 4 + place / 2;
        const int32_t even = egg_shuffle(sum[0][2 * i], from), odd = egg_shuffle(sum[0][2 * i + 1], from);
        const int64_t factor = member % 2 ? -scale : scale;
        t[i] = (int32_t)((factor * (place % 2 ? odd : even)) >> 8);
    }
}

/* Results of a warp's 16 rows from 'row' on. */
template <int OUTS>
static __device__ __forceinline__ void finish(const egg_linear_args &args, egg_divisor steps,
                                              const int32_t (&sum)[OUTS / 8][4], uint32_t row, uint32_t out,
                                              const int32_t *t)
{
    EGG_UNROLL
    for (int o = 0; o < OUTS; o += EGG_RUN_OUTS) {
        int32_t part[1][EGG_RUN_PAIRS][4];
        EGG_UNROLL
        for (int i = 0; i < 4 * EGG_RUN_PAIRS; i++) part[0][i / 4][i % 4] = sum[o / 8 + i / 4][i % 4];
        egg_linear_finish(args, steps, part, row, out + o, t);
    }
    __syncwarp();   /* lanes whose outputs do not exist are back */
}

/* Block b works on panel b % panels of the outputs; the teams of all that do take turns in the tiles of rows. */
template <int OUTS, bool RESIDENT, bool SHRINK>
static __global__ void __launch_bounds__(THREADS, 1)
    linear_i8_wgmma(egg_linear_args args, egg_divisor steps, uint32_t panels, shrinking shrink)
{
    using shape = linear_shape<OUTS, RESIDENT, SHRINK>;
    EGG_SHARED(int8_t, shared);
    if (!EGG_HAS_WGMMA) {
        egg_no_wgmma();
        return;
    }
    const uint32_t team = threadIdx.x / shape::team_threads, group = threadIdx.x / EGG_WARPGROUP;
    const copying<shape::team_threads> mine(threadIdx.x % shape::team_threads);
    const uint32_t depth = egg_divide_up(args.in, (uint32_t)EGG_LINE), out = blockIdx.x % panels * OUTS;
    const uint32_t begin = (blockIdx.x / panels * shape::teams + team) * shape::rows;
    const uint32_t stride = gridDim.x / panels * shape::teams * shape::rows;
    const uint32_t group_row = RESIDENT ? 0 : group * EGG_GROUP_ROWS;   /* within the tile */
    int8_t *const weights = egg_panels_begin(shared);                   /* if resident */
    int8_t *const ring = weights + (RESIDENT ? depth * shape::w_bytes : 0) + team * shape::ring_bytes;

    /* What is to be loaded next, and into which stage of the ring. A stage is a group of copies, even an empty one. */
    uint32_t next_row = begin, next_k = 0, next_stage = 0;
    const auto load_next = [&]() {
        if (next_row < args.rows) {
            int8_t *const stage = ring + next_stage * shape::stage_bytes;
            load_inputs<shape::rows>(args, next_row, next_k, mine, stage);
            if (!RESIDENT) load_weights<OUTS>(args, out, next_k, mine, stage + shape::x_bytes);
            if (SHRINK) load_factors(args, steps, shrink.B, next_row, next_k, mine, stage + shape::x_bytes);
        }
        egg_cp_async_commit();
        next_stage = next_stage + 1 == shape::stages ? 0 : next_stage + 1;
        if (++next_k == depth) next_k = 0, next_row += stride;
    };
    for (uint32_t i = 0; i < shape::stages - 2; i++) load_next();
    if (RESIDENT) {
        const copying<THREADS> ours(threadIdx.x);
        for (uint32_t k = 0; k < depth; k++) load_weights<OUTS>(args, out, k, ours, weights + k * shape::w_bytes);
        egg_cp_async_commit();
        egg_cp_async_wait<0>();
        egg_proxy_fence();
        __syncthreads();
    }

    uint32_t stage = 0;
    for (uint32_t row = begin; row < args.rows; row += stride) {
        int32_t sum[OUTS / 8][4], t_sum[1][4], t[2];
        for (uint32_t k = 0; k < depth; k++) {
            egg_cp_async_wait<shape::stages - 3>();
            egg_proxy_fence();
            egg_team_barrier(team, shape::team_threads);   /* the stage is there for all; that before last is free */
            const int8_t *const x = ring + stage * shape::stage_bytes;
            const uint64_t rows = egg_wgmma_operand(x + group_row * EGG_LINE);
            egg_wgmma_fence();
            egg_wgmma_line(sum, rows,
                           egg_wgmma_operand(RESIDENT ? weights + k * shape::w_bytes : x + shape::x_bytes), k > 0);
            if (SHRINK) egg_wgmma_line(t_sum, rows, egg_wgmma_operand(x + shape::x_bytes), k > 0);
            egg_wgmma_commit();
            load_next();
            egg_wgmma_wait<1>();
            stage = stage + 1 == shape::stages ? 0 : stage + 1;
        }
        egg_wgmma_end(sum);
        if (SHRINK) egg_wgmma_end(t_sum);
        const uint32_t warp_row = row + group_row + threadIdx.x / EGG_WARP % 4 * 16;
        if (SHRINK) finish_t(args, steps, shrink.scale, t_sum, row, warp_row, t);
        finish<OUTS>(args, steps, sum, warp_row, out, SHRINK ? t : nullptr);
    }
}

template <int OUTS, bool RESIDENT, bool SHRINK> static bool launch(const egg_linear_args *args, shrinking shrink)
{
    using shape = linear_shape<OUTS, RESIDENT, SHRINK>;
    const uint32_t depth = egg_divide_up(args->in, (uint32_t)EGG_LINE);
    const uint32_t panels = egg_divide_up(args->out, (uint32_t)OUTS);
    const uint32_t tiles = egg_divide_up(args->rows, shape::rows * shape::teams), most = egg_cuda_processors() / panels;
    const uint32_t blocks = tiles < most ? tiles : most > 1 ? most : 1;   /* a panel */
    EGG_LAUNCH((linear_i8_wgmma<OUTS, RESIDENT, SHRINK>), blocks * panels, THREADS, shape::shared_bytes(depth), *args,
               egg_divisor_of(args->steps), panels, shrink);
    return true;
}

template <int OUTS, bool SHRINK> static bool fits(const egg_linear_args *args)
{
    const uint32_t depth = egg_divide_up(args->in, (uint32_t)EGG_LINE);
    return linear_shape<OUTS, true, SHRINK>::shared_bytes(depth) <= egg_cuda_shared_bytes(1);
}

/* Enough of all for blocks of this size; else smaller ones serve better. */
static bool suits(const egg_linear_args *args)
{
    const uint64_t tiles = (uint64_t)egg_divide_up(args->rows, 128u) * egg_divide_up(args->out, 128u);
    return egg_cuda_uses_wgmma() && args->out > 64 && args->in > 64 && tiles >= egg_cuda_processors();
}

bool egg_cuda_linear_i8_wgmma(const egg_linear_args *args)
{
    if (!suits(args)) return false;
    if (args->out > 128 && fits<256, false>(args)) return launch<256, true, false>(args, {});
    if (fits<128, false>(args)) return launch<128, true, false>(args, {});
    return args->out > 128 && launch<256, false, false>(args, {});
}

bool egg_cuda_perturbed_i8_wgmma(const egg_shrink_args *shrink, const egg_linear_args *linear)
{
    const uint32_t pairs = (EGG_GROUP_ROWS - 2) / (2 * linear->steps) + 2;   /* of a tile, at most */
    const shrinking along = {(const int8_t *)shrink->B, shrink->scale};
    if (!linear->rows || !suits(linear) || linear->rank != 1 || pairs > PAIRS) return false;
    if (linear->out > 128 && linear->out <= MOST_PANELS * 256 && fits<256, true>(linear))
        return launch<256, true, true>(linear, along);
    return linear->out <= MOST_PANELS * 128 && fits<128, true>(linear) && launch<128, true, true>(linear, along);
}
