/* SPDX-License-Identifier: MIT */
#include "pretended_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"

enum { BLOCKS = 512 };

static struct {
    char *memory;
    size_t bytes;
} blocks[BLOCKS];
pretended_device pretended = {.left = SIZE_MAX};

static void *take(size_t bytes)
{
    if (pretended.left == 0) return NULL;
    pretended.left--;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].memory) continue;
        assert_int_equal(posix_memalign((void **)&blocks[i].memory, 256, bytes + 1), 0);
        memset(blocks[i].memory, 0, bytes + 1);
        blocks[i].bytes = bytes;
        pretended.taken += bytes;
        return blocks[i].memory;
    }
    fail_msg("more than %d blocks", BLOCKS);
    return NULL;
}

static void give(void *memory)
{
    for (size_t i = 0; memory && i < BLOCKS; i++) {
        if (blocks[i].memory != memory) continue;
        free(memory);
        blocks[i].memory = NULL;
        return;
    }
    if (memory) fail_msg("given back, but never taken");
}

static bool is_own(const void *memory, size_t bytes)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        const char *at = memory;
        if (blocks[i].memory && at >= blocks[i].memory && at + bytes <= blocks[i].memory + blocks[i].bytes) return true;
    }
    return false;
}

static void upload(void *to, const void *from, size_t bytes)
{
    assert_true(is_own(to, bytes) && !is_own(from, 1));
    memcpy(to, from, bytes);
}

static void download(void *to, const void *from, size_t bytes)
{
    assert_true(is_own(from, bytes) && !is_own(to, 1));
    memcpy(to, from, bytes);
    pretended.downloaded += bytes;
}

static void fill(void *memory, int byte, size_t bytes)
{
    assert_true(is_own(memory, bytes));
    memset(memory, byte, bytes);
}

static const char *wait_for_all(void)
{
    return pretended.failure;
}

static egg_device_memory memory_of_device(void)
{
    return (egg_device_memory){.free_bytes = 1 << 20, .total_bytes = 1 << 20};
}

static const egg_device device = {.name = "a pretended device", .take = take, .give = give, .upload = upload,
                                     .download = download, .fill = fill, .wait = wait_for_all,
                                     .memory = memory_of_device};

size_t pretended_blocks(void)
{
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS; i++) count += blocks[i].memory != NULL;
    return count;
}

egg_kernels pretended_kernels(bool on_device)
{
    egg_kernels kernels;
    egg_kernels_init(&kernels, egg_cpu_detect());
    if (on_device) kernels.device = &device;
    return kernels;
}
