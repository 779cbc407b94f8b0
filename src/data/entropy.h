/* SPDX-License-Identifier: MIT */
/*
 * How well the two simplest models could do on a text: the marks a trained model is judged against. Both come from
 * counts over the very bytes they are for, so no model of that kind beats them there.
 */
#ifndef EGG_DATA_ENTROPY_H
#define EGG_DATA_ENTROPY_H

#include "data/corpus.h"

/*
 * In bits per byte, over bytes offset...offset+bytes of the corpus (modulo its length), separators being bytes like
 * any other:
 *
 *     unigram_bits = H(X)              = sum over a of     n(a)/n     * log2(n / n(a))           n = bytes
 *     bigram_bits  = H(X_t | X_{t-1})  = sum over a, b of  n(a,b)/m   * log2(n(a,.) / n(a,b))    m = bytes - 1
 *
 * Both are 0 where there is nothing to count. EGG_ERR_NOMEM is the only failure.
 */
egg_status egg_entropy(const egg_corpus *corpus, uint64_t offset, uint64_t bytes, double *unigram_bits,
                       double *bigram_bits, egg_error *error);

#endif
