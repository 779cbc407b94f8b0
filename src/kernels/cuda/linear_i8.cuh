/* SPDX-License-Identifier: MIT */
/* How sums of the int8 product become its results, in the registers that they are in. */
#ifndef EGG_KERNELS_CUDA_LINEAR_I8_CUH
#define EGG_KERNELS_CUDA_LINEAR_I8_CUH

#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/mma.cuh"

enum {
    EGG_RUN_OUTS = 64,             /* outputs that four threads share */
    EGG_RUN = EGG_RUN_OUTS / 4,    /* outputs in a row that each of them ends up with, 16 bytes of Y */
    EGG_RUN_PAIRS = EGG_RUN_OUTS / 8
};

/* What a member's noise adds to EGG_RUN results of a row: sum_k t[row,k] * A[pair,k,...], but for k = 0. */
static __device__ __forceinline__ void egg_linear_expand_more(const egg_linear_args &args, uint32_t row, uint32_t pair,
                                                              uint32_t out, int32_t (&noise)[EGG_RUN])
{
    const int32_t *t = (const int32_t *)args.t + (size_t)row * args.rank;
    const int8_t *A = (const int8_t *)args.A + (size_t)pair * args.rank * args.out + out;
    EGG_NO_UNROLL
    for (uint32_t k = 1; k < args.rank; k++) {
        const uint4 words = __ldg((const uint4 *)(A + (size_t)k * args.out));
        const int32_t factor = __ldg(t + k);
        int32_t a[EGG_RUN];
        egg_unpack_i8(words, a);
        EGG_UNROLL
        for (int c = 0; c < EGG_RUN; c++) noise[c] += factor * a[c];
    }
}

/*
 * Shifts and clips EGG_RUN results and stores them. 'upper' chooses rows g + 8 of the sums. Instead of clipping the
 * quotient below, the dividend is: max(x, -127 << shift) >> shift, one instruction together with the addition.
 */
template <int M>
static __device__ __forceinline__ void egg_linear_store_run(const egg_linear_args &args,
                                                            const int32_t (&sum)[M][EGG_RUN_PAIRS][4], int i, int upper,
                                                            const int32_t (&noise)[EGG_RUN], int8_t *Y)
{
    const int32_t lowest = -127 * (1 << args.shift);
    uint32_t words[EGG_RUN / 4];
    EGG_UNROLL
    for (int w = 0; w < EGG_RUN / 4; w++) {
        int32_t y[4];
        EGG_UNROLL
        for (int c = 0; c < 4; c++)
            y[c] = max(sum[i][2 * w + c / 2][2 * upper + c % 2] + (noise[4 * w + c] >> args.noise_shift), lowest) >>
                   args.shift;
        words[w] = egg_pack_saturated(y[0], y[1], y[2], y[3]);
    }
    *(uint4 *)Y = make_uint4(words[0], words[1], words[2], words[3]);
}

/* What of a thread's rows has to come from memory: of the first component, mostly the only one. */
template <int ROWS> struct egg_linear_noise {
    uint32_t pair[ROWS];
    int32_t t[ROWS];
    uint4 a[ROWS];
};

/* A row that is not there counts as the last. */
static __device__ __forceinline__ uint32_t egg_present_row(const egg_linear_args &args, uint32_t row)
{
    return min(row, args.rows - 1);
}

/* 't': that of the rows, or NULL: it is in memory. */
template <int ROWS>
static __device__ __forceinline__ void egg_linear_read_noise(const egg_linear_args &args, egg_divisor steps,
                                                             uint32_t row, uint32_t out, const int32_t *t,
                                                             egg_linear_noise<ROWS> &noise)
{
    const int8_t *A = (const int8_t *)args.A + out;
    EGG_UNROLL
    for (int i = 0; i < ROWS; i++) {
        const uint32_t b = egg_present_row(args, row + 8 * i);
        noise.pair[i] = egg_divide(b, steps) / 2;
        noise.t[i] = t ? t[i] : __ldg((const int32_t *)args.t + (size_t)b * args.rank);
        noise.a[i] = __ldg((const uint4 *)(A + (size_t)noise.pair[i] * args.rank * args.out));
    }
}

/* ONE_PAIR: all rows are of one pair, whose factor is then unpacked once. */
template <bool ONE_PAIR, int M>
static __device__ __forceinline__ void egg_linear_finish_noisy(const egg_linear_args &args,
                                                               const egg_linear_noise<2 * M> &noise,
                                                               const int32_t (&sum)[M][EGG_RUN_PAIRS][4], uint32_t row,
                                                               uint32_t out)
{
    int8_t *const Y = (int8_t *)args.Y + out;
    int32_t a[EGG_RUN];
    EGG_UNROLL
    for (int i = 0; i < 2 * M; i++) {
        const uint32_t b = row + 8 * i;
        if (!ONE_PAIR || i == 0) egg_unpack_i8(noise.a[i], a);
        int32_t added[EGG_RUN];
        EGG_UNROLL
        for (int c = 0; c < EGG_RUN; c++) added[c] = noise.t[i] * a[c];
        if (args.rank > 1) egg_linear_expand_more(args, egg_present_row(args, b), noise.pair[i], out, added);
        if (b < args.rows) egg_linear_store_run(args, sum, i / 2, i % 2, added, Y + b * args.y_stride);
    }
}

template <int M>
static __device__ __forceinline__ void egg_linear_finish_plain(const egg_linear_args &args,
                                                               const int32_t (&sum)[M][EGG_RUN_PAIRS][4], uint32_t row,
                                                               uint32_t out)
{
    int8_t *const Y = (int8_t *)args.Y + out;
    const int32_t none[EGG_RUN] = {};
    EGG_UNROLL
    for (int i = 0; i < 2 * M; i++) {
        const uint32_t b = row + 8 * i;
        if (b < args.rows) egg_linear_store_run(args, sum, i / 2, i % 2, none, Y + b * args.y_stride);
    }
}

/*
 * Turns a warp's sums into results: rows from 'row' on, EGG_RUN outputs a thread from 'out' on. 't', if it is not in
 * memory, has rank 1: that of rows lane / 4 + 8 i.
 */
template <int M>
static __device__ __forceinline__ void egg_linear_finish(const egg_linear_args &args, egg_divisor steps,
                                                         const int32_t (&sum)[M][EGG_RUN_PAIRS][4], uint32_t row,
                                                         uint32_t out, const int32_t *t = nullptr)
{
    row += threadIdx.x % EGG_WARP / 4;
    out += threadIdx.x % 4 * EGG_RUN;
    if (out >= args.out) return;
    if (!args.A) {
        egg_linear_finish_plain(args, sum, row, out);
        return;
    }
    egg_linear_noise<2 * M> noise;
    egg_linear_read_noise(args, steps, row, out, t, noise);
    if (noise.pair[0] == noise.pair[2 * M - 1])   /* pairs ascend with the rows */
        egg_linear_finish_noisy<true>(args, noise, sum, row, out);
    else
        egg_linear_finish_noisy<false>(args, noise, sum, row, out);
}

#endif
