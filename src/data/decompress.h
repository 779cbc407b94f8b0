/* SPDX-License-Identifier: MIT */
/* The bytes of a file, decompressed on the way where its name says so: .gz (zlib) or .zst (zstd). */
#ifndef EGG_DATA_DECOMPRESS_H
#define EGG_DATA_DECOMPRESS_H

#include <stddef.h>

#include "base/status.h"

typedef enum egg_compression { EGG_COMPRESSION_NONE, EGG_COMPRESSION_GZIP, EGG_COMPRESSION_ZSTD } egg_compression;

/* By the ending of 'name'; '*stem' = length of the name without that ending. */
egg_compression egg_compression_of(const char *name, size_t *stem);

typedef struct egg_decompressor egg_decompressor;

/* Borrows 'fd' and 'name', which errors give. EGG_ERR_UNSUPPORTED where this build lacks the library. */
egg_status egg_decompressor_open(egg_decompressor **from, int fd, const char *name, egg_compression compression,
                                 egg_error *error);
void egg_decompressor_close(egg_decompressor *from);   /* NULL is fine */

/*
 * Reads up to 'size' bytes (at least 1) into 'out'; '*got' = 0 only at the end. Concatenated gzip members and zstd
 * frames read as one. EGG_ERR_FORMAT where the data is corrupt or ends too early.
 */
egg_status egg_decompressor_read(egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error);

#endif
