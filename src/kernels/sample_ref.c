/* SPDX-License-Identifier: MIT */
#include "kernels/sample.h"

#include <math.h>
#include <stdbool.h>

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

/* The tokens in 'order' by their numbers: weights of all others become 0. Returns what these have. */
static double keep_only(double *weights, const uint32_t *order, uint32_t kept, uint32_t n)
{
    double total = 0;
    for (uint32_t i = 0; i < kept; i++) weights[order[i]] = -weights[order[i]];
    for (uint32_t k = 0; k < n; k++) {
        weights[k] = weights[k] < 0 ? -weights[k] : 0;
        total += weights[k];
    }
    return total;
}

static uint32_t draw(const egg_sample_args *args, const float *logits, double uniform)
{
    const uint32_t n = args->n, best = likeliest(logits, n);
    double *weights = args->scratch, total = 0;
    uint32_t *order = (uint32_t *)(weights + n), count = 0, last = best;
    if (args->temperature == 0) return best;
    for (uint32_t k = 0; k < n; k++) {
        double weight = exp(((double)logits[k] - logits[best]) / args->temperature);   /* the likeliest has 1 */
        bool kept = weight > 0 && weight >= args->min_p;
        weights[k] = kept ? weight : 0;
        if (!kept) continue;
        order[count++] = k;
        total += weight;
    }
    if (args->top_p < 1)
        total = keep_only(weights, order, select_top(weights, order, count, args->top_p * total), n);
    double point = uniform * total;
    for (uint32_t k = 0; k < n; k++) {
        if (weights[k] == 0) continue;
        if (point < weights[k]) return k;
        point -= weights[k];
        last = k;
    }
    return last;
}

void egg_sample_ref(const egg_sample_args *args)
{
    for (uint32_t b = 0; b < args->rows; b++)
        args->token[b] = draw(args, args->logits + (size_t)b * args->n,
                              args->temperature == 0 ? 0 : args->uniform[b]);
}
