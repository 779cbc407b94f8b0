/* SPDX-License-Identifier: MIT */
/* The JSON texts of the library, laid out for people. */
#ifndef EGG_PROGRAM_LISTING_H
#define EGG_PROGRAM_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Prints the members of a JSON object a line each, the values below one another, objects within it indented. */
void listing_print(FILE *out, const char *json);

/* The text of a member that is no array and no object; false if the object has none of this name. */
bool listing_find(const char *json, const char *key, char *value, size_t size);

#endif
