/* SPDX-License-Identifier: MIT */
/* The documents of a stretch of a corpus, one after the other, to any number of threads that ask for them. */
#ifndef EGG_DATA_DOCUMENTS_H
#define EGG_DATA_DOCUMENTS_H

#include <pthread.h>
#include <stdbool.h>

#include "data/corpus.h"

typedef struct egg_documents {
    const egg_corpus *corpus;
    pthread_mutex_t mutex;       /* guards 'next' */
    uint64_t next, end;
} egg_documents;

/* Of the bytes begin ... end - 1 of the corpus, which must outlive this. To be closed. */
void egg_documents_open(egg_documents *documents, const egg_corpus *corpus, uint64_t begin, uint64_t end);
void egg_documents_close(egg_documents *documents);

/* The next document has the bytes *begin ... *end - 1, at least one; false: there is none. */
bool egg_documents_next(egg_documents *documents, uint64_t *begin, uint64_t *end);

#endif
