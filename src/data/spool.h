/* SPDX-License-Identifier: MIT */
/*
 * A temporary file for text that cannot be mapped where it lies, mostly because it must be decoded first. It has no
 * name in its folder, so that it is gone with the process however that ends.
 */
#ifndef EGG_DATA_SPOOL_H
#define EGG_DATA_SPOOL_H

#include "base/file.h"

typedef struct egg_spool egg_spool;

/* 'folder' must outlive the spool; NULL: $TMPDIR, or /tmp. */
egg_status egg_spool_open(egg_spool **spool, const char *folder, egg_error *error);
egg_status egg_spool_write(egg_spool *spool, const void *data, size_t bytes, egg_error *error);

/* Maps all that was written; nothing may be written afterwards. The mapping outlives the spool. */
egg_status egg_spool_map(egg_spool *spool, egg_mapping *mapping, egg_error *error);
void egg_spool_close(egg_spool *spool);   /* NULL is fine */

#endif
