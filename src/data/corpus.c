/* SPDX-License-Identifier: MIT */
#include "data/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/array.h"
#include "data/decompress.h"
#include "data/jsonl.h"
#include "data/names.h"
#include "data/spool.h"
#include "data/walk.h"

enum {
    BUFFER_BYTES = 1 << 18,
    BINARY_CHECK_BYTES = 8192,
    MAX_LINE_BYTES = 1 << 28,
    /* Linux lets a process have 65530 mappings. Smaller files than this are copied, and all beyond half of those. */
    SMALL_FILE_BYTES = 1 << 16,
    MAX_MAPPINGS = 1 << 15,
    NAMES_BYTES = 320
};

typedef struct egg_piece {
    uint64_t begin;            /* place of its first byte in the stream; it ends where the next piece begins */
    const uint8_t *data;       /* NULL while the corpus is being opened: in the spool, behind the previous such piece */
} egg_piece;

struct egg_corpus {
    egg_piece *pieces;         /* (count) in the order of the stream; none is empty */
    size_t count, capacity;
    egg_mapping *mappings;     /* (mapping_count) that the pieces lie in */
    size_t mapping_count, mapping_capacity;
    uint64_t bytes, documents;
    egg_hash hash;
};

static const uint8_t separator = 0;

static egg_status add_piece(egg_corpus *corpus, const uint8_t *data, uint64_t bytes, egg_error *error)
{
    egg_piece *grown = egg_array_grow(corpus->pieces, corpus->count, &corpus->capacity, sizeof *grown);
    if (!grown) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a list of %zu pieces of text", corpus->count);
    corpus->pieces = grown;
    corpus->pieces[corpus->count++] = (egg_piece){.begin = corpus->bytes, .data = data};
    corpus->bytes += bytes;
    return EGG_OK;
}

static egg_status add_document(egg_corpus *corpus, const uint8_t *data, uint64_t bytes, egg_error *error)
{
    egg_status status = add_piece(corpus, &separator, sizeof separator, error);
    return status == EGG_OK ? add_piece(corpus, data, bytes, error) : status;
}

static uint64_t piece_bytes(const egg_corpus *corpus, size_t index)
{
    uint64_t end = index + 1 < corpus->count ? corpus->pieces[index + 1].begin : corpus->bytes;
    return end - corpus->pieces[index].begin;
}

/* Every place where a byte other than 0 follows a 0 begins a document; 'previous' is the byte before data[0]. */
static uint64_t count_beginnings(const uint8_t *data, uint64_t bytes, uint8_t previous)
{
    uint64_t count = bytes && !previous && data[0];
    for (uint64_t i = 1; i < bytes; i++) count += !data[i - 1] && data[i];
    return count;
}

static egg_status survey(egg_corpus *corpus, egg_error *error)
{
    egg_hasher *hasher = NULL;
    egg_status status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    uint8_t previous = separator;
    for (size_t i = 0; i < corpus->count; i++) {
        const uint8_t *data = corpus->pieces[i].data;
        uint64_t rest = piece_bytes(corpus, i);
        while (rest) {   /* in blocks, which are still in the cache when they are read again */
            size_t n = rest < BUFFER_BYTES ? (size_t)rest : BUFFER_BYTES;
            egg_hasher_add(hasher, data, n);
            corpus->documents += count_beginnings(data, n, previous);
            previous = data[n - 1];
            data += n;
            rest -= n;
        }
    }
    corpus->hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}

/* -------------------------------------------------------------------------------------------------------- opening */

typedef struct egg_opening {
    egg_corpus *corpus;
    const char *field, *spool_folder;
    egg_spool *spool;          /* NULL until something must be decoded */
    uint8_t *buffer;           /* (BUFFER_BYTES) */
    bool stdin_used;
} egg_opening;

static egg_status add_spooled(egg_opening *opening, const void *data, size_t bytes, egg_error *error)
{
    egg_corpus *corpus = opening->corpus;
    egg_status status = EGG_OK;
    if (!opening->spool) EGG_TRY(egg_spool_open(&opening->spool, opening->spool_folder, error));
    EGG_TRY(egg_spool_write(opening->spool, data, bytes, error));
    if (corpus->count && !corpus->pieces[corpus->count - 1].data)
        corpus->bytes += bytes;
    else
        EGG_TRY(add_piece(corpus, NULL, bytes, error));
out:
    return status;
}

static egg_status add_spooled_document(void *context, const char *text, size_t bytes, egg_error *error)
{
    if (bytes == 0) return EGG_OK;
    egg_status status = add_spooled(context, &separator, sizeof separator, error);
    return status == EGG_OK ? add_spooled(context, text, bytes, error) : status;
}

static egg_status decode_plain(egg_opening *opening, egg_decompressor *from, egg_error *error)
{
    egg_status status = EGG_OK;
    bool begun = false;
    for (;;) {
        size_t got;
        EGG_TRY(egg_decompressor_read(from, opening->buffer, BUFFER_BYTES, &got, error));
        if (got == 0) break;
        if (!begun) EGG_TRY(add_spooled(opening, &separator, sizeof separator, error));
        begun = true;
        EGG_TRY(add_spooled(opening, opening->buffer, got, error));
    }
out:
    return status;
}

static egg_status decode_jsonl(egg_opening *opening, egg_decompressor *from, const char *name, egg_error *error)
{
    egg_jsonl *reader = NULL;
    egg_status status = egg_jsonl_open(&reader, name, opening->field, MAX_LINE_BYTES, add_spooled_document, opening,
                                       error);
    if (status != EGG_OK) return status;
    for (;;) {
        size_t got;
        EGG_TRY(egg_decompressor_read(from, opening->buffer, BUFFER_BYTES, &got, error));
        if (got == 0) break;
        EGG_TRY(egg_jsonl_push(reader, opening->buffer, got, error));
    }
    EGG_TRY(egg_jsonl_finish(reader, error));
out:
    egg_jsonl_close(reader);
    return status;
}

static egg_status add_decoded(egg_opening *opening, int fd, const char *name, egg_compression compression, bool jsonl,
                              egg_error *error)
{
    egg_decompressor *from = NULL;
    egg_status status = egg_decompressor_open(&from, fd, name, compression, error);
    if (status != EGG_OK) return status;
    status = jsonl ? decode_jsonl(opening, from, name, error) : decode_plain(opening, from, error);
    egg_decompressor_close(from);
    return status;
}

static egg_status add_mapped(egg_corpus *corpus, int fd, const char *name, egg_error *error)
{
    egg_mapping *grown = egg_array_grow(corpus->mappings, corpus->mapping_count, &corpus->mapping_capacity,
                                        sizeof *grown);
    if (!grown) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a list of files", name);
    corpus->mappings = grown;
    egg_mapping *mapping = &corpus->mappings[corpus->mapping_count];
    egg_status status = egg_mapping_open_fd(mapping, fd, name, error);
    if (status != EGG_OK || mapping->bytes == 0) return status;
    corpus->mapping_count++;
    return add_document(corpus, mapping->data, mapping->bytes, error);
}

static bool looks_binary(int fd)
{
    uint8_t head[BINARY_CHECK_BYTES];
    ssize_t got = pread(fd, head, sizeof head, 0);
    return got > 0 && memchr(head, 0, (size_t)got);
}

static bool is_jsonl(const char *name, size_t length)
{
    static const char ending[] = ".jsonl";
    size_t n = sizeof ending - 1;
    return length >= n && strncasecmp(name + length - n, ending, n) == 0;
}

static egg_status add_open_file(egg_opening *opening, int fd, const char *path, bool chosen_by_name, egg_error *error)
{
    struct stat info;
    size_t stem;
    egg_compression compression = egg_compression_of(path, &stem);
    bool jsonl = is_jsonl(path, stem), plain = compression == EGG_COMPRESSION_NONE && !jsonl;
    if (fstat(fd, &info) != 0) return egg_fail_errno(error, "%s: cannot read", path);
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
        return egg_fail(error, EGG_ERR_IO, "%s: is neither a file, a folder nor a pipe", path);
    if (plain && !chosen_by_name && looks_binary(fd)) return EGG_OK;
    bool mappable = plain && S_ISREG(info.st_mode) && opening->corpus->mapping_count < MAX_MAPPINGS;
    if (mappable && info.st_size >= SMALL_FILE_BYTES) return add_mapped(opening->corpus, fd, path, error);
    return add_decoded(opening, fd, path, compression, jsonl, error);
}

static egg_status add_file(egg_opening *opening, const char *path, bool chosen_by_name, egg_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return egg_fail_errno(error, "%s: cannot open", path);
    egg_status status = add_open_file(opening, fd, path, chosen_by_name, error);
    close(fd);
    return status;
}

static egg_status add_folder(egg_opening *opening, const char *path, egg_error *error)
{
    egg_paths files = {0};
    uint64_t before = opening->corpus->bytes;
    egg_status status = egg_walk(&files, path, error);
    for (size_t i = 0; i < files.count && status == EGG_OK; i++)
        status = add_file(opening, files.path[i], false, error);
    if (status == EGG_OK && opening->corpus->bytes == before)
        status = egg_fail(error, EGG_ERR_FORMAT,
                          "%s: no text in this folder: it has %zu files, hidden ones aside, and all are empty or look "
                          "binary", path, files.count);
    egg_paths_free(&files);
    return status;
}

static egg_status add_source(egg_opening *opening, const char *path, egg_error *error)
{
    if (strcmp(path, "-") == 0) {
        if (opening->stdin_used)
            return egg_fail(error, EGG_ERR_ARGUMENT, "standard input ('-') is given twice, it can be read only once");
        opening->stdin_used = true;
        return add_decoded(opening, STDIN_FILENO, "standard input", EGG_COMPRESSION_NONE, false, error);
    }
    return egg_path_is_directory(path) ? add_folder(opening, path, error) : add_file(opening, path, true, error);
}

/* Maps the spool and tells the pieces in it where they are. */
static egg_status settle_spool(egg_opening *opening, egg_error *error)
{
    egg_corpus *corpus = opening->corpus;
    if (!opening->spool) return EGG_OK;
    egg_mapping *grown = egg_array_grow(corpus->mappings, corpus->mapping_count, &corpus->mapping_capacity,
                                        sizeof *grown);
    if (!grown) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a list of %zu files", corpus->mapping_count);
    corpus->mappings = grown;
    egg_mapping *mapping = &corpus->mappings[corpus->mapping_count];
    egg_status status = egg_spool_map(opening->spool, mapping, error);
    if (status != EGG_OK) return status;
    corpus->mapping_count++;
    const uint8_t *at = mapping->data;
    for (size_t i = 0; i < corpus->count; i++) {
        if (corpus->pieces[i].data) continue;
        corpus->pieces[i].data = at;
        at += piece_bytes(corpus, i);
    }
    return EGG_OK;
}

static egg_status fail_without_text(const char *const *paths, size_t count, egg_error *error)
{
    char names[NAMES_BYTES] = "";
    for (size_t i = 0; i < count; i++) egg_names_add(names, sizeof names, paths[i]);
    return egg_fail(error, EGG_ERR_FORMAT, "no text in %s", names);
}

egg_status egg_corpus_open(egg_corpus **out, const char *const *paths, size_t count, const char *field,
                           const char *spool_folder, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_corpus *corpus = egg_alloc(sizeof *corpus);
    egg_opening opening = {.corpus = corpus, .field = field ? field : "text", .spool_folder = spool_folder,
                           .buffer = egg_alloc(BUFFER_BYTES)};
    *out = NULL;
    if (!corpus || !opening.buffer)
        EGG_TRY(egg_fail(error, EGG_ERR_NOMEM, "no memory to read text with"));
    if (count == 0)
        EGG_TRY(egg_fail(error, EGG_ERR_ARGUMENT, "no text given: expected files, folders or - for standard input"));
    for (size_t i = 0; i < count; i++) EGG_TRY(add_source(&opening, paths[i], error));
    EGG_TRY(settle_spool(&opening, error));
    EGG_TRY(survey(corpus, error));
    if (corpus->documents == 0) EGG_TRY(fail_without_text(paths, count, error));
    *out = corpus;
    corpus = NULL;
out:
    egg_spool_close(opening.spool);
    egg_free(opening.buffer);
    egg_corpus_close(corpus);
    return status;
}

egg_status egg_corpus_open_memory(egg_corpus **out, const void *const *documents, const size_t *lengths,
                                  size_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_corpus *corpus = egg_alloc(sizeof *corpus);
    *out = NULL;
    if (!corpus) EGG_TRY(egg_fail(error, EGG_ERR_NOMEM, "no memory for a text"));
    for (size_t i = 0; i < count; i++)
        if (lengths[i]) EGG_TRY(add_document(corpus, documents[i], lengths[i], error));
    EGG_TRY(survey(corpus, error));
    if (corpus->documents == 0)
        EGG_TRY(egg_fail(error, EGG_ERR_FORMAT, "no text in the %zu documents given", count));
    *out = corpus;
    corpus = NULL;
out:
    egg_corpus_close(corpus);
    return status;
}

void egg_corpus_close(egg_corpus *corpus)
{
    if (!corpus) return;
    for (size_t i = 0; i < corpus->mapping_count; i++) egg_mapping_close(&corpus->mappings[i]);
    egg_free(corpus->mappings);
    egg_free(corpus->pieces);
    egg_free(corpus);
}

/* -------------------------------------------------------------------------------------------------------- reading */

uint64_t egg_corpus_bytes(const egg_corpus *corpus)
{
    return corpus->bytes;
}

uint64_t egg_corpus_documents(const egg_corpus *corpus)
{
    return corpus->documents;
}

egg_hash egg_corpus_hash(const egg_corpus *corpus)
{
    return corpus->hash;
}

uint64_t egg_corpus_resident_bytes(const egg_corpus *corpus)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < corpus->mapping_count; i++) bytes += corpus->mappings[i].bytes;
    return bytes;
}

/* Index of the piece that holds byte 'at' of the stream. */
static size_t find_piece(const egg_corpus *corpus, uint64_t at)
{
    size_t low = 0, high = corpus->count;   /* pieces[low].begin <= at < pieces[high].begin */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (corpus->pieces[middle].begin <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void egg_corpus_read(const egg_corpus *corpus, uint64_t offset, size_t bytes, uint8_t *out)
{
    uint64_t at = offset % corpus->bytes;
    for (size_t i = find_piece(corpus, at); bytes;) {
        uint64_t skip = at - corpus->pieces[i].begin, rest = piece_bytes(corpus, i) - skip;
        size_t n = rest < bytes ? (size_t)rest : bytes;
        memcpy(out, corpus->pieces[i].data + skip, n);
        out += n;
        bytes -= n;
        at += n;
        if (++i == corpus->count) i = 0, at = 0;
    }
}
