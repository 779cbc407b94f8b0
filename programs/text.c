/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *text_scaled(char out[TEXT_BYTES], double value, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t p = 0;
    for (; value >= 999.5 && p + 1 < sizeof prefixes / sizeof *prefixes; p++) value /= 1000;
    int decimals = p == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(out, TEXT_BYTES, "%.*f%s%s%s", decimals, value, p || *unit ? " " : "", prefixes[p], unit);
    return out;
}

const char *text_duration(char out[TEXT_BYTES], double seconds)
{
    if (!(seconds >= 0 && seconds < 1e12)) return strcpy(out, "-");
    unsigned long long whole = (unsigned long long)(seconds + 0.5), hours = whole / 3600;
    unsigned minutes = (unsigned)(whole / 60 % 60), rest = (unsigned)(whole % 60);
    if (hours)
        snprintf(out, TEXT_BYTES, "%llu:%02u:%02u", hours, minutes, rest);
    else
        snprintf(out, TEXT_BYTES, "%u:%02u", minutes, rest);
    return out;
}

const char *text_bits(char out[TEXT_BYTES], double bits_per_byte)
{
    if (!isfinite(bits_per_byte)) return strcpy(out, "-");
    snprintf(out, TEXT_BYTES, "%.4f", bits_per_byte);
    return out;
}

void text_wrap(FILE *out, const char *text, int column, int indent, int width)
{
    bool first = true;   /* of its line */
    for (;;) {
        int length = (int)strcspn(text, " \n");
        if (!first && column + 1 + length > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", length, text);
        column += length + !first;
        first = false;
        text += length;
        if (!*text) break;
        if (*text++ == '\n') {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
    }
    fputc('\n', out);
}

void text_shell_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,@%=";
    if (*word && word[strspn(word, plain)] == '\0') {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    }
    fputc('\'', out);
}

int text_columns(FILE *out)
{
    struct winsize size;
    const char *terminal = getenv("TERM");
    if (!isatty(fileno(out)) || !terminal || strcmp(terminal, "dumb") == 0) return 0;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* By what is left without the common beginning and end: one letter more, less or other, or two swapped. */
bool text_similar(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    size_t m = strlen(a), n = strlen(b);
    while (m && n && a[m - 1] == b[n - 1]) m--, n--;
    return m <= 2 && n <= 2;
}
