/* SPDX-License-Identifier: MIT */
#include "data/documents.h"

enum { SCAN_BYTES = 4096 };

void egg_documents_open(egg_documents *documents, const egg_corpus *corpus, uint64_t begin, uint64_t end)
{
    *documents = (egg_documents){.corpus = corpus, .next = begin, .end = end};
    pthread_mutex_init(&documents->mutex, NULL);
}

void egg_documents_close(egg_documents *documents)
{
    pthread_mutex_destroy(&documents->mutex);
}

/* First position at or after 'at' whose byte is zero (or is not, for separator == false); 'end' if there is none. */
static uint64_t find(const egg_documents *documents, uint64_t at, bool separator)
{
    uint8_t scan[SCAN_BYTES];
    while (at < documents->end) {
        size_t n = documents->end - at < SCAN_BYTES ? (size_t)(documents->end - at) : SCAN_BYTES, i = 0;
        egg_corpus_read(documents->corpus, at, n, scan);
        while (i < n && (scan[i] == 0) != separator) i++;
        at += i;
        if (i < n) return at;
    }
    return documents->end;
}

bool egg_documents_next(egg_documents *documents, uint64_t *begin, uint64_t *end)
{
    pthread_mutex_lock(&documents->mutex);
    *begin = find(documents, documents->next, false);
    *end = documents->next = find(documents, *begin, true);
    pthread_mutex_unlock(&documents->mutex);
    return *begin < *end;
}
