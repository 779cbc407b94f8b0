/* SPDX-License-Identifier: MIT */
/*
 * The emulator's host side: one device, its memory and its stream. Device memory lies in one range of addresses that
 * may be touched only while the stream is worked off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <iterator>
#include <map>
#include <memory>
#include <vector>

#include "cuda_emulator.h"
#include "launcher.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

/* ---------------------------------------------------------------------------------------------------------- memory */

static const size_t MEMORY_BYTES = (size_t)4 << 30, GRANULE = 256;

static char *memory;                                  /* MEMORY_BYTES, reserved */
static std::map<size_t, size_t> allocations;          /* place within it: bytes asked for */

static size_t occupied(size_t bytes)                  /* with a gap behind, so that the next is not met by accident */
{
    return (bytes + 2 * GRANULE - 1) / GRANULE * GRANULE;
}

static void let_touch(bool allowed)
{
    mprotect(memory, MEMORY_BYTES, allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static bool reserve_memory(void)
{
    if (memory) return true;
    void *range = mmap(nullptr, MEMORY_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return false;
    memory = (char *)range;
    ASAN_POISON_MEMORY_REGION(memory, MEMORY_BYTES);
    return true;
}

cudaError_t cudaMalloc(void **result, size_t bytes)
{
    *result = nullptr;
    if (!reserve_memory()) return cudaErrorMemoryAllocation;
    size_t place = 0;   /* first fit */
    for (const auto &[begin, size] : allocations) {
        if (begin - place >= occupied(bytes)) break;
        place = begin + occupied(size);
    }
    if (bytes > MEMORY_BYTES || place + occupied(bytes) > MEMORY_BYTES) return cudaErrorMemoryAllocation;
    allocations[place] = bytes;
    ASAN_UNPOISON_MEMORY_REGION(memory + place, bytes);
    let_touch(true);
    memset(memory + place, 0xA5, bytes);
    let_touch(false);
    *result = memory + place;
    return cudaSuccess;
}

cudaError_t cudaFree(void *given)
{
    if (!given) return cudaSuccess;
    const cudaError_t error = cudaStreamSynchronize(nullptr);
    const auto found = allocations.find((size_t)((char *)given - memory));
    if (found == allocations.end()) return cudaErrorInvalidValue;
    ASAN_POISON_MEMORY_REGION(given, found->second);
    allocations.erase(found);
    return error;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = MEMORY_BYTES;
    for (const auto &[begin, size] : allocations) *free_bytes -= occupied(size);
    return cudaSuccess;
}

/* Page-locked memory of the host: a copy out of it is made when its turn comes, not when it is asked for. */
static std::map<const char *, size_t> page_locked;

static bool is_page_locked(const void *given)
{
    const auto after = page_locked.upper_bound((const char *)given);
    if (after == page_locked.begin()) return false;
    const auto &[begin, bytes] = *std::prev(after);
    return (const char *)given - begin < (ptrdiff_t)bytes;
}

cudaError_t cudaHostAlloc(void **result, size_t bytes, unsigned flags)
{
    (void)flags;
    if (posix_memalign(result, 4096, bytes)) return cudaErrorMemoryAllocation;
    page_locked[(const char *)*result] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *given)
{
    const cudaError_t error = cudaStreamSynchronize(nullptr);
    if (!page_locked.erase((const char *)given)) return cudaErrorInvalidValue;
    free(given);
    return error;
}

/* ---------------------------------------------------------------------------------------------------------- stream */

/* What waits: a kernel, a fill, or a copy, whose source on the host has been taken unless it is page-locked. */
struct operation {
    const char *name;
    std::shared_ptr<egg_emulator_call> call;   /* NULL: not a kernel */
    dim3 grid, block;
    size_t bytes;              /* of shared memory, or to fill, or to copy */
    void *to;
    const void *from;
    char *staged;              /* source, ours; NULL: 'from' or, if that is NULL, 'byte' */
    int byte;
};

static std::vector<operation> queue;

struct egg_emulator_graph {
    std::vector<operation> operations;
};

static egg_emulator_graph *captured;   /* NULL: the stream is not being captured */

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    if (captured) return cudaErrorStreamCaptureUnsupported;
    if (queue.empty()) return cudaSuccess;
    let_touch(true);
    for (const operation &o : queue) {
        if (o.call) egg_emulator_run_kernel(o.name, o.call.get(), o.grid, o.block, o.bytes);
        else if (o.staged || o.from) memcpy(o.to, o.staged ? o.staged : o.from, o.bytes);
        else memset(o.to, o.byte, o.bytes);
        free(o.staged);
    }
    let_touch(false);
    queue.clear();
    return cudaSuccess;
}

/* Long queues are worked off, as a device would: staged copies must not pile up. */
static void enqueue(const operation &o)
{
    enum { LONGEST = 1 << 14 };
    if (captured) {
        captured->operations.push_back(o);
        return;
    }
    queue.push_back(o);
    if (queue.size() >= LONGEST) cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream)
{
    (void)stream;
    operation o = {};
    o.to = to, o.byte = byte, o.bytes = bytes;
    enqueue(o);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    (void)stream;
    if (captured) return cudaErrorStreamCaptureUnsupported;
    if (!bytes) return cudaSuccess;
    operation o = {};
    o.to = to, o.from = from, o.bytes = bytes;
    if (kind == cudaMemcpyHostToDevice && !is_page_locked(from)) {
        o.staged = (char *)malloc(bytes);
        if (!o.staged) return cudaErrorMemoryAllocation;
        memcpy(o.staged, from, bytes);
    }
    enqueue(o);
    return cudaSuccess;
}

cudaError_t egg_emulator_launch(const char *name, egg_emulator_call *call, dim3 grid, dim3 block, size_t shared_bytes,
                                cudaStream_t stream)
{
    (void)stream;
    const std::shared_ptr<egg_emulator_call> kernel(call);
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!egg_emulator_fits(threads, shared_bytes) || !grid.x || !grid.y || !grid.z || grid.x > INT32_MAX ||
        grid.y > UINT16_MAX || grid.z > UINT16_MAX || block.z > 64)
        return cudaErrorInvalidConfiguration;
    operation o = {};
    o.name = name, o.call = kernel, o.grid = grid, o.block = block, o.bytes = shared_bytes;
    enqueue(o);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = (cudaStream_t)&queue;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

/* ---------------------------------------------------------------------------------------------------------- graphs */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    (void)stream;
    (void)mode;
    if (captured) return cudaErrorStreamCaptureUnsupported;
    captured = new egg_emulator_graph();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    (void)stream;
    if (!captured) return cudaErrorInvalidValue;
    *graph = captured;
    captured = nullptr;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *kept, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *kept = new egg_emulator_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t kept, cudaStream_t stream)
{
    (void)stream;
    if (captured) return cudaErrorStreamCaptureUnsupported;
    for (const operation &o : kept->operations) enqueue(o);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t kept)
{
    delete kept;
    return cudaSuccess;
}

/* ---------------------------------------------------------------------------------------------------------- events */

struct egg_emulator_event {
    timespec at;
};

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new egg_emulator_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const cudaError_t error = cudaStreamSynchronize(stream);
    clock_gettime(CLOCK_MONOTONIC, &event->at);
    return error;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    (void)event;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begun, cudaEvent_t ended)
{
    *milliseconds = (float)(1e3 * (double)(ended->at.tv_sec - begun->at.tv_sec) +
                            1e-6 * (double)(ended->at.tv_nsec - begun->at.tv_nsec));
    return cudaSuccess;
}

/* ---------------------------------------------------------------------------------------------------------- device */

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorUnknown: return "unknown error";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    }
    return "unknown error";
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    *properties = {};
    if (device != 0) return cudaErrorInvalidDevice;
    snprintf(properties->name, sizeof properties->name, "emulated GPU");
    properties->totalGlobalMem = MEMORY_BYTES;
    const char *capability = getenv("EGG_EMULATOR_CAPABILITY");   /* of an H100, if nobody wants another */
    properties->major = capability ? capability[0] - '0' : 9;
    properties->minor = capability && capability[0] ? capability[2] - '0' : 0;
    properties->multiProcessorCount = 2;
    properties->sharedMemPerBlockOptin = EGG_EMULATOR_SHARED_BYTES;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    (void)kernel;
    (void)attribute;
    return egg_emulator_fits(32, (size_t)value) ? cudaSuccess : cudaErrorInvalidValue;
}

/* Takes all memory back. */
cudaError_t cudaDeviceReset(void)
{
    cudaStreamSynchronize(nullptr);
    while (!allocations.empty()) cudaFree(memory + allocations.begin()->first);
    while (!page_locked.empty()) cudaFreeHost((void *)page_locked.begin()->first);
    return cudaSuccess;
}
