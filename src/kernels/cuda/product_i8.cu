/* SPDX-License-Identifier: MIT */
/*
 * The perturbed matrix product in int8. Its weights are "packed" as they are: tiles are laid out on their way into
 * shared memory, so that neither ldmatrix nor the copies want another order.
 *
 * What bounds it on an H200, by reckoning: at widths of 256 memory as much as anything else. A row of 256 in and 256
 * out is 512 bytes, which a processor's share of the memory moves in about 25 cycles, 16 of the tensor cores'
 * instructions, about 26 cycles by mma.sync, and 256 results of 5 integer instructions each at 64 a cycle, 20. All
 * three have to overlap, hence:
 * - A block keeps its panel of the weights in shared memory and walks over the rows. Its ring of tiles of X never runs
 *   dry, not even at the end of a row of tiles: while results are finished, the next rows are on their way.
 * - Two blocks share a processor, one multiplies while the other finishes.
 * - A warp makes 64x64 results: 128 bytes from shared memory an instruction, which is what shared memory delivers.
 * - Results stay in the registers that the sums are in; see egg_weight_slot for how they become whole 16 bytes.
 */
#include "kernels/cuda/linear_i8.cuh"

/* ---------------------------------------------------------------------------------------------------------- weights */

static size_t packed_bytes_i8(uint32_t out, uint32_t in)
{
    return (size_t)out * in;
}

static void pack_i8(const void *W, uint32_t out, uint32_t in, void *packed)
{
    egg_cuda_check(cudaMemcpyAsync(packed, W, packed_bytes_i8(out, in), cudaMemcpyDefault, egg_cuda_stream),
                   "packing weights");
}

/* ----------------------------------------------------------------------------------------------------------- shrink */

enum { SHRINK_THREADS = 256, SHRINK_RANKS = 4 /* components that one reading of X serves */ };

/* sums[k] = this lane's share of X[row] . B[pair,first+k] */
static __device__ __forceinline__ void shrink_sums(const egg_shrink_args &args, uint32_t row, uint32_t pair,
                                                   uint32_t first, uint32_t lane, uint32_t lanes,
                                                   int32_t (&sums)[SHRINK_RANKS])
{
    const int8_t *X = (const int8_t *)args.X + row * args.x_stride;
    const int8_t *B = (const int8_t *)args.B + ((size_t)pair * args.rank + first) * args.in;
    EGG_UNROLL
    for (int k = 0; k < SHRINK_RANKS; k++) sums[k] = 0;
    for (uint32_t i = lane * EGG_CHUNK; i < args.in; i += lanes * EGG_CHUNK) {
        const uint4 x = __ldg((const uint4 *)(X + i));
        EGG_UNROLL
        for (int k = 0; k < SHRINK_RANKS; k++)
            if (first + k < args.rank) sums[k] = egg_dot16(x, __ldg((const uint4 *)(B + k * args.in + i)), sums[k]);
    }
}

/* A row is read by the lanes of threadIdx.x; X streams through, B stays in the caches for all rows of its pair. */
static __global__ void __launch_bounds__(SHRINK_THREADS) shrink_i8_kernel(egg_shrink_args args, egg_divisor steps)
{
    const uint32_t row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x, lanes = blockDim.x;
    const bool valid = row < args.rows;
    const uint32_t member = valid ? egg_divide(row, steps) : 0;
    const int64_t factor = member % 2 ? -args.scale : args.scale;
    int32_t *t = (int32_t *)args.t + (size_t)row * args.rank;
    for (uint32_t first = 0; first < args.rank; first += SHRINK_RANKS) {
        int32_t sums[SHRINK_RANKS];
        shrink_sums(args, valid ? row : 0, member / 2, first, lane, lanes, sums);
        EGG_UNROLL
        for (int k = 0; k < SHRINK_RANKS; k++) {
            if (first + k >= args.rank) break;
            const int32_t sum = egg_group_sum(sums[k], lanes);
            if (valid && lane == 0) t[first + k] = (int32_t)((factor * sum) >> 8);
        }
    }
}

static void shrink_i8(const egg_shrink_args *args)
{
    const uint32_t lanes = egg_lanes_of_row(args->in), rows = SHRINK_THREADS / lanes;
    if (args->rows && args->rank)
        EGG_LAUNCH(shrink_i8_kernel, egg_divide_up(args->rows, rows), dim3(lanes, rows), 0, *args,
                   egg_divisor_of(args->steps));
}

/* ----------------------------------------------------------------------------------------------------------- linear */

enum { STAGES = 4 };   /* tiles of the ring: three on their way, one in use */

/* Shape of a block: ROWS threads, in warps of 64 x 64 results or, where there are but 64 outputs, of 32 x 64. */
template <int ROWS, int OUTS, bool RESIDENT> struct linear_shape {
    static constexpr int warps_across = OUTS / EGG_RUN_OUTS, warp_rows = 32 * warps_across, M = warp_rows / 16;
    static constexpr uint32_t x_bytes = ROWS * EGG_TILE_DEPTH, w_bytes = OUTS * EGG_TILE_DEPTH;
    static constexpr uint32_t stage_bytes = x_bytes + (RESIDENT ? 0 : w_bytes);
    static size_t shared_bytes(uint32_t depth)
    {
        return STAGES * stage_bytes + (RESIDENT ? (size_t)depth * w_bytes : 0);
    }
};

/* Rows [row, row + ROWS) of X, tile k of their depth; zeros for what there is not. */
template <int ROWS> static __device__ __forceinline__ void load_inputs(const egg_linear_args &args, uint32_t row,
                                                                       uint32_t k, int8_t *tile)
{
    const uint32_t chunk = threadIdx.x % EGG_TILE_CHUNKS, at = k * EGG_TILE_DEPTH + chunk * EGG_CHUNK;
    const int8_t *X = (const int8_t *)args.X;
    EGG_UNROLL
    for (int i = 0; i < EGG_TILE_CHUNKS; i++) {
        const uint32_t r = threadIdx.x / EGG_TILE_CHUNKS + i * (ROWS / EGG_TILE_CHUNKS);
        const bool valid = row + r < args.rows && at < args.in;
        egg_cp_async16_or_zero(tile + egg_tile_offset(r, chunk), valid ? X + (row + r) * args.x_stride + at : X, valid);
    }
}

/* Outputs [out, out + OUTS) of the weights likewise, each in its slot. */
template <int ROWS, int OUTS>
static __device__ __forceinline__ void load_weights(const egg_linear_args &args, uint32_t out, uint32_t k, int8_t *tile)
{
    const uint32_t chunk = threadIdx.x % EGG_TILE_CHUNKS, at = k * EGG_TILE_DEPTH + chunk * EGG_CHUNK;
    const int8_t *W = (const int8_t *)args.W;
    EGG_UNROLL
    for (int i = 0; i < OUTS * EGG_TILE_CHUNKS / ROWS; i++) {
        const uint32_t o = threadIdx.x / EGG_TILE_CHUNKS + i * (ROWS / EGG_TILE_CHUNKS);
        const bool valid = out + o < args.out && at < args.in;
        egg_cp_async16_or_zero(tile + egg_tile_offset(egg_weight_slot<EGG_RUN>(o), chunk),
                               valid ? W + (size_t)(out + o) * args.in + at : W, valid);
    }
}

/* Block b works on panel b % panels of the outputs and on every (blocks / panels)-th tile of rows. */
template <int ROWS, int OUTS, bool RESIDENT>
static __global__ void __launch_bounds__(ROWS, ROWS == 128 ? 2 : 1)
    linear_i8_kernel(egg_linear_args args, egg_divisor steps, uint32_t panels)
{
    using shape = linear_shape<ROWS, OUTS, RESIDENT>;
    EGG_SHARED(int8_t, shared);
    const uint32_t depth = egg_divide_up(args.in, (uint32_t)EGG_TILE_DEPTH), out = blockIdx.x % panels * OUTS;
    const uint32_t begin = blockIdx.x / panels * ROWS, stride = gridDim.x / panels * ROWS;
    const uint32_t warp = threadIdx.x / EGG_WARP;
    const uint32_t warp_row = warp / shape::warps_across * shape::warp_rows;
    const uint32_t warp_out = warp % shape::warps_across * EGG_RUN_OUTS;
    const uint32_t x_offset = egg_x_offset(warp_row), w_offset = egg_w_offset(warp_out);
    int8_t *const ring = shared, *const panel = shared + STAGES * shape::stage_bytes;

    if (RESIDENT)
        for (uint32_t k = 0; k < depth; k++) load_weights<ROWS, OUTS>(args, out, k, panel + k * shape::w_bytes);

    /* What is to be loaded next, and into which stage of the ring. A stage is a group of copies, even an empty one. */
    uint32_t next_row = begin, next_k = 0, next_stage = 0;
    const auto load_next = [&]() {
        if (next_row < args.rows) {
            int8_t *const tile = ring + next_stage * shape::stage_bytes;
            load_inputs<ROWS>(args, next_row, next_k, tile);
            if (!RESIDENT) load_weights<ROWS, OUTS>(args, out, next_k, tile + shape::x_bytes);
        }
        egg_cp_async_commit();
        next_stage = (next_stage + 1) % STAGES;
        if (++next_k == depth) next_k = 0, next_row += stride;
    };
    for (int i = 0; i < STAGES - 1; i++) load_next();

    uint32_t stage = 0;
    for (uint32_t row = begin; row < args.rows; row += stride) {
        int32_t sum[shape::M][EGG_RUN_PAIRS][4] = {};
        for (uint32_t k = 0; k < depth; k++) {
            egg_cp_async_wait<STAGES - 2>();
            __syncthreads();   /* the stage is there for all, and the one before is free */
            load_next();
            const int8_t *const tile = ring + stage * shape::stage_bytes;
            egg_tile_product(sum, tile, x_offset, RESIDENT ? panel + k * shape::w_bytes : tile + shape::x_bytes,
                             w_offset);
            stage = (stage + 1) % STAGES;
        }
        egg_linear_finish(args, steps, sum, row + warp_row, out + warp_out);
    }
}

/* 'blocks' a processor may be at work at once. */
template <int ROWS, int OUTS, bool RESIDENT> static void launch_linear(const egg_linear_args *args, uint32_t blocks)
{
    const uint32_t depth = egg_divide_up(args->in, (uint32_t)EGG_TILE_DEPTH);
    const uint32_t panels = egg_divide_up(args->out, (uint32_t)OUTS), tiles = egg_divide_up(args->rows, (uint32_t)ROWS);
    uint32_t groups = blocks * egg_cuda_processors() / panels;
    if (groups > tiles) groups = tiles;
    if (groups < 1) groups = 1;
    const size_t shared_bytes = linear_shape<ROWS, OUTS, RESIDENT>::shared_bytes(depth);
    EGG_LAUNCH((linear_i8_kernel<ROWS, OUTS, RESIDENT>), groups * panels, ROWS, shared_bytes, *args,
               egg_divisor_of(args->steps), panels);
}

/*
 * Weights stay in shared memory where they fit beside another block, or else beside a larger one that makes up for
 * being alone. Few rows or outputs get smaller blocks, so that there is one for each processor.
 */
static void linear_i8(const egg_linear_args *args)
{
    const uint32_t depth = egg_divide_up(args->in, (uint32_t)EGG_TILE_DEPTH);
    const size_t whole = egg_cuda_shared_bytes(1), half = egg_cuda_shared_bytes(2);
    if (!args->rows || egg_cuda_linear_i8_wgmma(args)) return;
    const bool few = (uint64_t)egg_divide_up(args->rows, 128u) * egg_divide_up(args->out, 128u) < egg_cuda_processors();
    if (few || args->out <= EGG_RUN_OUTS) {
        const size_t bytes = linear_shape<128, 64, true>::shared_bytes(depth);
        if (bytes <= whole)
            launch_linear<128, 64, true>(args, bytes <= half ? 2 : 1);
        else
            launch_linear<128, 64, false>(args, 2);
    } else if (linear_shape<128, 128, true>::shared_bytes(depth) <= half) {
        launch_linear<128, 128, true>(args, 2);
    } else if (linear_shape<256, 128, true>::shared_bytes(depth) <= whole) {
        launch_linear<256, 128, true>(args, 1);
    } else {
        launch_linear<256, 128, false>(args, 1);
    }
}

static void perturbed_i8(const egg_shrink_args *shrink, const egg_linear_args *linear)
{
    if (egg_cuda_perturbed_i8_wgmma(shrink, linear)) return;
    shrink_i8(shrink);
    linear_i8(linear);
}

/* ------------------------------------------------------------------------------------------------------------ table */

extern "C" void egg_cuda_product_i8(egg_kernels *kernels)
{
    kernels->packed_bytes_i8 = packed_bytes_i8;
    kernels->pack_i8 = pack_i8;
    kernels->shrink_i8 = shrink_i8;
    kernels->linear_i8 = linear_i8;
    kernels->perturbed_i8 = perturbed_i8;
}
