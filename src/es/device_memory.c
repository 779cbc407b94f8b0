/* SPDX-License-Identifier: MIT */
#include "es/device_memory.h"

#include <string.h>

#include "base/memory.h"

void *egg_device_alloc(const egg_device *device, size_t bytes)
{
    return device ? device->take(bytes) : egg_alloc(bytes);
}

void *egg_device_alloc_array(const egg_device *device, size_t count, size_t bytes_each)
{
    if (!device) return egg_alloc_array(count, bytes_each);
    return bytes_each && count > SIZE_MAX / bytes_each ? NULL : device->take(count * bytes_each);
}

void egg_device_free(const egg_device *device, void *memory)
{
    if (device)
        device->give(memory);
    else
        egg_free(memory);
}

void egg_device_upload(const egg_device *device, void *to, const void *from, size_t bytes)
{
    if (device)
        device->upload(to, from, bytes);
    else if (to != from)
        memcpy(to, from, bytes);
}

void egg_device_download(const egg_device *device, void *to, const void *from, size_t bytes)
{
    if (device)
        device->download(to, from, bytes);
    else if (to != from)
        memcpy(to, from, bytes);
}

void egg_device_fill(const egg_device *device, void *memory, int byte, size_t bytes)
{
    if (device)
        device->fill(memory, byte, bytes);
    else
        memset(memory, byte, bytes);
}

void *egg_device_pair(const egg_device *device, void *host, size_t bytes)
{
    return device && host ? device->take(bytes) : host;
}

void egg_device_unpair(const egg_device *device, void *paired)
{
    if (device) device->give(paired);
}

egg_status egg_device_arena_open(const egg_device *device, egg_arena *arena, size_t bytes, egg_error *error)
{
    if (!device) return egg_arena_open(arena, bytes, error);
    void *memory = device->take(bytes);
    if (!memory) return egg_fail(error, EGG_ERR_NOMEM, "no memory on %s for %zu bytes of scratch", device->name, bytes);
    *arena = egg_arena_over(memory, bytes);
    return EGG_OK;
}

void egg_device_arena_close(const egg_device *device, egg_arena *arena)
{
    if (device) device->give(arena->data);
    egg_arena_close(arena);
}

bool egg_device_begin_replay(const egg_device *device, const void *key, size_t bytes)
{
    return device && device->begin_replay && device->begin_replay(key, bytes);
}

void egg_device_end_replay(const egg_device *device)
{
    if (device && device->end_replay) device->end_replay();
}

egg_status egg_device_wait(const egg_device *device, egg_error *error)
{
    const char *failure = device ? device->wait() : NULL;
    return failure ? egg_fail(error, EGG_ERR_DEVICE, "%s: %s", device->name, failure) : EGG_OK;
}
