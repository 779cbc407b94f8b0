/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/memory.h"

struct egg_hasher {
    XXH3_state_t *state;
};

static egg_hash from_xxh(XXH128_hash_t hash)
{
    return (egg_hash){.high = hash.high64, .low = hash.low64};
}

egg_status egg_hasher_open(egg_hasher **out, egg_error *error)
{
    egg_hasher *hasher = egg_alloc(sizeof *hasher);
    *out = hasher;
    if (hasher) hasher->state = XXH3_createState();
    if (!hasher || !hasher->state) {
        egg_free(hasher);
        *out = NULL;
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for a hash");
    }
    XXH3_128bits_reset(hasher->state);
    return EGG_OK;
}

void egg_hasher_add(egg_hasher *hasher, const void *data, size_t bytes)
{
    if (bytes) XXH3_128bits_update(hasher->state, data, bytes);
}

egg_hash egg_hasher_value(const egg_hasher *hasher)
{
    return from_xxh(XXH3_128bits_digest(hasher->state));
}

void egg_hasher_close(egg_hasher *hasher)
{
    if (!hasher) return;
    XXH3_freeState(hasher->state);
    egg_free(hasher);
}

egg_hash egg_hash_bytes(const void *data, size_t bytes)
{
    return from_xxh(XXH3_128bits(data, bytes));
}

void egg_hash_text(egg_hash hash, char text[33])
{
    snprintf(text, 33, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}
