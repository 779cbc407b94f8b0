/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as lines behind a vocabulary of single bytes: refused with a text, or taken, and then the input itself
 * encodes and comes back.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_round_trip(const egg_tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    uint32_t *tokens = malloc(bytes * sizeof *tokens + 1);
    check(tokens != NULL);
    size_t count = egg_tokenizer_encode(tokenizer, text, bytes, tokens), at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *part = egg_tokenizer_text(tokenizer, tokens[i], &n);
        check(part && n <= bytes - at && memcmp(part, text + at, n) == 0);
        at += n;
    }
    check(at == bytes);
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(256 * 16 + size), *end = text;
    check(text != NULL);
    for (int b = 0; b < 256; b++) end += sprintf(end, "%d b'\\x%02x' 1\n", b + 1, b);
    if (size) memcpy(end, data, size);
    egg_tokenizer *tokenizer;
    egg_error error = {0};
    egg_status status = egg_tokenizer_parse_world(&tokenizer, text, (size_t)(end - text) + size, "input", &error);
    check(status == EGG_OK ? tokenizer != NULL : !tokenizer && status == EGG_ERR_FORMAT && error.text[0]);
    if (tokenizer) check_round_trip(tokenizer, data, size);
    egg_tokenizer_close(tokenizer);
    free(text);
    return 0;
}
