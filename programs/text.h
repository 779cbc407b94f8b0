/* SPDX-License-Identifier: MIT */
/* Words and numbers laid out for people. */
#ifndef EGG_PROGRAM_TEXT_H
#define EGG_PROGRAM_TEXT_H

#include <stdbool.h>
#include <stdio.h>

enum { TEXT_BYTES = 32 };

/* These write to 'out' and return it. */
const char *text_scaled(char out[TEXT_BYTES], double value, const char *unit);   /* three digits: "1.23 MB", "512 B" */
const char *text_duration(char out[TEXT_BYTES], double seconds);                 /* "0:05", "1:02:03"; "-" if unknown */
const char *text_bits(char out[TEXT_BYTES], double bits_per_byte);               /* "3.6512"; "-" for NaN */

/*
 * Prints the words of 'text', the first at 'column', where the cursor is, with lines of up to 'width' columns. Lines
 * after the first, also those that a newline in the text begins, start at 'indent'. Ends with a newline.
 */
void text_wrap(FILE *out, const char *text, int column, int indent, int width);

/* One word of a shell: in quotes if it has to be. */
void text_shell_word(FILE *out, const char *word);

/* Columns of the terminal behind 'out'; 0: there is none, or one that cannot move its cursor. */
int text_columns(FILE *out);

/* Whether 'a' and 'b' differ by a slip of a few neighboring letters. */
bool text_similar(const char *a, const char *b);

#endif
