/* SPDX-License-Identifier: MIT */
#include "tasks/stops.h"

#include <string.h>

#include "base/memory.h"

/* The character that an escape stands for, or 0. */
static char escaped(char letter)
{
    static const char letters[] = "nt|\\", meanings[] = "\n\t|\\";
    const char *at = letter ? strchr(letters, letter) : NULL;
    return at ? meanings[at - letters] : 0;
}

static egg_status split(egg_stops *stops, const char *option, egg_error *error)
{
    char *out = stops->memory, *begin = out;
    for (const char *at = option;; at++) {
        if (*at == '|' || !*at) {
            if (out == begin)
                return egg_fail(error, EGG_ERR_ARGUMENT, "--stop: '%s' holds an empty text, expected 'one|two'",
                                option);
            *out++ = '\0';
            stops->texts[stops->count++] = begin;
            begin = out;
            if (!*at) return EGG_OK;
            continue;
        }
        char c = *at;
        if (c == '\\') {
            c = escaped(*++at);
            if (!c)
                return egg_fail(error, EGG_ERR_ARGUMENT,
                                "--stop: '%s' holds an unknown escape, expected \\n, \\t, \\| or "
                                "\\\\",
                                option);
        }
        *out++ = c;
    }
}

egg_status egg_stops_open(egg_stops *stops, const char *option, egg_error *error)
{
    size_t most = strlen(option) + 1;
    *stops = (egg_stops){0};
    if (!*option) return EGG_OK;
    stops->memory = egg_alloc(most);
    stops->texts = egg_alloc_array(most, sizeof *stops->texts);
    egg_status status = stops->memory && stops->texts ? split(stops, option, error)
                                                      : egg_fail(error, EGG_ERR_NOMEM, "no memory for --stop");
    if (status != EGG_OK) egg_stops_close(stops);
    return status;
}

void egg_stops_close(egg_stops *stops)
{
    egg_free(stops->texts);
    egg_free(stops->memory);
    *stops = (egg_stops){0};
}
