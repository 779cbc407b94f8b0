/* SPDX-License-Identifier: MIT */
/* The device itself: which there are, its memory, its one stream and its first error. */
#include <stdio.h>

#include "kernels/cuda/cuda.h"

cudaStream_t egg_cuda_stream;

/* ------------------------------------------------------------------------------------------------- the first error */

static bool failed;
static char first_error[512];

bool egg_cuda_check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return !failed;
    cudaGetLastError();   /* which the next launch would take for its own */
    if (!failed) snprintf(first_error, sizeof first_error, "%s: %s", what, cudaGetErrorString(error));
    failed = true;
    return false;
}

/* Asked for each time: it costs less than the launch, and nobody has to remember which kernels have been prepared. */
bool egg_cuda_prepare(const void *kernel, size_t shared_bytes, const char *what)
{
    const size_t unasked = 48 << 10;
    if (failed || shared_bytes <= unasked) return !failed;
    return egg_cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes),
                          what);
}

/* ---------------------------------------------------------------------------------------------------------- memory */

static void *take(size_t bytes)
{
    void *memory;
    if (failed) return NULL;
    const cudaError_t error = cudaMalloc(&memory, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();   /* to have none left is no error of the device */
        return NULL;
    }
    if (!egg_cuda_check(error, "taking the device's memory")) return NULL;   /* perhaps of what was queued before */
    egg_cuda_check(cudaMemsetAsync(memory, 0, bytes, egg_cuda_stream), "clearing the device's memory");
    return memory;
}

/* What is to be uploaded passes through page-locked memory of ours, so that its owner need not wait for the copy. */
enum { STAGING_BYTES = 1 << 20 };

static char *staging;
static size_t staged;   /* so much of it is being copied */

static bool synchronize(void)
{
    if (!failed && egg_cuda_check(cudaStreamSynchronize(egg_cuda_stream), "waiting for the device")) staged = 0;
    return !failed;
}

static void give(void *memory)
{
    if (!memory || !synchronize()) return;
    egg_cuda_graphs_forget();   /* whose kernels may have its address */
    egg_cuda_check(cudaFree(memory), "giving back the device's memory");
}

static void upload(void *to, const void *from, size_t bytes)
{
    for (size_t done = 0, some; done < bytes && !failed; done += some) {
        if (staged == STAGING_BYTES && !synchronize()) return;
        some = bytes - done < STAGING_BYTES - staged ? bytes - done : STAGING_BYTES - staged;
        memcpy(staging + staged, (const char *)from + done, some);
        egg_cuda_check(cudaMemcpyAsync((char *)to + done, staging + staged, some, cudaMemcpyHostToDevice,
                                       egg_cuda_stream),
                       "copying to the device");
        staged += some;
    }
}

static void download(void *to, const void *from, size_t bytes)
{
    if (failed || !bytes) return;
    if (egg_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, egg_cuda_stream),
                       "copying from the device"))
        synchronize();
}

static void fill(void *memory, int byte, size_t bytes)
{
    if (failed || !bytes) return;
    egg_cuda_check(cudaMemsetAsync(memory, byte, bytes, egg_cuda_stream), "filling the device's memory");
}

static const char *wait_for_all(void)
{
    return synchronize() ? NULL : first_error;
}

static egg_device_memory memory(void)
{
    size_t free_bytes = 0, total_bytes = 0;
    if (!failed) egg_cuda_check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for the device's memory");
    return {free_bytes, total_bytes};
}

static cudaEvent_t begun, ended;   /* of the measurement at hand */

static const char timing[] = "timing the device";

static void start_timer(void)
{
    if (egg_cuda_check(cudaEventCreate(&begun), timing) && egg_cuda_check(cudaEventCreate(&ended), timing))
        egg_cuda_check(cudaEventRecord(begun, egg_cuda_stream), timing);
}

static double stop_timer(void)
{
    float milliseconds = 0;
    const bool good = !failed && egg_cuda_check(cudaEventRecord(ended, egg_cuda_stream), timing) &&
                      egg_cuda_check(cudaEventSynchronize(ended), timing) &&
                      egg_cuda_check(cudaEventElapsedTime(&milliseconds, begun, ended), timing) &&
                      egg_cuda_check(cudaEventDestroy(begun), timing) &&
                      egg_cuda_check(cudaEventDestroy(ended), timing);
    return good ? 1e-3 * (double)milliseconds : -1;
}

/* -------------------------------------------------------------------------------------------------- which there are */

/* NULL: there are '*count' devices; else why there are none. */
static const char *count_devices(uint32_t *count)
{
    static char why[512];
    int found = 0, driver = 0, runtime = 0;
    const cudaError_t error = cudaGetDeviceCount(&found);
    *count = error == cudaSuccess ? (uint32_t)found : 0;
    if (*count) return NULL;
    cudaGetLastError();
    if (error == cudaSuccess || error == cudaErrorNoDevice) return "the NVIDIA driver sees no GPU";
    if (error != cudaErrorInsufficientDriver) {
        snprintf(why, sizeof why, "CUDA does not start: %s", cudaGetErrorString(error));
        return why;
    }
    cudaDriverGetVersion(&driver);   /* the newest CUDA that it serves, 0 where there is no driver */
    cudaRuntimeGetVersion(&runtime);
    if (!driver) return "no NVIDIA driver is installed";
    snprintf(why, sizeof why, "the NVIDIA driver is for CUDA %d.%d at most, this build needs %d.%d", driver / 1000,
             driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return why;
}

extern "C" uint32_t egg_cuda_devices(egg_cuda_info *list, uint32_t max)
{
    uint32_t count;
    const char *why = count_devices(&count);
    if (why && max) {
        list[0] = {};
        snprintf(list[0].name, sizeof list[0].name, "%.255s", why);
    }
    for (uint32_t i = 0; i < count && i < max; i++) {
        cudaDeviceProp properties = {};
        if (cudaGetDeviceProperties(&properties, (int)i) != cudaSuccess) cudaGetLastError();
        list[i] = {};
        snprintf(list[i].name, sizeof list[i].name, "%.255s", properties.name);
        list[i].memory_bytes = properties.totalGlobalMem;
        list[i].major = (uint32_t)properties.major;
        list[i].minor = (uint32_t)properties.minor;
        list[i].processors = (uint32_t)properties.multiProcessorCount;
    }
    return count;
}

/* --------------------------------------------------------------------------------------------- memory of both, for tests */

/* Before each block, on a page of its own, where the one before it lies. */
enum { PAGE = 4096 };

static void *last_shared;

extern "C" void *egg_cuda_take_shared(size_t bytes)
{
    void *page = NULL;
    if (cudaHostAlloc(&page, PAGE + bytes, cudaHostAllocMapped) != cudaSuccess) {
        cudaGetLastError();
        return NULL;
    }
    *(void **)page = last_shared;
    last_shared = page;
    return (char *)page + PAGE;
}

static void give_shared(void)
{
    while (last_shared) {
        void *page = last_shared;
        last_shared = *(void **)page;
        cudaFreeHost(page);
    }
}

/* --------------------------------------------------------------------------------------------------- open and close */

enum { OLDEST_MAJOR = 8 };   /* asynchronous copies and bf16 products begin with compute capability 8.0 */

static uint32_t users;      /* who opened the device and has not closed it */
static char device_name[256];
static uint32_t processors;
static size_t block_shared_bytes;
static egg_device device = {
    device_name, 0, take, give, upload, download, fill, wait_for_all, memory, start_timer, stop_timer,
    egg_cuda_begin_replay, egg_cuda_end_replay,
};

/* Others of this process may use the device by CUDA, too: what they have there is only lost where the device is anyway. */
static void let_go(void)
{
    if (egg_cuda_stream) {
        cudaStreamSynchronize(egg_cuda_stream);
        egg_cuda_graphs_forget();
        egg_cuda_cublas_close();
        cudaStreamDestroy(egg_cuda_stream);
    }
    if (staging) cudaFreeHost(staging);
    give_shared();
    egg_cuda_stream = NULL;
    staging = NULL;
    if (failed) cudaDeviceReset();
    cudaGetLastError();
}

static const char *open_device(uint32_t index)
{
    static char why[512];
    uint32_t count;
    const char *none = count_devices(&count);
    if (none) return none;
    if (index >= count) {
        snprintf(why, sizeof why, "there is no CUDA device %u: this machine has %u, counted from 0", index, count);
        return why;
    }
    cudaDeviceProp properties = {};
    failed = false;
    if (!egg_cuda_check(cudaGetDeviceProperties(&properties, (int)index), "asking for the device's properties"))
        return first_error;
    if (properties.major < OLDEST_MAJOR) {
        snprintf(why, sizeof why, "CUDA device %u, %s, has compute capability %d.%d; %d.0 is the least", index,
                 properties.name, properties.major, properties.minor, OLDEST_MAJOR);
        return why;
    }
    snprintf(device_name, sizeof device_name, "%s", properties.name);
    device.index = index;
    processors = (uint32_t)properties.multiProcessorCount;
    block_shared_bytes = properties.sharedMemPerBlockOptin;
    staged = 0;
    if (egg_cuda_check(cudaSetDevice((int)index), "choosing the device") &&
        egg_cuda_check(cudaStreamCreateWithFlags(&egg_cuda_stream, cudaStreamNonBlocking), "opening the device"))
        egg_cuda_check(cudaHostAlloc((void **)&staging, STAGING_BYTES, cudaHostAllocDefault), "opening the device");
    if (!failed) none = egg_cuda_choose_products(device_name, properties.major, properties.minor);
    if (failed) none = first_error;
    if (none) let_go();
    return none;
}

uint32_t egg_cuda_processors(void)
{
    return processors;
}

/* A processor has as much as one block may have and what the system keeps of each block. */
size_t egg_cuda_shared_bytes(uint32_t blocks)
{
    const size_t kept = 1024;
    return (block_shared_bytes + kept) / blocks - kept;
}

extern "C" const egg_device *egg_cuda_open(uint32_t index, const char **why)
{
    *why = NULL;
    if (!users) *why = open_device(index);
    else if (device.index != index) *why = "this process has opened another CUDA device";
    if (*why) return NULL;
    users++;
    return &device;
}

extern "C" void egg_cuda_close(void)
{
    if (!users || --users) return;
    let_go();
    failed = false;
}

