/* SPDX-License-Identifier: MIT */
/* Texts that end a generated one, as an option gives them: "one|two", with \n, \t, \| and \\. */
#ifndef EGG_TASKS_STOPS_H
#define EGG_TASKS_STOPS_H

#include <stddef.h>

#include "base/status.h"

typedef struct egg_stops {
    const char **texts;          /* (count) none is empty */
    size_t count;
    char *memory;
} egg_stops;

/* EGG_ERR_ARGUMENT: another escape, or a text without a byte between bars. An empty option has no texts. */
egg_status egg_stops_open(egg_stops *stops, const char *option, egg_error *error);
void egg_stops_close(egg_stops *stops);

#endif
