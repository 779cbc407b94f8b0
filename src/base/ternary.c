/* SPDX-License-Identifier: MIT */
#include "base/ternary.h"

enum { DIGITS = 5, ZEROS = 1 + 3 + 9 + 27 + 81, VALUES = 243 };

void egg_ternary_pack(const int8_t *values, size_t n, uint8_t *packed)
{
    for (size_t first = 0; first < n; first += DIGITS) {
        int byte = ZEROS, place = 1;
        for (size_t i = first; i < first + DIGITS && i < n; i++, place *= 3)
            byte += place * ((values[i] > 0) - (values[i] < 0));
        packed[first / DIGITS] = (uint8_t)byte;
    }
}

bool egg_ternary_unpack(const uint8_t *packed, size_t n, int8_t *signs)
{
    for (size_t first = 0; first < n; first += DIGITS) {
        unsigned rest = packed[first / DIGITS];
        if (rest >= VALUES) return false;
        for (size_t i = first; i < first + DIGITS; i++, rest /= 3) {
            if (i < n) signs[i] = (int8_t)((int)(rest % 3) - 1);
            else if (rest % 3 != 1) return false;
        }
    }
    return true;
}
