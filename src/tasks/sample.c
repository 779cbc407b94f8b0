/* SPDX-License-Identifier: MIT */
#include "tasks/sample.h"

#include <math.h>

#include "base/memory.h"

egg_status egg_sampler_open(egg_sampler *sampler, const egg_sampling *sampling, uint32_t vocabulary, egg_error *error)
{
    *sampler = (egg_sampler){.sampling = *sampling, .vocabulary = vocabulary};
    sampler->weights = egg_alloc_array(vocabulary, sizeof *sampler->weights);
    sampler->order = egg_alloc_array(vocabulary, sizeof *sampler->order);
    if (sampler->weights && sampler->order) return EGG_OK;
    egg_sampler_close(sampler);
    return egg_fail(error, EGG_ERR_NOMEM, "no memory to sample from %u tokens", vocabulary);
}

void egg_sampler_close(egg_sampler *sampler)
{
    egg_free(sampler->weights);
    egg_free(sampler->order);
    *sampler = (egg_sampler){0};
}

double egg_words_uniform(egg_words *words)
{
    uint64_t high = egg_words_next(words), low = egg_words_next(words);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

static uint32_t likeliest(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < n; k++)
        if (logits[k] > logits[best] || isnan(logits[best])) best = k;
    return best;
}

static bool is_before(const double *weights, uint32_t a, uint32_t b)
{
    return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
}

/*
 * Brings the likeliest tokens that together have 'wanted' to the front of order[0..count), and returns how many they
 * are. A quicksort that goes on only in the part where the bound lies.
 */
static uint32_t select_top(const double *weights, uint32_t *order, uint32_t count, double wanted)
{
    uint32_t begin = 0, end = count;
    double sum = 0;
    while (end - begin > 1) {
        uint32_t pivot = order[begin + (end - begin) / 2], at = begin;
        double part = 0;
        for (uint32_t i = begin; i < end; i++)
            if (is_before(weights, order[i], pivot)) {
                uint32_t moved = order[i];
                order[i] = order[at];
                order[at++] = moved;
                part += weights[moved];
            }
        if (at > begin && sum + part >= wanted) {
            end = at;
            continue;
        }
        for (uint32_t i = at; i < end; i++)   /* the pivot follows those before it */
            if (order[i] == pivot) {
                order[i] = order[at];
                order[at] = pivot;
                break;
            }
        sum += part + weights[pivot];
        begin = at + 1;
        if (sum >= wanted) return begin;
    }
    return end;
}

/* The tokens in 'order' by their numbers: weights of all others become 0. */
static double keep_only(egg_sampler *sampler, uint32_t kept)
{
    double total = 0;
    for (uint32_t i = 0; i < kept; i++) sampler->weights[sampler->order[i]] = -sampler->weights[sampler->order[i]];
    for (uint32_t k = 0; k < sampler->vocabulary; k++) {
        sampler->weights[k] = sampler->weights[k] < 0 ? -sampler->weights[k] : 0;
        total += sampler->weights[k];
    }
    return total;
}

uint32_t egg_sampler_draw(egg_sampler *sampler, const float *logits, double uniform)
{
    const egg_sampling *sampling = &sampler->sampling;
    uint32_t best = likeliest(logits, sampler->vocabulary), count = 0;
    if (sampling->temperature == 0) return best;
    double total = 0;
    for (uint32_t k = 0; k < sampler->vocabulary; k++) {
        double weight = exp(((double)logits[k] - logits[best]) / sampling->temperature);   /* the likeliest has 1 */
        bool kept = weight > 0 && weight >= sampling->min_p;
        sampler->weights[k] = kept ? weight : 0;
        if (!kept) continue;
        sampler->order[count++] = k;
        total += weight;
    }
    if (sampling->top_p < 1)
        total = keep_only(sampler, select_top(sampler->weights, sampler->order, count, sampling->top_p * total));
    double point = uniform * total;
    uint32_t last = best;
    for (uint32_t k = 0; k < sampler->vocabulary; k++) {
        if (sampler->weights[k] == 0) continue;
        if (point < sampler->weights[k]) return k;
        point -= sampler->weights[k];
        last = k;
    }
    return last;
}
