/* SPDX-License-Identifier: MIT */
/*
 * Template of the noise kernels, as many blocks of the generator at a time as a vector has 32-bit lanes. Before it come
 * a level's level.h (vec, VEC, ISA(), store_part) and what the levels do differently: interleaving within 128-bit
 * lanes, the square root, and the table of magnitudes with normal_i8(), which turns random bytes into normals.
 *
 * The arithmetic is written with the compiler's own vectors; each operation is rounded by itself (no contraction), so
 * floats have the bits of egg_normal_f32.
 */
typedef uint32_t dwords __attribute__((vector_size(VEC)));
typedef int32_t ints __attribute__((vector_size(VEC)));
typedef float floats __attribute__((vector_size(VEC)));

enum { LANES = VEC / 4, BLOCK_BYTES = 16 };

/* Words 0..3 of LANES blocks; afterwards, of the generator's results. */
typedef struct blocks {
    dwords x0, x1, x2, x3;
} blocks;

EGG_INLINE dwords splat(uint32_t x)
{
    return (dwords){0} + x;
}

EGG_INLINE void mix(dwords *sum, dwords *word, uint32_t by)
{
    *sum += *word;
    *word = (*word << by | *word >> (32 - by)) ^ *sum;
}

/* Two rounds as in egg_threefry4x32: one mixes x1 into x0 and x3 into x2, the next x3 into x0 and x1 into x2. */
EGG_INLINE void two_rounds(blocks *b, uint32_t even_01, uint32_t even_23, uint32_t odd_03, uint32_t odd_21)
{
    mix(&b->x0, &b->x1, even_01);
    mix(&b->x2, &b->x3, even_23);
    mix(&b->x0, &b->x3, odd_03);
    mix(&b->x2, &b->x1, odd_21);
}

EGG_INLINE void inject(blocks *b, const uint32_t schedule[5], uint32_t injection)
{
    b->x0 += schedule[injection % 5];
    b->x1 += schedule[(injection + 1) % 5];
    b->x2 += schedule[(injection + 2) % 5];
    b->x3 += schedule[(injection + 3) % 5] + injection;
}

EGG_INLINE void threefry(blocks *b, const uint32_t schedule[5])
{
    inject(b, schedule, 0);
    two_rounds(b, 10, 26, 11, 21);
    two_rounds(b, 13, 27, 23, 5);
    inject(b, schedule, 1);
    two_rounds(b, 6, 20, 17, 11);
    two_rounds(b, 25, 10, 18, 20);
    inject(b, schedule, 2);
    two_rounds(b, 10, 26, 11, 21);
    two_rounds(b, 13, 27, 23, 5);
    inject(b, schedule, 3);
}

_Static_assert(EGG_NOISE_ROUNDS == 12, "threefry() has its rounds written out");

/*
 * The blocks of a call in the order of their places in memory: all of pair 0, then all of pair 1. Consecutive ones fill
 * a vector even where a pair has only one or two. Lane 4g + j stands for block j * LANES / 4 + g, so that transposing
 * the words within 128-bit lanes leaves the blocks in order.
 */
typedef struct cursor {
    dwords block, pair;        /* per lane, from 0 */
    dwords last_block, blocks_per_pair, block_step, pair_step;
    dwords first_block, first_pair, epoch, place;
    uint32_t schedule[5];
} cursor;

static cursor cursor_make(const egg_noise_args *args, uint32_t blocks_per_pair, uint32_t elements_per_block)
{
    const uint32_t *key = args->key.word;
    dwords block, pair;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        uint32_t order = lane % 4 * (LANES / 4) + lane / 4;
        block[lane] = order % blocks_per_pair;
        pair[lane] = order / blocks_per_pair;
    }
    return (cursor){
        .block = block,
        .pair = pair,
        .last_block = splat(blocks_per_pair - 1),
        .blocks_per_pair = splat(blocks_per_pair),
        .block_step = splat(LANES % blocks_per_pair),
        .pair_step = splat(LANES / blocks_per_pair),
        .first_block = splat((uint32_t)(args->first / elements_per_block)),
        .first_pair = splat(args->at.pair),
        .epoch = splat(args->at.epoch),
        .place = splat(2 * args->at.param + args->at.side),
        .schedule = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]},
    };
}

EGG_INLINE blocks cursor_next(cursor *c)
{
    blocks b = {c->first_block + c->block, c->first_pair + c->pair, c->epoch, c->place};
    threefry(&b, c->schedule);
    c->block += c->block_step;
    c->pair += c->pair_step;
    dwords wrap = (dwords)((ints)c->block > (ints)c->last_block);   /* -1 where the lane goes on to the next pair */
    c->block -= wrap & c->blocks_per_pair;
    c->pair -= wrap;
    return b;
}

/* From four words of every block to four vectors of whole blocks, in order. */
EGG_INLINE void transpose(blocks b, vec out[4])
{
    vec low01 = interleave_low32((vec)b.x0, (vec)b.x1), high01 = interleave_high32((vec)b.x0, (vec)b.x1);
    vec low23 = interleave_low32((vec)b.x2, (vec)b.x3), high23 = interleave_high32((vec)b.x2, (vec)b.x3);
    out[0] = interleave_low64(low01, low23);
    out[1] = interleave_high64(low01, low23);
    out[2] = interleave_low64(high01, high23);
    out[3] = interleave_high64(high01, high23);
}

/* The first 'count' blocks, at most LANES. */
EGG_INLINE void store_blocks(void *out, const vec v[4], size_t count)
{
    char *at = out;
    for (size_t i = 0; i < 4 && i * VEC < count * BLOCK_BYTES; i++, at += VEC)
        store_part(at, v[i], count * BLOCK_BYTES - i * VEC);
}

/* ---------------------------------------------------------------------------------------------------------- int8 */

EGG_INLINE void draw_i8(cursor *c, const magnitude_table *magnitudes, vec v[4])
{
    transpose(cursor_next(c), v);
    for (uint32_t i = 0; i < 4; i++) v[i] = normal_i8(v[i], magnitudes);
}

static void noise_run_i8(cursor c, size_t count, char *out)
{
    const magnitude_table magnitudes = magnitude_table_make(egg_normal_i8_magnitude);
    vec v[4];
    for (; count >= LANES; count -= LANES, out += 4 * VEC) {
        draw_i8(&c, &magnitudes, v);
        store_blocks(out, v, LANES);
    }
    if (count == 0) return;
    draw_i8(&c, &magnitudes, v);
    store_blocks(out, v, count);
}

/* ------------------------------------------------------------------------------------------------------- float32 */

EGG_INLINE floats log_f32(floats x)
{
    const uint32_t root_half = 0x3F3504F3;
    ints exponent = (ints)((dwords)x - root_half) >> 23;
    floats m = (floats)((dwords)x - ((dwords)exponent << 23));
    floats s = (m - 1.0f) / (m + 1.0f), z = s * s;
    floats series = z * (2.0f / 9.0f) + 2.0f / 7.0f;
    series = series * z + 2.0f / 5.0f;
    series = series * z + 2.0f / 3.0f;
    series = series * z + 2.0f;
    return __builtin_convertvector(exponent, floats) * 0.693147181f + s * series;
}

/* Two normals a lane, in place of the two random words. */
EGG_INLINE void normal_f32(dwords *first, dwords *second)
{
    floats uniform = (__builtin_convertvector((ints)(*first >> 9), floats) + 0.5f) * 0x1p-23f;
    floats radius = (floats)square_root((vec)(-2.0f * log_f32(uniform)));
    floats t = __builtin_convertvector((ints)(*second << 2), floats) * (1.57079633f * 0x1p-32f), z = t * t;
    floats sine = t * (1.0f + z * (-1.66666667e-1f + z * (8.33333333e-3f + z * -1.98412698e-4f)));
    floats cosine = 1.0f + z * (-0.5f + z * (4.16666667e-2f + z * (-1.38888889e-3f + z * 2.48015873e-5f)));

    /* The quarter is bits 31 and 30: odd ones swap, 1 and 2 negate the first, 2 and 3 the second. */
    dwords swap = (dwords)((ints)(*second << 1) >> 31), exchange = ((dwords)sine ^ (dwords)cosine) & swap;
    floats c = (floats)((dwords)cosine ^ exchange), s = (floats)((dwords)sine ^ exchange);
    dwords sign0 = (*second ^ *second << 1) & 0x80000000, sign1 = *second & 0x80000000;
    *first = (dwords)(radius * c) ^ sign0;
    *second = (dwords)(radius * s) ^ sign1;
}

EGG_INLINE void draw_f32(cursor *c, vec v[4])
{
    blocks b = cursor_next(c);
    normal_f32(&b.x0, &b.x1);
    normal_f32(&b.x2, &b.x3);
    transpose(b, v);
}

static void noise_run_f32(cursor c, size_t count, char *out)
{
    vec v[4];
    for (; count >= LANES; count -= LANES, out += 4 * VEC) {
        draw_f32(&c, v);
        store_blocks(out, v, LANES);
    }
    if (count == 0) return;
    draw_f32(&c, v);
    store_blocks(out, v, count);
}

/* --------------------------------------------------------------------------------------------------------- slots */

/* Pairs that lie one behind the other are one run of blocks. */
EGG_INLINE void noise_runs(const egg_noise_args *args, uint32_t elements_per_block,
                           void (*run)(cursor c, size_t count, char *out))
{
    const uint32_t blocks_per_pair = (uint32_t)(args->n / elements_per_block);
    const size_t stride = args->out_stride * (BLOCK_BYTES / elements_per_block);   /* in bytes */
    if (blocks_per_pair == 0) return;
    if (args->out_stride == args->n) {
        run(cursor_make(args, blocks_per_pair, elements_per_block), (size_t)args->pairs * blocks_per_pair, args->out);
        return;
    }
    egg_noise_args one = *args;
    for (uint32_t p = 0; p < args->pairs; p++, one.at.pair++)
        run(cursor_make(&one, blocks_per_pair, elements_per_block), blocks_per_pair, (char *)args->out + p * stride);
}

static void ISA(noise_i8)(const egg_noise_args *args)
{
    noise_runs(args, EGG_NOISE_BLOCK_I8, noise_run_i8);
}

static void ISA(noise_f32)(const egg_noise_args *args)
{
    noise_runs(args, EGG_NOISE_BLOCK_F32, noise_run_f32);
}
