/* SPDX-License-Identifier: MIT */
#include "random/noise.h"

#include <math.h>
#include <string.h>

/*
 * Element i is round(16 * m_i), m_i the root mean square of |N(0,1)| within its i-th of 128 equally likely parts, so
 * that the table keeps the variance (midpoint quantiles would lose 0.6 % of it). tests/test_noise.c derives it again.
 */
const int8_t egg_normal_i8_magnitude[128] = {
    0,  0,  0,  1,  1,  1,  1,  1,  1,  1,  2,  2,  2,  2,  2,  2,  3,  3,  3,  3,  3,  3,  4,  4,  4,  4,
    4,  4,  5,  5,  5,  5,  5,  5,  6,  6,  6,  6,  6,  6,  7,  7,  7,  7,  7,  7,  8,  8,  8,  8,  8,  8,
    9,  9,  9,  9,  9,  10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 13, 14,
    14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 16, 17, 17, 17, 17, 18, 18, 18, 19, 19, 19, 20, 20, 20, 21, 21,
    21, 22, 22, 22, 23, 23, 24, 24, 25, 25, 26, 27, 27, 28, 29, 29, 30, 31, 32, 34, 35, 37, 40, 48,
};

static uint32_t rotate_left(uint32_t x, uint32_t by)
{
    return x << by | x >> (32 - by);
}

void egg_threefry4x32(const uint32_t key[4], const uint32_t counter[4], uint32_t rounds, uint32_t out[4])
{
    static const uint8_t rotation[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5},
                                           {6, 20},  {17, 11}, {25, 10}, {18, 20}};
    const uint32_t schedule[5] = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]};
    uint32_t x[4];
    for (uint32_t i = 0; i < 4; i++) x[i] = counter[i] + schedule[i];
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t p = round % 2 ? 3 : 1, q = 4 - p;   /* the words that are mixed into x[0] and x[2] change places */
        x[0] += x[p];
        x[p] = rotate_left(x[p], rotation[round % 8][0]) ^ x[0];
        x[2] += x[q];
        x[q] = rotate_left(x[q], rotation[round % 8][1]) ^ x[2];
        if (round % 4 == 3) {
            uint32_t injection = round / 4 + 1;
            for (uint32_t i = 0; i < 4; i++) x[i] += schedule[(injection + i) % 5];
            x[3] += injection;
        }
    }
    memcpy(out, x, sizeof x);
}

egg_key egg_key_make(uint64_t seed, egg_domain domain)
{
    return (egg_key){{(uint32_t)seed, (uint32_t)(seed >> 32), domain, 0}};
}

void egg_noise_block(egg_key key, egg_noise_at at, uint32_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {block, at.pair, at.epoch, 2 * at.param + at.side};
    egg_threefry4x32(key.word, counter, EGG_NOISE_ROUNDS, out);
}

/* ln(x) for a normal x in (0, 1): x = m * 2^e with m near 1, ln m = 2 artanh((m - 1) / (m + 1)) by its series. */
static float log_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t root_half = 0x3F3504F3;   /* 2^-1/2: m lies in [2^-1/2, 2^1/2) */
    int32_t exponent = (int32_t)(bits - root_half) >> 23;
    bits -= (uint32_t)exponent << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float series = 2.0f / 9.0f;
    series = series * z + 2.0f / 7.0f;
    series = series * z + 2.0f / 5.0f;
    series = series * z + 2.0f / 3.0f;
    series = series * z + 2.0f;
    return (float)exponent * 0.693147181f + s * series;
}

void egg_normal_f32(uint32_t first, uint32_t second, float out[2])
{
    float uniform = ((float)(first >> 9) + 0.5f) * 0x1p-23f;   /* in (0, 1), exact */
    float radius = sqrtf(-2.0f * log_f32(uniform));

    /* The angle is a quarter turn chosen by the two top bits and a rest in [-pi/4, pi/4) from the other thirty. */
    float t = (float)(int32_t)(second << 2) * (1.57079633f * 0x1p-32f), z = t * t;
    float sine = t * (1.0f + z * (-1.66666667e-1f + z * (8.33333333e-3f + z * -1.98412698e-4f)));
    float cosine = 1.0f + z * (-0.5f + z * (4.16666667e-2f + z * (-1.38888889e-3f + z * 2.48015873e-5f)));
    uint32_t quarter = second >> 30;
    float c = quarter & 1 ? sine : cosine, s = quarter & 1 ? cosine : sine;
    out[0] = radius * (quarter == 1 || quarter == 2 ? -c : c);
    out[1] = radius * (quarter >= 2 ? -s : s);
}

void egg_noise_i8(egg_key key, egg_noise_at at, uint64_t first, size_t n, int8_t *out)
{
    uint32_t words[4];
    for (size_t i = 0; i < n; i++) {
        uint64_t element = first + i;
        uint32_t within = (uint32_t)(element % EGG_NOISE_BLOCK_I8);
        if (i == 0 || within == 0) egg_noise_block(key, at, (uint32_t)(element / EGG_NOISE_BLOCK_I8), words);
        out[i] = egg_normal_i8((uint8_t)(words[within / 4] >> (8 * (within % 4))));
    }
}

void egg_noise_f32(egg_key key, egg_noise_at at, uint64_t first, size_t n, float *out)
{
    float block[EGG_NOISE_BLOCK_F32];
    for (size_t i = 0; i < n; i++) {
        uint64_t element = first + i;
        uint32_t within = (uint32_t)(element % EGG_NOISE_BLOCK_F32);
        if (i == 0 || within == 0) {
            uint32_t words[4];
            egg_noise_block(key, at, (uint32_t)(element / EGG_NOISE_BLOCK_F32), words);
            egg_normal_f32(words[0], words[1], block);
            egg_normal_f32(words[2], words[3], block + 2);
        }
        out[i] = block[within];
    }
}

uint32_t egg_words_next(egg_words *words)
{
    uint64_t number = words->next / 4;
    if (words->held != number + 1) {
        egg_noise_block(words->key, words->at, (uint32_t)number, words->block);
        words->held = number + 1;
    }
    return words->block[words->next++ % 4];
}
