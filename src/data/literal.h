/* SPDX-License-Identifier: MIT */
/* Python's literals of text and bytes, as repr() writes them. */
#ifndef EGG_DATA_LITERAL_H
#define EGG_DATA_LITERAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Decodes the literal text[0..length), for example 'it\'s' or b'\xff', into out, which has room for 'length' bytes; a
 * str becomes its UTF-8. Returns NULL, or what is wrong.
 */
const char *egg_literal_decode(const char *text, size_t length, char *out, size_t *bytes);

#endif
