/* SPDX-License-Identifier: MIT */
/*
 * Drawing tokens where the logits are: 4 bytes a row come back to the host instead of a vocabulary. A block has a row.
 *
 * Probabilities are integers, 2^40 for the likeliest token, so that sums are exact and threads may add in any order.
 * What top_p leaves is found without sorting: sums over bins of likelihood tell the bin in which the sum from above
 * passes top_p; the few tokens there go into a list in shared memory, and sums over ever finer bins of the list end at
 * one logit. A row is read
 *
 *   1. for its largest and smallest logit,
 *   2. for the sums, over bins with top_p,
 *   3. with top_p, for the list and for what lies above it,
 *
 * every time from the other end, because what was read last is likeliest to be in a cache still; and a part of it, a
 * sixteenth, twice more for the token.
 *
 * By reckoning, 65536 tokens on an H100 at 1.7 GHz, times of one of its 132 processors: a reading takes 10 us from
 * memory (256 KiB at 25 GB/s; two blocks a processor are 69 MB on their way, more than the second-level cache holds), a
 * weight's 19 operations in double 11 us (64 a clock), and the 50 or so instructions of a weight that goes into a bin
 * 15 us (4 times 32 lanes a clock). Blocks are at different things at a time, so the readings are the bound: 21 us a
 * row without top_p and 31 us with it, 0.5 and 0.7 ms for 3072 rows. It has not been measured.
 */
#include "kernels/cuda/cuda.h"

#include <float.h>

enum {
    THREADS = 512,
    WARPS = THREADS / EGG_WARP,
    ONE_SHIFT = 40,
    BINS = 1024,
    BINS_EACH = BINS / THREADS,   /* a thread's */
    LISTED = 2048,
    QUAD = 4,                     /* logits that are read at once */
    NOBODY = 0x7FFFFFFF
};

typedef unsigned long long u64;   /* a sum of 2^23 tokens fits */

/* What a block shares. */
struct shared_row {
    uint32_t low[BINS], high[BINS];   /* sums, in two words */
    float logit[LISTED];              /* the list */
    uint32_t token[LISTED];
    uint32_t listed;                  /* so many were to be written there, or a few more */
    u64 of_warp[WARPS];
    float limit_of_warp[WARPS];
    u64 sum_of_part[WARPS];           /* of the tokens above the bounds */
    uint32_t ties_of_part[WARPS];     /* tokens within them */
    uint32_t edge[2];
    uint32_t bin;
    u64 above;
};

/* What the arguments mean, for all rows alike. */
struct sample_rule {
    double scale;          /* from logits to octaves of likelihood */
    double least_weight;   /* min_p's */
    double reach;          /* logits that are farther than this from the likeliest's have weight 0 */
    double settled_reach;  /* as far as top_p can end: what is farther away has less than 1 - top_p even together */
};

/* A row, the same for all threads. */
struct sample_row {
    const float *logits;
    uint32_t n;
    double scale, least_weight;
    float best;        /* finite */
    float floor;       /* below it weights are 0; finite */
    float bins_per;    /* of likelihood, in a logit */
};

/* --------------------------------------------------------------------------------------------------------- weights */

/* log(2)^k / k!, k = 1 ... 11. Not const: the compiler would move them word by word, for every weight again. */
static __constant__ double series[] = {
    0x1.62e42fefa39efp-1,  0x1.ebfbdff82c58fp-3,  0x1.c6b08d704a0c0p-5,  0x1.3b2ab6fba4e77p-7,
    0x1.5d87fe78a6731p-10, 0x1.430912f86c787p-13, 0x1.ffcbfc588b0c7p-17, 0x1.62c0223a5c824p-20,
    0x1.b5253d395e7c4p-24, 0x1.e4cf5158b8ecap-28, 0x1.e8cac7351bb25p-32,
};

/* 2^x for |x| <= 1/2, to 2^-47. */
static __device__ __forceinline__ double power_of_two(double x)
{
    double power = series[10];
    EGG_UNROLL
    for (int k = 9; k >= 0; k--) power = __fma_rn(power, x, series[k]);
    return __fma_rn(power, x, 1);
}

/*
 * Of a logit from the floor on. Adding 2^52 (and half of it, for negative numbers) leaves a whole number in the last
 * bits: conversions would take longer.
 */
static __device__ __forceinline__ u64 weight_of(const sample_row &row, float logit)
{
    const double to_low = 0x1.8p52, to_bits = 0x1p52;
    const double octaves = __dmul_rn(__dadd_rn((double)logit, -(double)row.best), row.scale);
    const double rounded = __dadd_rn(octaves, to_low);
    const double power = power_of_two(__dadd_rn(octaves, -__dadd_rn(rounded, -to_low)));
    const u64 exponent = (u64)__double_as_longlong(rounded) + ONE_SHIFT;
    const double weight = __longlong_as_double((long long)((u64)__double_as_longlong(power) + (exponent << 52)));
    const u64 whole = (u64)__double_as_longlong(__dadd_rn(weight, to_bits)) & (((u64)1 << 52) - 1);
    return octaves > -ONE_SHIFT - 2 && weight >= row.least_weight ? whole : 0;
}

/* Growing with the logit; 0: no number. -0 and 0 are one. */
static __device__ __forceinline__ uint32_t key_of(float logit)
{
    if (logit != logit) return 0;
    const uint32_t bits = __float_as_uint(__fadd_rn(logit, 0));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float logit_of(uint32_t key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

/* -------------------------------------------------------------------------------------------------- over the block */

/* The same for all threads; so are the following. */
static __device__ __forceinline__ float largest(float value, shared_row *shared)
{
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) value = fmaxf(value, egg_shuffle_xor(value, mask));
    if (threadIdx.x % EGG_WARP == 0) shared->limit_of_warp[threadIdx.x / EGG_WARP] = value;
    __syncthreads();
    for (uint32_t w = 0; w < WARPS; w++) value = fmaxf(value, shared->limit_of_warp[w]);
    __syncthreads();   /* 'limit_of_warp' may be written again */
    return value;
}

static __device__ __forceinline__ u64 largest(u64 value, shared_row *shared)
{
    EGG_UNROLL
    for (uint32_t mask = EGG_WARP / 2; mask; mask /= 2) value = max(value, egg_shuffle_xor(value, mask));
    if (threadIdx.x % EGG_WARP == 0) shared->of_warp[threadIdx.x / EGG_WARP] = value;
    __syncthreads();
    for (uint32_t w = 0; w < WARPS; w++) value = max(value, shared->of_warp[w]);
    __syncthreads();
    return value;
}

/* The sum of the values of the threads before this one; and that of all. */
static __device__ __forceinline__ u64 sum_before(u64 value, u64 *total, shared_row *shared)
{
    const uint32_t lane = threadIdx.x % EGG_WARP, warp = threadIdx.x / EGG_WARP;
    u64 up_to = value, before = 0;
    EGG_UNROLL
    for (uint32_t step = 1; step < EGG_WARP; step *= 2) {
        const u64 other = egg_shuffle(up_to, lane >= step ? lane - step : lane);
        if (lane >= step) up_to += other;
    }
    if (lane == EGG_WARP - 1) shared->of_warp[warp] = up_to;
    __syncthreads();
    *total = 0;
    for (uint32_t w = 0; w < WARPS; w++) {
        if (w < warp) before += shared->of_warp[w];
        *total += shared->of_warp[w];
    }
    __syncthreads();
    return before + up_to - value;
}

/* --------------------------------------------------------------------------------------------------- over the row */

/* Tokens [first, end), both multiples of QUAD. */
struct token_span {
    uint32_t first, end;
};

static __device__ __forceinline__ uint32_t part_length(uint32_t n)
{
    return egg_divide_up<uint32_t>(n, WARPS * EGG_WARP * QUAD) * EGG_WARP * QUAD;
}

/* The row's tokens in parts, one a warp. */
static __device__ __forceinline__ token_span part_of(uint32_t warp, uint32_t n)
{
    const uint32_t each = part_length(n), first = min(warp * each, n);
    return {first, min(first + each, n)};
}

/* visit(logit, token) of all tokens of the warp's part, 'at_once' quads a thread being on their way; or backward. */
template <uint32_t at_once, bool backward, typename F>
static __device__ __forceinline__ void visit_part(const float *logits, token_span part, F visit)
{
    const uint32_t stride = EGG_WARP * QUAD, lane = threadIdx.x % EGG_WARP * QUAD;
    const uint32_t steps = egg_divide_up<uint32_t>(part.end - part.first, at_once * stride);
    EGG_NO_UNROLL
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t from = part.first + (backward ? steps - 1 - step : step) * at_once * stride + lane;
        float4 quads[at_once];
        EGG_UNROLL
        for (uint32_t q = 0; q < at_once; q++)
            quads[q] = *(const float4 *)(logits + min(from + q * stride, part.end - QUAD));
        EGG_UNROLL
        for (uint32_t q = 0; q < at_once; q++) {
            const uint32_t token = from + q * stride;
            if (token >= part.end) continue;
            visit(quads[q].x, token);
            visit(quads[q].y, token + 1);
            visit(quads[q].z, token + 2);
            visit(quads[q].w, token + 3);
        }
    }
}

/* The likeliest token; of a row without a number the last. A key and the number from the end make the order. */
static __device__ __forceinline__ uint32_t find_likeliest(const float *logits, uint32_t n, shared_row *shared)
{
    u64 best = 0;
    visit_part<4, false>(logits, part_of(threadIdx.x / EGG_WARP, n), [&](float logit, uint32_t token) {
        best = max(best, (u64)key_of(logit) << 32 | (n - 1 - token));
    });
    best = largest(best, shared);
    return best >> 32 ? n - 1 - (uint32_t)best : n - 1;
}

/* The bounds of the row's numbers; infinities the wrong way round of a row without. */
static __device__ __forceinline__ void find_limits(const float *logits, uint32_t n, float *best, float *worst,
                                                   shared_row *shared)
{
    float high = -INFINITY, low = INFINITY;
    visit_part<4, false>(logits, part_of(threadIdx.x / EGG_WARP, n), [&](float logit, uint32_t) {
        high = fmaxf(high, logit);   /* the number, of a number and none */
        low = fminf(low, logit);
    });
    *best = largest(high, shared);
    *worst = -largest(-low, shared);
}

/* ------------------------------------------------------------------------------------------------------------ bins */

/* Sums are as in 64 bits; two native additions, most often one, where one of 64 bits would be a loop. */
static __device__ __forceinline__ void add_to_bin(uint32_t bin, u64 sum, shared_row *shared)
{
    const uint32_t low = (uint32_t)sum, before = atomicAdd(&shared->low[bin], low);
    const uint32_t high = (uint32_t)(sum >> 32) + (before > ~low);
    if (high) atomicAdd(&shared->high[bin], high);
}

/* Weights for the same bin one after another are added up before. */
struct bin_adder {
    shared_row *shared;
    uint32_t bin;
    u64 sum;

    __device__ __forceinline__ explicit bin_adder(shared_row *shared_) : shared(shared_), bin(NOBODY), sum(0) {}
    __device__ __forceinline__ void flush()
    {
        if (sum) add_to_bin(bin, sum, shared);
        sum = 0;
    }
    __device__ __forceinline__ void add(uint32_t to, u64 weight)
    {
        if (to != bin) flush();
        bin = to;
        sum += weight;
    }
};

static __device__ __forceinline__ void clear_bins(shared_row *shared)
{
    for (uint32_t i = threadIdx.x; i < BINS; i += THREADS) shared->low[i] = shared->high[i] = 0;
    __syncthreads();
}

static __device__ __forceinline__ u64 bin_sum(uint32_t bin, const shared_row *shared)
{
    return (u64)shared->high[bin] << 32 | shared->low[bin];
}

/* How many octaves a token is below the likeliest, in bins; each step is monotone, so all of it is. */
static __device__ __forceinline__ uint32_t octave_bin(const sample_row &row, float logit)
{
    return (uint32_t)fminf(__fmul_rn(__fsub_rn(row.best, logit), row.bins_per), BINS - 1);
}

/* Keys from low to high, and the sum of the weights of those above. */
struct key_range {
    uint32_t low, high;
    u64 above;
};

/* The bin in which the sum, begun with 'above', reaches 'wanted'; what is above it is left in 'above'. */
static __device__ __forceinline__ uint32_t find_bin(u64 wanted, u64 before, u64 *above, shared_row *shared)
{
    u64 sum = *above + before;
    EGG_UNROLL
    for (uint32_t i = 0; i < BINS_EACH; i++) {
        const uint32_t bin = threadIdx.x * BINS_EACH + i;
        const u64 own = bin_sum(bin, shared);
        if (sum < wanted && wanted - sum <= own) shared->bin = bin, shared->above = sum;   /* one thread's */
        sum += own;
    }
    __syncthreads();
    *above = shared->above;
    const uint32_t bin = shared->bin;
    __syncthreads();
    return bin;
}

/* The sum of the thread's bins, and of those before and of all. */
static __device__ __forceinline__ u64 sum_bins_before(u64 *total, shared_row *shared)
{
    u64 own = 0;
    __syncthreads();
    for (uint32_t i = 0; i < BINS_EACH; i++) own += bin_sum(threadIdx.x * BINS_EACH + i, shared);
    return sum_before(own, total, shared);
}

/* The smallest key from 'bottom' on whose token is in the bin or in one before. */
static __device__ __forceinline__ uint32_t lowest_of_bin(const sample_row &row, uint32_t bottom, uint32_t bin)
{
    uint32_t low = bottom, high = key_of(row.best);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (octave_bin(row, logit_of(middle)) <= bin) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Where top_p ends, by bins of likelihood. Leaves what the tokens that are kept are to have together. */
static __device__ __forceinline__ key_range find_octaves(const sample_row &row, double top_p, uint32_t bottom,
                                                         u64 *wanted, shared_row *shared)
{
    clear_bins(shared);
    bin_adder bins(shared);
    visit_part<2, true>(row.logits, part_of(threadIdx.x / EGG_WARP, row.n), [&](float logit, uint32_t) {
        if (logit >= row.floor) bins.add(octave_bin(row, logit), weight_of(row, logit));
    });
    bins.flush();
    key_range range = {bottom, key_of(row.best), 0};
    u64 total;
    const u64 before = sum_bins_before(&total, shared);
    *wanted = min(max((u64)(top_p * (double)total), (u64)1), total);
    const uint32_t bin = find_bin(*wanted, before, &range.above, shared);
    if (threadIdx.x < 2 && threadIdx.x <= bin)
        shared->edge[threadIdx.x] = lowest_of_bin(row, bottom, bin - threadIdx.x);
    __syncthreads();
    range.low = shared->edge[0];
    if (bin) range.high = shared->edge[1] - 1;
    return range;
}

/* Divides the range into bins; 'visit_all' calls what it is given with each of the logits that may be in it. */
template <typename F>
static __device__ __forceinline__ void narrow(const sample_row &row, u64 wanted, key_range *range, F visit_all,
                                              shared_row *shared)
{
    uint32_t shift = 0;
    while ((range->high - range->low) >> shift >= BINS) shift++;
    clear_bins(shared);
    bin_adder bins(shared);
    visit_all([&](float logit) {
        const uint32_t key = key_of(logit);
        if (key >= range->low && key <= range->high) bins.add((range->high - key) >> shift, weight_of(row, logit));
    });
    bins.flush();
    u64 total;
    const u64 before = sum_bins_before(&total, shared);
    const uint32_t bin = find_bin(wanted, before, &range->above, shared);
    range->high -= bin << shift;
    range->low = range->high - min(range->high - range->low, ((uint32_t)1 << shift) - 1);
}

/* ------------------------------------------------------------------------------------------------ what is kept */

/* Tokens above 'high' are kept; of those from 'low' on, which weigh the same each, so many, from the first on. */
struct kept_tokens {
    float low, high;
    u64 tie_weight;
    uint32_t ties;
};

static __device__ __forceinline__ void list_token(float logit, uint32_t token, shared_row *shared)
{
    if (*(volatile uint32_t *)&shared->listed >= LISTED) return;
    const uint32_t at = atomicAdd(&shared->listed, (uint32_t)1);
    if (at >= LISTED) return;
    shared->logit[at] = logit;
    shared->token[at] = token;
}

/*
 * By part: the sum of what lies above 'high', and how many tokens lie from 'low' on; these are listed, as far as there
 * is room. Returns how many they are.
 */
template <bool backward>
static __device__ __forceinline__ uint32_t survey(const sample_row &row, float low, float high, shared_row *shared)
{
    const uint32_t warp = threadIdx.x / EGG_WARP;
    if (threadIdx.x == 0) shared->listed = 0;
    __syncthreads();
    u64 sum = 0;
    uint32_t within = 0;
    visit_part<2, backward>(row.logits, part_of(warp, row.n), [&](float logit, uint32_t token) {
        if (logit > high && logit >= low) sum += weight_of(row, logit);
        else if (logit >= low) within++, list_token(logit, token, shared);
    });
    sum = egg_warp_sum(sum);
    within = egg_warp_sum(within);
    if (threadIdx.x % EGG_WARP == 0) shared->sum_of_part[warp] = sum, shared->ties_of_part[warp] = within;
    __syncthreads();
    uint32_t all = 0;
    for (uint32_t w = 0; w < WARPS; w++) all += shared->ties_of_part[w];
    return all;
}

/* All bounds of a survey become those of the key that was found in its list. */
static __device__ __forceinline__ void settle_listed(const sample_row &row, float least, uint32_t listed,
                                                     shared_row *shared)
{
    clear_bins(shared);   /* one a part */
    if (threadIdx.x < WARPS) shared->ties_of_part[threadIdx.x] = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < listed; i += THREADS) {
        const float logit = shared->logit[i];
        const uint32_t part = shared->token[i] / part_length(row.n);
        if (logit > least) add_to_bin(part, weight_of(row, logit), shared);
        else if (logit == least) atomicAdd(&shared->ties_of_part[part], (uint32_t)1);
    }
    __syncthreads();
    if (threadIdx.x < WARPS) shared->sum_of_part[threadIdx.x] += bin_sum(threadIdx.x, shared);
    __syncthreads();
}

/* The logit where top_p ends. Parts are surveyed afterwards. */
static __device__ __forceinline__ kept_tokens find_kept(const sample_row &row, double top_p, float worst,
                                                        shared_row *shared)
{
    u64 wanted;
    key_range range = find_octaves(row, top_p, key_of(fmaxf(row.floor, worst)), &wanted, shared);
    uint32_t within = survey<false>(row, logit_of(range.low), logit_of(range.high), shared);
    while (range.low < range.high && within > LISTED) {   /* of very many nearly equal logits */
        narrow(row, wanted, &range, [&](auto visit) {
            visit_part<2, true>(row.logits, part_of(threadIdx.x / EGG_WARP, row.n),
                                [&](float logit, uint32_t) { visit(logit); });
        }, shared);
        within = survey<false>(row, logit_of(range.low), logit_of(range.high), shared);
    }
    const bool by_list = range.low < range.high;
    while (range.low < range.high)
        narrow(row, wanted, &range, [&](auto visit) {
            for (uint32_t i = threadIdx.x; i < within; i += THREADS) visit(shared->logit[i]);
        }, shared);
    const float least = logit_of(range.low);
    if (by_list) settle_listed(row, least, within, shared);
    const u64 each = weight_of(row, least);
    return {least, least, each, (uint32_t)((wanted - range.above + each - 1) / each)};
}

/* ------------------------------------------------------------------------------------------------------- drawing */

/* Of 'ties' tokens after 'before' others of the same weight: the sum of those that are kept. */
static __device__ __forceinline__ u64 tie_sum(const kept_tokens &kept, uint32_t before, uint32_t ties)
{
    return kept.tie_weight * min(ties, kept.ties - min(kept.ties, before));
}

/* A place in the sum of what is kept, by the numbers of the tokens. */
struct draw_place {
    uint32_t warp;    /* whose part it is in */
    u64 point;        /* from the part's beginning */
    uint32_t ties;    /* before that */
};

static __device__ __forceinline__ draw_place find_part(const kept_tokens &kept, double uniform,
                                                       const shared_row *shared)
{
    u64 total = 0;
    uint32_t ties = 0;
    EGG_NO_UNROLL   /* or registers do not suffice */
    for (uint32_t w = 0; w < WARPS; w++) {
        total += shared->sum_of_part[w] + tie_sum(kept, ties, shared->ties_of_part[w]);
        ties += shared->ties_of_part[w];
    }
    draw_place place = {0, min((u64)(uniform * (double)total), total - 1), 0};
    EGG_NO_UNROLL
    for (; place.warp < WARPS - 1; place.warp++) {
        const u64 own = shared->sum_of_part[place.warp] + tie_sum(kept, place.ties, shared->ties_of_part[place.warp]);
        if (place.point < own) break;
        place.point -= own;
        place.ties += shared->ties_of_part[place.warp];
    }
    return place;
}

/* The first token in [first, end) at which the sum passes 'point'. */
static __device__ __forceinline__ uint32_t walk(const sample_row &row, const kept_tokens &kept, token_span span,
                                                uint32_t ties, u64 point)
{
    EGG_NO_UNROLL
    for (uint32_t token = span.first; token < span.end; token++) {
        const float logit = row.logits[token];
        if (!(logit >= kept.low)) continue;
        const u64 own = logit > kept.high ? weight_of(row, logit) : tie_sum(kept, ties, 1);
        if (point < own) return token;
        point -= own;
        ties += logit <= kept.high;
    }
    return span.end - 1;   /* never */
}

/* Divides the part where the chosen token is once more: each thread sums up a few tokens, and one goes through them. */
static __device__ __forceinline__ void draw(const sample_row &row, const kept_tokens &kept, double uniform,
                                            uint32_t *chosen, shared_row *shared)
{
    const draw_place place = find_part(kept, uniform, shared);
    const token_span part = part_of(place.warp, row.n);
    const uint32_t each = egg_divide_up<uint32_t>(part.end - part.first, THREADS * QUAD) * QUAD;
    const uint32_t first = min(part.first + threadIdx.x * each, part.end);
    const token_span own = {first, min(first + each, part.end)};
    u64 sum = 0, total;
    uint32_t ties = 0;
    EGG_NO_UNROLL
    for (uint32_t token = own.first; token < own.end; token++) {
        const float logit = row.logits[token];
        if (logit > kept.high && logit >= kept.low) sum += weight_of(row, logit);
        else ties += logit >= kept.low;
    }
    const uint32_t ties_before = place.ties + (uint32_t)sum_before(ties, &total, shared);
    sum += tie_sum(kept, ties_before, ties);
    const u64 before = sum_before(sum, &total, shared);
    if (place.point >= before && place.point - before < sum)
        *chosen = walk(row, kept, own, ties_before, place.point - before);
}

/* 'worst': the smallest logit. Bins spread over what the row has, or over as much of it as matters. */
static __device__ __forceinline__ sample_row row_of(const float *logits, uint32_t n, const sample_rule &rule,
                                                    float best, float worst)
{
    const double spread = min((double)best - worst, rule.settled_reach);
    return {logits, n, rule.scale, rule.least_weight, best,
            fmaxf((float)(best - rule.reach), -FLT_MAX),   /* to nearest: logits below the float are below the double */
            spread > 0 ? (float)min(BINS / spread, 1e38) : 0};
}

static __global__ void __launch_bounds__(THREADS, 2) sample(const egg_sample_args args, const sample_rule rule)
{
    EGG_STATIC_SHARED(shared_row, shared, 1);
    const uint32_t n = args.n;
    const float *logits = args.logits + (size_t)blockIdx.x * n;
    uint32_t *const token = args.token + blockIdx.x;
    float best = INFINITY, worst = 0;
    if (args.temperature != 0) find_limits(logits, n, &best, &worst, shared);
    if (fabsf(best) > FLT_MAX || args.min_p > 1) {   /* besides infinities nothing has a probability */
        const uint32_t likeliest = find_likeliest(logits, n, shared);
        if (threadIdx.x == 0) *token = likeliest;
        return;   /* all of the block */
    }
    const sample_row row = row_of(logits, n, rule, best, worst);
    kept_tokens kept = {row.floor, -INFINITY, 0, 0};   /* all */
    if (args.top_p < 1) kept = find_kept(row, args.top_p, worst, shared);
    else survey<true>(row, kept.low, kept.high, shared);
    draw(row, kept, args.uniform[blockIdx.x], token, shared);
}

/* With a hundredth of an octave to spare, since it is weight_of() that decides. */
static sample_rule rule_of(const egg_sample_args *args)
{
    const double log2_e = 1.4426950408889634, spare = 0.01;
    const double scale = fmin(log2_e / args->temperature, 1e300);
    const double octaves = fmin(ONE_SHIFT + 1, -log2(args->min_p)) + spare;
    const double settled = fmin(octaves, log2(args->n / (1 - args->top_p)) + spare);
    return {scale, ldexp(args->min_p, ONE_SHIFT), octaves / scale, settled / scale};
}

static void launch_sample(const egg_sample_args *args)
{
    if (args->rows) EGG_LAUNCH(sample, dim3(args->rows), dim3(THREADS), 0, *args, rule_of(args));
}

extern "C" void egg_cuda_sample(egg_kernels *kernels)
{
    kernels->sample_f32 = launch_sample;
}
