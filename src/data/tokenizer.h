/* SPDX-License-Identifier: MIT */
/*
 * From text to tokens and back. Token 0 is the end of a document and has no text.
 *
 *   byte    token b is the byte b; 256 tokens
 *   World   the vocabulary of the RWKV World models, read from its file; text is cut greedily into the longest entries
 */
#ifndef EGG_DATA_TOKENIZER_H
#define EGG_DATA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { EGG_TOKEN_END = 0, EGG_TOKEN_MAX = (1 << 24) - 1 };

typedef struct egg_tokenizer egg_tokenizer;

egg_status egg_tokenizer_open_byte(egg_tokenizer **tokenizer, egg_error *error);

/*
 * A vocabulary file has a line an entry: "<id> <Python literal> <length in bytes>", where the literal is a str, whose
 * UTF-8 is the entry, or a bytes. Ids are unique and at least 1, entries are unique, and every single byte has one, so
 * that any text can be encoded. EGG_ERR_FORMAT names the file and the line; 'offset' is the line.
 */
egg_status egg_tokenizer_open_world(egg_tokenizer **tokenizer, const char *path, egg_error *error);
egg_status egg_tokenizer_parse_world(egg_tokenizer **tokenizer, const void *data, size_t bytes, const char *name,
                                     egg_error *error);
void egg_tokenizer_close(egg_tokenizer *tokenizer);   /* NULL is fine */

uint32_t egg_tokenizer_vocabulary(const egg_tokenizer *tokenizer);   /* one more than the largest token */

/* Writes the tokens of a text, at most one a byte, to tokens (bytes); returns how many. */
size_t egg_tokenizer_encode(const egg_tokenizer *tokenizer, const void *text, size_t bytes, uint32_t *tokens);

/*
 * The same for a text that comes in parts: stops where an entry could reach beyond the part, unless it is the last one.
 * '*used' becomes the bytes that were read; the next part begins behind them. Part by part the tokens are those of the
 * whole, if every part but the last has at least egg_tokenizer_longest() bytes.
 */
size_t egg_tokenizer_encode_part(const egg_tokenizer *tokenizer, const void *text, size_t bytes, bool last,
                                 uint32_t *tokens, size_t *used);
size_t egg_tokenizer_longest(const egg_tokenizer *tokenizer);   /* bytes of the longest entry */

/* The bytes of a token, which need not be whole characters; NULL and 0 for one that has none. */
const char *egg_tokenizer_text(const egg_tokenizer *tokenizer, uint32_t token, size_t *bytes);

#endif
