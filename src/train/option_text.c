/* SPDX-License-Identifier: MIT */
#include "train/option_text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

/* The program around the library may have set a locale with another decimal point. */
static locale_t enter_c_locale(locale_t *before)
{
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    *before = uselocale(c);
    return c;
}

static void leave_c_locale(locale_t c, locale_t before)
{
    uselocale(before);
    if (c) freelocale(c);
}

bool egg_number_parse(const char *text, double *value)
{
    locale_t before, c = enter_c_locale(&before);
    char *end;
    *value = strtod(text, &end);
    leave_c_locale(c, before);
    return end != text && *end == '\0' && text[strspn(text, "+-.0123456789eE")] == '\0';
}

void egg_number_format(char text[EGG_NUMBER_BYTES], double value)
{
    locale_t before, c = enter_c_locale(&before);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, EGG_NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    leave_c_locale(c, before);
}

void egg_float_format(char text[EGG_NUMBER_BYTES], float value)
{
    locale_t before, c = enter_c_locale(&before);
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, EGG_NUMBER_BYTES, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    leave_c_locale(c, before);
}

static uint64_t suffix_scale(const char *suffix)
{
    static const struct {
        const char *text;
        uint64_t scale;
    } suffixes[] = {{"", 1},           {"k", 1000},     {"M", 1000000},   {"G", 1000000000},
                    {"Ki", 1 << 10},   {"Mi", 1 << 20}, {"Gi", 1 << 30}};
    for (size_t i = 0; i < EGG_COUNT(suffixes); i++)
        if (strcmp(suffix, suffixes[i].text) == 0) return suffixes[i].scale;
    return 0;
}

/* Counted in integers, because 4.35e2 in doubles is not 435. */
bool egg_integer_parse(const char *text, uint64_t *value)
{
    const uint64_t limit = UINT64_C(1) << 53;
    uint64_t mantissa = 0;
    long exponent = 0;
    bool point = false, digits = false;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        digits = true;
        mantissa = 10 * mantissa + (uint64_t)(*text - '0');
        exponent -= point;
        if (mantissa >= limit) return false;
    }
    if (!digits) return false;
    if (*text == 'e' || *text == 'E') {
        text += text[1] == '+' ? 2 : 1;
        size_t length = strspn(text, "0123456789");
        if (length < 1 || length > 3) return false;
        exponent += strtol(text, NULL, 10);
        text += length;
    }
    uint64_t scale = suffix_scale(text);
    if (!scale || (mantissa && scale > limit / mantissa)) return false;
    mantissa *= scale;
    for (; exponent > 0 && mantissa; exponent--) {
        mantissa *= 10;
        if (mantissa >= limit) return false;
    }
    for (; exponent < 0 && mantissa; exponent++) {
        if (mantissa % 10) return false;
        mantissa /= 10;
    }
    *value = mantissa;
    return mantissa < limit;
}

bool egg_bool_parse(const char *text, bool *value)
{
    static const char *const words[2][3] = {{"false", "no", "0"}, {"true", "yes", "1"}};
    for (size_t i = 0; i < 6; i++) {
        *value = i % 2;
        if (strcmp(text, words[i % 2][i / 2]) == 0) return true;
    }
    return false;
}

const char *egg_choice_word(const char *choices, uint32_t index, size_t *length)
{
    for (; index && *choices; index--) {
        choices += strcspn(choices, "|");
        if (*choices) choices++;
    }
    *length = strcspn(choices, "|");
    return choices;
}

bool egg_choice_parse(const char *text, const char *choices, uint32_t *value)
{
    size_t length;
    const char *word;
    for (*value = 0; *(word = egg_choice_word(choices, *value, &length)); ++*value)
        if (strlen(text) == length && strncmp(text, word, length) == 0) return true;
    return false;
}
