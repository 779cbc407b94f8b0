/* SPDX-License-Identifier: MIT */
/* The files of a folder. */
#ifndef EGG_DATA_WALK_H
#define EGG_DATA_WALK_H

#include <stddef.h>

#include "base/status.h"

typedef struct egg_paths {
    char **path;               /* (count) */
    size_t count, capacity;
} egg_paths;

/*
 * Appends the regular files under 'folder', at any depth, sorted bytewise by their whole path. Names that begin with a
 * dot are left out. Symbolic links to files are followed, those to folders, or to nothing, are passed over.
 */
egg_status egg_walk(egg_paths *files, const char *folder, egg_error *error);

/* 'path' is copied. */
egg_status egg_paths_add(egg_paths *paths, const char *path, egg_error *error);
void egg_paths_free(egg_paths *paths);

#endif
