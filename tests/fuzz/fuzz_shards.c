/* SPDX-License-Identifier: MIT */
/* Any bytes as the index of a model's files: refused with a text, or taken, and then sorted, unique and plain. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    egg_shard_index index;
    egg_error error = {0};
    egg_status status = egg_shard_index_parse(&index, data, size, "input", &error);
    check(status == EGG_OK ? index.count > 0 : !index.entries && status == EGG_ERR_FORMAT && error.text[0]);
    for (size_t i = 0; i < index.count; i++) {
        check(i == 0 || strcmp(index.entries[i - 1].tensor, index.entries[i].tensor) < 0);
        check(*index.entries[i].file && !strchr(index.entries[i].file, '/'));
    }
    egg_shard_index_free(&index);
    return 0;
}
