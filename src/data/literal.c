/* SPDX-License-Identifier: MIT */
#include "data/literal.h"

#include <stdint.h>
#include <string.h>

/* UTF-8 of a code point; returns its length, or 0 for one that has none. */
static size_t write_utf8(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0;
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6) out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00u >> length & 0xf0) | point);   /* as many leading ones as bytes */
    return length;
}

/* Reads 'digits' hexadecimal digits. */
static bool read_hex(const char *text, const char *end, size_t digits, uint32_t *value)
{
    *value = 0;
    if ((size_t)(end - text) < digits) return false;
    for (size_t i = 0; i < digits; i++) {
        static const char all[] = "0123456789abcdef";
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *found = c ? strchr(all, c) : NULL;
        if (!found) return false;
        *value = *value << 4 | (uint32_t)(found - all);
    }
    return true;
}

/* '*at' is behind a backslash. Writes what the escape means; returns its length, or 0 if it means nothing. */
static size_t read_escape(const char **at, const char *end, bool is_bytes, char *out)
{
    static const char letters[] = "\\'\"nrt", meanings[] = "\\'\"\n\r\t";
    uint32_t value;
    char kind = *(*at)++;
    const char *letter = kind ? strchr(letters, kind) : NULL;
    if (letter) {
        *out = meanings[letter - letters];
        return 1;
    }
    size_t digits = kind == 'x' ? 2 : is_bytes ? 0 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (!digits || !read_hex(*at, end, digits, &value)) return 0;
    *at += digits;
    if (!is_bytes) return write_utf8(value, out);
    *out = (char)value;
    return 1;
}

const char *egg_literal_decode(const char *text, size_t length, char *out, size_t *bytes)
{
    const char *at = text, *end = text + length;
    bool is_bytes = length && *at == 'b';
    *bytes = 0;
    at += is_bytes;
    if (end - at < 2 || (*at != '\'' && *at != '"') || end[-1] != *at) return "no literal in quotes";
    char quote = *at++;
    end--;
    while (at < end) {
        char c = *at++;
        if (c == quote) return "a quote inside the literal";
        if (c != '\\') {
            if (is_bytes && (unsigned char)c >= 0x80) return "a character beyond ASCII in a bytes literal";
            out[(*bytes)++] = c;
            continue;
        }
        size_t written = at < end ? read_escape(&at, end, is_bytes, out + *bytes) : 0;
        if (!written) return "an unknown escape";
        *bytes += written;
    }
    return NULL;
}
