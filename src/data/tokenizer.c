/* SPDX-License-Identifier: MIT */
#include "data/tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/array.h"
#include "data/literal.h"

typedef struct egg_entry {
    const char *text;       /* (bytes) */
    uint32_t bytes, token, line;
} egg_entry;

/* A node of the trie; its child for byte c is children[first + c - low], 0 where there is none. */
typedef struct egg_node {
    uint32_t first, token;   /* token 0: no entry ends here */
    uint16_t low, width;     /* of the range of bytes that have a place */
} egg_node;

struct egg_tokenizer {
    uint32_t vocabulary;
    size_t longest;          /* bytes of an entry */
    char *text;              /* of all entries, one behind the other */
    egg_entry *by_token;     /* (vocabulary) bytes = 0: no such token */
    egg_node *nodes;         /* nodes[0] is the root, which is nobody's child */
    uint32_t *children;
};

/* ------------------------------------------------------------------------------------------------------- one line */

typedef struct egg_vocabulary_reader {
    const char *name;
    char *text;              /* (size of the file) */
    size_t used;
    egg_entry *entries;      /* (count) of 'capacity' */
    size_t count, capacity;
    uint32_t line;
    uint32_t largest;
} egg_vocabulary_reader;

static egg_status fail_at(uint32_t line, egg_error *error)
{
    if (error) error->offset = line;
    return EGG_ERR_FORMAT;
}

/* A whole number without sign; false if 'text' is anything else or too large. */
static bool read_number(const char *text, size_t length, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *value = *value * 10 + (uint32_t)(text[i] - '0');
        if (*value > EGG_TOKEN_MAX) return false;
    }
    return length > 0;
}

static const char *last_space(const char *text, size_t length)
{
    while (length && text[length - 1] != ' ') length--;
    return length ? text + length - 1 : NULL;
}

static egg_status read_line(egg_vocabulary_reader *reader, const char *line, size_t length, egg_error *error)
{
    if (length && line[length - 1] == '\r') length--;
    if (length == 0) return EGG_OK;
    const char *space = memchr(line, ' ', length), *last = last_space(line, length);
    uint32_t id = 0, expected = 0;
    size_t found = 0;
    if (!space || last <= space + 1 || !read_number(line, (size_t)(space - line), &id) || id == 0 ||
        !read_number(last + 1, (size_t)(line + length - last - 1), &expected)) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %u is '%.*s', expected '<id from 1> <literal> <bytes>'", reader->name,
                 reader->line, length < 60 ? (int)length : 60, line);
        return fail_at(reader->line, error);
    }
    const char *wrong = egg_literal_decode(space + 1, (size_t)(last - space - 1), reader->text + reader->used, &found);
    if (wrong) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %u: %s: %.*s", reader->name, reader->line, wrong,
                 last - space - 1 < 60 ? (int)(last - space - 1) : 60, space + 1);
        return fail_at(reader->line, error);
    }
    if (found != expected || found == 0) {
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %u: the entry has %zu bytes, the line says %u", reader->name,
                 reader->line, found, expected);
        return fail_at(reader->line, error);
    }
    egg_entry *grown = egg_array_grow(reader->entries, reader->count, &reader->capacity, sizeof *grown);
    if (!grown) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its entries", reader->name);
    reader->entries = grown;
    grown[reader->count++] = (egg_entry){.text = reader->text + reader->used, .bytes = (uint32_t)found, .token = id,
                                         .line = reader->line};
    reader->used += found;
    if (id > reader->largest) reader->largest = id;
    return EGG_OK;
}

static egg_status read_lines(egg_vocabulary_reader *reader, const char *data, size_t bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    while (bytes) {
        const char *newline = memchr(data, '\n', bytes);
        size_t n = newline ? (size_t)(newline - data) : bytes;
        reader->line++;
        EGG_TRY(read_line(reader, data, n, error));
        n += newline != NULL;
        data += n;
        bytes -= n;
    }
out:
    return status;
}

/* -------------------------------------------------------------------------------------------------------- the trie */

/* A node that still waits for its children: the entries from 'begin' to 'end' agree in their first 'depth' bytes. */
typedef struct egg_trie_range {
    uint32_t begin, end, depth;
} egg_trie_range;

typedef struct egg_trie {
    egg_node *nodes;             /* (count) */
    egg_trie_range *ranges;      /* (count) */
    size_t count, node_capacity, range_capacity;
    uint32_t *children;          /* (child_count) */
    size_t child_count, child_capacity;
} egg_trie;

static bool add_node(egg_trie *trie, egg_trie_range range)
{
    egg_node *nodes = egg_array_grow(trie->nodes, trie->count, &trie->node_capacity, sizeof *nodes);
    if (!nodes) return false;
    trie->nodes = nodes;
    egg_trie_range *ranges = egg_array_grow(trie->ranges, trie->count, &trie->range_capacity, sizeof *ranges);
    if (!ranges) return false;
    trie->ranges = ranges;
    nodes[trie->count] = (egg_node){0};
    ranges[trie->count++] = range;
    return true;
}

static bool add_children(egg_trie *trie, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++) {
        uint32_t *children = egg_array_grow(trie->children, trie->child_count, &trie->child_capacity, sizeof *children);
        if (!children) return false;
        trie->children = children;
        children[trie->child_count++] = 0;
    }
    return true;
}

/* Gives node 'n' its token and its children. Entries are sorted, so that the one that ends here comes first. */
static bool expand_node(egg_trie *trie, uint32_t n, const egg_entry *entries)
{
    egg_trie_range range = trie->ranges[n];
    if (range.begin < range.end && entries[range.begin].bytes == range.depth)
        trie->nodes[n].token = entries[range.begin++].token;
    if (range.begin == range.end) return true;
    uint8_t low = (uint8_t)entries[range.begin].text[range.depth];
    uint8_t high = (uint8_t)entries[range.end - 1].text[range.depth];
    uint32_t first = (uint32_t)trie->child_count, width = high - low + 1u;
    if (!add_children(trie, width)) return false;
    trie->nodes[n].first = first;
    trie->nodes[n].low = low;
    trie->nodes[n].width = (uint16_t)width;
    for (uint32_t begin = range.begin, end; begin < range.end; begin = end) {
        uint8_t byte = (uint8_t)entries[begin].text[range.depth];
        for (end = begin + 1; end < range.end && (uint8_t)entries[end].text[range.depth] == byte;) end++;
        trie->children[first + byte - low] = (uint32_t)trie->count;
        if (!add_node(trie, (egg_trie_range){begin, end, range.depth + 1})) return false;
    }
    return true;
}

static int compare_entries(const void *left, const void *right)
{
    const egg_entry *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    if (order) return order;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return a->line < b->line ? -1 : 1;
}

static egg_status check_entries(const egg_vocabulary_reader *reader, egg_error *error)
{
    bool single[256] = {false};
    for (size_t i = 0; i < reader->count; i++) {
        const egg_entry *entry = &reader->entries[i], *next = entry + 1;
        if (entry->bytes == 1) single[(uint8_t)*entry->text] = true;
        if (i + 1 == reader->count || entry->bytes != next->bytes || memcmp(entry->text, next->text, entry->bytes) != 0)
            continue;
        egg_fail(error, EGG_ERR_FORMAT, "%s: line %u: the entry is that of line %u again", reader->name, next->line,
                 entry->line);
        return fail_at(next->line, error);
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        if (!single[byte])
            return egg_fail(error, EGG_ERR_FORMAT,
                            "%s: no entry is the single byte 0x%02x, expected all 256; not a whole "
                            "vocabulary",
                            reader->name, byte);
    return EGG_OK;
}

static egg_status build_trie(egg_tokenizer *tokenizer, egg_vocabulary_reader *reader, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_trie trie = {0};
    bool fits = true;
    if (reader->count) qsort(reader->entries, reader->count, sizeof *reader->entries, compare_entries);
    EGG_TRY(check_entries(reader, error));
    fits = add_node(&trie, (egg_trie_range){0, (uint32_t)reader->count, 0});
    for (uint32_t n = 0; fits && n < trie.count; n++) fits = expand_node(&trie, n, reader->entries);
    if (!fits) status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its trie", reader->name);
out:
    tokenizer->nodes = trie.nodes;
    tokenizer->children = trie.children;
    egg_free(trie.ranges);
    return status;
}

static egg_status index_tokens(egg_tokenizer *tokenizer, const egg_vocabulary_reader *reader, egg_error *error)
{
    tokenizer->vocabulary = reader->largest + 1;
    tokenizer->by_token = egg_alloc_array(tokenizer->vocabulary, sizeof *tokenizer->by_token);
    if (!tokenizer->by_token)
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for %u tokens", reader->name, tokenizer->vocabulary);
    for (size_t i = 0; i < reader->count; i++) {
        egg_entry *place = &tokenizer->by_token[reader->entries[i].token];
        if (place->bytes) {
            egg_fail(error, EGG_ERR_FORMAT, "%s: line %u: the id %u is that of line %u again", reader->name,
                     reader->entries[i].line, place->token, place->line);
            return fail_at(reader->entries[i].line, error);
        }
        *place = reader->entries[i];
        if (place->bytes > tokenizer->longest) tokenizer->longest = place->bytes;
    }
    return EGG_OK;
}

/* ----------------------------------------------------------------------------------------------------- the object */

egg_status egg_tokenizer_open_byte(egg_tokenizer **out, egg_error *error)
{
    egg_tokenizer *tokenizer = *out = egg_alloc(sizeof *tokenizer);
    if (tokenizer) tokenizer->text = egg_alloc(256);
    if (tokenizer) tokenizer->by_token = egg_alloc_array(256, sizeof *tokenizer->by_token);
    if (!tokenizer || !tokenizer->text || !tokenizer->by_token) {
        egg_tokenizer_close(tokenizer);
        *out = NULL;
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for a tokenizer");
    }
    tokenizer->vocabulary = 256;
    tokenizer->longest = 1;
    for (uint32_t b = 1; b < 256; b++) {   /* byte 0 ends a document */
        tokenizer->text[b] = (char)b;
        tokenizer->by_token[b] = (egg_entry){.text = tokenizer->text + b, .bytes = 1, .token = b};
    }
    return EGG_OK;
}

egg_status egg_tokenizer_parse_world(egg_tokenizer **out, const void *data, size_t bytes, const char *name,
                                     egg_error *error)
{
    egg_status status = EGG_OK;
    egg_vocabulary_reader reader = {.name = name};
    egg_tokenizer *tokenizer = egg_alloc(sizeof *tokenizer);
    *out = NULL;
    if (tokenizer) reader.text = tokenizer->text = egg_alloc(bytes);
    if (!reader.text) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", name);
        goto out;
    }
    EGG_TRY(read_lines(&reader, data, bytes, error));
    EGG_TRY(build_trie(tokenizer, &reader, error));
    EGG_TRY(index_tokens(tokenizer, &reader, error));
    *out = tokenizer;
    tokenizer = NULL;
out:
    egg_free(reader.entries);
    egg_tokenizer_close(tokenizer);
    return status;
}

egg_status egg_tokenizer_open_world(egg_tokenizer **out, const char *path, egg_error *error)
{
    egg_mapping file;
    *out = NULL;
    egg_status status = egg_mapping_open(&file, path, error);
    if (status != EGG_OK) return status;
    status = egg_tokenizer_parse_world(out, file.data, file.bytes, path, error);
    egg_mapping_close(&file);
    return status;
}

void egg_tokenizer_close(egg_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    egg_free(tokenizer->text);
    egg_free(tokenizer->by_token);
    egg_free(tokenizer->nodes);
    egg_free(tokenizer->children);
    egg_free(tokenizer);
}

uint32_t egg_tokenizer_vocabulary(const egg_tokenizer *tokenizer)
{
    return tokenizer->vocabulary;
}

/* The longest entry that text[0..bytes) begins with: its token; '*length' becomes its bytes. */
static uint32_t longest_match(const egg_tokenizer *tokenizer, const uint8_t *text, size_t bytes, size_t *length)
{
    const egg_node *node = tokenizer->nodes;
    uint32_t token = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t place = (uint32_t)text[i] - node->low;   /* a byte below 'low' becomes larger than any width */
        uint32_t child = place < node->width ? tokenizer->children[node->first + place] : 0;
        if (!child) break;
        node = &tokenizer->nodes[child];
        if (!node->token) continue;
        token = node->token;
        *length = i + 1;
    }
    return token;
}

size_t egg_tokenizer_encode_part(const egg_tokenizer *tokenizer, const void *text, size_t bytes, bool last,
                                 uint32_t *tokens, size_t *used)
{
    const uint8_t *at = text;
    size_t count = 0, left = bytes, least = last ? 1 : tokenizer->longest;
    while (left >= least && left) {
        size_t length = 1;
        tokens[count++] = tokenizer->nodes ? longest_match(tokenizer, at, left, &length) : *at;
        at += length;
        left -= length;
    }
    *used = bytes - left;
    return count;
}

size_t egg_tokenizer_encode(const egg_tokenizer *tokenizer, const void *text, size_t bytes, uint32_t *tokens)
{
    size_t used;
    return egg_tokenizer_encode_part(tokenizer, text, bytes, true, tokens, &used);
}

size_t egg_tokenizer_longest(const egg_tokenizer *tokenizer)
{
    return tokenizer->longest;
}

const char *egg_tokenizer_text(const egg_tokenizer *tokenizer, uint32_t token, size_t *bytes)
{
    const egg_entry *entry = token < tokenizer->vocabulary ? &tokenizer->by_token[token] : NULL;
    *bytes = entry ? entry->bytes : 0;
    return *bytes ? entry->text : NULL;
}
