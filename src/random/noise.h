/* SPDX-License-Identifier: MIT */
/*
 * Random numbers with an address instead of a state. Every number that a run draws is element e of a stream; a stream
 * is named by a key (seed, domain) and an address (epoch, parameter, side, pair). The fields have their own bits of the
 * generator's key and counter, so that two different addresses can never meet.
 *
 *   key     = { seed low, seed high, domain, 0 }
 *   counter = { block, pair, epoch, 2 * param + side }
 *
 * The generator is Threefry4x32 with 12 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011: the
 * fewest that pass BigCrush); additions, rotations and exclusive ors of 32-bit words, so the same bits everywhere. One
 * block is 16 bytes: 16 int8 elements or 4 float32 elements. Element e of a stream lies in block e / 16 or e / 4.
 */
#ifndef EGG_RANDOM_NOISE_H
#define EGG_RANDOM_NOISE_H

#include <stddef.h>
#include <stdint.h>

#define EGG_NOISE_ROUNDS 12

enum { EGG_NOISE_BLOCK_I8 = 16, EGG_NOISE_BLOCK_F32 = 4 };   /* elements of a block */

typedef enum egg_domain {
    EGG_DOMAIN_PERTURBATION = 1,
    EGG_DOMAIN_INITIAL_WEIGHTS = 2,
    EGG_DOMAIN_SAMPLING = 3,
    EGG_DOMAIN_EPISODE = 4,       /* what is random in one episode of an environment */
    EGG_DOMAIN_ROLLOUT = 5,       /* the seeds of episodes, and the sampling of actions */
    EGG_DOMAIN_TASK = 6           /* the questions of a task */
} egg_domain;

typedef struct egg_key {
    uint32_t word[4];
} egg_key;

typedef enum egg_side { EGG_A = 0, EGG_B = 1 } egg_side;

typedef struct egg_noise_at {
    uint32_t epoch, param, side, pair;
} egg_noise_at;

egg_key egg_key_make(uint64_t seed, egg_domain domain);

/* Threefry4x32 as published, for any number of rounds up to 20. */
void egg_threefry4x32(const uint32_t key[4], const uint32_t counter[4], uint32_t rounds, uint32_t out[4]);

/* The 16 bytes of block 'block' of the stream at 'at', as four words; byte i of the block is byte i%4 of word i/4. */
void egg_noise_block(egg_key key, egg_noise_at at, uint32_t block, uint32_t out[4]);

/*
 * The int8 normal of standard deviation 16: bit 7 of a random byte is the sign, bits 0..6 choose one of 128 equally
 * likely magnitudes, element i being 16 times the root mean square of |N(0,1)| within its i-th 128th, rounded. Standard
 * deviation 15.995, kurtosis 2.96, largest magnitude EGG_NORMAL_I8_MAX.
 */
enum { EGG_NORMAL_I8_MAX = 48 };
extern const int8_t egg_normal_i8_magnitude[128];

static inline int8_t egg_normal_i8(uint8_t byte)
{
    int8_t magnitude = egg_normal_i8_magnitude[byte & 127];
    return (int8_t)(byte & 128 ? -magnitude : magnitude);
}

/*
 * Two independent N(0,1) from two random words, by Box and Muller, in IEEE single operations only: the same everywhere.
 */
void egg_normal_f32(uint32_t first, uint32_t second, float out[2]);

/* out[0..n) = elements first..first+n of the stream at 'at'. Any range of any stream, in any order. */
void egg_noise_i8(egg_key key, egg_noise_at at, uint64_t first, size_t n, int8_t *out);
void egg_noise_f32(egg_key key, egg_noise_at at, uint64_t first, size_t n, float *out);

/* Sequential words from one stream, for consumers that need a few numbers at a time (sampling text). */
typedef struct egg_words {
    egg_key key;
    egg_noise_at at;
    uint64_t next;        /* index of the next word */
    uint64_t held;        /* 1 + number of the block that 'block' holds; 0 = none */
    uint32_t block[4];
} egg_words;

uint32_t egg_words_next(egg_words *words);

#endif
