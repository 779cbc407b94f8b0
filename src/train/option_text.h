/* SPDX-License-Identifier: MIT */
/* Values of options as a person writes them: nothing before or after the value, and the same in every locale. */
#ifndef EGG_TRAIN_OPTION_TEXT_H
#define EGG_TRAIN_OPTION_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EGG_NUMBER_BYTES = 32 };

/*
 * "4096", "64k", "1.5M", "2Gi", "64e6": digits, a fraction, an exponent, a suffix; false unless all that is exactly an
 * integer from 0 to 2^53 - 1.
 */
bool egg_integer_parse(const char *text, uint64_t *value);

/* Decimal only: no hexadecimal, no "nan"; what is too large becomes infinite. */
bool egg_number_parse(const char *text, double *value);

/* The shortest text that reads back as the same value. 'value' is finite. */
void egg_number_format(char text[EGG_NUMBER_BYTES], double value);

/* The same for single precision. */
void egg_float_format(char text[EGG_NUMBER_BYTES], float value);

/* true, yes, 1; false, no, 0. */
bool egg_bool_parse(const char *text, bool *value);

/* 'choices': "a|b|c". 'value' counts the words from 0. */
bool egg_choice_parse(const char *text, const char *choices, uint32_t *value);

/* Word number 'index', '*length' bytes of it; 0 past the last. */
const char *egg_choice_word(const char *choices, uint32_t index, size_t *length);

#endif
