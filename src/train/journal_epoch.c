/* SPDX-License-Identifier: MIT */
/* The record of an epoch as bytes. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/ternary.h"
#include "train/journal.h"

/* Position (8), seconds (8), score (8), rate (8), form (4), pairs (4), unit (4), bytes of extra (4), weights, extra. */
enum { HEAD_BYTES = 48, BLOCK = 5 * 256 };

static size_t weight_bytes(egg_journal_form form, uint32_t pairs)
{
    switch (form) {
    case EGG_JOURNAL_TERNARY: return egg_ternary_bytes(pairs);
    case EGG_JOURNAL_I8: return pairs;
    case EGG_JOURNAL_F32: break;
    }
    return pairs * sizeof(float);
}

size_t egg_journal_epoch_bytes(egg_dtype dtype, uint32_t pairs, size_t extra_bytes)
{
    return HEAD_BYTES + weight_bytes(dtype == EGG_I8 ? EGG_JOURNAL_I8 : EGG_JOURNAL_F32, pairs) + extra_bytes;
}

/* ----------------------------------------------------------------------------------------------------------- write */

/*
 * The one magnitude of all weights that are not 0, or 0 where there are several. A negative zero is a magnitude of its
 * own.
 */
static float common_unit(egg_dtype dtype, const void *weights, uint32_t pairs)
{
    const int8_t *integers = weights;
    const float *floats = weights;
    float unit = 0;
    for (uint32_t p = 0; p < pairs; p++) {
        float w = dtype == EGG_I8 ? integers[p] : floats[p];
        if (w == 0 && !signbit(w)) continue;
        if (unit == 0) unit = fabsf(w);
        if (unit != fabsf(w) || unit == 0 || !isfinite(w)) return 0;
    }
    return unit ? unit : 1;
}

static void pack_signs(egg_dtype dtype, const void *weights, uint32_t pairs, uint8_t *out)
{
    const float *floats = weights;
    int8_t signs[BLOCK];
    if (dtype == EGG_I8) {
        egg_ternary_pack(weights, pairs, out);
        return;
    }
    for (uint32_t first = 0; first < pairs; first += BLOCK, out += egg_ternary_bytes(BLOCK)) {
        uint32_t n = pairs - first < BLOCK ? pairs - first : BLOCK;
        for (uint32_t i = 0; i < n; i++) signs[i] = (int8_t)((floats[first + i] > 0) - (floats[first + i] < 0));
        egg_ternary_pack(signs, n, out);
    }
}

static uint8_t *put(uint8_t *at, const void *value, size_t bytes)
{
    if (bytes) memcpy(at, value, bytes);   /* little-endian, as every machine that this runs on */
    return at + bytes;
}

size_t egg_journal_epoch_write(const egg_journal_epoch *epoch, egg_dtype dtype, uint8_t *out)
{
    const float unit = common_unit(dtype, epoch->weights, epoch->pairs);
    const uint32_t form = unit != 0 ? EGG_JOURNAL_TERNARY : dtype == EGG_I8 ? EGG_JOURNAL_I8 : EGG_JOURNAL_F32;
    const uint32_t extra_bytes = (uint32_t)epoch->extra_bytes;
    const size_t bytes = weight_bytes((egg_journal_form)form, epoch->pairs);
    uint8_t *at = out;
    at = put(at, &epoch->position, 8);
    at = put(at, &epoch->seconds, 8);
    at = put(at, &epoch->score, 8);
    at = put(at, &epoch->rate, 8);
    at = put(at, &form, 4);
    at = put(at, &epoch->pairs, 4);
    at = put(at, &unit, 4);
    at = put(at, &extra_bytes, 4);
    if (form == EGG_JOURNAL_TERNARY) pack_signs(dtype, epoch->weights, epoch->pairs, at);
    else put(at, epoch->weights, bytes);
    at = put(at + bytes, epoch->extra, epoch->extra_bytes);
    return (size_t)(at - out);
}

/* ------------------------------------------------------------------------------------------------------------ read */

static const uint8_t *get(const uint8_t *at, void *value, size_t bytes)
{
    memcpy(value, at, bytes);
    return at + bytes;
}

egg_status egg_journal_epoch_read(egg_journal_epoch *epoch, const egg_ledger_record *record, const char *name,
                                  egg_error *error)
{
    uint32_t form = EGG_JOURNAL_F32 + 1, extra_bytes = 0;
    size_t bytes = 0;
    *epoch = (egg_journal_epoch){.epoch = record->epoch};
    if (record->bytes >= HEAD_BYTES) {
        const uint8_t *at = record->data;
        at = get(at, &epoch->position, 8);
        at = get(at, &epoch->seconds, 8);
        at = get(at, &epoch->score, 8);
        at = get(at, &epoch->rate, 8);
        at = get(at, &form, 4);
        at = get(at, &epoch->pairs, 4);
        at = get(at, &epoch->unit, 4);
        at = get(at, &extra_bytes, 4);
        epoch->weights = at;
    }
    if (form <= EGG_JOURNAL_F32) bytes = weight_bytes((egg_journal_form)form, epoch->pairs);
    if (form > EGG_JOURNAL_F32 || record->bytes != HEAD_BYTES + bytes + extra_bytes)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: record %" PRIu64 " of epoch %" PRIu64 ", at byte %" PRIu64 ": %zu bytes are no record of "
                        "an epoch",
                        name, record->number, record->epoch, record->offset, record->bytes);
    epoch->form = (egg_journal_form)form;
    epoch->extra = (const uint8_t *)epoch->weights + bytes;
    epoch->extra_bytes = extra_bytes;
    return EGG_OK;
}

/* Whether the signs are digits and their unit is one that the type can hold. */
static bool unpack(const egg_journal_epoch *epoch, egg_dtype dtype, void *weights)
{
    const uint8_t *packed = epoch->weights;
    int8_t signs[BLOCK];
    float unit = epoch->unit;
    if (!(unit > 0 && isfinite(unit)) || (dtype == EGG_I8 && (unit > 127 || unit != floorf(unit)))) return false;
    for (uint32_t first = 0; first < epoch->pairs; first += BLOCK, packed += egg_ternary_bytes(BLOCK)) {
        uint32_t n = epoch->pairs - first < BLOCK ? epoch->pairs - first : BLOCK;
        if (!egg_ternary_unpack(packed, n, signs)) return false;
        for (uint32_t i = 0; i < n; i++) {
            if (dtype == EGG_I8) ((int8_t *)weights)[first + i] = (int8_t)(signs[i] * (int)unit);
            else ((float *)weights)[first + i] = signs[i] > 0 ? unit : signs[i] < 0 ? -unit : 0;
        }
    }
    return true;
}

egg_status egg_journal_weights(const egg_journal_epoch *epoch, egg_dtype dtype, void *weights, uint32_t pairs,
                               const char *name, egg_error *error)
{
    if (epoch->pairs != pairs)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: epoch %" PRIu64 " has %u pairs, expected %u", name, epoch->epoch,
                        epoch->pairs, pairs);
    egg_journal_form plain = dtype == EGG_I8 ? EGG_JOURNAL_I8 : EGG_JOURNAL_F32;
    bool right = epoch->form == EGG_JOURNAL_TERNARY ? unpack(epoch, dtype, weights) : epoch->form == plain;
    if (!right)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: the weights of epoch %" PRIu64 " are not %s", name, epoch->epoch,
                        dtype == EGG_I8 ? "int8" : "float32");
    if (epoch->form != EGG_JOURNAL_TERNARY) memcpy(weights, epoch->weights, weight_bytes(epoch->form, pairs));
    return EGG_OK;
}
