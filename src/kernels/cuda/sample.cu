/* SPDX-License-Identifier: MIT */
/*
 * Drawing tokens where the logits are: 4 bytes a row come back to the host instead of a vocabulary. A block has a row,
 * which it reads several times over; after the first it comes from the second-level cache.
 *
 * Probabilities are integers, 2^40 for the likeliest token, so that sums are exact and threads may add in any order.
 * What top_p leaves is found without sorting: a token's key is its logit's bits in an order of integers, and the key at
 * which the sum from above passes top_p is settled byte by byte, from sums of the keys' next byte.
 */
#include "kernels/cuda/cuda.h"

enum { THREADS = 512, WARPS = THREADS / EGG_WARP, ONE_SHIFT = 40, BYTES = 256, KEY_BYTES = 4 };

typedef unsigned long long u64;   /* as atomicAdd has it; a sum of 2^23 tokens fits */

/* Growing with the logit; 0: no number. -0 and 0 are one. */
static __device__ __forceinline__ uint32_t key_of(float logit)
{
    if (logit != logit) return 0;
    const uint32_t bits = __float_as_uint(__fadd_rn(logit, 0));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* What a block shares. */
struct shared_row {
    u64 sums[BYTES];
    u64 of_warp[WARPS];
    uint32_t ties_of_warp[WARPS];
    uint32_t prefix;        /* of the key that is looked for */
    u64 above;              /* the sum of the keys above it */
};

/* What decides whether a token is kept, the same for all threads. */
struct sample_law {
    const float *logits;
    float best;
    double temperature, min_p;
    uint32_t least;         /* smallest key that is kept */
    uint32_t ties;          /* so many of the tokens that have it, from the first on */
    bool all;               /* top_p leaves all */
};

static __device__ __forceinline__ u64 weight_of(const sample_law &law, float logit)
{
    const double weight = exp(((double)logit - law.best) / law.temperature);
    return weight > 0 && weight >= law.min_p ? (u64)(weight * (double)((u64)1 << ONE_SHIFT) + 0.5) : 0;
}

static __device__ __forceinline__ u64 warp_sum(u64 value)
{
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) value += egg_shuffle_xor(value, mask);
    return value;
}

/* The row's tokens in parts, one a warp: [first, end). */
static __device__ __forceinline__ void part_of(uint32_t warp, uint32_t n, uint32_t *first, uint32_t *end)
{
    const uint32_t each = egg_divide_up<uint32_t>(egg_divide_up<uint32_t>(n, WARPS), EGG_WARP) * EGG_WARP;
    *first = min(warp * each, n);
    *end = min(*first + each, n);
}

static __device__ __forceinline__ u64 largest_in_warp(u64 value)
{
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) value = max(value, egg_shuffle_xor(value, mask));
    return value;
}

/* The likeliest token; of a row without a number the last. A key and the number from the end make the order. */
static __device__ __forceinline__ uint32_t find_likeliest(const float *logits, uint32_t n, shared_row *shared)
{
    u64 best = 0;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) best = max(best, (u64)key_of(logits[i]) << 32 | (n - 1 - i));
    best = largest_in_warp(best);
    if (threadIdx.x % EGG_WARP == 0) shared->of_warp[threadIdx.x / EGG_WARP] = best;
    __syncthreads();
    for (uint32_t w = 0; w < WARPS; w++) best = max(best, shared->of_warp[w]);
    __syncthreads();   /* 'of_warp' may be written again */
    return best >> 32 ? n - 1 - (uint32_t)best : n - 1;
}

/* The sum of all that min_p leaves. */
static __device__ __forceinline__ u64 total_of(const sample_law &law, uint32_t n, shared_row *shared)
{
    u64 sum = 0;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) sum += weight_of(law, law.logits[i]);
    sum = warp_sum(sum);
    if (threadIdx.x % EGG_WARP == 0) shared->of_warp[threadIdx.x / EGG_WARP] = sum;
    __syncthreads();
    sum = 0;
    for (uint32_t w = 0; w < WARPS; w++) sum += shared->of_warp[w];
    __syncthreads();
    return sum;
}

/* From the sums by byte: the byte at which those above it, and itself, reach what is wanted. */
static __device__ __forceinline__ void settle_byte(u64 wanted, shared_row *shared)
{
    uint32_t byte = BYTES - 1;
    u64 above = shared->above;
    while (byte && above + shared->sums[byte] < wanted) above += shared->sums[byte--];
    shared->above = above;
    shared->prefix = shared->prefix << 8 | byte;
}

/* Leaves in 'law' the key at which the sum from above reaches 'wanted', and how many of the tokens that have it. */
static __device__ __forceinline__ void find_least(sample_law *law, uint32_t n, u64 wanted, shared_row *shared)
{
    if (threadIdx.x == 0) shared->prefix = 0, shared->above = 0;
    for (uint32_t level = 0; level < KEY_BYTES; level++) {
        const uint32_t shift = 8 * (KEY_BYTES - 1 - level);
        for (uint32_t i = threadIdx.x; i < BYTES; i += THREADS) shared->sums[i] = 0;
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
            const uint32_t key = key_of(law->logits[i]);
            const u64 weight = weight_of(*law, law->logits[i]);
            if (weight && (level == 0 || key >> shift >> 8 == shared->prefix))
                atomicAdd(&shared->sums[key >> shift & (BYTES - 1)], weight);
        }
        __syncthreads();
        if (threadIdx.x == 0) settle_byte(wanted, shared);
        __syncthreads();
    }
    law->least = shared->prefix;
    const float logit = __uint_as_float(law->least & 0x80000000u ? law->least & 0x7FFFFFFFu : ~law->least);
    const u64 each = weight_of(*law, logit), left = wanted - min(wanted, shared->above);
    const u64 ties = each ? (left + each - 1) / each : 0;
    law->ties = ties > n ? n : (uint32_t)ties;
    law->all = false;
    __syncthreads();
}

/* Whether a token is kept; 'tie' is how many of the least key come before it. */
static __device__ __forceinline__ bool is_kept(const sample_law &law, uint32_t key, uint32_t tie)
{
    return law.all || key > law.least || (key == law.least && tie < law.ties);
}

/* The sum of the warp's part from its lane 0 on, up to each lane: inclusive. */
template <typename T> static __device__ __forceinline__ T sum_up_to(T value)
{
    const uint32_t lane = threadIdx.x % EGG_WARP;
    EGG_UNROLL
    for (uint32_t step = 1; step < EGG_WARP; step *= 2) {
        const T before = egg_shuffle(value, lane >= step ? lane - step : lane);
        if (lane >= step) value += before;
    }
    return value;
}

/* The warp's tokens that have the least key. */
static __device__ __forceinline__ uint32_t count_ties(const sample_law &law, uint32_t first, uint32_t end)
{
    uint32_t ties = 0;
    for (uint32_t i = first + threadIdx.x % EGG_WARP; i < end; i += EGG_WARP) ties += key_of(law.logits[i]) == law.least;
    return egg_warp_sum(ties);
}

/* Sums up the warp's part; where the sum passes 'point', which is in it, leaves the token. All lanes stay together. */
template <bool looking>
static __device__ __forceinline__ u64 walk_part(const sample_law &law, uint32_t first, uint32_t end, uint32_t tie, u64 point,
                                                uint32_t *token)
{
    const uint32_t lane = threadIdx.x % EGG_WARP;
    u64 sum = 0;
    for (uint32_t base = first; base < end; base += EGG_WARP) {
        const uint32_t i = base + lane;
        const bool inside = i < end;
        const uint32_t key = inside ? key_of(law.logits[i]) : 0, same = inside && !law.all && key == law.least;
        const uint32_t ties = sum_up_to(same);
        const u64 weight = inside && is_kept(law, key, tie + ties - same) ? weight_of(law, law.logits[i]) : 0;
        const u64 up_to = sum + sum_up_to(weight);
        if (looking && weight && up_to - weight <= point && point < up_to) *token = i;
        sum = egg_shuffle(up_to, EGG_WARP - 1);
        tie += egg_shuffle(ties, EGG_WARP - 1);
    }
    return sum;
}

/* Leaves the token that 'uniform' chooses; none where nothing is kept. */
static __device__ __forceinline__ void draw(const sample_law &law, uint32_t n, double uniform, uint32_t *token,
                                            shared_row *shared)
{
    const uint32_t warp = threadIdx.x / EGG_WARP;
    uint32_t first, end, tie = 0, unused;
    part_of(warp, n, &first, &end);
    const uint32_t ties = law.all ? 0 : count_ties(law, first, end);
    if (threadIdx.x % EGG_WARP == 0) shared->ties_of_warp[warp] = ties;
    __syncthreads();
    for (uint32_t w = 0; w < warp; w++) tie += shared->ties_of_warp[w];
    const u64 own = walk_part<false>(law, first, end, tie, 0, &unused);
    if (threadIdx.x % EGG_WARP == 0) shared->of_warp[warp] = own;
    __syncthreads();
    u64 total = 0, before = 0;
    for (uint32_t w = 0; w < WARPS; w++) total += shared->of_warp[w];
    for (uint32_t w = 0; w < warp; w++) before += shared->of_warp[w];
    if (!total) return;
    const u64 point = min((u64)(uniform * (double)total), total - 1);
    if (point >= before && point - before < own) walk_part<true>(law, first, end, tie, point - before, token);
}

static __global__ void __launch_bounds__(THREADS) sample(const egg_sample_args args)
{
    EGG_STATIC_SHARED(shared_row, row, 1);
    shared_row *const shared = &row[0];
    const uint32_t n = args.n;
    const float *logits = args.logits + (size_t)blockIdx.x * n;
    uint32_t *const token = args.token + blockIdx.x;
    const uint32_t best = find_likeliest(logits, n, shared);
    if (threadIdx.x == 0) *token = best;
    if (args.temperature == 0) return;   /* all of the block */
    __syncthreads();   /* or the likeliest could come after what is drawn */
    sample_law law = {logits, logits[best], args.temperature, args.min_p, 0, 0, true};
    if (args.top_p < 1) {
        const u64 total = total_of(law, n, shared);
        if (total) find_least(&law, n, max((u64)(args.top_p * (double)total), (u64)1), shared);
    }
    draw(law, n, args.uniform[blockIdx.x], token, shared);
}

static void launch_sample(const egg_sample_args *args)
{
    if (args->rows) EGG_LAUNCH(sample, dim3(args->rows), dim3(THREADS), 0, *args);
}

extern "C" void egg_cuda_sample(egg_kernels *kernels)
{
    kernels->sample_f32 = launch_sample;
}
