/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tasks/gsm8k.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { NUMBER_BYTES = 64 };

#define THOUGHT_END "</think>"
#define ANSWER_MARK "####"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * The number that text[*at...] begins with, as "-12.5": without commas, leading zeros and zeros at the end of a
 * fraction.
 * '*at' moves behind it. False, and nothing moves, where there is none, or it is too long to be an answer.
 */
static bool read_number(const char *text, size_t bytes, size_t *at, char out[NUMBER_BYTES])
{
    size_t i = *at, n = 0;
    bool minus = i < bytes && text[i] == '-';
    i += minus;
    if (i < bytes && text[i] == '$') i++;
    if (i == bytes || !is_digit(text[i])) return false;
    if (minus) out[n++] = '-';
    size_t first = n, fraction = 0;
    for (; i < bytes; i++) {
        bool digit_follows = i + 1 < bytes && is_digit(text[i + 1]);
        if (text[i] == ',' && digit_follows && !fraction) continue;
        if (text[i] == '.' && digit_follows && !fraction) fraction = n + 1;
        else if (!is_digit(text[i])) break;
        if (n == first + 1 && out[first] == '0' && text[i] != '.') n--;
        if (n + 1 == NUMBER_BYTES) return false;
        out[n++] = text[i];
    }
    if (fraction) {
        while (out[n - 1] == '0') n--;
        if (out[n - 1] == '.') n--;
    }
    out[n] = '\0';
    if (strcmp(out, "-0") == 0) strcpy(out, "0");
    *at = i;
    return true;
}

/* Whether a dash behind this character subtracts: then it is no sign. */
static bool ends_operand(char c)
{
    return is_digit(c) || c == ')' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The last number of the text. */
static bool last_number(const char *text, size_t bytes, char out[NUMBER_BYTES])
{
    char number[NUMBER_BYTES];
    bool found = false;
    for (size_t i = 0; i < bytes;) {
        bool subtracts = text[i] == '-' && i && ends_operand(text[i - 1]);
        if (subtracts || !read_number(text, bytes, &i, number)) {
            i++;
            continue;
        }
        strcpy(out, number);
        found = true;
    }
    return found;
}

static bool reference_number(const char *answer, char out[NUMBER_BYTES])
{
    const char *mark = NULL;
    for (const char *at = answer; (at = strstr(at, ANSWER_MARK)); at += strlen(ANSWER_MARK)) mark = at;
    if (!mark) return false;
    mark += strlen(ANSWER_MARK);
    return last_number(mark, strlen(mark), out);
}

char *egg_gsm8k_prompt(const char *question)
{
    static const char form[] = "User: %s\n\nAssistant: <think";
    size_t bytes = strlen(question) + sizeof form;
    char *prompt = egg_alloc(bytes);
    if (prompt) snprintf(prompt, bytes, form, question);
    return prompt;
}

egg_status egg_gsm8k_check(const char *answer, egg_error *error)
{
    char number[NUMBER_BYTES];
    if (reference_number(answer, number)) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "the answer has no number behind '%s'", ANSWER_MARK);
}

double egg_gsm8k_reward(const char *answer, const char *completion, size_t bytes)
{
    char expected[NUMBER_BYTES], found[NUMBER_BYTES];
    const char *mark = memmem(completion, bytes, THOUGHT_END, strlen(THOUGHT_END));
    if (!mark || !reference_number(answer, expected)) return 0;
    mark += strlen(THOUGHT_END);
    return last_number(mark, bytes - (size_t)(mark - completion), found) && strcmp(expected, found) == 0;
}
