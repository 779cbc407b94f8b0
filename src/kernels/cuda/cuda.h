/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share: the stream, the first error, how a kernel is launched, and the few instructions
 * that C++ has no words for. The same sources are compiled by nvcc and, to be tested where there is no GPU, by a C++
 * compiler against tests/cuda_emulator, so everything of that kind goes through this header.
 *
 *   EGG_LAUNCH(kernel, grid, block, shared_bytes, arguments...)
 *                                    queues a kernel on the stream; nothing after the first error. A kernel that is a
 *                                    template of several parameters stands in parentheses: (kernel<4, 2>)
 *   EGG_SHARED(type, name);          type *name: the launch's shared_bytes, 128-byte aligned
 *   EGG_STATIC_SHARED(type, name, n);   type name[n] of the block's own, uninitialized, 16-byte aligned
 *   EGG_UNROLL, EGG_NO_UNROLL        before a loop
 *
 * A warp's functions are called by all its 32 lanes together, and blocks are whole warps. __syncthreads() is reached by
 * all threads of a block: none may have returned before.
 */
#ifndef EGG_KERNELS_CUDA_CUDA_H
#define EGG_KERNELS_CUDA_CUDA_H

#include <stdint.h>
#include <string.h>

#ifdef EGG_CUDA_EMULATOR
#include <cuda_emulator.h>
#else
#include <cuda_runtime.h>
#endif

#include "kernels/cuda/cuda_level.h"

enum { EGG_WARP = 32 };

/* ----------------------------------------------------------------------------------------------- on the host's side */

extern cudaStream_t egg_cuda_stream;

/* Notes the first error there was, as "what: its text"; false: there is, or was, one. */
bool egg_cuda_check(cudaError_t error, const char *what);

/* Lets a kernel have 'shared_bytes'; false: there was an error, and nothing is to be launched. */
bool egg_cuda_prepare(const void *kernel, size_t shared_bytes, const char *what);

/* Of the open device: its processors, and the most shared memory for each of 'blocks' that one processor is to hold. */
uint32_t egg_cuda_processors(void);
size_t egg_cuda_shared_bytes(uint32_t blocks);

/* Before the device goes: what cuBLAS, if it was used, has of it. */
void egg_cuda_cublas_close(void);

/* egg_device's, in graph.cu; forget: what was kept is never replayed. */
bool egg_cuda_begin_replay(const void *key, size_t bytes);
void egg_cuda_end_replay(void);
void egg_cuda_graphs_forget(void);

/*
 * Whether products are to be by wgmma, as was chosen for the device that has just been opened, by EGGROLL_CUDA. NULL, or
 * why that cannot be.
 */
const char *egg_cuda_choose_products(const char *device, int major, int minor);
bool egg_cuda_uses_wgmma(void);

/* linear_i8 by wgmma; false: not on this device or of this shape, and nothing has been done. */
bool egg_cuda_linear_i8_wgmma(const egg_linear_args *args);

/* The same of perturbed_i8. */
bool egg_cuda_perturbed_i8_wgmma(const egg_shrink_args *shrink, const egg_linear_args *linear);

extern "C" {
void egg_cuda_noise(egg_kernels *kernels);
void egg_cuda_product_i8(egg_kernels *kernels);
void egg_cuda_elementwise_i8(egg_kernels *kernels);
void egg_cuda_update_i8(egg_kernels *kernels);
void egg_cuda_outer_i8(egg_kernels *kernels);
void egg_cuda_peak(egg_kernels *kernels);
void egg_cuda_gru_i8(egg_kernels *kernels);
void egg_cuda_product_f32(egg_kernels *kernels);
void egg_cuda_product_tensor(egg_kernels *kernels);
void egg_cuda_elementwise_f32(egg_kernels *kernels);
void egg_cuda_update_f32(egg_kernels *kernels);
void egg_cuda_rwkv7(egg_kernels *kernels);
void egg_cuda_sample(egg_kernels *kernels);
}

#ifndef EGG_CUDA_EMULATOR

#define EGG_LAUNCH(kernel, grid, block, shared_bytes, ...)                                   \
    do {                                                                                     \
        if (egg_cuda_prepare((const void *)(kernel), shared_bytes, #kernel)) {               \
            (kernel)<<<grid, block, shared_bytes, egg_cuda_stream>>>(__VA_ARGS__);           \
            egg_cuda_check(cudaGetLastError(), #kernel);                                     \
        }                                                                                    \
    } while (0)

/*
 * A launch of a kernel that may begin while the one before it still runs: it waits for that one's results in
 * egg_grid_wait(), and begins as soon as all blocks there have come to egg_grid_go_on(), or ended, and there is room. All
 * that it touches before it waits must have been there before that other kernel. Only in code for compute
 * capability 9.0 and later; other code cannot wait, and begins afterwards.
 */
template <typename... P, typename... A>
static inline cudaError_t egg_cuda_launch_early(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                                                A... arguments)
{
    cudaFuncAttributes code = {};
    const cudaError_t error = cudaFuncGetAttributes(&code, (const void *)kernel);
    if (error != cudaSuccess) return error;
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = egg_cuda_stream;
    config.attrs = &early;
    config.numAttrs = code.ptxVersion >= 90;   /* of which egg_grid_wait is made, too */
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

#define EGG_LAUNCH_EARLY(kernel, grid, block, shared_bytes, ...)                                                   \
    do {                                                                                                           \
        if (egg_cuda_prepare((const void *)(kernel), shared_bytes, #kernel))                                       \
            egg_cuda_check(egg_cuda_launch_early(kernel, grid, block, shared_bytes, __VA_ARGS__), #kernel);        \
    } while (0)

static __device__ __forceinline__ void egg_grid_go_on()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

static __device__ __forceinline__ void egg_grid_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#define EGG_SHARED(type, name)                                         \
    extern __shared__ __align__(128) unsigned char egg_shared_bytes[]; \
    type *const name = (type *)egg_shared_bytes

#define EGG_STATIC_SHARED(type, name, n) __shared__ __align__(16) type name[n]

#define EGG_UNROLL _Pragma("unroll")
#define EGG_NO_UNROLL _Pragma("unroll 1")

/* ----------------------------------------------------------------------------------- words between lanes of a warp */

/* The value of lane ^ mask, of lane + delta (past the end: one's own), of the lane given. 4- or 8-byte types. */
template <typename T> static __device__ __forceinline__ T egg_shuffle_xor(T value, uint32_t mask)
{
    return __shfl_xor_sync(0xFFFFFFFFu, value, (int)mask);
}

template <typename T> static __device__ __forceinline__ T egg_shuffle_down(T value, uint32_t delta)
{
    return __shfl_down_sync(0xFFFFFFFFu, value, delta);
}

template <typename T> static __device__ __forceinline__ T egg_shuffle(T value, uint32_t lane)
{
    return __shfl_sync(0xFFFFFFFFu, value, (int)lane);
}

/* -------------------------------------------------------------------------------- copies that go on by themselves */

static __device__ __forceinline__ uint32_t egg_shared_address(const void *shared)
{
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* 16 bytes, both sides aligned to that, past the first-level cache; they arrive by egg_cp_async_wait. */
static __device__ __forceinline__ void egg_cp_async16(void *shared, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(egg_shared_address(shared)), "l"(global) : "memory");
}

/* Zeros in place of them where not 'valid'; 'global' is then not read, but must be an address of the device. */
static __device__ __forceinline__ void egg_cp_async16_or_zero(void *shared, const void *global, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(egg_shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

/* The thread's copies since the last commit become one group. */
static __device__ __forceinline__ void egg_cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until all but the thread's latest 'groups' groups have arrived; other threads' copies want a barrier besides. */
template <int groups> static __device__ __forceinline__ void egg_cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/* ------------------------------------------------------------------------------------------------ matrix fragments */

/*
 * Four (two) 8x8 matrices of 16-bit words from shared memory: lane l names row l % 8 of matrix l / 8, 16 bytes that are
 * aligned to 16, and receives of matrix i in r[i] the words 2 * (l % 4) and one more of row l / 4; _transposed: of its
 * transpose.
 */
static __device__ __forceinline__ void egg_ldmatrix_x4(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(egg_shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void egg_ldmatrix_x4_transposed(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(egg_shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void egg_ldmatrix_x2(uint32_t r[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(egg_shared_address(row))
                 : "memory");
}

/*
 * d += a * b, a (16, 32), b (32, 8), d (16, 8). With g = lane / 4, c = lane % 4, four bytes a word, lowest first:
 *   a[0], a[1]: row g, g + 8, columns 4c...; a[2], a[3]: the same, columns 16 + 4c...
 *   b[0], b[1]: column g, rows 4c..., 16 + 4c...
 *   d[0], d[1]: row g, columns 2c, 2c + 1; d[2], d[3]: row g + 8
 */
static __device__ __forceinline__ void egg_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/*
 * d += a * b, a (16, 16), b (16, 8) of bf16, d (16, 8), two values a word, the lower first:
 *   a[0], a[1]: row g, g + 8, columns 2c, 2c + 1; a[2], a[3]: the same, columns 8 + 2c, 9 + 2c
 *   b[0], b[1]: column g, rows 2c, 2c + 1; 8 + 2c, 9 + 2c
 *   d: as above
 */
static __device__ __forceinline__ void egg_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* d = a * b, as if d had been 0. */
static __device__ __forceinline__ void egg_mma_bf16_first(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%10, %10, %10, %10};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.0f));
}

/* Two floats, rounded to nearest even, as bf16 in one word. */
static __device__ __forceinline__ uint32_t egg_bf16x2(float low, float high)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

#endif /* EGG_CUDA_EMULATOR */

/* --------------------------------------------------------------------------------------------------- in both worlds */

/* Byte i of the result is byte (selector >> 4i) & 7 of low and, from 4 on, high. */
static __device__ __forceinline__ uint32_t egg_prmt(uint32_t low, uint32_t high, uint32_t selector)
{
    return __byte_perm(low, high, selector);
}

template <typename T> static __host__ __device__ __forceinline__ T egg_divide_up(T a, T b)
{
    return (a + b - 1) / b;
}

template <typename T> static __device__ __forceinline__ T egg_warp_sum(T value)
{
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) value += egg_shuffle_xor(value, mask);
    return value;
}

static __device__ __forceinline__ int32_t egg_clip_i8(int32_t x)
{
    return min(max(x, -127), 127);
}

#endif
