/* SPDX-License-Identifier: MIT */
/*
 * Products of whole warpgroups by Hopper's wgmma, which read both factors from shared memory and go on by themselves.
 *
 * A warpgroup is four warps in a row, the first a multiple of four, and calls all of these together. A factor is a
 * "panel" of lines: rows of X, or of W, 128 bytes of each, 128 int8 or 64 bf16. An instruction takes 32 bytes of depth:
 *
 *   d (64, n) += a (64 lines) * b (n lines)^T
 *
 * Warp w of the group has rows 16 w ... 16 w + 15 of d, laid out over its lanes as the results of n / 8 mma: with
 * g = lane / 4, c = lane % 4, d[j][0], d[j][1] are row g, columns 8 j + 2 c, 8 j + 2 c + 1, and d[j][2], d[j][3] row
 * g + 8.
 *
 * In what order:
 *   - What was written into a panel, by cp.async too, is behind egg_proxy_fence() of the thread that wrote (and waited
 *     for) it, and behind a barrier.
 *   - egg_wgmma_fence() comes between anything that touches d and the next egg_wgmma on it.
 *   - egg_wgmma_commit() makes a group of those before it; until egg_wgmma_wait<n>() has left but the latest n groups,
 *     d is not to be touched, and the panels are not to be written.
 *
 * These exist only in code for sm_90a, see EGG_HAS_WGMMA; elsewhere they end the kernel with an error.
 */
#ifndef EGG_KERNELS_CUDA_WGMMA_CUH
#define EGG_KERNELS_CUDA_WGMMA_CUH

#include "kernels/cuda/cuda.h"

#if defined(EGG_CUDA_EMULATOR) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define EGG_HAS_WGMMA 1
#else
#define EGG_HAS_WGMMA 0
#endif

enum {
    EGG_WARPGROUP = 4 * EGG_WARP,
    EGG_GROUP_ROWS = 64,             /* of X, and of d */
    EGG_LINE = 128,                  /* bytes */
    EGG_LINE_CHUNKS = EGG_LINE / 16,
    EGG_LINE_STEPS = EGG_LINE / 32,  /* instructions that a line takes */
    EGG_SWIZZLE_BYTES = 8 * EGG_LINE /* of eight lines, after which the order of chunks repeats; panels begin there */
};

/*
 * Where chunk 'chunk' (16 bytes) of line 'line' is kept. Lines lie one below the other; the chunks of a line change
 * places by its number, so that one chunk of eight lines lies in all banks: the "128-byte swizzle" of the instruction,
 * which takes it from the address, bits 4 to 6 of which are combined with bits 7 to 9.
 */
static __device__ __forceinline__ uint32_t egg_line_offset(uint32_t line, uint32_t chunk)
{
    return line * EGG_LINE + ((chunk ^ line) & (EGG_LINE_CHUNKS - 1)) * 16;
}

/* The first place from 'shared' on where a panel may begin, less than EGG_SWIZZLE_BYTES further. */
template <typename T> static __device__ __forceinline__ T *egg_panels_begin(T *shared)
{
    return (T *)((char *)shared + ((0u - egg_shared_address(shared)) & (EGG_SWIZZLE_BYTES - 1)));
}

/*
 * A panel as an operand. Bits 0 to 13: its address; 16 to 29: the distance of chunks that follow in depth, without
 * meaning under this swizzle; 32 to 45: that of eight lines and the next eight; all in units of 16 bytes. 49 to 51: how
 * far the swizzle's pattern is shifted, not at all; 62, 63: the swizzle, 1 for 128 bytes.
 */
static __device__ __forceinline__ uint64_t egg_wgmma_operand(const void *panel)
{
    return (uint64_t)((egg_shared_address(panel) & 0x3FFFF) >> 4) | 1ull << 16 |
           (uint64_t)(EGG_SWIZZLE_BYTES >> 4) << 32 | 1ull << 62;
}

/* The same panel, 'step' instructions deeper: the address before its bits are combined. */
static __device__ __forceinline__ uint64_t egg_wgmma_deeper(uint64_t operand, uint32_t step)
{
    return operand + 2 * step;
}

#ifndef EGG_CUDA_EMULATOR

/* Where there is no such instruction. */
static __device__ __forceinline__ void egg_no_wgmma()
{
    __trap();
}

static __device__ __forceinline__ void egg_proxy_fence()
{
#if EGG_HAS_WGMMA
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* A barrier of 'threads' threads; 'which', from 0 to 14, tells those at a time from one another. */
static __device__ __forceinline__ void egg_team_barrier(uint32_t which, uint32_t threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(which + 1), "r"(threads) : "memory");
}

static __device__ __forceinline__ void egg_wgmma_fence()
{
#if EGG_HAS_WGMMA
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

static __device__ __forceinline__ void egg_wgmma_commit()
{
#if EGG_HAS_WGMMA
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

template <int groups> static __device__ __forceinline__ void egg_wgmma_wait()
{
#if EGG_HAS_WGMMA
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
#endif
}

/* As far as a compiler knows, 'sum' gets its value here. */
static __device__ __forceinline__ void egg_wgmma_settle(int32_t &sum)
{
    asm volatile("" : "+r"(sum)::"memory");
}

static __device__ __forceinline__ void egg_wgmma_settle(float &sum)
{
    asm volatile("" : "+f"(sum)::"memory");
}

/* The registers of d: as operands of a constraint, and the names that they then have in the instruction. */
#define EGG_D1(as, d, j) as(d[j][0]), as(d[j][1]), as(d[j][2]), as(d[j][3])
#define EGG_D4(as, d, j) EGG_D1(as, d, j), EGG_D1(as, d, j + 1), EGG_D1(as, d, j + 2), EGG_D1(as, d, j + 3)
#define EGG_D16(as, d, j) EGG_D4(as, d, j), EGG_D4(as, d, j + 4), EGG_D4(as, d, j + 8), EGG_D4(as, d, j + 12)
#define EGG_TEN(t) \
    "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define EGG_SIXTY EGG_TEN() EGG_TEN(1) EGG_TEN(2) EGG_TEN(3) EGG_TEN(4) EGG_TEN(5)
#define EGG_64_NAMES "{" EGG_SIXTY "%60, %61, %62, %63}"
#define EGG_128_NAMES                                                                                             \
    "{" EGG_SIXTY EGG_TEN(6) EGG_TEN(7) EGG_TEN(8) EGG_TEN(9) EGG_TEN(10) EGG_TEN(11) "%120, %121, %122, %123, " \
    "%124, %125, %126, %127}"

/* d = a b or, where 'add', d += a b, of the type of d; other shapes of d are not there. */
static __device__ __forceinline__ void egg_wgmma(int32_t (&d)[1][4], uint64_t a, uint64_t b, bool add)
{
#if EGG_HAS_WGMMA
    asm volatile("{\n\t"
                 ".reg .pred add;\n\t"
                 "setp.ne.b32 add, %6, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {%0, %1, %2, %3}, %4, %5, add;\n\t"
                 "}"
                 : EGG_D1("+r", d, 0)
                 : "l"(a), "l"(b), "r"((uint32_t)add));
#endif
}

static __device__ __forceinline__ void egg_wgmma(int32_t (&d)[16][4], uint64_t a, uint64_t b, bool add)
{
#if EGG_HAS_WGMMA
    asm volatile("{\n\t"
                 ".reg .pred add;\n\t"
                 "setp.ne.b32 add, %66, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 " EGG_64_NAMES ", %64, %65, add;\n\t"
                 "}"
                 : EGG_D16("+r", d, 0)
                 : "l"(a), "l"(b), "r"((uint32_t)add));
#endif
}

static __device__ __forceinline__ void egg_wgmma(int32_t (&d)[32][4], uint64_t a, uint64_t b, bool add)
{
#if EGG_HAS_WGMMA
    asm volatile("{\n\t"
                 ".reg .pred add;\n\t"
                 "setp.ne.b32 add, %130, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 " EGG_128_NAMES ", %128, %129, add;\n\t"
                 "}"
                 : EGG_D16("+r", d, 0), EGG_D16("+r", d, 16)
                 : "l"(a), "l"(b), "r"((uint32_t)add));
#endif
}

/* bf16, with sums in float32; the immediates: neither factor negated, neither transposed. */
static __device__ __forceinline__ void egg_wgmma(float (&d)[32][4], uint64_t a, uint64_t b, bool add)
{
#if EGG_HAS_WGMMA
    asm volatile("{\n\t"
                 ".reg .pred add;\n\t"
                 "setp.ne.b32 add, %130, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 " EGG_128_NAMES
                 ", %128, %129, add, 1, 1, 0, 0;\n\t"
                 "}"
                 : EGG_D16("+f", d, 0), EGG_D16("+f", d, 16)
                 : "l"(a), "l"(b), "r"((uint32_t)add));
#endif
}

#undef EGG_D1
#undef EGG_D4
#undef EGG_D16
#undef EGG_TEN
#undef EGG_SIXTY
#undef EGG_64_NAMES
#undef EGG_128_NAMES

#else

static inline void egg_no_wgmma(void) {}

template <int n> static inline void egg_wgmma(int32_t (&d)[n][4], uint64_t a, uint64_t b, bool add)
{
    egg_emulator_wgmma(d, EGG_EMULATOR_S8, 8 * n, a, b, add);
}

static inline void egg_wgmma(float (&d)[32][4], uint64_t a, uint64_t b, bool add)
{
    egg_emulator_wgmma(d, EGG_EMULATOR_BF16, 256, a, b, add);
}

#endif

/* d = x w^T or, where 'add', d += x w^T, over the depth of a line. */
template <typename T, int n>
static __device__ __forceinline__ void egg_wgmma_line(T (&d)[n][4], uint64_t x, uint64_t w, bool add)
{
    EGG_UNROLL
    for (uint32_t step = 0; step < EGG_LINE_STEPS; step++)
        egg_wgmma(d, egg_wgmma_deeper(x, step), egg_wgmma_deeper(w, step), add || step);
}

/* Until all that was committed is done. Sums are registers, which no clobber of memory keeps from being read before. */
template <typename T, int n> static __device__ __forceinline__ void egg_wgmma_end(T (&d)[n][4])
{
    egg_wgmma_wait<0>();
    EGG_UNROLL
    for (int i = 0; i < 4 * n; i++) egg_wgmma_settle(d[i / 4][i % 4]);
}

#endif
