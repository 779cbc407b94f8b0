/* SPDX-License-Identifier: MIT */
/* 128-bit fingerprints of data (XXH3): equal bytes, equal hash, on every machine. Not a defence against forgery. */
#ifndef EGG_BASE_HASH_H
#define EGG_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_hash {
    uint64_t high, low;
} egg_hash;

typedef struct egg_hasher egg_hasher;

egg_status egg_hasher_open(egg_hasher **hasher, egg_error *error);
void egg_hasher_add(egg_hasher *hasher, const void *data, size_t bytes);
egg_hash egg_hasher_value(const egg_hasher *hasher);
void egg_hasher_close(egg_hasher *hasher);

egg_hash egg_hash_bytes(const void *data, size_t bytes);

/* 32 lower-case hexadecimal digits and a NUL. */
void egg_hash_text(egg_hash hash, char text[33]);

#endif
