/* SPDX-License-Identifier: MIT */
#include "train/run_text.h"

#include "data/entropy.h"

egg_status egg_run_text_open(egg_run_text *text, const egg_settings *settings, const char *const *paths, size_t count,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    *text = (egg_run_text){0};
    EGG_TRY(egg_corpus_open(&text->corpus, paths, count, settings->field, NULL, error));
    uint64_t bytes = egg_corpus_bytes(text->corpus);
    text->train_bytes = bytes;
    if (*settings->valid) {
        const char *valid = settings->valid;
        EGG_TRY(egg_corpus_open(&text->valid, &valid, 1, settings->field, NULL, error));
        text->valid_end = egg_corpus_bytes(text->valid);
    } else {
        text->train_bytes = bytes - (uint64_t)((double)bytes * settings->valid_fraction);
        text->valid_begin = text->train_bytes;
        text->valid_end = bytes;
    }
    if (settings->valid_bytes && text->valid_end - text->valid_begin > settings->valid_bytes)
        text->valid_end = text->valid_begin + settings->valid_bytes;
out:
    return status;
}

void egg_run_text_close(egg_run_text *text)
{
    egg_corpus_close(text->corpus);
    egg_corpus_close(text->valid);
    *text = (egg_run_text){0};
}

const egg_corpus *egg_run_text_valid(const egg_run_text *text)
{
    return text->valid ? text->valid : text->corpus;
}

egg_status egg_run_text_measure(const egg_run_text *text, egg_corpus_stats *stats, egg_error *error)
{
    uint64_t valid_bytes = text->valid_end - text->valid_begin;
    *stats = (egg_corpus_stats){.train_bytes = text->train_bytes, .valid_bytes = valid_bytes,
                                .documents = egg_corpus_documents(text->corpus)};
    return egg_entropy(egg_run_text_valid(text), text->valid_begin, valid_bytes, &stats->unigram_bits,
                       &stats->bigram_bits, error);
}
