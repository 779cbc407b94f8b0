/* SPDX-License-Identifier: MIT */
/*
 * A model's tensors in one safetensors file or spread over several, as published models come: then a JSON index maps
 * every tensor to its file. Which of the two it is makes no difference to the reader. Files are mapped, not copied.
 */
#ifndef EGG_DATA_SHARDS_H
#define EGG_DATA_SHARDS_H

#include "data/safetensors.h"

typedef struct egg_shards egg_shards;

/*
 * 'path': a .safetensors file; an index, "<name>.index.json", with its files beside it; or a folder that holds
 * model.safetensors.index.json or model.safetensors. Every tensor of an index must be in the file that it names.
 */
egg_status egg_shards_open(egg_shards **shards, const char *path, egg_error *error);
void egg_shards_close(egg_shards *shards);   /* NULL is fine */

/* Whether the path is an index, or a folder that holds one. */
bool egg_shards_is_index(const char *path);

const char *egg_shards_name(const egg_shards *shards);     /* the path that was opened, for error texts */
size_t egg_shards_count(const egg_shards *shards);         /* tensors */
const egg_tensor *egg_shards_at(const egg_shards *shards, size_t index);             /* sorted by name */
const egg_tensor *egg_shards_find(const egg_shards *shards, const char *name);       /* NULL if absent */
const char *egg_shards_metadata(const egg_shards *shards, const char *key); /* of the first file; NULL if absent */

/* ------------------------------------------------------------------------------------------------- the index alone */

typedef struct egg_shard_entry {
    const char *tensor, *file;   /* 'file' is a plain name: no folders */
} egg_shard_entry;

typedef struct egg_shard_index {
    egg_shard_entry *entries;    /* (count) sorted by tensor */
    size_t count;
    void *json;                  /* owns the strings */
} egg_shard_index;

/* Reads the JSON text of an index; 'name' is for error texts. */
egg_status egg_shard_index_parse(egg_shard_index *index, const void *data, size_t bytes, const char *name,
                                 egg_error *error);
void egg_shard_index_free(egg_shard_index *index);

#endif
