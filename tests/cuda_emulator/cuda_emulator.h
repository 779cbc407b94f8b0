/* SPDX-License-Identifier: MIT */
/*
 * As much of CUDA as src/kernels/cuda uses, on the processor, to find its errors where there is no GPU. Stands in the
 * place of <cuda_runtime.h>.
 *
 * A block's threads are fibers, which run until they wait for one another: at a barrier, or at an instruction of their
 * warp. Who goes on is drawn at random, and rarely from a warp that is slow, so that a missing barrier gives a wrong
 * result sooner or later; one that not all threads reach is reported and ends the process, and so is a warp whose lanes
 * are not at the same instruction. Shared memory holds rubbish when a block begins. An asynchronous copy happens at
 * once or when it is waited for, at random; so do the reads of an asynchronous product, whose results are not there before.
 * Products whose operands are not fenced, or are written while they may be read, are reported.
 *
 * The stream is a queue: nothing that is put into it has happened until somebody waits, and outside of the kernels the
 * device's memory cannot be touched at all, so a host that forgets to wait or to copy meets it here.
 */
#ifndef EGG_TESTS_CUDA_EMULATOR_H
#define EGG_TESTS_CUDA_EMULATOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __ldg(pointer) (*(pointer))

/* ----------------------------------------------------------------------------------------------------------- types */

struct uint2 { uint32_t x, y; };
struct uint3 { uint32_t x, y, z; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(8) int2 { int32_t x, y; };
struct alignas(16) int4 { int32_t x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };

struct dim3 {
    uint32_t x, y, z;
    dim3(uint32_t x_ = 1, uint32_t y_ = 1, uint32_t z_ = 1) : x(x_), y(y_), z(z_) {}
};

static inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
static inline int2 make_int2(int32_t x, int32_t y) { return {x, y}; }
static inline int4 make_int4(int32_t x, int32_t y, int32_t z, int32_t w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

/* -------------------------------------------------------------------------------------------------- the host's side */

typedef enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorUnknown = 999
} cudaError_t;

typedef enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDefault = 4
} cudaMemcpyKind;

typedef enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 } cudaFuncAttribute;

enum { cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0, cudaHostAllocMapped = 2 };

typedef struct egg_emulator_stream *cudaStream_t;

typedef struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount;
} cudaDeviceProp;

const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaDeviceReset(void);

/*
 * What is put into the stream while it is captured goes into the graph instead. Nobody may wait then, and copies, for
 * which device.cu has memory of its own, are refused.
 */
typedef struct egg_emulator_graph *cudaGraph_t;
typedef struct egg_emulator_graph *cudaGraphExec_t;
typedef enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 } cudaStreamCaptureMode;
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *kept, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t kept, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t kept);

/* An event happens when it is recorded, since all before it is worked off then; its time is the host's. */
typedef struct egg_emulator_event *cudaEvent_t;
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begun, cudaEvent_t ended);
cudaError_t cudaEventDestroy(cudaEvent_t event);

/* A kernel and its arguments, as they wait in the stream. 'run' is called once a thread. */
struct egg_emulator_call {
    virtual void run() = 0;
    virtual ~egg_emulator_call() {}
};

template <typename... P> struct egg_emulator_kernel_call : egg_emulator_call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
    egg_emulator_kernel_call(void (*kernel_)(P...), P... given) : kernel(kernel_), arguments(given...) {}
    void run() override { std::apply(kernel, arguments); }
};

cudaError_t egg_emulator_launch(const char *name, egg_emulator_call *call, dim3 grid, dim3 block, size_t shared_bytes,
                                cudaStream_t stream);

template <typename... P, typename... A>
cudaError_t egg_emulator_launch_kernel(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                                       cudaStream_t stream, void (*kernel)(P...), A... arguments)
{
    return egg_emulator_launch(name, new egg_emulator_kernel_call<P...>(kernel, static_cast<P>(arguments)...), grid,
                               block, shared_bytes, stream);
}

#define EGG_LAUNCH(kernel, grid, block, shared_bytes, ...)                                                         \
    do {                                                                                                           \
        if (egg_cuda_prepare((const void *)(kernel), shared_bytes, #kernel))                                       \
            egg_cuda_check(egg_emulator_launch_kernel(#kernel, grid, block, shared_bytes, egg_cuda_stream, kernel, \
                                                      __VA_ARGS__),                                                \
                           #kernel);                                                                               \
    } while (0)

/* Kernels follow one another here. */
#define EGG_LAUNCH_EARLY EGG_LAUNCH
static inline void egg_grid_go_on(void) {}
static inline void egg_grid_wait(void) {}

/* ------------------------------------------------------------------------------------------------------ the threads */

struct egg_emulator_place {
    uint3 thread, block;
    dim3 block_size, grid_size;
};

extern egg_emulator_place egg_emulator_here;   /* of the thread that runs */

#define threadIdx (egg_emulator_here.thread)
#define blockIdx (egg_emulator_here.block)
#define blockDim (egg_emulator_here.block_size)
#define gridDim (egg_emulator_here.grid_size)

void egg_emulator_barrier(const char *file, int line);
void *egg_emulator_shared(void);                               /* the launch's */
void *egg_emulator_static_shared(const void *site, size_t bytes);   /* the block's own, one a place in the source */

#define __syncthreads() egg_emulator_barrier(__FILE__, __LINE__)

#define EGG_SHARED(type, name) type *const name = (type *)egg_emulator_shared()
#define EGG_STATIC_SHARED(type, name, n)                                                                            \
    static const char name##_site = 0;                                                                              \
    type(&name)[n] = *(type(*)[n])egg_emulator_static_shared(&name##_site, sizeof(type) * (n))

#define EGG_UNROLL
#define EGG_NO_UNROLL

/*
 * All lanes of the warp meet here, each with operands of its own; the last to come calls 'act' with those of all. Lanes
 * that come with different 'act' are an error.
 */
typedef void egg_emulator_act(void *const operands[32]);
void egg_emulator_collective(egg_emulator_act *act, void *operands);

void egg_emulator_no_act(void *const operands[32]);
#define __syncwarp(...) egg_emulator_collective(egg_emulator_no_act, nullptr)

/* ---------------------------------------------------------------------------------- words between lanes of a warp */

struct egg_emulator_exchange {
    uint64_t given, received;
    uint32_t from;   /* lane */
};
void egg_emulator_exchange_act(void *const operands[32]);

static inline uint32_t egg_emulator_lane(void)
{
    const egg_emulator_place &here = egg_emulator_here;
    return (here.thread.x + here.block_size.x * (here.thread.y + here.block_size.y * here.thread.z)) % 32;
}

template <typename T> static inline T egg_shuffle(T value, uint32_t lane)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
    egg_emulator_exchange exchange = {0, 0, lane % 32};
    memcpy(&exchange.given, &value, sizeof value);
    egg_emulator_collective(egg_emulator_exchange_act, &exchange);
    memcpy(&value, &exchange.received, sizeof value);
    return value;
}

template <typename T> static inline T egg_shuffle_xor(T value, uint32_t mask)
{
    return egg_shuffle(value, egg_emulator_lane() ^ mask);
}

template <typename T> static inline T egg_shuffle_down(T value, uint32_t delta)
{
    uint32_t lane = egg_emulator_lane();
    return egg_shuffle(value, lane + delta < 32 ? lane + delta : lane);
}

/* --------------------------------------------------------------------------------- copies that go on by themselves */

void egg_cp_async16_or_zero(void *shared, const void *global, bool valid);
static inline void egg_cp_async16(void *shared, const void *global) { egg_cp_async16_or_zero(shared, global, true); }
void egg_cp_async_commit(void);
void egg_emulator_cp_async_wait(uint32_t groups);
template <int groups> static inline void egg_cp_async_wait() { egg_emulator_cp_async_wait(groups); }

/* ------------------------------------------------------------------------------- warpgroups; wgmma.cuh has the words */

enum egg_emulator_type { EGG_EMULATOR_S8, EGG_EMULATOR_BF16 };

uint32_t egg_shared_address(const void *shared);   /* of the launch's own, which begins anywhere */
void egg_emulator_team_barrier(uint32_t which, uint32_t threads);
static inline void egg_team_barrier(uint32_t which, uint32_t threads) { egg_emulator_team_barrier(which, threads); }
void egg_proxy_fence(void);
void egg_wgmma_fence(void);
void egg_wgmma_commit(void);
void egg_emulator_wgmma_wait(uint32_t groups);
template <typename T> static inline void egg_wgmma_settle(T &) {}
template <int groups> static inline void egg_wgmma_wait() { egg_emulator_wgmma_wait(groups); }

/* d: (columns / 2) sums of this thread; a, b: operands as the instruction takes them, of 64 and 'columns' lines. */
void egg_emulator_wgmma(void *d, egg_emulator_type type, uint32_t columns, uint64_t a, uint64_t b, bool add);

/* ------------------------------------------------------------------------------------------------ matrix fragments */

void egg_ldmatrix_x4(uint32_t r[4], const void *row);
void egg_ldmatrix_x4_transposed(uint32_t r[4], const void *row);
void egg_ldmatrix_x2(uint32_t r[2], const void *row);
void egg_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2]);
void egg_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void egg_mma_bf16_first(float d[4], const uint32_t a[4], const uint32_t b[2]);
uint32_t egg_bf16x2(float low, float high);

/* --------------------------------------------------------------------------------------------- single instructions */

static inline float __fadd_rn(float a, float b) { return a + b; }   /* compiled with -ffp-contract=off */
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float __frcp_rn(float a) { return 1 / a; }
static inline float rsqrtf(float a) { return 1 / sqrtf(a); }
static inline float __int2float_rn(int32_t a) { return (float)a; }
static inline int32_t __float2int_rn(float a) { return (int32_t)nearbyintf(a); }
static inline int32_t __float2int_rz(float a) { return (int32_t)a; }

template <typename To, typename From> static inline To egg_emulator_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "bits stay bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline uint32_t __float_as_uint(float a) { return egg_emulator_bits<uint32_t>(a); }
static inline int32_t __float_as_int(float a) { return egg_emulator_bits<int32_t>(a); }
static inline float __uint_as_float(uint32_t a) { return egg_emulator_bits<float>(a); }
static inline float __int_as_float(int32_t a) { return egg_emulator_bits<float>(a); }
static inline long long __double_as_longlong(double a) { return egg_emulator_bits<long long>(a); }
static inline double __longlong_as_double(long long a) { return egg_emulator_bits<double>(a); }

static inline int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline uint32_t __umulhi(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }
static inline int32_t __mulhi(int32_t a, int32_t b) { return (int32_t)((int64_t)a * b >> 32); }

static inline uint32_t __funnelshift_l(uint32_t low, uint32_t high, uint32_t by)
{
    return by % 32 ? high << by % 32 | low >> (32 - by % 32) : high;
}

static inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector)
{
    const uint64_t both = (uint64_t)high << 32 | low;
    uint32_t result = 0;
    for (uint32_t i = 0; i < 4; i++) result |= (uint32_t)(both >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return result;
}

static inline int32_t __dp4a(int32_t a, int32_t b, int32_t c)
{
    for (uint32_t i = 0; i < 4; i++) c += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return c;
}

template <typename T> static inline T min(T a, T b) { return b < a ? b : a; }
template <typename T> static inline T max(T a, T b) { return a < b ? b : a; }

template <typename T> static inline T atomicAdd(T *at, T value)
{
    const T before = *at;
    if constexpr (std::is_integral<T>::value) __builtin_add_overflow(before, value, at);   /* wraps */
    else *at = before + value;
    return before;
}

#endif
