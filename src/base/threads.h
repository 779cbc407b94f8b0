/* SPDX-License-Identifier: MIT */
/* A fixed set of threads that share out ranges. Results must not depend on who takes which. */
#ifndef EGG_BASE_THREADS_H
#define EGG_BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct egg_pool egg_pool;

/* 'begin'..'end': the range to do; 'thread' in [0, egg_pool_threads): which scratch memory is yours. */
typedef void egg_range_fn(void *context, size_t begin, size_t end, uint32_t thread);

/* The calling thread is one of 'threads', so threads - 1 are started. threads = 0: one per available processor. */
egg_status egg_pool_open(egg_pool **pool, uint32_t threads, egg_error *error);
void egg_pool_close(egg_pool *pool);          /* NULL is fine */
uint32_t egg_pool_threads(const egg_pool *pool);   /* 1 for NULL */
uint32_t egg_processor_count(void);

/*
 * The same result as: for (i = 0; i < n; i += grain) fn(context, i, min(i + grain, n), thread)
 * in some order, on some threads; returns when all is done. 'pool' may be NULL. Does not nest. Allocates nothing.
 */
void egg_parallel_for(egg_pool *pool, size_t n, size_t grain, egg_range_fn *fn, void *context);

#endif
