/* SPDX-License-Identifier: MIT */
/*
 * Memory where the kernels of a table work: the device's, or the host's where device is NULL. What the host and the
 * kernels both look at is in two places then, and is copied; on the host it is in one, and copying costs nothing.
 */
#ifndef EGG_ES_DEVICE_MEMORY_H
#define EGG_ES_DEVICE_MEMORY_H

#include "base/arena.h"
#include "base/status.h"
#include "kernels/device.h"

/* What something takes of both. */
typedef struct egg_memory_bytes {
    uint64_t host, device;
} egg_memory_bytes;

/* Zeros, at least 64-byte aligned, or NULL; egg_device_free takes NULL, too. */
void *egg_device_alloc(const egg_device *device, size_t bytes);
void *egg_device_alloc_array(const egg_device *device, size_t count, size_t bytes_each);
void egg_device_free(const egg_device *device, void *memory);

/* Between the host's memory and the kernels', which on the host may be the same. */
void egg_device_upload(const egg_device *device, void *to, const void *from, size_t bytes);
void egg_device_download(const egg_device *device, void *to, const void *from, size_t bytes);
void egg_device_fill(const egg_device *device, void *memory, int byte, size_t bytes);

/*
 * Where the kernels find what the host writes into 'host' and uploads: memory of the device, or 'host' itself. NULL
 * where there is no more. Given back with egg_device_unpair.
 */
void *egg_device_pair(const egg_device *device, void *host, size_t bytes);
void egg_device_unpair(const egg_device *device, void *paired);

/* Scratch for a pass. Closed by egg_device_arena_close. */
egg_status egg_device_arena_open(const egg_device *device, egg_arena *arena, size_t bytes, egg_error *error);
void egg_device_arena_close(const egg_device *device, egg_arena *arena);

/* As egg_device says; on the host nothing is kept. */
bool egg_device_begin_replay(const egg_device *device, const void *key, size_t bytes);
void egg_device_end_replay(const egg_device *device);

/* Until everything is done; EGG_ERR_DEVICE with the device's name and its first error. */
egg_status egg_device_wait(const egg_device *device, egg_error *error);

#endif
