/* SPDX-License-Identifier: MIT */
/*
 * Which rows of the parameters a rank updates where ranks share out the update: all parameters that evolve, one behind
 * the other, cut into parts of about equal numbers of elements, at multiples of EGG_SHARD_ROWS rows of a parameter.
 */
#ifndef EGG_ES_SHARD_H
#define EGG_ES_SHARD_H

#include "es/param.h"

enum { EGG_SHARD_ROWS = 128 };

typedef struct egg_shard {
    uint32_t part, parts;      /* {0, 1}: everything */
} egg_shard;

typedef struct egg_rows {
    uint32_t first, count;
} egg_rows;

/* The rows of params[index] in a shard; none of a frozen one. */
egg_rows egg_shard_rows(const egg_param *params, uint32_t count, uint32_t index, egg_shard shard);

/* What every rank has of all rows. */
typedef enum egg_shard_part { EGG_SHARD_DATA, EGG_SHARD_FRACTION } egg_shard_part;

/* Bytes of that part of all rows in a shard; parameters that do not have it count nothing. */
size_t egg_shard_bytes(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part);

/* Copies that part of the rows in a shard, one behind the other, to 'packed' and from there. */
void egg_shard_take(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part, void *packed);
void egg_shard_put(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part, const void *packed);

#endif
