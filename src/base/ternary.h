/* SPDX-License-Identifier: MIT */
/* Numbers of which only the sign counts, five a byte: digits of base 3, 0 for -, 1 for zero, 2 for +. */
#ifndef EGG_BASE_TERNARY_H
#define EGG_BASE_TERNARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t egg_ternary_bytes(size_t n)
{
    return n / 5 + (n % 5 != 0);
}

/* packed (egg_ternary_bytes(n)) = the signs of values (n). The digits behind the last one are zeros. */
void egg_ternary_pack(const int8_t *values, size_t n, uint8_t *packed);

/* signs (n): -1, 0 or 1. false: a byte that pack does not write. */
bool egg_ternary_unpack(const uint8_t *packed, size_t n, int8_t *signs);

#endif
