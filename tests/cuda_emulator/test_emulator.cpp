/* SPDX-License-Identifier: MIT */
/* Does the emulator do what the GPU does, and does it show the errors that it is there for? */
#include "test_emulator.h"

/* ------------------------------------------------------------------------------------------------------- fragments */

/* Fragments by the layouts that cuda.h documents, on matrices in memory. */
static __global__ void mma_s8_kernel(const int8_t *A, const int8_t *B, int32_t *D)   /* (16, 32), (32, 8), (16, 8) */
{
    const uint32_t g = threadIdx.x / 4, c = threadIdx.x % 4;
    uint32_t a[4] = {0}, b[2] = {0};
    for (uint32_t r = 0; r < 4; r++)
        for (uint32_t i = 0; i < 4; i++)
            a[r] |= (uint32_t)(uint8_t)A[(g + r % 2 * 8) * 32 + r / 2 * 16 + 4 * c + i] << 8 * i;
    for (uint32_t r = 0; r < 2; r++)
        for (uint32_t i = 0; i < 4; i++) b[r] |= (uint32_t)(uint8_t)B[(r * 16 + 4 * c + i) * 8 + g] << 8 * i;
    int32_t d[4];
    for (uint32_t r = 0; r < 4; r++) d[r] = D[(g + r / 2 * 8) * 8 + 2 * c + r % 2];
    egg_mma_s8(d, a, b);
    for (uint32_t r = 0; r < 4; r++) D[(g + r / 2 * 8) * 8 + 2 * c + r % 2] = d[r];
}

static void test_mma_s8(void)
{
    int8_t A[16][32], B[32][8];
    int32_t D[16][8], expected[16][8];
    for (uint32_t i = 0; i < sizeof A; i++) (&A[0][0])[i] = (int8_t)((int32_t)random_below(255) - 127);
    for (uint32_t i = 0; i < sizeof B; i++) (&B[0][0])[i] = (int8_t)((int32_t)random_below(255) - 127);
    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t j = 0; j < 8; j++) {
            expected[i][j] = D[i][j] = (int32_t)random_below(1000);
            for (uint32_t k = 0; k < 32; k++) expected[i][j] += A[i][k] * B[k][j];
        }
    EGG_LAUNCH(mma_s8_kernel, 1, 32, 0, &A[0][0], &B[0][0], &D[0][0]);
    wait_for_device();
    EXPECT(memcmp(D, expected, sizeof D) == 0);
}

static __global__ void mma_bf16_kernel(const float *A, const float *B, float *D)   /* (16, 16), (16, 8), (16, 8) */
{
    const uint32_t g = threadIdx.x / 4, c = threadIdx.x % 4;
    uint32_t a[4], b[2];
    float d[4] = {0};
    for (uint32_t r = 0; r < 4; r++) {
        const float *from = A + (g + r % 2 * 8) * 16 + r / 2 * 8 + 2 * c;
        a[r] = egg_bf16x2(from[0], from[1]);
    }
    for (uint32_t r = 0; r < 2; r++) {
        const float *from = B + (r * 8 + 2 * c) * 8 + g;
        b[r] = egg_bf16x2(from[0], from[8]);
    }
    egg_mma_bf16(d, a, b);
    for (uint32_t r = 0; r < 4; r++) D[(g + r / 2 * 8) * 8 + 2 * c + r % 2] = d[r];
}

static void test_mma_bf16(void)
{
    float A[16][16], B[16][8], D[16][8];   /* whole numbers: bf16 has them, and no sum is rounded */
    for (uint32_t i = 0; i < 256; i++) (&A[0][0])[i] = (float)random_below(255) - 127;
    for (uint32_t i = 0; i < 128; i++) (&B[0][0])[i] = (float)random_below(255) - 127;
    EGG_LAUNCH(mma_bf16_kernel, 1, 32, 0, &A[0][0], &B[0][0], &D[0][0]);
    wait_for_device();
    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t j = 0; j < 8; j++) {
            float sum = 0;
            for (uint32_t k = 0; k < 16; k++) sum += A[i][k] * B[k][j];
            EXPECT(D[i][j] == sum);
        }
    EXPECT(egg_bf16x2(1.00390625f, -1.01171875f) == 0xBF823F80);   /* ties go to even */
}

/* out[0..3]: the words of four matrices that lie one below the other; out[4..7]: of their transposes. */
static __global__ void ldmatrix_kernel(const uint16_t *matrices, uint32_t *out)
{
    EGG_STATIC_SHARED(uint16_t, shared, 32 * 8);
    for (uint32_t i = 0; i < 8; i++) shared[8 * threadIdx.x + i] = matrices[8 * threadIdx.x + i];
    __syncwarp();
    egg_ldmatrix_x4(out + 10 * threadIdx.x, shared + 8 * threadIdx.x);
    egg_ldmatrix_x4_transposed(out + 10 * threadIdx.x + 4, shared + 8 * threadIdx.x);
    egg_ldmatrix_x2(out + 10 * threadIdx.x + 8, shared + 8 * (threadIdx.x % 16));
}

static void test_ldmatrix(void)
{
    uint16_t matrices[4][8][8];
    uint32_t out[32][10];
    for (uint32_t i = 0; i < 256; i++) (&matrices[0][0][0])[i] = (uint16_t)random_below(1 << 16);
    EGG_LAUNCH(ldmatrix_kernel, 1, 32, 0, &matrices[0][0][0], &out[0][0]);
    wait_for_device();
    for (uint32_t lane = 0; lane < 32; lane++)
        for (uint32_t m = 0; m < 4; m++) {
            const uint32_t row = lane / 4, column = lane % 4 * 2;
            const uint32_t straight = matrices[m][row][column] | (uint32_t)matrices[m][row][column + 1] << 16;
            EXPECT(out[lane][m] == straight);
            EXPECT(out[lane][4 + m] ==
                   (matrices[m][column][row] | (uint32_t)matrices[m][column + 1][row] << 16));
            if (m < 2) EXPECT(out[lane][8 + m] == straight);
        }
}

static __global__ void shuffle_kernel(uint64_t *out)
{
    const uint32_t lane = threadIdx.x % 32;
    const uint64_t mine = (uint64_t)lane << 40 | threadIdx.x;
    out[3 * threadIdx.x] = egg_shuffle_xor(mine, 5);
    out[3 * threadIdx.x + 1] = egg_shuffle_down(mine, 7);
    out[3 * threadIdx.x + 2] = egg_warp_sum(threadIdx.x);
}

static void test_shuffles(void)
{
    uint64_t out[64][3];
    EGG_LAUNCH(shuffle_kernel, 1, 64, 0, &out[0][0]);
    wait_for_device();
    for (uint64_t t = 0; t < 64; t++) {
        const uint64_t lane = t % 32, warp = t - lane, down = lane + 7 < 32 ? lane + 7 : lane;
        EXPECT(out[t][0] == ((lane ^ 5) << 40 | (warp + (lane ^ 5))));
        EXPECT(out[t][1] == (down << 40 | (warp + down)));
        EXPECT(out[t][2] == 32 * warp + 31 * 32 / 2);
    }
}

static void test_single_instructions(void)
{
    EXPECT(__byte_perm(0x33221100, 0x77665544, 0x7041) == 0x77004411);
    EXPECT(__dp4a((int32_t)0x80FF027F, 0x017F0302, 5) == 254 + 6 - 127 - 128 + 5);
    EXPECT(__mulhi(-3, 1 << 30) == -1 && __umulhi(0xFFFFFFFF, 0xFFFFFFFF) == 0xFFFFFFFE);
    EXPECT(__funnelshift_l(0x80000001, 0x40000000, 4) == 8 && __clz(1) == 31 && __popc(0xF0F0) == 8);
}

/* ------------------------------------------------------------------------------------------------ errors that show */

template <bool with_barrier> static __global__ void reverse_kernel(const uint32_t *in, uint32_t *out)
{
    EGG_SHARED(uint32_t, shared);
    shared[threadIdx.x] = in[threadIdx.x];
    if (with_barrier) __syncthreads();
    out[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

static bool reverses(void (*kernel)(const uint32_t *, uint32_t *))
{
    uint32_t in[64], out[64];
    bool good = true;
    for (uint32_t &x : in) x = random_below(1 << 20);
    EGG_LAUNCH(kernel, 1, 64, sizeof in, in, out);
    wait_for_device();
    for (uint32_t i = 0; i < 64; i++) good = good && out[i] == in[63 - i];
    return good;
}

static void test_missing_barriers_show(void)
{
    EXPECT(reverses(reverse_kernel<true>));
    EXPECT(!reverses(reverse_kernel<false>));
}

/* What a copy's target holds before and after it has been waited for, and what a later group's holds by then. */
static __global__ void copy_kernel(const uint4 *from, uint32_t *out)
{
    EGG_STATIC_SHARED(uint4, shared, 2 * 32);
    uint4 *mine = shared + threadIdx.x, *later = mine + 32;
    *mine = *later = make_uint4(1, 1, 1, 1);
    egg_cp_async16(mine, from + threadIdx.x);
    egg_cp_async_commit();
    egg_cp_async16_or_zero(later, from, false);
    egg_cp_async_commit();
    out[4 * threadIdx.x] = mine->x;
    egg_cp_async_wait<1>();
    out[4 * threadIdx.x + 1] = mine->w;
    out[4 * threadIdx.x + 2] = later->x;
    egg_cp_async_wait<0>();
    out[4 * threadIdx.x + 3] = later->x;
}

static void test_missing_waits_show(void)
{
    uint4 from[32];
    uint32_t out[32][4], early = 0, late = 0;
    for (uint32_t i = 0; i < 32; i++) from[i] = make_uint4(100 + i, 0, 0, 200 + i);
    EGG_LAUNCH(copy_kernel, 1, 32, 0, from, &out[0][0]);
    wait_for_device();
    for (uint32_t i = 0; i < 32; i++) {
        early += out[i][0] == 100 + i;
        late += out[i][0] == 1;
        EXPECT(out[i][1] == 200 + i && out[i][3] == 0 && out[i][2] <= 1);
    }
    EXPECT(early > 0 && late > 0 && early + late == 32);
}

static __global__ void add_kernel(uint32_t *sum, uint32_t value)
{
    atomicAdd(sum, value);
}

static void test_nothing_happens_before_it_is_waited_for(void)
{
    uint32_t sum = 0, seen = 0, value = 5, *on_device;
    EXPECT(cudaMalloc((void **)&on_device, sizeof sum) == cudaSuccess);
    EXPECT(cudaMemcpyAsync(on_device, &value, sizeof value, cudaMemcpyHostToDevice, egg_cuda_stream) == cudaSuccess);
    value = 6;   /* the copy has been taken */
    EGG_LAUNCH(add_kernel, dim3(2, 3), 32, 0, on_device, 1u);
    EGG_LAUNCH(add_kernel, 1, 32, 0, &sum, 1u);
    EXPECT(cudaMemcpyAsync(&seen, on_device, sizeof seen, cudaMemcpyDeviceToHost, egg_cuda_stream) == cudaSuccess);
    EXPECT(sum == 0 && seen == 0);
    wait_for_device();
    EXPECT(sum == 32 && seen == 5 + 6 * 32);
    EXPECT(cudaFree(on_device) == cudaSuccess);
    EXPECT(cudaFree(&sum) == cudaErrorInvalidValue);
}

static void test_page_locked_memory_is_read_late(void)
{
    uint32_t *locked, *on_device, seen = 0;
    EXPECT(cudaHostAlloc((void **)&locked, 2 * sizeof *locked, 0) == cudaSuccess);
    EXPECT(cudaMalloc((void **)&on_device, sizeof *on_device) == cudaSuccess);
    locked[1] = 1;
    EXPECT(cudaMemcpyAsync(on_device, locked + 1, sizeof seen, cudaMemcpyHostToDevice, egg_cuda_stream) == cudaSuccess);
    locked[1] = 2;
    EXPECT(cudaMemcpyAsync(&seen, on_device, sizeof seen, cudaMemcpyDeviceToHost, egg_cuda_stream) == cudaSuccess);
    wait_for_device();
    EXPECT(seen == 2);
    EXPECT(cudaFree(on_device) == cudaSuccess && cudaFreeHost(locked) == cudaSuccess);
}

/* The device that the library makes of it: uploads of any size are taken at once and arrive whole, in their order. */
static void test_device(void)
{
    enum { BYTES = 5 << 19 };   /* two and a half times what is staged at once */
    const char *why;
    const egg_device *device = egg_cuda_open(0, &why);
    static uint8_t from[BYTES], to[BYTES], expected[BYTES];
    uint8_t *memory = (uint8_t *)device->take(BYTES);
    EXPECT(egg_cuda_open(0, &why) == device && egg_cuda_open(1, &why) == NULL && strstr(why, "another"));
    device->download(to, memory, BYTES);
    for (uint32_t i = 0; i < BYTES; i++) expected[i] = from[i] = (uint8_t)(random_below(256) | to[i]);   /* zeros */
    device->upload(memory, from, BYTES);
    memset(from, 0, BYTES);
    for (uint32_t i = 0; i < 1000; i++) {
        const uint32_t first = random_below(BYTES - 5000), n = random_below(5000);
        memset(from, (int)i, n);
        memset(expected + first, (int)i, n);
        device->upload(memory + first, from, n);
    }
    device->fill(memory + 100, 7, 50);
    memset(expected + 100, 7, 50);
    device->download(to, memory, BYTES);
    EXPECT(memcmp(to, expected, BYTES) == 0);
    EXPECT(device->take((size_t)1 << 40) == NULL && device->wait() == NULL);
    EXPECT(device->memory().free_bytes <= device->memory().total_bytes - BYTES);
    device->give(memory);
    device->give(NULL);
    EXPECT(device->memory().free_bytes == device->memory().total_bytes);
    egg_cuda_check(cudaErrorInvalidValue, "the first");
    egg_cuda_check(cudaErrorNoDevice, "the second");
    EXPECT(device->take(1) == NULL && strcmp(device->wait(), "the first: invalid argument") == 0);
    egg_cuda_close();
    EXPECT(strcmp(device->wait(), "the first: invalid argument") == 0);   /* the other who opened it still has it */
    egg_cuda_close();
    EXPECT(egg_cuda_open(1, &why) == NULL && strstr(why, "there is no CUDA device 1: this machine has 1"));
}

static void add_twice(const egg_device *device, uint32_t *sum, uint32_t term, uint32_t *made)
{
    const struct {
        uint32_t *sum;
        uint64_t term;
    } key = {sum, term};
    if (device->begin_replay(&key, sizeof key)) return;
    EGG_LAUNCH(add_kernel, 1, 32, 0, sum, term);
    EGG_LAUNCH(add_kernel, 1, 32, 0, sum, term);
    device->end_replay();
    ++*made;
}

static uint32_t taken_from(const egg_device *device, const uint32_t *sum)
{
    uint32_t value;
    device->download(&value, sum, sizeof value);
    return value;
}

/* What is replayed does what was recorded, to what is there then; each key has its own. */
static void test_replay(void)
{
    const char *why;
    const egg_device *device = egg_cuda_open(0, &why);
    uint32_t *sum = (uint32_t *)device->take(sizeof *sum), *other = (uint32_t *)device->take(64), made = 0, set = 1000;
    const uint32_t each = 64;
    for (uint32_t i = 1; i <= 5; i++) {
        add_twice(device, sum, 1, &made);
        EXPECT(taken_from(device, sum) == i * each && made == (i < 2 ? i : 2));
    }
    device->upload(sum, &set, sizeof set);
    add_twice(device, sum, 1, &made);
    EXPECT(taken_from(device, sum) == set + each && made == 2);
    for (uint32_t i = 0; i < 3; i++) add_twice(device, sum, 2, &made);
    EXPECT(taken_from(device, sum) == set + 7 * each && made == 4);
    device->give(other);   /* nothing is replayed behind it */
    add_twice(device, sum, 1, &made);
    EXPECT(taken_from(device, sum) == set + 8 * each && made == 5);
    for (uint32_t term = 0; term < 100; term++)   /* more than are kept */
        for (uint32_t i = 0; i < 3; i++) add_twice(device, sum, term, &made);
    EXPECT(taken_from(device, sum) == set + 8 * each + 3 * 4950 * each && device->wait() == NULL);
    egg_cuda_check(cudaErrorInvalidValue, "the first");
    add_twice(device, sum, 1, &made);
    EXPECT(strcmp(device->wait(), "the first: invalid argument") == 0);
    egg_cuda_close();
}

/* What a graph cannot hold fails. */
static void test_captures_that_cannot_be(void)
{
    uint32_t value = 0;
    void *memory = NULL;
    cudaGraph_t graph;
    EXPECT(cudaStreamEndCapture(egg_cuda_stream, &graph) == cudaErrorInvalidValue);
    EXPECT(cudaMalloc(&memory, 4) == cudaSuccess);
    EXPECT(cudaStreamBeginCapture(egg_cuda_stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    EXPECT(cudaStreamSynchronize(egg_cuda_stream) == cudaErrorStreamCaptureUnsupported);
    EXPECT(cudaMemcpyAsync(memory, &value, 4, cudaMemcpyHostToDevice, egg_cuda_stream) ==
           cudaErrorStreamCaptureUnsupported);
    EXPECT(cudaStreamEndCapture(egg_cuda_stream, &graph) == cudaSuccess);
    EXPECT(cudaGraphDestroy(graph) == cudaSuccess && cudaFree(memory) == cudaSuccess);
}

static void test_launches_that_cannot_be(void)
{
    uint32_t sum = 0;
    const dim3 one(1), bad_grids[] = {dim3(0), dim3(1, 65536), dim3(1, 1, 65536)};
    const dim3 bad_blocks[] = {dim3(0), dim3(2048), dim3(33), dim3(1, 1, 96)};
    for (const dim3 &grid : bad_grids)
        EXPECT(egg_emulator_launch_kernel("add", grid, 32, 0, NULL, add_kernel, &sum, 1u) ==
               cudaErrorInvalidConfiguration);
    for (const dim3 &block : bad_blocks)
        EXPECT(egg_emulator_launch_kernel("add", one, block, 0, NULL, add_kernel, &sum, 1u) ==
               cudaErrorInvalidConfiguration);
    EXPECT(egg_emulator_launch_kernel("add", one, 32, 228 << 10, NULL, add_kernel, &sum, 1u) ==
           cudaErrorInvalidConfiguration);
    wait_for_device();
    EXPECT(sum == 0);
}

static void test_memory_runs_out(void)
{
    void *much = NULL, *more = NULL;
    size_t free_bytes, total_bytes;
    EXPECT(cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess && free_bytes == total_bytes);
    EXPECT(cudaMalloc(&more, total_bytes) == cudaErrorMemoryAllocation && more == NULL);
    EXPECT(cudaMalloc(&much, 1000) == cudaSuccess && (uintptr_t)much % 256 == 0);
    EXPECT(cudaMalloc(&more, 1000) == cudaSuccess && (char *)more - (char *)much >= 1256);
    EXPECT(cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess && free_bytes <= total_bytes - 2000);
    EXPECT(cudaFree(much) == cudaSuccess && cudaFree(more) == cudaSuccess);
}

/* ------------------------------------------------------------------------------------------- errors that are fatal */

static __global__ void returning_kernel(uint32_t which)
{
    if (threadIdx.x == which) return;
    __syncthreads();
}

static __global__ void two_barriers_kernel(uint32_t first)
{
    if (threadIdx.x < first) __syncthreads();
    else
        __syncthreads();
}

static __global__ void two_instructions_kernel(uint32_t *out)
{
    if (threadIdx.x < 16) __syncwarp();
    else out[threadIdx.x] = egg_shuffle(threadIdx.x, 0);
}

static __global__ void too_shared_kernel(uint32_t *out)
{
    EGG_STATIC_SHARED(uint32_t, much, 13 << 10);
    out[threadIdx.x] = much[threadIdx.x];
}

static __global__ void unaligned_copy_kernel(const char *from)
{
    EGG_SHARED(char, shared);
    egg_cp_async16(shared + 16 * threadIdx.x, from + 1);
}

static uint32_t scratch[64];

static void thread_returns(void) { EGG_LAUNCH(returning_kernel, 1, 64, 0, 3u); }
static void barriers_differ(void) { EGG_LAUNCH(two_barriers_kernel, 1, 64, 0, 32u); }
static void lanes_differ(void) { EGG_LAUNCH(two_instructions_kernel, 1, 32, 0, scratch); }
static void too_shared(void) { EGG_LAUNCH(too_shared_kernel, 1, 32, 0, scratch); }
static void unaligned_copy(void) { EGG_LAUNCH(unaligned_copy_kernel, 1, 32, 512, (const char *)scratch); }

static void host_touches_device(void)
{
    uint32_t *on_device;
    cudaMalloc((void **)&on_device, sizeof *on_device);
    *(volatile uint32_t *)on_device = 1;
}

#if defined(__SANITIZE_ADDRESS__)
static void passes_the_end(void)
{
    uint32_t *on_device;
    cudaMalloc((void **)&on_device, 100);
    EGG_LAUNCH(add_kernel, 1, 32, 0, on_device + 25, 1u);
}

static __global__ void passes_shared_kernel(uint32_t *out)
{
    EGG_SHARED(uint32_t, shared);
    shared[threadIdx.x + 1] = 0;
    out[threadIdx.x] = shared[threadIdx.x];
}

static void passes_shared(void) { EGG_LAUNCH(passes_shared_kernel, 1, 32, 128, scratch); }
#endif

static void test_fatal_errors(void)
{
    EXPECT_END(thread_returns, "returning_kernel, block (0, 0, 0)");
    EXPECT_END(thread_returns, "of 64 threads 1 have returned, 63 wait at a barrier");
    EXPECT_END(barriers_differ, "threads at different barriers");
    EXPECT_END(lanes_differ, "lanes of a warp at different instructions");
    EXPECT_END(too_shared, "too much shared memory");
    EXPECT_END(unaligned_copy, "cp.async of an unaligned address");
    EXPECT_END(host_touches_device, "");
#if defined(__SANITIZE_ADDRESS__)
    EXPECT_END(passes_the_end, "use-after-poison");
    EXPECT_END(passes_shared, "heap-buffer-overflow");
#endif
}

int main(void)
{
    test_memory_runs_out();
    test_mma_s8();
    test_mma_bf16();
    test_ldmatrix();
    test_shuffles();
    test_single_instructions();
    test_missing_barriers_show();
    test_missing_waits_show();
    test_nothing_happens_before_it_is_waited_for();
    test_page_locked_memory_is_read_late();
    test_launches_that_cannot_be();
    test_fatal_errors();
    test_device();
    test_replay();
    test_captures_that_cannot_be();
    printf("%s\n", failures ? "FAILED" : "the emulator does as it should");
    return failures ? 1 : 0;
}
