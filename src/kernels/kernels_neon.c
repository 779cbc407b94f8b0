/* SPDX-License-Identifier: MIT */
/*
 * Armv8.2-A NEON with the dot product instructions (sdot, udot): 32 registers of 16 bytes. sdot multiplies signed by
 * signed bytes, four to a 32-bit lane, so int8 products need no offset. Chosen by reasoning for cores that start 2
 * (Neoverse N1) to 4 (Neoverse V1, Apple M1) sdot a cycle, with a latency of about 3 cycles.
 *
 * Compile with -ffp-contract=off: the float32 noise is bit-equal on all machines, so no multiply may fuse with an add.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/loss_tables.h"
#include "kernels/neon/level.h"

EGG_INLINE int8x16_t at_least_minus_127(int8x16_t x)
{
    return vmaxq_s8(x, vdupq_n_s8(-127));
}

/* I8() of 16 values of 16 bits, and of 8 values of 32 bits */
EGG_INLINE int8x16_t clip_s16(int16x8_t low, int16x8_t high)
{
    return at_least_minus_127(vqmovn_high_s16(vqmovn_s16(low), high));
}

EGG_INLINE int8x8_t clip_s32(int32x4_t low, int32x4_t high)
{
    return vmax_s8(vqmovn_s16(vqmovn_high_s32(vqmovn_s32(low), high)), vdup_n_s8(-127));
}

/* A row and whose it is: counted along, because division would cost more than the dot product of a short row. */
typedef struct row_at {
    uint32_t row, member, step;
} row_at;

EGG_INLINE void row_next(row_at *at, uint32_t steps)
{
    at->row++;
    if (++at->step == steps) {
        at->step = 0;
        at->member++;
    }
}

/* ---------------------------------------------------------------------------------------------------------- noise */

/* Four blocks side by side: lane b of word[i] is word i of block b. */
typedef struct four_blocks {
    uint32x4_t word[4];
} four_blocks;

typedef four_blocks convert_fn(four_blocks random);

#define MIX(a, b, left)                                                                                                \
    do {                                                                                                               \
        a = vaddq_u32(a, b);                                                                                           \
        b = veorq_u32(vsriq_n_u32(vshlq_n_u32(b, left), b, 32 - (left)), a);                                           \
    } while (0)

/* The four mixes of a round are independent of each other; that hides the latency of the four steps of one. */
#define ROUND(p, q, left_p, left_q)                                                                                    \
    do {                                                                                                               \
        MIX(x.word[0], x.word[p], left_p);                                                                             \
        MIX(y.word[0], y.word[p], left_p);                                                                             \
        MIX(x.word[2], x.word[q], left_q);                                                                             \
        MIX(y.word[2], y.word[q], left_q);                                                                             \
    } while (0)

#define INJECT(injection)                                                                                              \
    do {                                                                                                               \
        inject(&x, schedule, injection);                                                                               \
        inject(&y, schedule, injection);                                                                               \
    } while (0)

EGG_INLINE void inject(four_blocks *x, const uint32_t schedule[5], uint32_t injection)
{
    x->word[0] = vaddq_u32(x->word[0], vdupq_n_u32(schedule[injection % 5]));
    x->word[1] = vaddq_u32(x->word[1], vdupq_n_u32(schedule[(injection + 1) % 5]));
    x->word[2] = vaddq_u32(x->word[2], vdupq_n_u32(schedule[(injection + 2) % 5]));
    x->word[3] = vaddq_u32(x->word[3], vdupq_n_u32(schedule[(injection + 3) % 5] + injection));
}

/* Stores 64 bytes, block after block. */
EGG_INLINE void store_blocks(uint8_t *out, four_blocks x)
{
    uint32x4_t even_low = vzip1q_u32(x.word[0], x.word[2]), odd_low = vzip1q_u32(x.word[1], x.word[3]);
    uint32x4_t even_high = vzip2q_u32(x.word[0], x.word[2]), odd_high = vzip2q_u32(x.word[1], x.word[3]);
    vst1q_u8(out, vreinterpretq_u8_u32(vzip1q_u32(even_low, odd_low)));
    vst1q_u8(out + 16, vreinterpretq_u8_u32(vzip2q_u32(even_low, odd_low)));
    vst1q_u8(out + 32, vreinterpretq_u8_u32(vzip1q_u32(even_high, odd_high)));
    vst1q_u8(out + 48, vreinterpretq_u8_u32(vzip2q_u32(even_high, odd_high)));
}

/* Threefry4x32-12 (random/noise.c) of eight consecutive blocks; 128 bytes of converted numbers. */
EGG_INLINE void noise_of_eight_blocks(const uint32_t schedule[5], const uint32_t counter[4], convert_fn *convert,
                                      uint8_t *out)
{
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    four_blocks x = {{vaddq_u32(vdupq_n_u32(counter[0]), vld1q_u32(lanes)), vdupq_n_u32(counter[1]),
                      vdupq_n_u32(counter[2]), vdupq_n_u32(counter[3])}};
    four_blocks y = {{vaddq_u32(x.word[0], vdupq_n_u32(4)), x.word[1], x.word[2], x.word[3]}};
    INJECT(0);
    ROUND(1, 3, 10, 26);
    ROUND(3, 1, 11, 21);
    ROUND(1, 3, 13, 27);
    ROUND(3, 1, 23, 5);
    INJECT(1);
    ROUND(1, 3, 6, 20);
    ROUND(3, 1, 17, 11);
    ROUND(1, 3, 25, 10);
    ROUND(3, 1, 18, 20);
    INJECT(2);
    ROUND(1, 3, 10, 26);
    ROUND(3, 1, 11, 21);
    ROUND(1, 3, 13, 27);
    ROUND(3, 1, 23, 5);
    INJECT(3);
    store_blocks(out, convert(x));
    store_blocks(out + 64, convert(y));
}

/* 'blocks' blocks of each stream. A block makes 16 bytes of either kind of number. */
EGG_INLINE void noise(const egg_noise_args *args, uint32_t first, size_t blocks, size_t stride, convert_fn *convert)
{
    const uint32_t *key = args->key.word;
    const uint32_t schedule[5] = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]};
    for (uint32_t p = 0; p < args->pairs; p++) {
        uint8_t *out = (uint8_t *)args->out + p * stride;
        uint32_t counter[4] = {first, args->at.pair + p, args->at.epoch, 2 * args->at.param + args->at.side};
        size_t left = blocks;
        for (; left >= 8; left -= 8, counter[0] += 8, out += 128)
            noise_of_eight_blocks(schedule, counter, convert, out);
        if (left) {
            uint8_t rest[128];
            noise_of_eight_blocks(schedule, counter, convert, rest);
            memcpy(out, rest, 16 * left);
        }
    }
}

/* egg_normal_i8 of 16 bytes. A table look-up gives 0 or keeps its first operand where the index is beyond 63. */
EGG_INLINE uint32x4_t normal_i8(uint32x4_t random)
{
    const int8x16x4_t low = vld1q_s8_x4(egg_normal_i8_magnitude), high = vld1q_s8_x4(egg_normal_i8_magnitude + 64);
    uint8x16_t bytes = vreinterpretq_u8_u32(random), index = vandq_u8(bytes, vdupq_n_u8(127));
    int8x16_t magnitude = vqtbx4q_s8(vqtbl4q_s8(low, index), high, vsubq_u8(index, vdupq_n_u8(64)));
    int8x16_t negative = vshrq_n_s8(vreinterpretq_s8_u8(bytes), 7);
    return vreinterpretq_u32_s8(vsubq_s8(veorq_s8(magnitude, negative), negative));
}

EGG_INLINE four_blocks normals_i8(four_blocks random)
{
    return (four_blocks){{normal_i8(random.word[0]), normal_i8(random.word[1]), normal_i8(random.word[2]),
                          normal_i8(random.word[3])}};
}

static void noise_i8(const egg_noise_args *args)
{
    noise(args, (uint32_t)(args->first / EGG_NOISE_BLOCK_I8), args->n / EGG_NOISE_BLOCK_I8, args->out_stride,
          normals_i8);
}

/* ln(x), the operations of log_f32 in random/noise.c in the same order */
EGG_INLINE float32x4_t log_f32(float32x4_t x)
{
    const uint32x4_t root_half = vdupq_n_u32(0x3F3504F3);
    uint32x4_t bits = vreinterpretq_u32_f32(x);
    int32x4_t exponent = vshrq_n_s32(vreinterpretq_s32_u32(vsubq_u32(bits, root_half)), 23);
    float32x4_t m = vreinterpretq_f32_u32(vsubq_u32(bits, vshlq_n_u32(vreinterpretq_u32_s32(exponent), 23)));
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t s = vdivq_f32(vsubq_f32(m, one), vaddq_f32(m, one)), z = vmulq_f32(s, s);
    float32x4_t series = vdupq_n_f32(2.0f / 9.0f);
    series = vaddq_f32(vmulq_f32(series, z), vdupq_n_f32(2.0f / 7.0f));
    series = vaddq_f32(vmulq_f32(series, z), vdupq_n_f32(2.0f / 5.0f));
    series = vaddq_f32(vmulq_f32(series, z), vdupq_n_f32(2.0f / 3.0f));
    series = vaddq_f32(vmulq_f32(series, z), vdupq_n_f32(2.0f));
    return vaddq_f32(vmulq_f32(vcvtq_f32_s32(exponent), vdupq_n_f32(0.693147181f)), vmulq_f32(s, series));
}

/* egg_normal_f32 of four pairs of words, in the same order of operations */
EGG_INLINE void normal_f32(uint32x4_t first, uint32x4_t second, uint32x4_t *out_0, uint32x4_t *out_1)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t uniform = vaddq_f32(vcvtq_f32_u32(vshrq_n_u32(first, 9)), vdupq_n_f32(0.5f));
    uniform = vmulq_f32(uniform, vdupq_n_f32(0x1p-23f));
    float32x4_t radius = vsqrtq_f32(vmulq_f32(vdupq_n_f32(-2.0f), log_f32(uniform)));

    float32x4_t t = vcvtq_f32_s32(vreinterpretq_s32_u32(vshlq_n_u32(second, 2)));
    t = vmulq_f32(t, vdupq_n_f32(1.57079633f * 0x1p-32f));
    float32x4_t z = vmulq_f32(t, t);
    float32x4_t sine = vaddq_f32(vdupq_n_f32(8.33333333e-3f), vmulq_f32(z, vdupq_n_f32(-1.98412698e-4f)));
    sine = vaddq_f32(vdupq_n_f32(-1.66666667e-1f), vmulq_f32(z, sine));
    sine = vmulq_f32(t, vaddq_f32(one, vmulq_f32(z, sine)));
    float32x4_t cosine = vaddq_f32(vdupq_n_f32(-1.38888889e-3f), vmulq_f32(z, vdupq_n_f32(2.48015873e-5f)));
    cosine = vaddq_f32(vdupq_n_f32(4.16666667e-2f), vmulq_f32(z, cosine));
    cosine = vaddq_f32(vdupq_n_f32(-0.5f), vmulq_f32(z, cosine));
    cosine = vaddq_f32(one, vmulq_f32(z, cosine));

    /* The quarter q is in the top bits of 'second': odd ones swap, 1 and 2 negate the first, 2 and 3 the second. */
    const uint32x4_t sign = vdupq_n_u32(0x80000000);
    uint32x4_t swap = vtstq_u32(second, vdupq_n_u32(0x40000000));
    uint32x4_t negate_0 = vandq_u32(veorq_u32(second, vshlq_n_u32(second, 1)), sign);
    uint32x4_t negate_1 = vandq_u32(second, sign);
    float32x4_t c = vmulq_f32(radius, vbslq_f32(swap, sine, cosine));
    float32x4_t s = vmulq_f32(radius, vbslq_f32(swap, cosine, sine));
    *out_0 = veorq_u32(vreinterpretq_u32_f32(c), negate_0);
    *out_1 = veorq_u32(vreinterpretq_u32_f32(s), negate_1);
}

EGG_INLINE four_blocks normals_f32(four_blocks random)
{
    four_blocks out;
    normal_f32(random.word[0], random.word[1], &out.word[0], &out.word[1]);
    normal_f32(random.word[2], random.word[3], &out.word[2], &out.word[3]);
    return out;
}

static void noise_f32(const egg_noise_args *args)
{
    noise(args, (uint32_t)(args->first / EGG_NOISE_BLOCK_F32), args->n / EGG_NOISE_BLOCK_F32,
          args->out_stride * sizeof(float), normals_f32);
}

/* ----------------------------------------------------------------------------------- the perturbed matrix product */

/*
 * The tile is 8 rows by 8 outputs: 16 accumulators, 8 registers of inputs (16 of each row, taken lane by lane), 2 of
 * weights; 26 of 32. It needs 16 loads for 64 sdot, below the one load for two sdot that every such core can make, and
 * 16 independent sums cover 4 sdot a cycle at a latency of 4. 6 x 16 would load 8 % less but leave no register to fetch
 * weights ahead; 4 x 16 loads 25 % more. Accumulators have names because gcc keeps arrays of vectors in memory. The
 * shorter tiles are for the last rows of a block.
 *
 * packed: [out / 8][in / 4][8 outputs][4 inputs], read front to back.
 */
enum {
    PANEL = 8,
    ROW_BLOCK_BYTES = 32768   /* inputs that stay in the first-level cache while all weights pass by */
};

static size_t packed_bytes_i8(uint32_t out, uint32_t in)
{
    return (size_t)out * in;
}

static void pack_i8(const void *W, uint32_t out, uint32_t in, void *packed)
{
    const int8_t *from = W;
    int8_t *to = packed;
    for (uint32_t panel = 0; panel < out; panel += PANEL)
        for (uint32_t i = 0; i < in; i += 4)
            for (uint32_t o = panel; o < panel + PANEL; o++, to += 4) memcpy(to, from + (size_t)o * in + i, 4);
}

/* in % 16 == 0 */
static int32_t dot(const int8_t *x, const int8_t *y, uint32_t in)
{
    int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
    uint32_t i = 0;
    for (; in - i >= 64; i += 64) {
        a = vdotq_s32(a, vld1q_s8(x + i), vld1q_s8(y + i));
        b = vdotq_s32(b, vld1q_s8(x + i + 16), vld1q_s8(y + i + 16));
        c = vdotq_s32(c, vld1q_s8(x + i + 32), vld1q_s8(y + i + 32));
        d = vdotq_s32(d, vld1q_s8(x + i + 48), vld1q_s8(y + i + 48));
    }
    for (; i < in; i += 16) a = vdotq_s32(a, vld1q_s8(x + i), vld1q_s8(y + i));
    return vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)));
}

static void shrink_i8(const egg_shrink_args *args)
{
    int32_t *t = args->t;
    for (row_at at = {0}; at.row < args->rows; row_next(&at, args->steps)) {
        const int8_t *x = (const int8_t *)args->X + at.row * args->x_stride;
        const int8_t *B = (const int8_t *)args->B + (size_t)(at.member / 2) * args->rank * args->in;
        int64_t factor = at.member % 2 ? -args->scale : args->scale;
        for (uint32_t k = 0; k < args->rank; k++, B += args->in) *t++ = (int32_t)((factor * dot(x, B, args->in)) >> 8);
    }
}

EGG_INLINE void finish_row(const egg_linear_args *args, row_at *at, uint32_t o, int32x4_t low, int32x4_t high)
{
    if (args->A) {
        const int8_t *A = (const int8_t *)args->A + (size_t)(at->member / 2) * args->rank * args->out + o;
        const int32_t *t = (const int32_t *)args->t + (size_t)at->row * args->rank;
        int32x4_t noise_low = vdupq_n_s32(0), noise_high = noise_low, right = vdupq_n_s32(-(int32_t)args->noise_shift);
        for (uint32_t k = 0; k < args->rank; k++, A += args->out) {
            int16x8_t a = vmovl_s8(vld1_s8(A));
            noise_low = vmlaq_n_s32(noise_low, vmovl_s16(vget_low_s16(a)), t[k]);
            noise_high = vmlaq_n_s32(noise_high, vmovl_high_s16(a), t[k]);
        }
        low = vaddq_s32(low, vshlq_s32(noise_low, right));
        high = vaddq_s32(high, vshlq_s32(noise_high, right));
    }
    int32x4_t right = vdupq_n_s32(-(int32_t)args->shift);
    int8_t *y = (int8_t *)args->Y + at->row * args->y_stride + o;
    vst1_s8(y, clip_s32(vshlq_s32(low, right), vshlq_s32(high, right)));
    row_next(at, args->steps);
}

#define EACH_1(DO, argument) DO(0, argument)
#define EACH_4(DO, argument) DO(0, argument) DO(1, argument) DO(2, argument) DO(3, argument)
#define EACH_8(DO, argument)                                                                                           \
    EACH_4(DO, argument) DO(4, argument) DO(5, argument) DO(6, argument) DO(7, argument)

#define ROW_BEGIN(r, X)                                                                                                \
    const int8_t *x##r = (const int8_t *)(X) + (at->row + r) * args->x_stride;                                         \
    int32x4_t low##r = vdupq_n_s32(0), high##r = low##r;
#define ROW_LOAD(r, i) int8x16_t inputs##r = vld1q_s8(x##r + (i));
#define ROW_DOT(r, lane)                                                                                               \
    low##r = vdotq_laneq_s32(low##r, w_low, inputs##r, lane);                                                          \
    high##r = vdotq_laneq_s32(high##r, w_high, inputs##r, lane);
#define ROW_FINISH(r, o) finish_row(args, at, o, low##r, high##r);

#define TILE_STEP(ROWS, lane)                                                                                          \
    do {                                                                                                               \
        int8x16_t w_low = vld1q_s8(W + 32 * (lane)), w_high = vld1q_s8(W + 32 * (lane) + 16);                          \
        EACH_##ROWS(ROW_DOT, lane)                                                                                     \
    } while (0)

/* Outputs [o, o + PANEL) of ROWS rows from 'at', which moves on. Every size adds in the same order. */
#define DEFINE_LINEAR_TILE(ROWS)                                                                                       \
    static void linear_tile_##ROWS(const egg_linear_args *args, row_at *at, uint32_t o)                                \
    {                                                                                                                  \
        const int8_t *W = (const int8_t *)args->W + (size_t)o * args->in;                                              \
        EACH_##ROWS(ROW_BEGIN, args->X)                                                                                \
        for (uint32_t i = 0; i < args->in; i += 16, W += 16 * PANEL) {                                                 \
            EACH_##ROWS(ROW_LOAD, i)                                                                                   \
            TILE_STEP(ROWS, 0);                                                                                        \
            TILE_STEP(ROWS, 1);                                                                                        \
            TILE_STEP(ROWS, 2);                                                                                        \
            TILE_STEP(ROWS, 3);                                                                                        \
        }                                                                                                              \
        EACH_##ROWS(ROW_FINISH, o)                                                                                     \
    }

DEFINE_LINEAR_TILE(8)
DEFINE_LINEAR_TILE(4)
DEFINE_LINEAR_TILE(1)

static void linear_i8(const egg_linear_args *args)
{
    uint32_t block = ROW_BLOCK_BYTES / args->in / 8 * 8;
    if (block < 8) block = 8;
    for (uint32_t first = 0; first < args->rows; first += block) {
        uint32_t end = args->rows - first < block ? args->rows : first + block;
        const row_at start = {.row = first, .member = first / args->steps, .step = first % args->steps};
        for (uint32_t o = 0; o < args->out; o += PANEL) {
            row_at at = start;
            while (end - at.row >= 8) linear_tile_8(args, &at, o);
            while (end - at.row >= 4) linear_tile_4(args, &at, o);
            while (end - at.row >= 1) linear_tile_1(args, &at, o);
        }
    }
}

/* ------------------------------------------------------------------------------------ perturbed tables and vectors */

/* Eight sums of products of two int8 factors. */
typedef struct sums {
    int32x4_t low, high;
} sums;

EGG_INLINE sums sums_add(sums s, int8x8_t a, int8x8_t b)
{
    int16x8_t product = vmull_s8(a, b);
    return (sums){vaddw_s16(s.low, vget_low_s16(product)), vaddw_high_s16(s.high, product)};
}

/* I8(w + ((factor * s) >> shift)), 'right' being -shift */
EGG_INLINE int8x8_t perturbed(int8x8_t w, sums s, int32_t factor, int32x4_t right)
{
    int16x8_t wide = vmovl_s8(w);
    int32x4_t low = vshlq_s32(vmulq_n_s32(s.low, factor), right), high = vshlq_s32(vmulq_n_s32(s.high, factor), right);
    return clip_s32(vaddw_s16(low, vget_low_s16(wide)), vaddw_high_s16(high, wide));
}

static void embed_i8(const egg_embed_args *args)
{
    uint32_t n = args->n;
    const int32x4_t right = vdupq_n_s32(-(int32_t)(8 + args->noise_shift));
    for (row_at at = {0}; at.row < args->rows; row_next(&at, args->steps)) {
        uint32_t v = args->tokens[at.row];
        const int8_t *w = (const int8_t *)args->W + (size_t)v * n;
        int8_t *y = (int8_t *)args->Y + (size_t)at.row * n;
        if (!args->A) {
            memcpy(y, w, n);
            continue;
        }
        size_t first = (size_t)(at.member / 2) * args->rank;   /* component */
        const int8_t *A = (const int8_t *)args->A + first * args->vocabulary + v;
        const int8_t *B = (const int8_t *)args->B + first * n;
        int32_t factor = at.member % 2 ? -args->scale : args->scale;
        for (uint32_t i = 0; i < n; i += 8) {
            sums s = {vdupq_n_s32(0), vdupq_n_s32(0)};
            for (uint32_t k = 0; k < args->rank; k++)
                s = sums_add(s, vdup_n_s8(A[(size_t)k * args->vocabulary]), vld1_s8(B + (size_t)k * n + i));
            vst1_s8(y + i, perturbed(vld1_s8(w + i), s, factor, right));
        }
    }
}

static void perturb_vector_i8(const egg_perturb_vector_args *args)
{
    const int8_t *w = args->w;
    uint32_t n = args->n;
    const int32x4_t right = vdupq_n_s32(-(int32_t)(8 + args->noise_shift));
    for (uint32_t p = 0; p < args->pairs; p++) {
        const int8_t *A = (const int8_t *)args->A + (size_t)p * args->rank * n;
        const int8_t *B = (const int8_t *)args->B + (size_t)p * args->rank * n;
        int8_t *plus = (int8_t *)args->out + (size_t)2 * p * n, *minus = plus + n;
        for (uint32_t i = 0; i < n; i += 8) {
            sums s = {vdupq_n_s32(0), vdupq_n_s32(0)};
            for (uint32_t k = 0; k < args->rank; k++)
                s = sums_add(s, vld1_s8(A + (size_t)k * n + i), vld1_s8(B + (size_t)k * n + i));
            vst1_s8(plus + i, perturbed(vld1_s8(w + i), s, args->scale, right));
            vst1_s8(minus + i, perturbed(vld1_s8(w + i), s, -args->scale, right));
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- elementwise */

/*
 * floor(u / d) for 1 <= d <= 127 and 0 <= u < 2^14 as (u * reciprocal) >> (14 + shift), exact wherever it is below 128;
 * elsewhere the result is at least 128 too, which is all that a clip to 127 asks for.
 *
 * Proof. Let shift = ceil(log2 d), N = 2^(14 + shift), reciprocal = ceil(N / d) = (N + e) / d with 0 <= e < d; it is at
 * most 2^14 for powers of 2 and below 2^15 for others. u * reciprocal / N = u/d + u*e / (d*N): never below u/d. Where
 * u < 128 d the excess is below 128 (d - 1) / N <= 128 * 126 / (2^14 * d) < 1/d: too little to reach the next integer.
 */
typedef struct divisor {
    int16x8_t reciprocal, right;
} divisor;

static divisor divisor_of(uint32_t d)
{
    uint32_t shift = d > 1 ? 32 - (uint32_t)__builtin_clz(d - 1) : 0;
    uint32_t reciprocal = ((1u << (14 + shift)) + d - 1) / d;
    return (divisor){vdupq_n_s16((int16_t)reciprocal), vdupq_n_s16(-(int16_t)shift)};
}

/* floor(x / d), exact in [-128, 127] and beyond that range elsewhere. floor(x / d) = ~floor(~x / d) where x < 0. */
EGG_INLINE int16x8_t floor_divide(int16x8_t x, divisor d)
{
    int16x8_t negative = vshrq_n_s16(x, 15), u = veorq_s16(x, negative);
    int16x8_t high = vqdmulhq_s16(vshlq_n_s16(u, 1), d.reciprocal);   /* (u * reciprocal) >> 14 */
    return veorq_s16(vshlq_s16(high, d.right), negative);
}

static uint32_t sum_of_magnitudes(const int8_t *x, uint32_t n)
{
    uint32x4_t sum = vdupq_n_u32(0);
    for (uint32_t i = 0; i < n; i += 16)
        sum = vdotq_u32(sum, vreinterpretq_u8_s8(vabsq_s8(vld1q_s8(x + i))), vdupq_n_u8(1));
    return vaddvq_u32(sum);
}

static void layer_norm_i8(const egg_layer_norm_args *args)
{
    for (row_at at = {0}; at.row < args->rows; row_next(&at, args->steps)) {
        const int8_t *x = (const int8_t *)args->X + at.row * args->x_stride;
        const int8_t *w = (const int8_t *)args->w + at.member * args->w_stride;
        int8_t *y = (int8_t *)args->Y + at.row * args->y_stride;
        uint32_t mav = sum_of_magnitudes(x, args->n) / args->n;
        divisor d = divisor_of(mav ? mav : 1);
        for (uint32_t i = 0; i < args->n; i += 16) {
            int8x16_t xs = vld1q_s8(x + i), ws = vld1q_s8(w + i);
            int16x8_t low = floor_divide(vmull_s8(vget_low_s8(xs), vget_low_s8(ws)), d);
            int16x8_t high = floor_divide(vmull_high_s8(xs, ws), d);
            vst1q_s8(y + i, clip_s16(low, high));
        }
    }
}

static void add_i8(void *Y, const void *X, size_t n)
{
    int8_t *y = Y;
    const int8_t *x = X;
    for (size_t i = 0; i < n; i += 16) vst1q_s8(y + i, at_least_minus_127(vqaddq_s8(vld1q_s8(y + i), vld1q_s8(x + i))));
}

/* I8(a + b + bias) */
EGG_INLINE int8x16_t gru_sum(const int8_t *a, const int8_t *b, const int8_t *bias)
{
    int8x16_t as = vld1q_s8(a), bs = vld1q_s8(b), biases = vld1q_s8(bias);
    int16x8_t low = vaddw_s8(vaddl_s8(vget_low_s8(as), vget_low_s8(bs)), vget_low_s8(biases));
    int16x8_t high = vaddw_high_s8(vaddl_high_s8(as, bs), biases);
    return clip_s16(low, high);
}

static void gru_gate_i8(const egg_gru_args *args)
{
    const int16x8_t offset = vdupq_n_s16(127);
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *a = args->a + b * args->a_stride, *bias = args->bias + b * args->bias_stride;
        const int8_t *state = args->state + b * args->state_stride;
        size_t row = (size_t)b * args->n;
        for (uint32_t i = 0; i < args->n; i += 16) {
            int8x16_t f = gru_sum(a + i, args->b + row + i, bias + i), s = vld1q_s8(state + i);
            int16x8_t low = vmulq_s16(vaddw_s8(offset, vget_low_s8(f)), vmovl_s8(vget_low_s8(s)));
            int16x8_t high = vmulq_s16(vaddw_high_s8(offset, f), vmovl_high_s8(s));   /* |.| <= 254 * 127 < 2^15 */
            vst1q_s8(args->f + row + i, f);
            vst1q_s8(args->g + row + i, vshrn_high_n_s16(vshrn_n_s16(low, 8), high, 8));
        }
    }
}

/* state + ((gate * (candidate - state)) >> 8), the product in 32 bits */
EGG_INLINE int8x8_t blend(int16x8_t gate, int8x8_t candidate, int8x8_t state)
{
    int16x8_t difference = vsubl_s8(candidate, state);
    int32x4_t low = vmull_s16(vget_low_s16(gate), vget_low_s16(difference)), high = vmull_high_s16(gate, difference);
    return vmovn_s16(vaddw_s8(vshrn_high_n_s32(vshrn_n_s32(low, 8), high, 8), state));
}

static void gru_blend_i8(const egg_gru_args *args)
{
    const int16x8_t offset = vdupq_n_s16(127);
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *a = args->a + b * args->a_stride, *bias = args->bias + b * args->bias_stride;
        int8_t *state = args->state + b * args->state_stride, *y = args->Y + b * args->y_stride;
        size_t row = (size_t)b * args->n;
        for (uint32_t i = 0; i < args->n; i += 16) {
            int8x16_t candidate = gru_sum(a + i, args->b + row + i, bias + i);
            int8x16_t f = vld1q_s8(args->f + row + i), s = vld1q_s8(state + i);
            int8x16_t h = vcombine_s8(
                blend(vaddw_s8(offset, vget_low_s8(f)), vget_low_s8(candidate), vget_low_s8(s)),
                blend(vaddw_high_s8(offset, f), vget_high_s8(candidate), vget_high_s8(s)));
            vst1q_s8(state + i, h);
            vst1q_s8(y + i, h);
        }
    }
}

/*
 * EXP2(y) is a mantissa, chosen by the low half of y, shifted right by 27 - y / 16 >= 12: the mantissa's low byte never
 * counts. That byte of the lane carries the shift instead, which is where the shift instruction looks for it.
 */
static void loss_i8(const egg_loss_args *args)
{
    const uint8x16x4_t mantissa = vld4q_u8((const uint8_t *)egg_exp2_mantissa);   /* by byte, 16 entries each */
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *logits = args->logits + b * args->stride;
        uint32x4_t sum = vdupq_n_u32(0);
        for (uint32_t k = 0; k < 256; k += 16) {
            uint8x16_t y = veorq_u8(vreinterpretq_u8_s8(vld1q_s8(logits + k)), vdupq_n_u8(128));
            uint8x16_t index = vandq_u8(y, vdupq_n_u8(15)), shift = vsubq_u8(vshrq_n_u8(y, 4), vdupq_n_u8(27));
            uint8x16_t byte_1 = vqtbl1q_u8(mantissa.val[1], index), byte_2 = vqtbl1q_u8(mantissa.val[2], index);
            uint8x16_t byte_3 = vqtbl1q_u8(mantissa.val[3], index);
            uint16x8x2_t low = vzipq_u16(vreinterpretq_u16_u8(vzip1q_u8(shift, byte_1)),
                                         vreinterpretq_u16_u8(vzip1q_u8(byte_2, byte_3)));
            uint16x8x2_t high = vzipq_u16(vreinterpretq_u16_u8(vzip2q_u8(shift, byte_1)),
                                          vreinterpretq_u16_u8(vzip2q_u8(byte_2, byte_3)));
            const uint16x8_t lanes[4] = {low.val[0], low.val[1], high.val[0], high.val[1]};
            for (int j = 0; j < 4; j++)
                sum = vaddq_u32(sum, vshlq_u32(vreinterpretq_u32_u16(lanes[j]), vreinterpretq_s32_u16(lanes[j])));
        }
        args->loss[b] = egg_log2_i32(vaddvq_u32(sum)) - (logits[args->targets[b]] + 128);
    }
}

/* --------------------------------------------------------------------------------------------------------- update */

static void weigh_i8(const int8_t *A, const int8_t *F, uint32_t pairs, size_t n, int8_t *out)
{
    for (uint32_t p = 0; p < pairs; p++, A += n, out += n) {
        const int8x16_t f = vdupq_n_s8(F[p]);
        for (size_t i = 0; i < n; i += 16) {
            int8x16_t a = vld1q_s8(A + i);
            int8x8_t low = vrshrn_n_s16(vmull_s8(vget_low_s8(a), vget_low_s8(f)), 6);   /* adds 32, then shifts */
            vst1q_s8(out + i, vrshrn_high_n_s16(low, vmull_high_s8(a, f), 6));
        }
    }
}

/* (count, n) to [n / 8][count / 4][8 columns][4 rows], rows of zeros added up to a multiple of 4 */
static void pack_columns(const int8_t *from, uint32_t count, uint32_t n, int8_t *to)
{
    for (uint32_t column = 0; column < n; column += PANEL)
        for (uint32_t q = 0; q < count; q += 4, to += 4 * PANEL) {
            int8x8x4_t rows;
            for (uint32_t j = 0; j < 4; j++)
                rows.val[j] = q + j < count ? vld1_s8(from + (size_t)(q + j) * n + column) : vdup_n_s8(0);
            vst4_s8(to, rows);
        }
}

#define COLUMN_BEGIN(r, unused) int32x4_t low##r = vdupq_n_s32(0), high##r = low##r;
#define COLUMN_DOT(r, lane, a)                                                                                         \
    low##r = vdotq_laneq_s32(low##r, b_low, a, lane);                                                                  \
    high##r = vdotq_laneq_s32(high##r, b_high, a, lane);
#define COLUMN_FINISH(r, unused)                                                                                       \
    vst1q_s32(Z + (r) * n, vaddq_s32(vld1q_s32(Z + (r) * n), low##r));                                                 \
    vst1q_s32(Z + (r) * n + 4, vaddq_s32(vld1q_s32(Z + (r) * n + 4), high##r));

/* Adds to 8 x 8 elements of Z (row stride n); the same tile as the linear product's, both operands packed. */
static void outer_tile(const int8_t *A, const int8_t *B, uint32_t groups, int32_t *Z, size_t n)
{
    EACH_8(COLUMN_BEGIN, _)
    for (uint32_t group = 0; group < groups; group++, A += 4 * PANEL, B += 4 * PANEL) {
        int8x16_t a_low = vld1q_s8(A), a_high = vld1q_s8(A + 16), b_low = vld1q_s8(B), b_high = vld1q_s8(B + 16);
        COLUMN_DOT(0, 0, a_low)
        COLUMN_DOT(1, 1, a_low)
        COLUMN_DOT(2, 2, a_low)
        COLUMN_DOT(3, 3, a_low)
        COLUMN_DOT(4, 0, a_high)
        COLUMN_DOT(5, 1, a_high)
        COLUMN_DOT(6, 2, a_high)
        COLUMN_DOT(7, 3, a_high)
    }
    EACH_8(COLUMN_FINISH, _)
}

static void outer_i8(const egg_outer_args *args)
{
    uint32_t groups = args->count / 4 + (args->count % 4 != 0);
    size_t depth = (size_t)groups * 4;
    int8_t *A = args->scratch, *B = A + depth * args->m;
    pack_columns(args->A, args->count, args->m, A);
    pack_columns(args->B, args->count, args->n, B);
    for (uint32_t j = 0; j < args->n; j += PANEL)
        for (uint32_t i = 0; i < args->m; i += PANEL)
            outer_tile(A + depth * i, B + depth * j, groups, args->Z + (size_t)i * args->n + j, args->n);
}

static void diagonal_i8(const int8_t *A, const int8_t *B, uint32_t count, size_t n, int32_t *Z)
{
    for (size_t i = 0; i < n; i += 8) {
        sums s = {vld1q_s32(Z + i), vld1q_s32(Z + i + 4)};
        for (uint32_t q = 0; q < count; q++) s = sums_add(s, vld1_s8(A + q * n + i), vld1_s8(B + q * n + i));
        vst1q_s32(Z + i, s.low);
        vst1q_s32(Z + i + 4, s.high);
    }
}

/* Adds the number of lanes in which the two differ. */
EGG_INLINE uint32x4_t count_changed(uint32x4_t count, int8x16_t before, int8x16_t after)
{
    uint8x16_t one_if_changed = vaddq_u8(vceqq_s8(before, after), vdupq_n_u8(1));
    return vdotq_u32(count, one_if_changed, vdupq_n_u8(1));
}

/* -1, 0 or 1 */
EGG_INLINE int16x4_t vote(const int32_t *Z, int32_t threshold)
{
    int32x4_t z = vld1q_s32(Z);
    uint32x4_t counts = vorrq_u32(vcgeq_s32(z, vdupq_n_s32(threshold)), vcleq_s32(z, vdupq_n_s32(-threshold)));
    uint32x4_t sign = vorrq_u32(vcleq_s32(z, vdupq_n_s32(0)), vdupq_n_u32(1));
    return vmovn_s32(vreinterpretq_s32_u32(vandq_u32(counts, sign)));
}

static void step_vote_i8(int8_t *W, const int32_t *Z, size_t n, int32_t threshold, uint64_t *changed)
{
    uint32x4_t moved = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 16) {
        int16x8_t low = vcombine_s16(vote(Z + i, threshold), vote(Z + i + 4, threshold));
        int16x8_t high = vcombine_s16(vote(Z + i + 8, threshold), vote(Z + i + 12, threshold));
        int8x16_t before = vld1q_s8(W + i);
        int8x16_t after = at_least_minus_127(vqaddq_s8(before, vmovn_high_s16(vmovn_s16(low), high)));
        moved = count_changed(moved, before, after);
        vst1q_s8(W + i, after);
    }
    *changed += vaddlvq_u32(moved);
}

/* The new V of four elements, before its clip. The step fits 16 bits because limit * rate + 32768 < 2^31. */
EGG_INLINE int16x4_t fractional_step(const int32_t *Z, int32_t rate, int32_t limit)
{
    int32x4_t z = vmaxq_s32(vminq_s32(vld1q_s32(Z), vdupq_n_s32(limit)), vdupq_n_s32(-limit));
    return vrshrn_n_s32(vmulq_n_s32(z, rate), 16);   /* adds 32768, then shifts */
}

EGG_INLINE int16x8_t step_eight(int16_t *V, const int32_t *Z, int32_t rate, int32_t limit)
{
    int16x8_t step = vcombine_s16(fractional_step(Z, rate, limit), fractional_step(Z + 4, rate, limit));
    int16x8_t v = vqaddq_s16(vld1q_s16(V), step);
    v = vmaxq_s16(vminq_s16(v, vdupq_n_s16(32512)), vdupq_n_s16(-32512));
    vst1q_s16(V, v);
    return v;
}

static void step_fractional_i8(int8_t *W, int16_t *V, const int32_t *Z, size_t n, int32_t rate,
                               int32_t limit, uint64_t *changed)
{
    uint32x4_t moved = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 16) {
        int16x8_t low = step_eight(V + i, Z + i, rate, limit), high = step_eight(V + i + 8, Z + i + 8, rate, limit);
        int8x16_t before = vld1q_s8(W + i);
        int8x16_t after = vrshrn_high_n_s16(vrshrn_n_s16(low, 8), high, 8);   /* (v + 128) >> 8 */
        moved = count_changed(moved, before, after);
        vst1q_s8(W + i, after);
    }
    *changed += vaddlvq_u32(moved);
}

/* The dot products of the tile without its loads and stores: sixteen independent sums. */
static uint64_t peak_i8(uint64_t rounds)
{
    enum { SUMS = 16, MACS = 16 };
    for (uint64_t i = 0; i < rounds; i++)
        __asm__ volatile("sdot v0.4s, v30.16b, v31.16b\n\tsdot v1.4s, v30.16b, v31.16b\n\t"
                         "sdot v2.4s, v30.16b, v31.16b\n\tsdot v3.4s, v30.16b, v31.16b\n\t"
                         "sdot v4.4s, v30.16b, v31.16b\n\tsdot v5.4s, v30.16b, v31.16b\n\t"
                         "sdot v6.4s, v30.16b, v31.16b\n\tsdot v7.4s, v30.16b, v31.16b\n\t"
                         "sdot v8.4s, v30.16b, v31.16b\n\tsdot v9.4s, v30.16b, v31.16b\n\t"
                         "sdot v10.4s, v30.16b, v31.16b\n\tsdot v11.4s, v30.16b, v31.16b\n\t"
                         "sdot v12.4s, v30.16b, v31.16b\n\tsdot v13.4s, v30.16b, v31.16b\n\t"
                         "sdot v14.4s, v30.16b, v31.16b\n\tsdot v15.4s, v30.16b, v31.16b\n\t" ::
                             : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
                               "v14", "v15");
    return rounds * SUMS * MACS;
}

/* Of zeros: sums that grow would end as infinities, and leftovers might be slow denormals. */
static uint64_t peak_f32(uint64_t rounds)
{
    enum { SUMS = 16, MACS = 4 };
#define SUM(n) "fmla v" #n ".4s, v30.4s, v31.4s\n\t"
#define ZERO(n) "movi v" #n ".4s, #0\n\t"
#define EACH_16(DO)                                                                                                    \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define CHANGED                                                                                                        \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15"
    __asm__ volatile(EACH_16(ZERO) ZERO(30) ZERO(31) ::: CHANGED, "v30", "v31");
    for (uint64_t i = 0; i < rounds; i++) __asm__ volatile(EACH_16(SUM) ::: CHANGED);
#undef SUM
#undef ZERO
#undef EACH_16
#undef CHANGED
    return rounds * SUMS * MACS;
}

void egg_kernels_neon(egg_kernels *kernels)
{
    kernels->level = "neon";
    egg_neon_product_f32(kernels);
    egg_neon_elementwise_f32(kernels);
    egg_rwkv7_kernels_neon(&kernels->rwkv7);
    kernels->noise_i8 = noise_i8;
    kernels->noise_f32 = noise_f32;
    kernels->packed_bytes_i8 = packed_bytes_i8;
    kernels->pack_i8 = pack_i8;
    kernels->shrink_i8 = shrink_i8;
    kernels->linear_i8 = linear_i8;
    kernels->embed_i8 = embed_i8;
    kernels->perturb_vector_i8 = perturb_vector_i8;
    kernels->layer_norm_i8 = layer_norm_i8;
    kernels->add_i8 = add_i8;
    kernels->gru_gate_i8 = gru_gate_i8;
    kernels->gru_blend_i8 = gru_blend_i8;
    kernels->loss_i8 = loss_i8;
    kernels->weigh_i8 = weigh_i8;
    kernels->outer_i8 = outer_i8;
    kernels->diagonal_i8 = diagonal_i8;
    kernels->step_vote_i8 = step_vote_i8;
    kernels->step_fractional_i8 = step_fractional_i8;
    kernels->peak_i8 = peak_i8;
    kernels->peak_f32 = peak_f32;
}
