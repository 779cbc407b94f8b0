/* SPDX-License-Identifier: MIT */
/* Files that are either whole or not there: mapped for reading, replaced atomically for writing. */
#ifndef EGG_BASE_FILE_H
#define EGG_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* -------------------------------------------------------------------------------------------------------- reading */

typedef struct egg_mapping {
    const uint8_t *data;      /* (bytes), read only; NULL if bytes is 0 */
    size_t bytes;
} egg_mapping;

/*
 * Maps a regular file; anything else is refused. Errors name 'path'. An empty file is a valid, empty mapping. The file
 * may be replaced while it is mapped, but whoever cuts it short in place takes the pages away: SIGBUS.
 */
egg_status egg_mapping_open(egg_mapping *mapping, const char *path, egg_error *error);
egg_status egg_mapping_open_fd(egg_mapping *mapping, int fd, const char *name, egg_error *error);   /* fd stays open */
void egg_mapping_close(egg_mapping *mapping);

/*
 * Memory (bytes) of zeros to write to that lies in a file of 'folder' which has no name: the system may write it out
 * when it is short of memory. A disk without room for it is an error here, not a signal later.
 */
egg_status egg_file_memory_open(void **memory, size_t bytes, const char *folder, egg_error *error);
void egg_file_memory_close(void *memory, size_t bytes);   /* NULL is fine */

bool egg_path_is_directory(const char *path);
bool egg_path_exists(const char *path);
egg_status egg_directory_create(const char *path, egg_error *error);   /* parents too; fine if it is there */

/* "<folder>/<name>", or 'name' alone where 'folder' is "". EGG_ERR_ARGUMENT where it does not fit into 'size'. */
egg_status egg_path_join(char *out, size_t size, const char *folder, const char *name, egg_error *error);

/* -------------------------------------------------------------------------------------------------------- writing */

/*
 * Writes to "<path>.tmp-<pid>" in the same folder; commit flushes it to the disk, renames it to 'path' and flushes the
 * folder. Until then the old file at 'path' is untouched, and after a failure it stays, with one exception: where only
 * the folder could not be flushed the new file is there, but a power cut may still bring the old one back. Errors are
 * sticky: writes after a failure do nothing and commit reports the first one. A link at 'path' is itself replaced. A
 * process may have one writer a path at a time.
 */
typedef struct egg_file_writer egg_file_writer;

egg_status egg_file_writer_open(egg_file_writer **writer, const char *path, egg_error *error);
void egg_file_writer_write(egg_file_writer *writer, const void *data, size_t bytes);
egg_status egg_file_writer_commit(egg_file_writer *writer, egg_error *error);   /* frees the writer either way */
void egg_file_writer_abort(egg_file_writer *writer);                           /* removes the temporary; NULL is fine */

/* Removes what writers that were killed left in 'folder'; no writer may be at work there. */
void egg_directory_remove_temporaries(const char *folder);

/* The three steps at once. */
egg_status egg_file_replace(const char *path, const void *data, size_t bytes, egg_error *error);

#endif
