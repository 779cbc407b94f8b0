/* SPDX-License-Identifier: MIT */
#include "data/entropy.h"

#include <math.h>

#include "base/memory.h"

enum { SYMBOLS = 256, BLOCK_BYTES = 1 << 16 };

/* pairs (SYMBOLS, SYMBOLS): [a][b] counts the bytes b that follow an a; symbols (SYMBOLS). */
static void count(const egg_corpus *corpus, uint64_t offset, uint64_t bytes, uint8_t *block, uint64_t *symbols,
                  uint64_t *pairs)
{
    uint64_t discarded[SYMBOLS] = {0};   /* the row of the byte before the first, which is none */
    uint64_t *row = discarded;
    while (bytes) {
        size_t n = bytes < BLOCK_BYTES ? (size_t)bytes : BLOCK_BYTES;
        egg_corpus_read(corpus, offset, n, block);
        for (size_t i = 0; i < n; i++) {
            symbols[block[i]]++;
            row[block[i]]++;
            row = pairs + SYMBOLS * block[i];
        }
        offset += n;
        bytes -= n;
    }
}

static uint64_t sum(const uint64_t *counts)
{
    uint64_t total = 0;
    for (int i = 0; i < SYMBOLS; i++) total += counts[i];
    return total;
}

/* Bits that the best fixed code needs for all the symbols counted together. */
static double code_bits(const uint64_t *counts, uint64_t total)
{
    double bits = 0;
    for (int i = 0; i < SYMBOLS; i++)
        if (counts[i]) bits += (double)counts[i] * log2((double)total / (double)counts[i]);
    return bits;
}

egg_status egg_entropy(const egg_corpus *corpus, uint64_t offset, uint64_t bytes, double *unigram_bits,
                       double *bigram_bits, egg_error *error)
{
    egg_status status = EGG_OK;
    uint8_t *block = egg_alloc(BLOCK_BYTES);
    uint64_t *symbols = egg_alloc_array(SYMBOLS, sizeof *symbols);
    uint64_t *pairs = egg_alloc_array(SYMBOLS * SYMBOLS, sizeof *pairs);
    if (!block || !symbols || !pairs)
        EGG_TRY(egg_fail(error, EGG_ERR_NOMEM, "no memory to count bytes and pairs with"));

    count(corpus, offset, bytes, block, symbols, pairs);
    double bits = 0;
    for (int a = 0; a < SYMBOLS; a++) bits += code_bits(pairs + SYMBOLS * a, sum(pairs + SYMBOLS * a));
    *bigram_bits = bytes > 1 ? bits / (double)(bytes - 1) : 0;
    *unigram_bits = bytes ? code_bits(symbols, bytes) / (double)bytes : 0;
out:
    egg_free(block);
    egg_free(symbols);
    egg_free(pairs);
    return status;
}
