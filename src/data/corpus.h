/* SPDX-License-Identifier: MIT */
/*
 * A text as one long read-only stream of bytes: for every document a byte 0, then the document's bytes. How the text is
 * stored (plain, JSON lines, compressed, one file or many) does not show. Documents without a byte are left out. A byte
 * 0 inside a document is a separator like any other: it splits the document in two.
 *
 * A corpus may be larger than memory. Plain files are mapped where they lie and must not be cut short while the corpus
 * is open; what has to be decoded is decoded once, into a temporary file.
 */
#ifndef EGG_DATA_CORPUS_H
#define EGG_DATA_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"

typedef struct egg_corpus egg_corpus;

/*
 * Reads all of the text once. The documents come in the order of 'paths' (count), each of which is
 *
 *     a plain file            one document
 *     *.jsonl                 one document a line: the string in the object's field 'field' (NULL: "text")
 *     *.gz, *.zst             either of the above, compressed; the name without this ending tells which
 *     a pipe, or "-"          one plain document; "-" is standard input
 *     a folder                its files at any depth, sorted bytewise by path, without names that begin with a dot and
 *                             without plain files that look binary (a byte 0 among the first 8192)
 *
 * 'spool_folder' is where decoded text goes (NULL: $TMPDIR, or /tmp); small files go there as well, since a process can
 * map only so many. None of the arguments need outlive the call.
 *
 * EGG_ERR_ARGUMENT: no paths, or "-" twice. EGG_ERR_IO: missing, unreadable, disk full. EGG_ERR_FORMAT: broken JSON
 * or compressed data, no such field, no text at all. EGG_ERR_UNSUPPORTED: a compression that this build cannot read.
 */
egg_status egg_corpus_open(egg_corpus **corpus, const char *const *paths, size_t count, const char *field,
                           const char *spool_folder, egg_error *error);

/* The same over documents in memory, 'documents[i]' of 'lengths[i]' bytes, which must outlive the corpus. */
egg_status egg_corpus_open_memory(egg_corpus **corpus, const void *const *documents, const size_t *lengths,
                                  size_t count, egg_error *error);
void egg_corpus_close(egg_corpus *corpus);   /* NULL is fine */

uint64_t egg_corpus_bytes(const egg_corpus *corpus);       /* of the stream, separators included; at least 2 */
uint64_t egg_corpus_documents(const egg_corpus *corpus);   /* stretches of bytes between separators, empty ones aside */
egg_hash egg_corpus_hash(const egg_corpus *corpus);        /* of the stream */

/* Bytes that are mapped, which is what reading all of the text may make resident. */
uint64_t egg_corpus_resident_bytes(const egg_corpus *corpus);

/*
 * out[0..bytes) = the stream from 'offset' on, both taken modulo its length: it begins again where it ends, as often as
 * needed. Allocates nothing. Any number of threads.
 */
void egg_corpus_read(const egg_corpus *corpus, uint64_t offset, size_t bytes, uint8_t *out);

#endif
