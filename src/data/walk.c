/* SPDX-License-Identifier: MIT */
#include "data/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/array.h"

enum { PATH_BYTES = 4096 };

typedef struct egg_walk_state {
    egg_paths *files;
    egg_paths folders;         /* those before the current one have been read, the others not yet */
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

static bool is_link(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

static egg_status add_entry(egg_walk_state *walk, size_t parent, const char *name, egg_error *error)
{
    char path[PATH_BYTES];
    struct stat info;
    egg_status status = egg_path_join(path, sizeof path, walk->folders.path[parent], name, error);
    if (status != EGG_OK) return status;
    if (stat(path, &info) != 0) {
        bool leads_nowhere = errno == ENOENT || errno == ELOOP;
        return leads_nowhere ? EGG_OK : egg_fail_errno(error, "%s: cannot read", path);
    }
    if (S_ISREG(info.st_mode)) return egg_paths_add(walk->files, path, error);
    /* Links to folders could lead round in circles, or to the same text by many ways. */
    if (S_ISDIR(info.st_mode) && !is_link(path)) return egg_paths_add(&walk->folders, path, error);
    return EGG_OK;
}

static egg_status read_folder(egg_walk_state *walk, size_t index, egg_error *error)
{
    const char *path = walk->folders.path[index];
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
    egg_status status = EGG_OK;
    EGG_TRY(egg_paths_add(&walk.folders, folder, error));
    /* A list instead of recursion: any depth costs one open folder at a time. */
    for (size_t i = 0; i < walk.folders.count; i++) EGG_TRY(read_folder(&walk, i, error));
    if (files->count > first) qsort(files->path + first, files->count - first, sizeof *files->path, compare_paths);
out:
    egg_paths_free(&walk.folders);
    return status;
}
