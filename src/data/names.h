/* SPDX-License-Identifier: MIT */
/* Lists of names for error texts. */
#ifndef EGG_DATA_NAMES_H
#define EGG_DATA_NAMES_H

#include <stdio.h>
#include <string.h>

/* Appends 'name' in quotes to the comma-separated list in 'list'; a list that is full ends with "...". */
static inline void egg_names_add(char *list, size_t size, const char *name)
{
    size_t used = strlen(list), ending = sizeof ", ...";
    if (used >= 3 && strcmp(list + used - 3, "...") == 0) return;
    const char *comma = used ? ", " : "";
    if (used + strlen(comma) + strlen(name) + 2 + ending <= size)
        snprintf(list + used, size - used, "%s'%s'", comma, name);
    else
        snprintf(list + used, size - used, "%s...", comma);
}

#endif
