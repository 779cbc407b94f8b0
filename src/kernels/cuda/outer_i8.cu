/* SPDX-License-Identifier: MIT */
/*
 * Z += A^T B, the fitness-weighted sum of outer products. Both factors have the sum's index q slow, but the tensor
 * cores want four consecutive q of an output in a register. A tile (q, outputs) is therefore read by transposing
 * ldmatrix, which turns pairs of bytes, and one byte permutation a register does the rest:
 *
 *   thread (g, c) gets from matrix u  {q = 8u + 2c: outputs 2g, 2g + 1;  q = 8u + 2c + 1: outputs 2g, 2g + 1}
 *   from u = 0, 1 it makes            {2c, 2c + 1, 8 + 2c, 9 + 2c} of output 2g, and the same of 2g + 1
 *
 * so an instruction sums over q in an order of its own, the same for A and B. An operand's even outputs and its odd
 * ones lie apart: of 16 rows of A the even ones come first, and two instructions have the even and the odd columns of
 * 16 of B. A thread thus ends up with four neighbouring sums, 16 bytes of Z.
 */
#include "kernels/cuda/mma.cuh"

enum {
    TILE = 128,              /* outputs of A and of B: 4 warps of 64 x 64 */
    DEPTH = 32,              /* q of a stage: one instruction's */
    STAGES = 4,
    WARP_TILE = 64,
    BLOCKS = WARP_TILE / 16, /* of 16 outputs, in a warp's tile */
    THREADS = 128,
    CHUNKS = TILE / EGG_CHUNK,
    MIN_TERMS = 256          /* of a block: below, adding up what blocks have summed costs more than it gains */
};

/* Row q of a tile is 128 bytes, all banks; the eight rows of one chunk that are read at once are turned apart. */
static __device__ __forceinline__ uint32_t outer_offset(uint32_t q, uint32_t chunk)
{
    return q * TILE + (chunk ^ q % 8) * EGG_CHUNK;
}

/* Terms [q, q + DEPTH) but those from 'end' on, outputs [first, first + TILE) of factor F (count, n). */
static __device__ __forceinline__ void load_factor(const int8_t *F, uint32_t q, uint32_t end, uint32_t first,
                                                   uint32_t n, int8_t *tile)
{
    const uint32_t chunk = threadIdx.x % CHUNKS;
    EGG_UNROLL
    for (int i = 0; i < DEPTH * CHUNKS / THREADS; i++) {
        const uint32_t d = threadIdx.x / CHUNKS + i * (THREADS / CHUNKS), at = first + chunk * EGG_CHUNK;
        const bool valid = q + d < end && at < n;
        egg_cp_async16_or_zero(tile + outer_offset(d, chunk), valid ? F + (size_t)(q + d) * n + at : F, valid);
    }
}

/*
 * 16 outputs of a tile from 'chunk' on, all of its depth: {even outputs, odd outputs} of the lower half of the depth,
 * then of the upper. For A that is an operand, for B two. All of a warp.
 */
static __device__ __forceinline__ void read_transposed(const int8_t *tile, uint32_t chunk, uint32_t r[4])
{
    uint32_t m[4];
    egg_ldmatrix_x4_transposed(m, tile + outer_offset(threadIdx.x % EGG_WARP, chunk));
    r[0] = egg_prmt(m[0], m[1], 0x6420);
    r[1] = egg_prmt(m[0], m[1], 0x7531);
    r[2] = egg_prmt(m[2], m[3], 0x6420);
    r[3] = egg_prmt(m[2], m[3], 0x7531);
}

/* sum[i][j][odd]: rows 16 i + 2g and 2g + 1 of the warp's tile, columns 16 j + 4c + odd and 2 more. */
typedef int32_t outer_sums[BLOCKS][BLOCKS][2][4];

static __device__ __forceinline__ void multiply_stage(outer_sums &sum, const int8_t *A, uint32_t a_chunk,
                                                      const int8_t *B, uint32_t b_chunk)
{
    uint32_t a[BLOCKS][4];
    EGG_UNROLL
    for (int i = 0; i < BLOCKS; i++) read_transposed(A, a_chunk + i, a[i]);
    EGG_UNROLL
    for (int j = 0; j < BLOCKS; j++) {
        uint32_t b[4];
        read_transposed(B, b_chunk + j, b);
        const uint32_t even[2] = {b[0], b[2]}, odd[2] = {b[1], b[3]};
        EGG_UNROLL
        for (int i = 0; i < BLOCKS; i++) {
            egg_mma_s8(sum[i][j][0], a[i], even);
            egg_mma_s8(sum[i][j][1], a[i], odd);
        }
    }
}

/* One row's four sums; of blocks that share a tile of Z each adds its own, in any order: integers. */
static __device__ __forceinline__ void add_sums(int32_t *Z, int4 sums, bool shared_tile)
{
    if (shared_tile) {
        atomicAdd(Z, sums.x);
        atomicAdd(Z + 1, sums.y);
        atomicAdd(Z + 2, sums.z);
        atomicAdd(Z + 3, sums.w);
        return;
    }
    int4 *z = (int4 *)Z;
    const int4 before = *z;
    *z = make_int4(before.x + sums.x, before.y + sums.y, before.z + sums.z, before.w + sums.w);
}

static __device__ __forceinline__ void store_sums(const egg_outer_args &args, const outer_sums &sum, uint32_t row,
                                                  uint32_t column)
{
    const uint32_t lane = threadIdx.x % EGG_WARP;
    const bool shared_tile = gridDim.z > 1;
    EGG_UNROLL
    for (int i = 0; i < BLOCKS; i++)
        EGG_UNROLL
        for (int j = 0; j < BLOCKS; j++) {
            const uint32_t r = row + 16 * i + lane / 4 * 2, c = column + 16 * j + lane % 4 * 4;
            if (r >= args.m || c >= args.n) continue;
            int32_t *const Z = args.Z + (size_t)r * args.n + c;
            const int32_t(&even)[4] = sum[i][j][0], (&odd)[4] = sum[i][j][1];
            add_sums(Z, make_int4(even[0], odd[0], even[1], odd[1]), shared_tile);
            add_sums(Z + args.n, make_int4(even[2], odd[2], even[3], odd[3]), shared_tile);
        }
}

/* Block (x, y, z): columns from x * TILE, rows from y * TILE, the z-th 'terms' of the sum. */
static __global__ void __launch_bounds__(THREADS, 2) outer_i8_kernel(egg_outer_args args, uint32_t terms)
{
    EGG_SHARED(int8_t, ring);
    enum { FACTOR_BYTES = DEPTH * TILE, STAGE_BYTES = 2 * FACTOR_BYTES };
    const uint32_t row = blockIdx.y * TILE, column = blockIdx.x * TILE, begin = blockIdx.z * terms;
    const uint32_t end = min(begin + terms, args.count), warp = threadIdx.x / EGG_WARP;
    const uint32_t warp_row = warp / 2 * WARP_TILE, warp_column = warp % 2 * WARP_TILE;

    uint32_t next = begin, next_stage = 0;
    const auto load_next = [&]() {
        int8_t *const stage = ring + next_stage * STAGE_BYTES;
        if (next < end) {
            load_factor(args.A, next, end, row, args.m, stage);
            load_factor(args.B, next, end, column, args.n, stage + FACTOR_BYTES);
        }
        egg_cp_async_commit();
        next += DEPTH;
        next_stage = (next_stage + 1) % STAGES;
    };
    for (int i = 0; i < STAGES - 1; i++) load_next();

    outer_sums sum = {};
    uint32_t stage = 0;
    for (uint32_t q = begin; q < end; q += DEPTH) {
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* the stage is there for all, and the one before is free */
        load_next();
        const int8_t *const A = ring + stage * STAGE_BYTES;
        multiply_stage(sum, A, warp_row / EGG_CHUNK, A + FACTOR_BYTES, warp_column / EGG_CHUNK);
        stage = (stage + 1) % STAGES;
    }
    store_sums(args, sum, row + warp_row, column + warp_column);
}

/* Few tiles of Z: several blocks share one, so that every processor has two. */
static void outer_i8(const egg_outer_args *args)
{
    const uint32_t rows = egg_divide_up(args->m, (uint32_t)TILE), columns = egg_divide_up(args->n, (uint32_t)TILE);
    uint32_t parts = egg_divide_up(2 * egg_cuda_processors(), rows * columns);
    const uint32_t most = egg_divide_up(args->count, (uint32_t)MIN_TERMS);
    if (parts > most) parts = most;
    if (!parts) return;
    const uint32_t terms = egg_divide_up(egg_divide_up(args->count, parts), (uint32_t)DEPTH) * DEPTH;
    EGG_LAUNCH(outer_i8_kernel, dim3(columns, rows, egg_divide_up(args->count, terms)), THREADS,
               STAGES * 2 * DEPTH * TILE, *args, terms);
}

extern "C" void egg_cuda_outer_i8(egg_kernels *kernels)
{
    kernels->outer_i8 = outer_i8;
}
