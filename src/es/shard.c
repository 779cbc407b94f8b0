/* SPDX-License-Identifier: MIT */
#include "es/shard.h"

#include <string.h>

static uint64_t evolving(const egg_param *param)
{
    return param->frozen ? 0 : egg_param_elements(param);
}

/* The first row of a parameter, whose elements begin at 'base' of all, that is not before element 'at' of all. */
static uint32_t row_at(const egg_param *param, uint64_t base, uint64_t at)
{
    uint64_t block = (uint64_t)EGG_SHARD_ROWS * param->in;
    if (at <= base) return 0;
    uint64_t row = (at - base + block - 1) / block * EGG_SHARD_ROWS;
    return row < param->out ? (uint32_t)row : param->out;
}

egg_rows egg_shard_rows(const egg_param *params, uint32_t count, uint32_t index, egg_shard shard)
{
    uint64_t total = 0, base = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i == index) base = total;
        total += evolving(&params[i]);
    }
    if (!evolving(&params[index])) return (egg_rows){0};
    uint64_t begin = (total * shard.part + shard.parts - 1) / shard.parts;
    uint64_t end = (total * (shard.part + 1) + shard.parts - 1) / shard.parts;
    uint32_t first = row_at(&params[index], base, begin);
    return (egg_rows){.first = first, .count = row_at(&params[index], base, end) - first};
}

/* The elements of the part of row 'row', or NULL; '*bytes' of a row. */
static char *find_rows(const egg_param *param, egg_shard_part part, uint32_t row, size_t *bytes)
{
    char *elements = part == EGG_SHARD_DATA ? param->data : (char *)param->fraction;
    size_t each = part == EGG_SHARD_DATA ? egg_dtype_bytes(param->dtype) : sizeof *param->fraction;
    *bytes = elements ? each * param->in : 0;
    return elements ? elements + row * *bytes : NULL;
}

size_t egg_shard_bytes(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part)
{
    size_t sum = 0, bytes;
    for (uint32_t i = 0; i < count; i++) {
        find_rows(&params[i], part, 0, &bytes);
        sum += egg_shard_rows(params, count, i, shard).count * bytes;
    }
    return sum;
}

void egg_shard_take(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part, void *packed)
{
    char *to = packed;
    size_t bytes;
    for (uint32_t i = 0; i < count; i++) {
        egg_rows rows = egg_shard_rows(params, count, i, shard);
        egg_param_fetch_weights(&params[i]);
        const char *from = find_rows(&params[i], part, rows.first, &bytes);
        if (from) memcpy(to, from, rows.count * bytes);
        to += rows.count * bytes;
    }
}

void egg_shard_put(const egg_param *params, uint32_t count, egg_shard shard, egg_shard_part part, const void *packed)
{
    const char *from = packed;
    size_t bytes;
    for (uint32_t i = 0; i < count; i++) {
        egg_rows rows = egg_shard_rows(params, count, i, shard);
        char *to = find_rows(&params[i], part, rows.first, &bytes);
        if (to) memcpy(to, from, rows.count * bytes);
        from += rows.count * bytes;
    }
}
