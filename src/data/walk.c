/* SPDX-License-Identifier: MIT */
#include "data/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/array.h"

enum { PATH_BYTES = 4096 };

#define NO_PARENT SIZE_MAX

typedef struct egg_folder {
    size_t parent;             /* index of the folder it was found in */
    dev_t device;
    ino_t number;
} egg_folder;

typedef struct egg_walk_state {
    egg_paths *files;
    egg_paths names;           /* of the folders */
    egg_folder *folders;       /* (names.count) those before the current one have been read, the others not yet */
    size_t capacity;
} egg_walk_state;

egg_status egg_paths_add(egg_paths *paths, const char *path, egg_error *error)
{
    char **grown = egg_array_grow(paths->path, paths->count, &paths->capacity, sizeof *grown);
    if (grown) paths->path = grown;
    char *copy = grown ? egg_strdup(path) : NULL;
    if (!copy) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a list of %zu files", path, paths->count);
    paths->path[paths->count++] = copy;
    return EGG_OK;
}

void egg_paths_free(egg_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) egg_free(paths->path[i]);
    egg_free(paths->path);
    *paths = (egg_paths){0};
}

static egg_status add_folder(egg_walk_state *walk, const char *path, size_t parent, const struct stat *info,
                             egg_error *error)
{
    egg_folder *grown = egg_array_grow(walk->folders, walk->names.count, &walk->capacity, sizeof *grown);
    if (!grown) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a list of folders", path);
    walk->folders = grown;
    walk->folders[walk->names.count] = (egg_folder){.parent = parent, .device = info->st_dev, .number = info->st_ino};
    return egg_paths_add(&walk->names, path, error);
}

static bool is_circle(const egg_walk_state *walk, size_t parent, const struct stat *info)
{
    for (size_t at = parent; at != NO_PARENT; at = walk->folders[at].parent)
        if (walk->folders[at].device == info->st_dev && walk->folders[at].number == info->st_ino) return true;
    return false;
}

static egg_status add_entry(egg_walk_state *walk, size_t parent, const char *name, egg_error *error)
{
    char path[PATH_BYTES];
    struct stat info;
    egg_status status = egg_path_join(path, sizeof path, walk->names.path[parent], name, error);
    if (status != EGG_OK) return status;
    if (stat(path, &info) != 0) {
        bool leads_nowhere = errno == ENOENT || errno == ELOOP;
        return leads_nowhere ? EGG_OK : egg_fail_errno(error, "%s: cannot read", path);
    }
    if (S_ISREG(info.st_mode)) return egg_paths_add(walk->files, path, error);
    if (S_ISDIR(info.st_mode) && !is_circle(walk, parent, &info)) return add_folder(walk, path, parent, &info, error);
    return EGG_OK;
}

static egg_status read_folder(egg_walk_state *walk, size_t index, egg_error *error)
{
    const char *path = walk->names.path[index];
    egg_status status = EGG_OK;
    DIR *folder = opendir(path);
    if (!folder) return egg_fail_errno(error, "%s: cannot open the folder", path);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) break;
        if (entry->d_name[0] != '.') EGG_TRY(add_entry(walk, index, entry->d_name, error));
    }
    if (errno != 0) status = egg_fail_errno(error, "%s: cannot read the folder", path);
out:
    closedir(folder);
    return status;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

egg_status egg_walk(egg_paths *files, const char *folder, egg_error *error)
{
    egg_walk_state walk = {.files = files};
    size_t first = files->count;
    struct stat info;
    egg_status status = EGG_OK;
    if (stat(folder, &info) != 0) return egg_fail_errno(error, "%s: cannot open the folder", folder);
    EGG_TRY(add_folder(&walk, folder, NO_PARENT, &info, error));
    /* A list instead of recursion: any depth costs one open folder at a time. */
    for (size_t i = 0; i < walk.names.count; i++) EGG_TRY(read_folder(&walk, i, error));
    if (files->count > first) qsort(files->path + first, files->count - first, sizeof *files->path, compare_paths);
out:
    egg_free(walk.folders);
    egg_paths_free(&walk.names);
    return status;
}
