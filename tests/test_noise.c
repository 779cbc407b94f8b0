/* SPDX-License-Identifier: MIT */
/*
 * Addressed noise: the generator against known answers, the addressing, the laws of the two kinds of normal numbers.
 *
 * All inputs are fixed, so a statistical test passes always or never. Bounds are 5 standard deviations of the statistic
 * under the law that is claimed (chance 6e-7 for one draw of the inputs), unless a comment derives another.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef EGG_HAVE_RANDOM123
#include <Random123/threefry.h>
#endif

#include "base/compiler.h"
#include "base/cpu.h"
#include "kernels/kernels.h"
#include "random/noise.h"

static const egg_noise_at somewhere = {.epoch = 5, .param = 7, .side = EGG_B, .pair = 11};

static egg_key some_key(void)
{
    return egg_key_make(0x123456789ABCDEF0u, EGG_DOMAIN_PERTURBATION);
}

static void *array(size_t count, size_t bytes_each)
{
    void *memory = malloc(count * bytes_each);
    assert_non_null(memory);
    return memory;
}

/* FNV-1a, 64 bits */
static uint64_t fingerprint(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * 0x100000001B3u;
    return hash;
}

/* ------------------------------------------------------------------------------------------------------ generator */

static void test_threefry_known_answers(void **state)
{
    (void)state;
    FILE *file = fopen(EGG_TEST_SOURCE_DIR "/kat/threefry4x32.txt", "r");
    assert_non_null(file);
    char line[256];
    unsigned answers = 0;
    while (fgets(line, sizeof line, file)) {
        unsigned rounds, counter[4], key[4], expected[4], out[4];
        if (line[0] == '#') continue;
        assert_int_equal(sscanf(line, "%u %x %x %x %x %x %x %x %x %x %x %x %x", &rounds, &counter[0], &counter[1],
                                &counter[2], &counter[3], &key[0], &key[1], &key[2], &key[3], &expected[0],
                                &expected[1], &expected[2], &expected[3]),
                         13);
        egg_threefry4x32(key, counter, rounds, out);
        assert_memory_equal(out, expected, sizeof out);
        answers++;
    }
    fclose(file);
    assert_int_equal(answers, 81);
}

static void test_threefry_against_random123(void **state)
{
    (void)state;
#ifdef EGG_HAVE_RANDOM123
    threefry4x32_ctr_t counter = {{1, 2, 3, 4}};
    threefry4x32_key_t key = {{5, 6, 7, 8}};
    for (unsigned i = 0; i < 4000; i++) {
        for (unsigned rounds = 0; rounds <= 20; rounds++) {
            threefry4x32_ctr_t expected = threefry4x32_R(rounds, counter, key);
            uint32_t out[4];
            egg_threefry4x32(key.v, counter.v, rounds, out);
            assert_memory_equal(out, expected.v, sizeof out);
        }
        threefry4x32_ctr_t next = threefry4x32_R(20, counter, key);
        memcpy(key.v, counter.v, sizeof key.v);
        counter = next;
    }
#else
    print_message("built without the Random123 headers\n");
    skip();
#endif
}

/* ----------------------------------------------------------------------------------------------------- addressing */

typedef struct place {
    uint32_t seed_low, seed_high, domain, epoch, param, side, pair, block;
} place;

enum { PLACE_FIELDS = sizeof(place) / sizeof(uint32_t) };

static void block_at(const place *p, uint32_t out[4])
{
    egg_key key = egg_key_make((uint64_t)p->seed_high << 32 | p->seed_low, (egg_domain)p->domain);
    egg_noise_at at = {.epoch = p->epoch, .param = p->param, .side = p->side, .pair = p->pair};
    egg_noise_block(key, at, p->block, out);
}

static int compare_blocks(const void *left, const void *right)
{
    return memcmp(left, right, 4 * sizeof(uint32_t));
}

/* A generator that adds fields to a seed gives the same block at two places of such a grid. */
static void test_nearby_places_have_different_blocks(void **state)
{
    (void)state;
    enum { PLACES = 1 << (2 * PLACE_FIELDS - 1) };   /* four values a field, two of the side */
    uint32_t(*blocks)[4] = array(PLACES, sizeof *blocks);
    for (uint32_t i = 0; i < PLACES; i++) {
        place p = {i & 3,      i >> 2 & 3,  i >> 4 & 3,  i >> 6 & 3,
                   i >> 8 & 3, i >> 14 & 1, i >> 10 & 3, i >> 12 & 3};
        block_at(&p, blocks[i]);
    }
    qsort(blocks, PLACES, sizeof *blocks, compare_blocks);
    for (uint32_t i = 1; i < PLACES; i++) assert_true(compare_blocks(blocks[i - 1], blocks[i]) < 0);
    free(blocks);
}

/* Every bit of every field counts: flipping it changes about half of the 128 bits (within 6 deviations of 5.7). */
static void test_every_bit_of_a_place_changes_the_block(void **state)
{
    (void)state;
    const place base = {0x9ABCDEF0, 0x12345678, EGG_DOMAIN_PERTURBATION, 5, 7, EGG_A, 11, 13};
    uint32_t from[4], to[4];
    block_at(&base, from);
    for (uint32_t field = 0; field < PLACE_FIELDS; field++)
        for (uint32_t bit = 0; bit < 32; bit++) {
            place p = base;
            uint32_t *value = (uint32_t *)((char *)&p + field * sizeof(uint32_t));
            if (value == &p.side && bit >= 1) continue;    /* 0 or 1 */
            if (value == &p.param && bit >= 31) continue;  /* the side has the last bit of that word */
            *value ^= 1u << bit;
            block_at(&p, to);
            int flips = 0;
            for (int i = 0; i < 4; i++) flips += __builtin_popcount(from[i] ^ to[i]);
            assert_in_range(flips, 64 - 34, 64 + 34);
        }
}

static void test_elements_are_the_bytes_of_the_blocks(void **state)
{
    (void)state;
    static const uint32_t first_blocks[] = {0, 0x3FFFFFE0, 0x7FFFFFE0, 0xFFFFFFC0};   /* elements beyond 32 bits too */
    int8_t elements[64 * EGG_NOISE_BLOCK_I8];
    float normals[64 * EGG_NOISE_BLOCK_F32];
    for (uint32_t f = 0; f < EGG_COUNT(first_blocks); f++) {
        uint64_t first = first_blocks[f];
        egg_noise_i8(some_key(), somewhere, first * EGG_NOISE_BLOCK_I8, EGG_COUNT(elements), elements);
        egg_noise_f32(some_key(), somewhere, first * EGG_NOISE_BLOCK_F32, EGG_COUNT(normals), normals);
        for (uint32_t block = 0; block < 64; block++) {
            uint32_t words[4];
            float pair[2];
            egg_noise_block(some_key(), somewhere, first_blocks[f] + block, words);
            for (uint32_t i = 0; i < 16; i++) {
                uint8_t byte = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
                assert_int_equal(elements[16 * block + i], egg_normal_i8(byte));
            }
            for (uint32_t i = 0; i < 4; i += 2) {
                egg_normal_f32(words[i], words[i + 1], pair);
                assert_memory_equal(&normals[4 * block + i], pair, sizeof pair);
            }
        }
    }
}

static void test_any_range_is_the_same_stream(void **state)
{
    (void)state;
    enum { N = 700 };
    const uint64_t start = ((uint64_t)1 << 33) - 350;   /* element numbers do not fit 32 bits */
    int8_t whole_i8[N], part_i8[N];
    float whole_f32[N], part_f32[N];
    egg_noise_i8(some_key(), somewhere, start, N, whole_i8);
    egg_noise_f32(some_key(), somewhere, start, N, whole_f32);
    for (size_t length = 1; length <= 67; length++) {
        for (size_t at = 0; at < N; at += length) {
            size_t n = N - at < length ? N - at : length;
            egg_noise_i8(some_key(), somewhere, start + at, n, part_i8 + at);
            egg_noise_f32(some_key(), somewhere, start + at, n, part_f32 + at);
        }
        assert_memory_equal(part_i8, whole_i8, sizeof whole_i8);
        assert_memory_equal(part_f32, whole_f32, sizeof whole_f32);
    }
    egg_noise_i8(some_key(), somewhere, start, 0, part_i8);   /* nothing is written */
    assert_memory_equal(part_i8, whole_i8, sizeof whole_i8);
}

static void test_words_are_the_words_of_the_blocks(void **state)
{
    (void)state;
    egg_words words = {.key = some_key(), .at = somewhere};
    for (uint32_t block = 0; block < 50; block++) {
        uint32_t expected[4];
        egg_noise_block(some_key(), somewhere, block, expected);
        for (uint32_t i = 0; i < 4; i++) assert_int_equal(egg_words_next(&words), expected[i]);
    }
    assert_int_equal(words.next, 200);
}

/* ----------------------------------------------------------------------------------------------- the int8 normals */

/* x > 0 with P(|N(0,1)| > x) = p, by bisection. */
static double half_normal_tail(double p)
{
    double low = 0, high = 40;
    for (int i = 0; i < 200; i++) {
        double middle = (low + high) / 2;
        if (erfc(middle / sqrt(2)) > p)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/*
 * With phi the density of N(0,1), the integral of x^2 phi(x) over [a, b] is that of phi plus a phi(a) - b phi(b). The
 * part [a, b] of |x| has probability 1/128, hence E[x^2 | part] = 1 + 2 * 128 * (a phi(a) - b phi(b)).
 */
static void test_magnitudes_are_root_mean_squares(void **state)
{
    (void)state;
    double below = 0;   /* a phi(a) */
    for (int i = 0; i < 128; i++) {
        double above = 0;
        if (i < 127) {
            double b = half_normal_tail(1 - (i + 1) / 128.0);
            above = b * exp(-b * b / 2) / sqrt(2 * acos(-1));
        }
        double magnitude = 16 * sqrt(1 + 256 * (below - above));
        assert_true(fabs(magnitude - floor(magnitude) - 0.5) > 1e-4);   /* far from a tie, so double decides */
        assert_int_equal(egg_normal_i8_magnitude[i], lround(magnitude));
        below = above;
    }
    assert_int_equal(egg_normal_i8_magnitude[127], EGG_NORMAL_I8_MAX);
}

static double table_moment(int k)
{
    double sum = 0;
    for (int i = 0; i < 128; i++) sum += pow(egg_normal_i8_magnitude[i], k);
    return sum / 128;
}

/*
 * Before rounding the table's mean square is 256 by construction. Rounding errors e are at most 1/2 with variance 1/12:
 * they add the mean of 2me + e^2, that is 1/12 give or take 2 * 16 / sqrt(12 * 128) = 0.82. At 3 of those the standard
 * deviation is off by (1/12 + 2.45) / 32 = 0.08. The kurtosis of 128 steps falls short of the normal's 3.
 */
static void test_table_moments(void **state)
{
    (void)state;
    double square = table_moment(2);
    assert_true(fabs(sqrt(square) - 16) < 0.08);
    assert_true(fabs(table_moment(4) / (square * square) - 2.96) < 0.01);
}

static void test_i8_moments(void **state)
{
    (void)state;
    enum { N = 1 << 22 };
    int8_t *x = array(N, 1);
    egg_noise_i8(some_key(), somewhere, 0, N, x);
    double sum[5] = {0};
    for (size_t i = 0; i < N; i++) {
        double power = 1;
        for (int k = 1; k <= 4; k++) sum[k] += power *= x[i];
    }
    for (int k = 1; k <= 4; k++) {
        double expected = k % 2 ? 0 : table_moment(k);
        double deviation = sqrt((table_moment(2 * k) - expected * expected) / N);
        assert_true(fabs(sum[k] / N - expected) < 5 * deviation);
    }
    free(x);
}

/* Chi-square of the 256 byte values: mean 255, standard deviation sqrt(510). */
static void test_bytes_are_equally_likely(void **state)
{
    (void)state;
    enum { BLOCKS = 1 << 18 };
    uint32_t counts[256] = {0};
    for (uint32_t block = 0; block < BLOCKS; block++) {
        uint32_t words[4];
        egg_noise_block(some_key(), somewhere, block, words);
        for (int i = 0; i < 16; i++) counts[words[i / 4] >> (8 * (i % 4)) & 255]++;
    }
    double expected = BLOCKS * 16.0 / 256, chi_square = 0;
    for (int i = 0; i < 256; i++) chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    assert_true(fabs(chi_square - 255) < 5 * sqrt(510));
}

/* --------------------------------------------------------------------------------------------------- independence */

enum { CORRELATED = 1 << 14 };

/* Of variables of mean 0. For independent ones the result is normal with deviation 1 / sqrt(n). */
static double correlation(const int8_t *x, const int8_t *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += x[i] * y[i];
        xx += x[i] * x[i];
        yy += y[i] * y[i];
    }
    return xy / sqrt(xx * yy);
}

static void draw(const place *p, int8_t *out)
{
    egg_key key = egg_key_make((uint64_t)p->seed_high << 32 | p->seed_low, (egg_domain)p->domain);
    egg_noise_at at = {.epoch = p->epoch, .param = p->param, .side = p->side, .pair = p->pair};
    egg_noise_i8(key, at, (uint64_t)p->block * EGG_NOISE_BLOCK_I8, CORRELATED, out);
}

/* Layers, sides, pairs, epochs and seeds next to each other, and the diagonal steps on which sums of fields collide. */
static void test_neighbouring_streams_are_uncorrelated(void **state)
{
    (void)state;
    static const place steps[] = {
        {.seed_low = 1},
        {.seed_high = 1},
        {.domain = 1},
        {.epoch = 1},
        {.param = 1},
        {.side = 1},
        {.pair = 1},
        {.block = CORRELATED / EGG_NOISE_BLOCK_I8},
        {.param = 1, .pair = -1u},
        {.param = 1, .epoch = -1u},
        {.epoch = 1, .pair = -1u},
        {.seed_low = 1, .epoch = -1u},
        {.seed_low = 1, .pair = -1u},
        {.param = 1, .side = 1},
    };
    int8_t *x = array(CORRELATED, 1), *y = array(CORRELATED, 1);
    for (uint32_t i = 0; i < 20; i++) {
        place from = {.seed_low = 42 + i, .domain = 1, .epoch = 1 + 3 * i, .param = i, .pair = 1 + 7 * i};
        draw(&from, x);
        for (size_t s = 0; s < EGG_COUNT(steps); s++) {
            place to;
            for (uint32_t field = 0; field < PLACE_FIELDS; field++)
                ((uint32_t *)&to)[field] = ((const uint32_t *)&from)[field] + ((const uint32_t *)&steps[s])[field];
            draw(&to, y);
            assert_true(fabs(correlation(x, y, CORRELATED)) < 5 / sqrt(CORRELATED));
        }
    }
    free(x);
    free(y);
}

/*
 * The same for float32, where a defect would show in sign or in size: x y of variance 1, and (x^2 - 1) (y^2 - 1) of
 * variance 4.
 */
static void test_f32_neighbouring_streams_are_independent(void **state)
{
    (void)state;
    static const egg_noise_at steps[] = {
        {.epoch = 1}, {.param = 1}, {.side = 1}, {.pair = 1}, {.param = 1, .pair = -1u}, {.epoch = 1, .pair = -1u},
        {.param = 1, .side = 1}};
    enum { LENGTH = 1 << 14 };
    float *x = array(LENGTH, sizeof *x), *y = array(LENGTH, sizeof *y);
    for (uint32_t i = 0; i < 20; i++) {
        egg_noise_at from = {.epoch = 1 + 3 * i, .param = i, .pair = 1 + 7 * i};
        egg_noise_f32(some_key(), from, 0, LENGTH, x);
        for (size_t s = 0; s < EGG_COUNT(steps); s++) {
            egg_noise_at to = {.epoch = from.epoch + steps[s].epoch, .param = from.param + steps[s].param,
                               .side = from.side + steps[s].side, .pair = from.pair + steps[s].pair};
            double product = 0, square_product = 0;
            egg_noise_f32(some_key(), to, 0, LENGTH, y);
            for (size_t e = 0; e < LENGTH; e++) {
                double a = x[e], b = y[e];
                product += a * b;
                square_product += (a * a - 1) * (b * b - 1) / 2;
            }
            assert_true(fabs(product / LENGTH) < 5 / sqrt(LENGTH));
            assert_true(fabs(square_product / LENGTH) < 5 / sqrt(LENGTH));
        }
    }
    free(x);
    free(y);
}

static void test_elements_of_a_stream_are_uncorrelated(void **state)
{
    (void)state;
    int8_t *x = array(CORRELATED, 1);
    draw(&(place){.seed_low = 42, .domain = 1, .epoch = 1}, x);
    for (size_t lag = 1; lag <= 256; lag++)
        assert_true(fabs(correlation(x, x + lag, CORRELATED - lag)) < 5 / sqrt((double)(CORRELATED - lag)));
    free(x);
}

/* -------------------------------------------------------------------------------------------- the float32 normals */

enum { NORMALS = 1000000 };

static float *draw_normals(void)
{
    float *x = array(NORMALS, sizeof *x);
    egg_noise_f32(some_key(), somewhere, 0, NORMALS, x);
    return x;
}

/* The deviation of a mean of x^k is sqrt((E[x^2k] - E[x^k]^2) / n), with E[x^2k] = 1, 3, 15, 105. */
static void test_f32_moments(void **state)
{
    (void)state;
    static const double expected[5] = {1, 0, 1, 0, 3}, variance[5] = {0, 1, 3 - 1, 15, 105 - 9};
    float *x = draw_normals();
    double sum[5] = {0};
    for (size_t i = 0; i < NORMALS; i++) {
        double power = 1;
        for (int k = 1; k <= 4; k++) sum[k] += power *= x[i];
    }
    for (int k = 1; k <= 4; k++)
        assert_true(fabs(sum[k] / NORMALS - expected[k]) < 5 * sqrt(variance[k] / NORMALS));
    free(x);
}

static int compare_floats(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

/*
 * Kolmogorov and Smirnov: D is the largest distance of the sample's distribution from that of N(0,1). P(D > e) is at
 * most 2 exp(-2 n e^2) (Dvoretzky, Kiefer, Wolfowitz; Massart's constant), which is 1e-9 at e = sqrt(ln(2e9) / 2n).
 */
static void check_distribution(float *x)
{
    qsort(x, NORMALS, sizeof *x, compare_floats);
    double largest = 0;
    for (size_t i = 0; i < NORMALS; i++) {
        double below = erfc(-x[i] / sqrt(2)) / 2;
        largest = fmax(largest, fmax(below - (double)i / NORMALS, (double)(i + 1) / NORMALS - below));
    }
    assert_true(largest < sqrt(log(2e9) / (2.0 * NORMALS)));
}

static void test_f32_distribution(void **state)
{
    (void)state;
    float *x = draw_normals();
    check_distribution(x);
    free(x);
}

/* What the update sums over: one element of many pairs, not many elements of one stream. */
static void test_f32_distribution_across_pairs(void **state)
{
    (void)state;
    float *x = array(NORMALS, sizeof *x);
    egg_noise_at at = somewhere;
    for (at.pair = 0; at.pair < NORMALS / 4; at.pair++) egg_noise_f32(some_key(), at, 100, 4, x + 4 * (size_t)at.pair);
    check_distribution(x);
    free(x);
}

/*
 * The tails, which Kolmogorov and Smirnov do not see: counts of |x| above t are binomial. The largest radius is 5.77.
 * Radii above 4.5 share 336 of the 2^23 values of the uniform, so up to there its steps move a count by less than 1 %.
 */
static void test_f32_tails(void **state)
{
    (void)state;
    static const double above[] = {2, 2.5, 3, 3.5, 4, 4.5};
    uint32_t counts[EGG_COUNT(above)] = {0};
    float *x = draw_normals();
    for (size_t i = 0; i < NORMALS; i++) {
        assert_true(fabsf(x[i]) < 5.78f);
        for (size_t t = 0; t < EGG_COUNT(above); t++) counts[t] += fabsf(x[i]) > (float)above[t];
    }
    for (size_t t = 0; t < EGG_COUNT(above); t++) {
        double p = erfc(above[t] / sqrt(2)), deviation = sqrt(NORMALS * p * (1 - p));
        assert_true(fabs(counts[t] - NORMALS * p) < 5 * deviation + 0.01 * NORMALS * p);
    }
    free(x);
}

/* The two normals of one draw share a radius: neither they nor their squares may show it. */
static void test_f32_pairs_are_independent(void **state)
{
    (void)state;
    float *x = draw_normals();
    for (size_t lag = 1; lag <= 8; lag++) {
        double product = 0, square_product = 0;
        size_t n = NORMALS - lag;
        for (size_t i = 0; i < n; i++) {
            double a = x[i], b = x[i + lag];
            product += a * b;
            square_product += (a * a - 1) * (b * b - 1) / 2;   /* the variance of a^2 is 2 */
        }
        assert_true(fabs(product / (double)n) < 5 / sqrt((double)n));
        assert_true(fabs(square_product / (double)n) < 5 / sqrt((double)n));
    }
    free(x);
}

/*
 * Against Box and Muller in double precision. The radius is r <= sqrt(-2 ln 2^-24) = 5.77. With u = 2^-24 the rounding
 * of one operation, the errors relative to r are:
 *
 *   sine, cosine   the series stop at t^7 and t^8: at t = pi/4 the next terms are t^9/9! = 3.1e-7, t^10/10! = 2.5e-8;
 *                  rounding of t (2u, times t < 0.79), of the nested sums and of the last product, about 3u in all
 *   radius         half of the logarithm's. That one's s has 3 roundings (m - 1 is exact), the series 2, s * series 1;
 *                  where the exponent is not 0 the sum is at least ln(2)/2, half of its larger term, so that term's
 *                  2 roundings count twice: about 8u, hence 4u, and 1u for the square root
 *   product        1u
 *
 * In all 3.1e-7 + 9u = 8.5e-7, so at most 4.9e-6 at r = 5.77. Over 2e7 draws the worst was 1.6e-6, the root mean square
 * 1.1e-7.
 */
static const double relative_error = 8.5e-7;

static double error_of_normal(uint32_t first, uint32_t second)
{
    float out[2];
    egg_normal_f32(first, second, out);
    double uniform = ((first >> 9) + 0.5) / 8388608.0, radius = sqrt(-2 * log(uniform));
    double quarter = second >> 30, rest = (double)(second & 0x3FFFFFFF) / 0x40000000;
    if (rest >= 0.5) rest -= 1;   /* the rest is signed: [-pi/4, pi/4) about the middle of the quarter */
    double angle = (quarter + rest) * acos(-1) / 2;
    double error = fmax(fabs(out[0] - radius * cos(angle)), fabs(out[1] - radius * sin(angle)));
    assert_true(error <= relative_error * radius);
    return error * error;
}

static void test_f32_is_accurate(void **state)
{
    (void)state;
    static const uint32_t edges[] = {0,          1,          511,        512,        0x1FFFFFFF, 0x20000000,
                                     0x20000001, 0x3FFFFFFF, 0x40000000, 0x5FFFFFFF, 0x60000000, 0x7FFFFFFF,
                                     0x80000000, 0x80000001, 0x9FFFFFFF, 0xA0000000, 0xBFFFFFFF, 0xC0000000,
                                     0xDFFFFFFF, 0xE0000000, 0xFFFFFE00, 0xFFFFFFFF, 0xB504F333, 0x5A827999};
    for (size_t i = 0; i < EGG_COUNT(edges); i++)
        for (size_t j = 0; j < EGG_COUNT(edges); j++) error_of_normal(edges[i], edges[j]);
    egg_words words = {.key = some_key(), .at = somewhere};
    double squares = 0;
    for (int i = 0; i < NORMALS; i++) {
        uint32_t first = egg_words_next(&words), second = egg_words_next(&words);
        squares += error_of_normal(first, second);
    }
    assert_true(sqrt(squares / NORMALS) < 2e-7);
}

/* ---------------------------------------------------------------------------------------- the same bits everywhere */

/*
 * Recorded with gcc 12 on x86-64. Another compiler, option or machine that rounds differently, fuses a multiply with an
 * add or orders bytes otherwise breaks the promise that noise is the same everywhere; so does a change of the code.
 */
static void test_bits_are_those_recorded(void **state)
{
    (void)state;
    static const uint32_t first_bits[8] = {0x3FBA0D37, 0x3E1A1244, 0x3F9DCB78, 0x3F1F575A,
                                           0xBBA66CD6, 0x3F99ADD3, 0xBEA613EF, 0x3F3DA3A0};
    enum { N = 1 << 16 };   /* enough for a last bit that rarely differs */
    float *normals = array(N, sizeof *normals);
    int8_t *elements = array(N, 1);
    uint8_t *bytes = array(N, 4);   /* of the normals, least significant first, whatever the machine */
    egg_noise_f32(some_key(), somewhere, 0, N, normals);
    egg_noise_i8(some_key(), somewhere, 0, N, elements);
    for (size_t i = 0; i < N; i++) {
        uint32_t bits;
        memcpy(&bits, &normals[i], sizeof bits);
        if (i < EGG_COUNT(first_bits)) assert_int_equal(bits, first_bits[i]);
        for (int j = 0; j < 4; j++) bytes[4 * i + j] = (uint8_t)(bits >> (8 * j));
    }
    assert_int_equal(fingerprint(bytes, 4 * N), 0x8FB89D54ACF4CDBBu);
    assert_int_equal(fingerprint(elements, N), 0xC21433D7C9BB6CACu);
    free(normals);
    free(elements);
    free(bytes);
}

/* Every level of kernels draws those same bits, here a long stream; check_kernels compares the shapes and addresses. */
static void test_every_level_draws_the_same_bits(void **state)
{
    (void)state;
    enum { N = 1 << 22, PART = 1 << 16 };
    uint32_t levels = egg_cpu_detect(), upto = 0;
    if (levels == 0) {
        print_message("this processor has no level above the reference\n");
        skip();
    }
    float *expected = array(PART, sizeof *expected), *found = array(PART, sizeof *found);
    for (uint32_t level = 1; level; level <<= 1) {
        if (!(levels & level)) continue;
        egg_kernels kernels;
        upto |= level;
        egg_kernels_init(&kernels, upto);
        egg_noise_args args = {.key = some_key(), .at = somewhere, .n = PART, .pairs = 1, .out = found,
                               .out_stride = PART};
        for (uint64_t first = 0; first < N; first += PART) {
            egg_noise_f32(some_key(), somewhere, first, PART, expected);
            args.first = first;
            kernels.noise_f32(&args);
            assert_memory_equal(found, expected, PART * sizeof *found);
        }
    }
    free(expected);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threefry_known_answers),
        cmocka_unit_test(test_threefry_against_random123),
        cmocka_unit_test(test_nearby_places_have_different_blocks),
        cmocka_unit_test(test_every_bit_of_a_place_changes_the_block),
        cmocka_unit_test(test_elements_are_the_bytes_of_the_blocks),
        cmocka_unit_test(test_any_range_is_the_same_stream),
        cmocka_unit_test(test_words_are_the_words_of_the_blocks),
        cmocka_unit_test(test_magnitudes_are_root_mean_squares),
        cmocka_unit_test(test_table_moments),
        cmocka_unit_test(test_i8_moments),
        cmocka_unit_test(test_bytes_are_equally_likely),
        cmocka_unit_test(test_neighbouring_streams_are_uncorrelated),
        cmocka_unit_test(test_f32_neighbouring_streams_are_independent),
        cmocka_unit_test(test_elements_of_a_stream_are_uncorrelated),
        cmocka_unit_test(test_f32_moments),
        cmocka_unit_test(test_f32_distribution),
        cmocka_unit_test(test_f32_distribution_across_pairs),
        cmocka_unit_test(test_f32_tails),
        cmocka_unit_test(test_f32_pairs_are_independent),
        cmocka_unit_test(test_f32_is_accurate),
        cmocka_unit_test(test_bits_are_those_recorded),
        cmocka_unit_test(test_every_level_draws_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
