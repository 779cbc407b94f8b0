/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <string.h>

enum { VALUE_COLUMN = 26, DEEPEST = 16 };

/* The texts come from the library and are well-formed: what follows only has to stay within them. */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Past the scalar at 'at'. */
static const char *skip_scalar(const char *at)
{
    if (*at != '"') return at + strcspn(at, ",]} \t\r\n");
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return at + (*at == '"');
}

/* Past the value at 'at', whatever it is. */
static const char *skip_value(const char *at)
{
    int depth = 0;
    do {
        if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at = skip_scalar(at);
        }
        if (depth) at = skip_space(at);
    } while (depth > 0 && *at);
    return at;
}

/* A scalar as people write it. Escapes of control characters stay, so that none reaches a terminal. */
static void scalar_text(const char *at, char *out, size_t size)
{
    const char *end = skip_scalar(at);
    bool string = *at == '"';
    size_t used = 0;
    if (string) {
        at++;
        end -= end > at && end[-1] == '"';
    }
    for (; at < end && used + 1 < size; at++) {
        if (string && *at == '\\' && at + 1 < end && strchr("\"\\/", at[1])) at++;
        out[used++] = *at;
    }
    out[used] = '\0';
    if (!string && strcmp(out, "true") == 0) snprintf(out, size, "yes");
    if (!string && strcmp(out, "false") == 0) snprintf(out, size, "no");
}

static const char *print_scalars(FILE *out, const char *at)
{
    char value[4096];
    bool first = true;
    at = skip_space(at + 1);
    while (*at && *at != ']') {
        scalar_text(at, value, sizeof value);
        fprintf(out, "%s%s", first ? "" : ", ", value);
        first = false;
        at = skip_space(skip_value(at));
        if (*at == ',') at = skip_space(at + 1);
    }
    return at + (*at == ']');
}

/* The key at 'at' and past its colon. */
static const char *read_key(const char *at, char *key, size_t size)
{
    scalar_text(at, key, size);
    at = skip_space(skip_scalar(at));
    return skip_space(at + (*at == ':'));
}

static const char *print_object(FILE *out, const char *at, int indent)
{
    char text[4096];
    at = skip_space(at + 1);
    while (*at == '"') {
        at = read_key(at, text, sizeof text);
        for (char *c = text; *c; c++)
            if (*c == '_') *c = ' ';
        if (*at == '{' && indent < 2 * DEEPEST) {
            fprintf(out, "%*s%s\n", indent, "", text);
            at = print_object(out, at, indent + 2);
        } else {
            fprintf(out, "%*s%-*s ", indent, "", VALUE_COLUMN - indent, text);
            if (*at == '[') {
                at = print_scalars(out, at);
            } else {
                scalar_text(at, text, sizeof text);
                fputs(text, out);
                at = skip_value(at);
            }
            fputc('\n', out);
        }
        at = skip_space(at);
        if (*at == ',') at = skip_space(at + 1);
    }
    return at + (*at == '}');
}

void listing_print(FILE *out, const char *json)
{
    print_object(out, skip_space(json), 0);
}

bool listing_find(const char *json, const char *key, char *value, size_t size)
{
    char name[64];
    const char *at = skip_space(skip_space(json) + 1);
    while (*at == '"') {
        at = read_key(at, name, sizeof name);
        if (strcmp(name, key) == 0 && *at != '{' && *at != '[') {
            scalar_text(at, value, size);
            return true;
        }
        at = skip_space(skip_value(at));
        if (*at == ',') at = skip_space(at + 1);
    }
    return false;
}
