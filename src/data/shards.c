/* SPDX-License-Identifier: MIT */
#include "data/shards.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { PATH_BYTES = 4096, FOUND_BYTES = 64 };

#define INDEX_NAME "model.safetensors.index.json"
#define SINGLE_NAME "model.safetensors"
#define INDEX_ENDING ".index.json"

/* ------------------------------------------------------------------------------------------------- the index alone */

static int compare_entries(const void *left, const void *right)
{
    const egg_shard_entry *a = left, *b = right;
    return strcmp(a->tensor, b->tensor);
}

/* Files lie beside the index; a name that leads elsewhere is refused. */
static bool is_plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static egg_status fill_index(egg_shard_index *index, json_t *map, const char *name, egg_error *error)
{
    const char *tensor;
    json_t *value;
    index->entries = egg_alloc_array(json_object_size(map), sizeof *index->entries);
    if (!index->entries)
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for %zu tensors", name, json_object_size(map));
    json_object_foreach(map, tensor, value) {
        const char *file = json_string_value(value);
        char found[FOUND_BYTES] = "";
        if (!file || !is_plain_name(file)) {
            json_dumpb(value, found, sizeof found - 1, JSON_COMPACT | JSON_ENCODE_ANY);
            return egg_fail(error, EGG_ERR_FORMAT, "%s: weight_map: tensor '%s' is in %s, expected the name of a file "
                            "beside the index", name, tensor, found);
        }
        index->entries[index->count++] = (egg_shard_entry){.tensor = tensor, .file = file};
    }
    qsort(index->entries, index->count, sizeof *index->entries, compare_entries);
    return EGG_OK;
}

egg_status egg_shard_index_parse(egg_shard_index *index, const void *data, size_t bytes, const char *name,
                                 egg_error *error)
{
    egg_status status = EGG_OK;
    json_error_t reason;
    *index = (egg_shard_index){0};
    json_t *root = json_loadb(data ? data : "", bytes, JSON_REJECT_DUPLICATES, &reason);
    if (!root)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: line %d, column %d: %s", name, reason.line, reason.column,
                        reason.text);
    index->json = root;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: weight_map is %s, expected an object that names a file for every "
                          "tensor", name, !map ? "missing" : json_is_object(map) ? "empty" : "no object");
        goto out;
    }
    EGG_TRY(fill_index(index, map, name, error));
    return EGG_OK;
out:
    egg_shard_index_free(index);
    return status;
}

void egg_shard_index_free(egg_shard_index *index)
{
    egg_free(index->entries);
    json_decref(index->json);
    *index = (egg_shard_index){0};
}

/* ------------------------------------------------------------------------------------------------------- the files */

typedef struct egg_shard_file {
    const char *name;              /* in the index */
    egg_safetensors *file;
} egg_shard_file;

struct egg_shards {
    char *name;
    egg_shard_index index;         /* empty for a single file */
    egg_shard_file *files;         /* (file_count) in the order of the first tensor of each */
    size_t file_count;
    const egg_tensor **by_name;    /* (count) */
    size_t count;
};

static int compare_tensors(const void *left, const void *right)
{
    const egg_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static egg_status open_single(egg_shards *shards, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    shards->files = egg_alloc(sizeof *shards->files);
    if (!shards->files) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", path);
    EGG_TRY(egg_safetensors_open(&shards->files[0].file, path, error));
    shards->file_count = 1;
    shards->count = egg_safetensors_count(shards->files[0].file);
    shards->by_name = egg_alloc_array(shards->count, sizeof *shards->by_name);
    if (!shards->by_name) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for %zu tensors", path, shards->count);
    for (size_t i = 0; i < shards->count; i++) shards->by_name[i] = egg_safetensors_at(shards->files[0].file, i);
    if (shards->count) qsort(shards->by_name, shards->count, sizeof *shards->by_name, compare_tensors);
out:
    return status;
}

/* The file of this name, opened when it is first asked for. */
static egg_status file_of(egg_shards *shards, const char *path, const char *name, egg_safetensors **file,
                          egg_error *error)
{
    char folder[PATH_BYTES], full[PATH_BYTES];
    for (size_t i = 0; i < shards->file_count; i++)
        if (strcmp(shards->files[i].name, name) == 0) {
            *file = shards->files[i].file;
            return EGG_OK;
        }
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    folder[slash ? slash - folder + 1 : 0] = '\0';
    egg_status status = egg_path_join(full, sizeof full, folder, name, error);
    if (status == EGG_OK) status = egg_safetensors_open(file, full, error);
    if (status == EGG_OK) shards->files[shards->file_count++] = (egg_shard_file){.name = name, .file = *file};
    return status;
}

static egg_status open_index(egg_shards *shards, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_mapping text = {0};
    EGG_TRY(egg_mapping_open(&text, path, error));
    EGG_TRY(egg_shard_index_parse(&shards->index, text.data, text.bytes, path, error));
    size_t count = shards->index.count;
    shards->files = egg_alloc_array(count, sizeof *shards->files);
    shards->by_name = egg_alloc_array(count, sizeof *shards->by_name);
    if (!shards->files || !shards->by_name) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for %zu tensors", path, count);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        const egg_shard_entry *entry = &shards->index.entries[i];
        egg_safetensors *file;
        EGG_TRY(file_of(shards, path, entry->file, &file, error));
        shards->by_name[i] = egg_safetensors_find(file, entry->tensor);
        if (!shards->by_name[i]) {
            status = egg_fail(error, EGG_ERR_FORMAT, "%s: tensor '%s' is not in '%s', where the index has it", path,
                              entry->tensor, entry->file);
            goto out;
        }
        shards->count++;
    }
out:
    egg_mapping_close(&text);
    return status;
}

static bool has_ending(const char *text, const char *ending)
{
    size_t length = strlen(text), n = strlen(ending);
    return length >= n && strcmp(text + length - n, ending) == 0;
}

bool egg_shards_is_index(const char *path)
{
    char inside[PATH_BYTES];
    if (!egg_path_is_directory(path)) return has_ending(path, INDEX_ENDING);
    return egg_path_join(inside, sizeof inside, path, INDEX_NAME, NULL) == EGG_OK && egg_path_exists(inside);
}

egg_status egg_shards_open(egg_shards **out, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    char inside[PATH_BYTES];
    egg_shards *shards = egg_alloc(sizeof *shards);
    *out = NULL;
    if (shards) shards->name = egg_strdup(path);
    if (!shards || !shards->name) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", path);
        goto out;
    }
    if (egg_path_is_directory(path)) {
        EGG_TRY(egg_path_join(inside, sizeof inside, path, INDEX_NAME, error));
        if (!egg_path_exists(inside)) EGG_TRY(egg_path_join(inside, sizeof inside, path, SINGLE_NAME, error));
        path = inside;
    }
    EGG_TRY(has_ending(path, INDEX_ENDING) ? open_index(shards, path, error) : open_single(shards, path, error));
    *out = shards;
    shards = NULL;
out:
    egg_shards_close(shards);
    return status;
}

void egg_shards_close(egg_shards *shards)
{
    if (!shards) return;
    for (size_t i = 0; i < shards->file_count; i++) egg_safetensors_close(shards->files[i].file);
    egg_shard_index_free(&shards->index);
    egg_free(shards->files);
    egg_free(shards->by_name);
    egg_free(shards->name);
    egg_free(shards);
}

const char *egg_shards_name(const egg_shards *shards)
{
    return shards->name;
}

size_t egg_shards_count(const egg_shards *shards)
{
    return shards->count;
}

const egg_tensor *egg_shards_at(const egg_shards *shards, size_t index)
{
    return shards->by_name[index];
}

const egg_tensor *egg_shards_find(const egg_shards *shards, const char *name)
{
    size_t low = 0, high = shards->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(shards->by_name[middle]->name, name);
        if (order == 0) return shards->by_name[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

const char *egg_shards_metadata(const egg_shards *shards, const char *key)
{
    return shards->file_count ? egg_safetensors_metadata(shards->files[0].file, key) : NULL;
}
