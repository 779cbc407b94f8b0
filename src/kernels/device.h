/* SPDX-License-Identifier: MIT */
/*
 * Where the kernels of a table work. A table without a device works in the host's memory, and a call is done when it
 * returns. A table with one takes pointers into the device's memory, host pointers only where its slot says so, and a
 * call has merely been put behind those before it: everything a device does, copies included, it does in that order.
 *
 * One device a process, opened by the level that fills the table; one thread talks to it. Errors of the device are
 * sticky: after the first one nothing more is done, and wait() tells.
 */
#ifndef EGG_KERNELS_DEVICE_H
#define EGG_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct egg_device_memory {
    uint64_t free_bytes, total_bytes;
} egg_device_memory;

typedef struct egg_device {
    const char *name;     /* as its maker calls it */
    uint32_t index;

    /* Zeros, 256-byte aligned; NULL where there is no more. give() takes NULL, too, and waits for the device. */
    void *(*take)(size_t bytes);
    void (*give)(void *memory);

    /* 'from' of the host may change as soon as upload() returns; download() waits for the copy. */
    void (*upload)(void *to, const void *from, size_t bytes);
    void (*download)(void *to, const void *from, size_t bytes);
    void (*fill)(void *memory, int byte, size_t bytes);

    /* Until all is done; NULL, or what the first error was, a text that stays. */
    const char *(*wait)(void);

    egg_device_memory (*memory)(void);

    /*
     * Seconds, by the device's clock, for what it was given between the two calls, of which the second waits for it.
     * Negative after an error.
     */
    void (*start_timer)(void);
    double (*stop_timer)(void);

    /*
     * Calls that are made again and again may be kept and then be queued as one; NULL: they never are. begin_replay()
     * comes before them: true, they have been queued; false, they are to be made, and end_replay() comes after them. In
     * between they depend on nothing but 'key' (up to 128 bytes) and on what is in the device's memory: the same
     * kernels with the same numbers and addresses, none of which is given back as long as the key is used. They are
     * kernels and fill() alone.
     */
    bool (*begin_replay)(const void *key, size_t bytes);
    void (*end_replay)(void);
} egg_device;

#endif
