/* SPDX-License-Identifier: MIT */
/* Asynchronous products of warpgroups, as the emulator has them: results by the documented layouts, and errors. */
#include "test_emulator.h"

#include "kernels/cuda/wgmma.cuh"

enum fault {
    NONE, NO_PROXY_FENCE, NO_BARRIER, NO_FENCE, NO_WAIT, EARLY_READ, EARLY_COPY, OUT_OF_PLACE, ONE_WARP_DIFFERS,
    ONE_WARP_MISSING, OUTSIDE
};

enum { ROWS = 64, PARTS = 8 /* of 16 bytes, a line */ };

/* D (64, 8 n) += A (64, line) B (8 n, line)^T */
template <typename E, typename T, int n>
static __global__ void product_kernel(const E *A, const E *B, T *D, uint32_t fault)
{
    EGG_SHARED(char, shared);
    const uint32_t thread = threadIdx.x, warp = thread / 32, g = thread % 32 / 4, c = thread % 4;
    char *x = egg_panels_begin(shared), *w = x + ROWS * 128;
    for (uint32_t i = thread; i < (ROWS + 8 * n) * PARTS; i += 128) {
        const uint32_t line = i / PARTS, part = i % PARTS;
        const char *from = line < ROWS ? (const char *)A + 128 * line : (const char *)B + 128 * (line - ROWS);
        egg_cp_async16(x + 128 * line + (part ^ line % 8) * 16, from + 16 * part);
    }
    egg_cp_async_commit();
    egg_cp_async_wait<0>();
    if (fault != NO_PROXY_FENCE) egg_proxy_fence();
    if (fault != NO_BARRIER) __syncthreads();
    if (fault == OUT_OF_PLACE) x += 128;
    if (fault == ONE_WARP_DIFFERS && warp == 2) w += 1024;
    if (fault == OUTSIDE) w += 8 * n * 128;
    T d[n][4];
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t r = 0; r < 4; r++)
            d[j][r] = D[(16 * warp + g + r / 2 * 8) * 8 * n + 8 * j + 2 * c + r % 2];
    if (fault != NO_FENCE) egg_wgmma_fence();
    if (fault != ONE_WARP_MISSING || warp != 1) egg_wgmma_line(d, egg_wgmma_operand(x), egg_wgmma_operand(w), true);
    egg_wgmma_commit();
    if (fault == EARLY_COPY) egg_cp_async16(x + 16 * thread, A);
    if (fault != NO_WAIT && fault != EARLY_READ) egg_wgmma_wait<0>();
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t r = 0; r < 4; r++)
            D[(16 * warp + g + r / 2 * 8) * 8 * n + 8 * j + 2 * c + r % 2] = d[j][r];
    if (fault == EARLY_READ) egg_wgmma_wait<0>();
}

/* Whole numbers of at most 'limit', as the element has them. */
static void draw(int8_t &x, int32_t value) { x = (int8_t)value; }
static void draw(uint16_t &x, int32_t value) { x = (uint16_t)egg_bf16x2((float)value, 0); }
static int32_t value_of(int8_t x) { return x; }
static int32_t value_of(uint16_t x) { return (int32_t)__uint_as_float((uint32_t)x << 16); }

/* Whether the results are right; sums of whole numbers are exact in float32, too. */
template <typename E, typename T, int n> static bool is_right(uint32_t fault)
{
    enum { DEPTH = 128 / sizeof(E), COLUMNS = 8 * n };
    alignas(16) static E A[ROWS][DEPTH], B[COLUMNS][DEPTH];
    static T D[ROWS][COLUMNS], expected[ROWS][COLUMNS];
    for (uint32_t i = 0; i < ROWS * DEPTH; i++) draw((&A[0][0])[i], (int32_t)random_below(255) - 127);
    for (uint32_t i = 0; i < COLUMNS * DEPTH; i++) draw((&B[0][0])[i], (int32_t)random_below(255) - 127);
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t j = 0; j < COLUMNS; j++) {
            int32_t sum = (int32_t)random_below(1000);
            D[i][j] = (T)sum;
            for (uint32_t k = 0; k < DEPTH; k++) sum += value_of(A[i][k]) * value_of(B[j][k]);
            expected[i][j] = (T)sum;
        }
    EGG_LAUNCH((product_kernel<E, T, n>), 1, 128, (ROWS + COLUMNS) * 128 + 1023, &A[0][0], &B[0][0], &D[0][0], fault);
    wait_for_device();
    return memcmp(D, expected, sizeof D) == 0;
}

static void test_products(void)
{
    for (int i = 0; i < 3; i++) {
        EXPECT((is_right<int8_t, int32_t, 16>(NONE)));
        EXPECT((is_right<int8_t, int32_t, 32>(NONE)));
        EXPECT((is_right<uint16_t, float, 32>(NONE)));
        EXPECT(!(is_right<int8_t, int32_t, 16>(EARLY_READ)));
    }
}

static void end_if_wrong(uint32_t fault)
{
    if (is_right<int8_t, int32_t, 16>(fault)) _exit(0);
    fprintf(stderr, "a wrong result\n");
    abort();
}

static void no_proxy_fence(void) { end_if_wrong(NO_PROXY_FENCE); }
static void no_barrier(void) { end_if_wrong(NO_BARRIER); }
static void no_fence(void) { end_if_wrong(NO_FENCE); }
static void no_wait(void) { end_if_wrong(NO_WAIT); }
static void early_copy(void) { end_if_wrong(EARLY_COPY); }
static void out_of_place(void) { end_if_wrong(OUT_OF_PLACE); }
static void one_warp_differs(void) { end_if_wrong(ONE_WARP_DIFFERS); }
static void one_warp_missing(void) { end_if_wrong(ONE_WARP_MISSING); }
static void outside(void) { end_if_wrong(OUTSIDE); }

static void test_faults(void)
{
    EXPECT_END(no_proxy_fence, "of what cp.async wrote, without a proxy fence between");
    EXPECT_END(no_barrier, "");
    EXPECT_END(no_fence, "on sums that no wgmma.fence has preceded");
    EXPECT_END(no_wait, "a block ended with products that were not waited for");
    EXPECT_END(early_copy, "cp.async to where an asynchronous product may still read");
    EXPECT_END(out_of_place, "does not begin where its swizzle does");
    EXPECT_END(one_warp_differs, "warps of a warpgroup at different asynchronous products");
    EXPECT_END(one_warp_missing, "not all warps of a warpgroup have come to an asynchronous product");
    EXPECT_END(outside, "an operand that is not in the launch's shared memory");
}

/* Two teams go their own ways: each of its barriers waits for its own threads only. */
static __global__ void teams_kernel(uint32_t *out)
{
    EGG_SHARED(uint32_t, shared);
    const uint32_t team = threadIdx.x / 64, thread = threadIdx.x % 64;
    uint32_t *mine = shared + 64 * team;
    for (uint32_t round = 0; round < 3 + team; round++) {
        mine[thread] = round * 1000 + thread;
        egg_team_barrier(team, 64);
        out[threadIdx.x] = mine[63 - thread];
        egg_team_barrier(team, 64);
    }
}

static void test_teams(void)
{
    uint32_t out[128];
    EGG_LAUNCH(teams_kernel, 1, 128, sizeof out, out);
    wait_for_device();
    for (uint32_t i = 0; i < 128; i++) EXPECT(out[i] == (2 + i / 64) * 1000 + 63 - i % 64);
}

/* EGGROLL_CUDA, on devices that are and are not able to. */
static void test_choice(void)
{
    const char *why;
    EXPECT(strcmp(egg_cuda_products(), "mma") == 0);
    setenv("EGGROLL_CUDA", "wgmma", 1);
    EXPECT(strcmp(egg_cuda_products(), "wgmma") == 0);
    EXPECT(egg_cuda_open(0, &why) && egg_cuda_uses_wgmma());
    egg_cuda_close();
    setenv("EGG_EMULATOR_CAPABILITY", "8.0", 1);
    EXPECT(!egg_cuda_open(0, &why) && strstr(why, "wgmma is for compute capability 9.0; emulated GPU has 8.0"));
    setenv("EGGROLL_CUDA", "mma", 1);
    EXPECT(egg_cuda_open(0, &why) && !egg_cuda_uses_wgmma());
    egg_cuda_close();
    setenv("EGGROLL_CUDA", "gmma", 1);
    EXPECT(!egg_cuda_open(0, &why) && strstr(why, "'gmma' is no way to multiply"));
    EXPECT(strstr(egg_cuda_products(), "expected mma or wgmma"));
}

int main(void)
{
    unsetenv("EGGROLL_CUDA");
    test_products();
    test_faults();
    test_teams();
    test_choice();
    printf("%s\n", failures ? "FAILED" : "products of warpgroups are as they should be");
    return failures ? 1 : 0;
}
