/* SPDX-License-Identifier: MIT */
/* int8: from the fitness of pairs to new weights, but for the outer products, which outer_i8.cu has. */
#include "kernels/cuda/count.cuh"
#include "kernels/cuda/vectors.cuh"

/* ----------------------------------------------------------------------------------------------------------- weigh */

static __global__ void weigh_kernel(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out)
{
    EGG_EACH_VECTOR(v, p, n / EGG_VECTOR, pairs) {
        const int32_t f = F[p];
        const size_t at = p * n + EGG_VECTOR * v;
        const egg_vector a = egg_vector_load(A + at);
        int32_t weighed[EGG_VECTOR];
        EGG_UNROLL
        for (uint32_t i = 0; i < EGG_VECTOR; i++) weighed[i] = (egg_vector_get(a, i) * f + 32) >> 6;
        egg_vector_store(out + at, egg_vector_of(weighed));
    }
}

static void weigh_i8(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out)
{
    EGG_LAUNCH_VECTORS(weigh_kernel, n / EGG_VECTOR, pairs, A, F, pairs, n, out);
}

/* -------------------------------------------------------------------------------------------------------- diagonal */

/*
 * There are few columns and many pairs, so the pairs are cut into slices of a block each. A block's threads, x of them
 * over the columns, sixteen a thread, and y over pairs, meet in shared memory, the blocks in Z, whole numbers in any
 * order. parts[i] has the sums of column i of every thread, so that neighbours are in different banks.
 */
enum { DIAGONAL_SLICE = 1024 };

static __global__ void diagonal_kernel(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    EGG_STATIC_SHARED(int32_t, parts, EGG_VECTOR * EGG_VECTOR_THREADS);
    const size_t v = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t thread = threadIdx.x + blockDim.x * threadIdx.y, first = blockIdx.y * DIAGONAL_SLICE;
    const uint32_t end = count - first < DIAGONAL_SLICE ? count : first + DIAGONAL_SLICE;
    int32_t sums[EGG_VECTOR] = {0};
    for (uint32_t q = first + threadIdx.y; EGG_VECTOR * v < n && q < end; q += blockDim.y) {
        const size_t at = q * n + EGG_VECTOR * v;
        const egg_vector a = egg_vector_load(A + at), b = egg_vector_load(B + at);
        EGG_UNROLL
        for (uint32_t i = 0; i < EGG_VECTOR; i++) sums[i] += egg_vector_get(a, i) * egg_vector_get(b, i);
    }
    EGG_UNROLL
    for (uint32_t i = 0; i < EGG_VECTOR; i++) parts[i * EGG_VECTOR_THREADS + thread] = sums[i];
    __syncthreads();
    for (uint32_t column = thread; column < EGG_VECTOR * blockDim.x; column += EGG_VECTOR_THREADS) {
        const uint32_t x = column % blockDim.x, i = column / blockDim.x;
        const size_t at = EGG_VECTOR * ((size_t)blockIdx.x * blockDim.x + x) + i;
        int32_t sum = 0;
        for (uint32_t y = 0; y < blockDim.y; y++) sum += parts[i * EGG_VECTOR_THREADS + y * blockDim.x + x];
        if (at < n) atomicAdd(&Z[at], sum);
    }
}

/* As many slices a launch as a grid is high. */
static void diagonal_i8(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    const dim3 block = egg_vectors_block(n / EGG_VECTOR);
    const uint32_t most = 65535u * DIAGONAL_SLICE;
    for (uint32_t first = 0, some; n && first < count; first += some) {
        some = count - first < most ? count - first : most;
        const dim3 grid((uint32_t)egg_divide_up<size_t>(n / EGG_VECTOR, block.x),
                        egg_divide_up<uint32_t>(some, DIAGONAL_SLICE));
        EGG_LAUNCH(diagonal_kernel, grid, block, 0, A + first * n, B + first * n, some, n, Z);
    }
}

/* ------------------------------------------------------------------------------------------------------------ steps */

/* Four weights a thread, so that a warp reads Z, the widest, in one piece. */
enum { STEP_WEIGHTS = 4 };

static __device__ __forceinline__ int32_t vote(int32_t w, int32_t z, int32_t threshold)
{
    if (z > -threshold && z < threshold) return w;
    return egg_clip_i8(w + (z > 0 ? 1 : -1));
}

static __global__ void step_vote_kernel(int8_t *W, const int32_t *Z, size_t quads, int32_t threshold, uint64_t *changed)
{
    uint32_t moved = 0;
    EGG_EACH_COUNTED(at, quads) {
        const uint32_t old = ((const uint32_t *)W)[at];
        const int4 z4 = ((const int4 *)Z)[at];
        const int32_t z[STEP_WEIGHTS] = {z4.x, z4.y, z4.z, z4.w};
        int32_t w[STEP_WEIGHTS];
        EGG_UNROLL
        for (uint32_t i = 0; i < STEP_WEIGHTS; i++) {
            const int32_t before = (int8_t)(old >> 8 * i);
            w[i] = vote(before, z[i], threshold);
            moved += w[i] != before;
        }
        ((uint32_t *)W)[at] = egg_word_of(w[0], w[1], w[2], w[3]);
    }
    egg_count_onto(changed, moved);
}

static void step_vote_i8(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed)
{
    const size_t quads = n / STEP_WEIGHTS;
    if (quads)
        EGG_LAUNCH(step_vote_kernel, egg_count_blocks(quads), EGG_COUNT_THREADS, 0, W, Z, quads, threshold, changed);
}

static __device__ __forceinline__ int32_t clip(int32_t x, int32_t limit)
{
    return min(max(x, -limit), limit);
}

static __global__ void step_fractional_kernel(int8_t *W, int16_t *V, const int32_t *Z, size_t quads, int32_t rate,
                                              int32_t limit, uint64_t *changed)
{
    uint32_t moved = 0;
    EGG_EACH_COUNTED(at, quads) {
        const uint32_t old = ((const uint32_t *)W)[at];
        const uint2 fine = ((const uint2 *)V)[at];
        const int4 z4 = ((const int4 *)Z)[at];
        const int32_t z[STEP_WEIGHTS] = {z4.x, z4.y, z4.z, z4.w};
        int32_t w[STEP_WEIGHTS], v[STEP_WEIGHTS];
        EGG_UNROLL
        for (uint32_t i = 0; i < STEP_WEIGHTS; i++) {
            v[i] = (int16_t)((i < 2 ? fine.x : fine.y) >> 16 * (i % 2));
            v[i] = clip(v[i] + ((clip(z[i], limit) * rate + 32768) >> 16), 32512);
            w[i] = (v[i] + 128) >> 8;
            moved += w[i] != (int8_t)(old >> 8 * i);
        }
        ((uint32_t *)W)[at] = egg_word_of(w[0], w[1], w[2], w[3]);
        ((uint2 *)V)[at] = make_uint2(egg_prmt((uint32_t)v[0], (uint32_t)v[1], 0x5410),
                                      egg_prmt((uint32_t)v[2], (uint32_t)v[3], 0x5410));
    }
    egg_count_onto(changed, moved);
}

static void step_fractional_i8(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate, int32_t limit,
                               uint64_t *changed)
{
    const size_t quads = n / STEP_WEIGHTS;
    if (quads)
        EGG_LAUNCH(step_fractional_kernel, egg_count_blocks(quads), EGG_COUNT_THREADS, 0, W, V, Z, quads, rate, limit,
                   changed);
}

extern "C" void egg_cuda_update_i8(egg_kernels *kernels)
{
    kernels->weigh_i8 = weigh_i8;
    kernels->diagonal_i8 = diagonal_i8;
    kernels->step_vote_i8 = step_vote_i8;
    kernels->step_fractional_i8 = step_fractional_i8;
}
