/* SPDX-License-Identifier: MIT */
/* Any bytes as JSON lines: the same documents and the same failure, however the bytes are cut into pieces. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "data/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINE = 200 };

typedef struct outcome {
    egg_status status;
    egg_error error;
    egg_hasher *documents;
} outcome;

static void check(bool holds)
{
    if (!holds) abort();
}

static egg_status receive(void *context, const char *text, size_t bytes, egg_error *error)
{
    (void)error;
    check(bytes <= MAX_LINE && !memchr(text, 0, bytes));
    egg_hasher_add(context, "", 1);
    egg_hasher_add(context, text, bytes);
    return EGG_OK;
}

/* Every piece is a block of its own, so that the sanitizer sees the first byte read beyond it. */
static egg_status push_copy(egg_jsonl *reader, const uint8_t *data, size_t bytes, egg_error *error)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    check(copy != NULL);
    if (bytes) memcpy(copy, data, bytes);
    egg_status status = egg_jsonl_push(reader, copy, bytes, error);
    free(copy);
    return status;
}

static outcome read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    outcome found = {.status = EGG_OK};
    egg_jsonl *reader;
    check(egg_hasher_open(&found.documents, NULL) == EGG_OK);
    check(egg_jsonl_open(&reader, "input", "text", MAX_LINE, receive, found.documents, NULL) == EGG_OK);
    for (size_t at = 0; at < size && found.status == EGG_OK; at += piece)
        found.status = push_copy(reader, data + at, size - at < piece ? size - at : piece, &found.error);
    if (found.status == EGG_OK) found.status = egg_jsonl_finish(reader, &found.error);
    egg_jsonl_close(reader);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    outcome whole = read_in_pieces(data, size, size ? size : 1);
    check(whole.status == EGG_OK || (whole.status == EGG_ERR_FORMAT && whole.error.text[0] && whole.error.offset));
    egg_hash expected = egg_hasher_value(whole.documents);
    for (size_t piece = 1; piece < size; piece = 3 * piece + 1) {
        outcome found = read_in_pieces(data, size, piece);
        egg_hash hash = egg_hasher_value(found.documents);
        check(found.status == whole.status && strcmp(found.error.text, whole.error.text) == 0);
        check(hash.high == expected.high && hash.low == expected.low);
        egg_hasher_close(found.documents);
    }
    egg_hasher_close(whole.documents);
    return 0;
}
